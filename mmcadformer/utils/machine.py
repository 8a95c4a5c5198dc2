# SPDX-License-Identifier: Apache-2.0
"""What measurements were made on."""

import platform
from pathlib import Path


def cpu_name() -> str:
    """The processor's model, or its architecture where the system doesn't tell."""
    cpu_info = Path('/proc/cpuinfo')
    if cpu_info.exists():
        for line in cpu_info.read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """The GPU's name, or the processor's and how many threads PyTorch uses of it.

    Args:
        device: As PyTorch names it, e.g. ``'cuda:1'``.
    """
    # Importing this package comes before the check whether PyTorch can be imported.
    import torch

    if torch.device(device).type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'{cpu_name()}, {torch.get_num_threads()} threads'
