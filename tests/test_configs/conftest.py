# SPDX-License-Identifier: Apache-2.0
"""The runnable configs, those of projects included."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob('configs/*.py'), *ROOT.glob('projects/*/configs/**/*.py'))
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test that takes ``config_name`` once for each config."""
    if 'config_name' in metafunc.fixturenames:
        metafunc.parametrize('config_name', CONFIGS)


@pytest.fixture(scope='session')
def config_names() -> list[str]:
    """Every config, relative to the checkout."""
    return CONFIGS
