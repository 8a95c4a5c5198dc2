# SPDX-License-Identifier: Apache-2.0
"""Automatic mixed precision in inference: which type, on which device."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from functools import cache
from pathlib import Path

import torch

AMP_TYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}
"""Types by the names that commands, configs and results use."""

AUTO = 'auto'
# First NVIDIA architecture that computes in bfloat16: Ampere.
_BFLOAT16_CAPABILITY = (8, 0)
# Of x86 and ARM processors, as Linux calls them.
_BFLOAT16_FLAGS = {'avx512_bf16', 'amx_bf16', 'bf16'}


def choose_amp(amp: str | bool | None, device: torch.device | str) -> str | None:
    """The type for what was asked.

    Args:
        amp: A name of ``AMP_TYPES``; 'auto' or True for bfloat16 where the device
            computes in it, else float16 on GPUs and nothing on processors, where
            other types are slower than float32; None or False for nothing.
        device: Where the model is.

    Returns:
        A name of ``AMP_TYPES``, or None for float32.

    Raises:
        ValueError: There is no such type.
    """
    if not amp:
        return None
    if amp in AMP_TYPES:
        return str(amp)
    if amp is not True and amp != AUTO:
        raise ValueError(f'amp {amp!r} is unknown: use {AUTO!r} or {list(AMP_TYPES)}')
    if has_bfloat16(device):
        return 'bf16'
    return None if torch.device(device).type == 'cpu' else 'fp16'


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether a device has instructions for bfloat16.

    ``torch.cuda.is_bf16_supported`` counts emulation, which is slower than float32, and
    so would be any CPU.
    """
    device = torch.device(device)
    if device.type == 'cpu':
        return _cpu_has_bfloat16()
    if device.type != 'cuda' or torch.version.hip is not None:
        return True
    return torch.cuda.get_device_capability(device) >= _BFLOAT16_CAPABILITY


@cache
def _cpu_has_bfloat16() -> bool:
    info = Path('/proc/cpuinfo')
    if info.exists():
        lines = info.read_text().splitlines()
        flags = (line.split() for line in lines if line.lower().startswith(_FLAG_LINES))
        return any(_BFLOAT16_FLAGS & set(words) for words in flags)
    if platform.system() == 'Darwin':
        command = ['sysctl', '-n', 'hw.optional.arm.FEAT_BF16']
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() == '1'
    return False


_FLAG_LINES = ('flags', 'features')


def autocast(
    amp: str | None, device: torch.device | str
) -> contextlib.AbstractContextManager:
    """Context in which a network runs in a type.

    Weights are cast where they are used and not kept, as each is used once: the copies
    would take more memory than smaller features save.

    Args:
        amp: A name of ``AMP_TYPES``, or None for nothing.
        device: Where the model is.
    """
    if amp is None:
        return contextlib.nullcontext()
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=AMP_TYPES[amp], cache_enabled=False)


def describe_amp(amp: str | bool | None, device: torch.device | str) -> str:
    """Says in which type a network runs, and why where that isn't obvious."""
    chosen = choose_amp(amp, device)
    if chosen is not None:
        return f'precision: {chosen} (mixed)'
    if amp:
        return 'precision: float32, as this processor has no instructions for bfloat16'
    return 'precision: float32'
