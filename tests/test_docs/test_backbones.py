# SPDX-License-Identifier: Apache-2.0
"""The backbone of one's own in docs/backbones.md, checked and trained from the page."""

import os
import re
import subprocess
import sys

import pytest

LONGEST = 30


@pytest.fixture
def project(repo_root, tmp_path):
    """A checkout with the files that the page describes."""
    page = (repo_root / 'docs' / 'backbones.md').read_text(encoding='utf-8')
    found = re.findall(r'^```python\n# (\S+)\n(.*?)^```$', page, re.M | re.S)
    assert [name for name, _ in found] == ['my_backbone.py', 'my_config.py']
    assert sum(1 for _, text in found for line in text.splitlines() if line) <= LONGEST
    for folder in ('configs', 'mmcadformer', 'tools'):
        (tmp_path / folder).symlink_to(repo_root / folder)
    for name, content in found:
        (tmp_path / name).write_text(content)
    return tmp_path


def run(project, tool, *args) -> str:
    result = subprocess.run(
        [sys.executable, str(project / 'tools' / tool), *map(str, args)],
        cwd=project,
        env={
            **os.environ,
            'PYTHONPATH': '.',
            'CUDA_VISIBLE_DEVICES': '',
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_backbone_of_ones_own_is_checked_and_trained(project, tiny_data):
    report = run(project, 'misc/check_backbone.py', 'my_config.py')
    assert 'channels (32, 64, 128, 256)' in report and 'FAILS' not in report
    train = (
        'train.py', 'my_config.py', '--data-root', tiny_data, '--work-dir', 'run',
        '--cfg-options', 'train_dataloader.batch_size=4', 'val_dataloader.batch_size=2',
    )  # fmt: skip
    run(project, *train, 'train_cfg.max_epochs=1')
    assert (project / 'run' / 'epoch_1.pth').is_file()
    run(project, *train, 'train_cfg.max_epochs=2', '--resume')
    assert (project / 'run' / 'epoch_2.pth').is_file()
