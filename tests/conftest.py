# SPDX-License-Identifier: Apache-2.0
"""Settings shared by all tests: offline, one thread, GPU tests only with a GPU."""

import os
from pathlib import Path

import pytest

# Before anything imports transformers or PyTorch: both read these only once.
os.environ['HF_HUB_OFFLINE'] = '1'
os.environ['TRANSFORMERS_OFFLINE'] = '1'
os.environ['TOKENIZERS_PARALLELISM'] = 'false'
# One thread per test process, and sums in one order on every machine.
os.environ['OMP_NUM_THREADS'] = '1'
os.environ['MKL_NUM_THREADS'] = '1'

IMAGERY_VARIABLE = 'MMCADFORMER_TEST_IMAGERY'


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests marked ``gpu`` where PyTorch sees no CUDA device."""
    gpu_items = [item for item in items if item.get_closest_marker('gpu')]
    if not gpu_items:
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in gpu_items:
        item.add_marker(pytest.mark.skip(reason='needs a CUDA device'))


@pytest.fixture(scope='session')
def repo_root() -> Path:
    """The checkout that the tests belong to."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def imagery() -> Path:
    """The folder of real imagery; skips the test where there is none."""
    folder = os.environ.get(IMAGERY_VARIABLE)
    if not folder:
        pytest.skip(f'needs real imagery: {IMAGERY_VARIABLE} is not set')
    return Path(folder)
