# SPDX-License-Identifier: Apache-2.0
"""Networks on hosts of each layout as ONNX files; see tools/run_backbone_tests.sh."""

import copy
import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcadformer.apis import init_model
from mmcadformer.export import export_model

sys.path.insert(0, str(Path(__file__).parents[1]))
import hosts  # noqa: E402

needs_onnx = pytest.mark.skipif(
    not os.environ.get('MMCADFORMER_NEED_HOSTS')
    or importlib.util.find_spec('onnxruntime') is None,
    reason='takes a minute; tools/run_backbone_tests.sh runs it',
)
STAGED, FLAT = 'ReferringBackbone', 'ReferringViT'
CASES = {
    'maps': (STAGED, hosts.TRANSFORMERS['transformers.convnextv2'], True),
    'sequence': (STAGED, hosts.MMSEG['mmseg.SwinTransformer'], True),
    # Its masks of shifted windows are of the size that it was traced with.
    'sequence of transformers': (
        STAGED,
        hosts.TRANSFORMERS['transformers.swin'],
        False,
    ),
    'flat': (FLAT, hosts.FLAT_TRANSFORMERS['transformers.dinov2'], True),
}


def build(repo_root, kind, host):
    """A tiny CADFormer on a host, with weights of which none is zero or one."""
    cfg = Config.fromfile(repo_root / 'tests/data/tiny.py', format_python_code=False)
    backbone = dict(type=kind, host=host, fusion=dict(type='SMGAM'), text_channels=32)
    if kind == FLAT:
        backbone['pyramid_channels'] = 16
    init_default_scope('mmseg')
    cfg.model.decode_head.in_channels = MODELS.build(copy.deepcopy(backbone)).channels
    cfg.model.backbone, cfg.model.neck = backbone, None
    torch.manual_seed(2)
    model = init_model(cfg, device='cpu')
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@needs_onnx
@pytest.mark.parametrize('name', CASES)
def test_onnx_gives_the_networks_probabilities(name, repo_root, tmp_path):
    kind, host, dynamic = CASES[name]
    model = build(repo_root, kind, host)
    results = export_model(
        model,
        tmp_path / 'network.onnx',
        (64, 64),
        dynamic_size=dynamic,
        check_sizes=[(96, 80)],
    )
    # Of one, two and three expressions; of another size where it is open.
    assert len(results) == 3 + dynamic
    assert max(result.difference for result in results) <= 1e-5


@needs_onnx
def test_a_host_that_is_bound_to_a_size_is_refused_an_open_one(repo_root, tmp_path):
    model = build(repo_root, *CASES['sequence of transformers'][:2])
    with pytest.raises(ValueError, match=r'cannot be exported to \.onnx'):
        export_model(
            model,
            tmp_path / 'network.onnx',
            (64, 64),
            dynamic_size=True,
            check_sizes=[(96, 80)],
        )
    assert not (tmp_path / 'network.onnx').exists()
