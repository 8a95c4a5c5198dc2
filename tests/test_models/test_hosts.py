# SPDX-License-Identifier: Apache-2.0
"""Every host of the tables under a fusion: MMSegmentation's and Transformers'."""

import copy
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


WITH_BLOCKS = {**hosts.TRANSFORMERS, **hosts.FLAT_TRANSFORMERS}
WITH_BLOCKS.pop('transformers.resnet')
# The rest of them in tools/run_backbone_tests.sh.
SOME = ['transformers.swin', 'transformers.pvt_v2', 'transformers.dinov2']
if os.environ.get('MMCADFORMER_NEED_HOSTS'):
    SOME = list(WITH_BLOCKS)


@pytest.mark.parametrize('name', SOME)
def test_checkpoints_change_no_gradient(name):
    """Of any block; copies have checkpoints, too."""
    init_default_scope('mmseg')
    flat = name in hosts.FLAT_TRANSFORMERS
    kind = 'ReferringViT' if flat else 'ReferringBackbone'
    gradients, runs = [], []
    for with_cp in (False, True):
        torch.manual_seed(0)
        cfg = dict(type=kind, fusion=dict(type='SMGAM'), text_channels=16)
        backbone = MODELS.build(
            dict(cfg, host=dict(WITH_BLOCKS[name], with_cp=with_cp))
        )
        backbone = copy.deepcopy(backbone).train()
        counted = []
        linear = torch.nn.Linear  # the first is in the first block
        leaf = next(m for m in backbone.host.modules() if isinstance(m, linear))
        leaf.register_forward_pre_hook(lambda *_, c=counted: c.append(1))
        torch.manual_seed(1)
        inputs = torch.randn(2, 3, 64, 64), torch.randn(2, 5, 16), torch.ones(2, 5) > 0
        maps, text = backbone(*inputs)
        sum(m.square().mean() for m in (*maps, text)).backward()
        runs.append(len(counted))
        gradients.append({n: p.grad for n, p in backbone.named_parameters()})
    assert runs == [1, 2]
    for key, expected in gradients[0].items():
        torch.testing.assert_close(
            gradients[1][key], expected, rtol=1e-3, atol=1e-6, msg=key
        )


def test_a_host_with_batch_norms_keeps_its_features():
    init_default_scope('mmseg')
    host = dict(hosts.TRANSFORMERS['transformers.resnet'], with_cp=True)
    with pytest.raises(ValueError, match=r'with_cp: not for transformers\.resnet'):
        MODELS.build(host)


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
