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
