# SPDX-License-Identifier: Apache-2.0
"""What measurements were made on."""

import platform
from pathlib import Path

import torch


def device_name(device: str) -> str:
    """Name of a GPU, or the processor's and how many threads PyTorch uses."""
    if torch.device(device).type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'{_cpu_name()}, {torch.get_num_threads()} threads'


def describe_machine(device: str) -> str:
    """The hardware and the versions that numbers hold for."""
    python = platform.python_version()
    return f'{device_name(device)}; Python {python}, PyTorch {torch.__version__}'


def _cpu_name() -> str:
    """The processor's model, or its architecture where the system doesn't tell."""
    info = Path('/proc/cpuinfo')
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()
