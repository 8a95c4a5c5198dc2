# SPDX-License-Identifier: Apache-2.0
"""Every host of the tables under a fusion: MMSegmentation's and Transformers'."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcadformer.analysis import check_backbone

sys.path.insert(0, str(Path(__file__).parents[1]))
import hosts  # noqa: E402

STAGED = {**hosts.MMSEG, **hosts.TRANSFORMERS}
FLAT = {**hosts.FLAT_MMSEG, **hosts.FLAT_TRANSFORMERS}


def check(cfg: dict, **kwargs) -> None:
    """Builds a backbone on a host, and holds all that has to hold of it."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    backbone = MODELS.build(
        dict(host=cfg, fusion=dict(type='SMGAM'), text_channels=32, **kwargs)
    )
    text, mask = torch.randn(2, 6, 32), torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    findings = check_backbone(backbone, text, mask)
    assert len(findings) == 7
    assert all(f.passed for f in findings), [f for f in findings if not f.passed]


@pytest.mark.parametrize('name', STAGED)
def test_a_staged_host_is_fused(name):
    check(STAGED[name], type='ReferringBackbone')


@pytest.mark.parametrize('name', FLAT)
def test_a_flat_host_is_fused(name):
    check(FLAT[name], type='ReferringViT', pyramid_channels=16)


def test_two_processes_train_hosts_of_each_layout(repo_root, tiny_config, tmp_path):
    """And resume; without a search for parameters that got no gradient."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    script = repo_root / 'tests' / 'ddp_backbones.py'
    result = subprocess.run(
        [*command, '--nproc-per-node=2', script, tiny_config, tmp_path],
        env={**os.environ, 'PYTHONPATH': str(repo_root), 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    for layout in ('sequence', 'maps', 'flat'):
        assert f'{layout}: ' in result.stdout
