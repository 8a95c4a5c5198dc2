# SPDX-License-Identifier: Apache-2.0
"""Weight decay as in Sec. V-A, and bfloat16 training."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import nn

from mmcadformer.engine import BFloat16OptimWrapper, enable_amp

NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
)


@pytest.fixture(scope='module')
def grouped(tiny_config):
    """Model with a half frozen BERT, and its optimizer."""
    cfg = Config.fromfile(tiny_config)
    init_default_scope('mmseg')
    cfg.model.text_encoder.config.num_hidden_layers = 2
    cfg.model.text_encoder.trainable = 1
    model = MODELS.build(cfg.model)
    return model, build_optim_wrapper(model, cfg.optim_wrapper).optimizer


def owners(model):
    """Name -> (module that holds the parameter, parameter)."""
    return {
        f'{prefix}.{name}': (module, parameter)
        for prefix, module in model.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
    }


def test_norms_biases_and_position_tables_do_not_decay(grouped):
    model, optimizer = grouped
    decay = {
        id(parameter): group['weight_decay']
        for group in optimizer.param_groups
        for parameter in group['params']
    }
    kinds = set()
    for name, (module, parameter) in owners(model).items():
        if not parameter.requires_grad:
            continue
        kind = 'weight'
        if isinstance(module, NORMS) or 'norm' in type(module).__name__.lower():
            kind = 'norm'
        elif name.endswith('bias'):
            kind = 'bias'
        elif name.endswith('relative_position_bias_table'):
            kind = 'table'
        kinds.add(kind)
        expected = 0.01 if kind == 'weight' else 0.0
        assert decay[id(parameter)] == expected, f'{name} is a {kind}'
    assert kinds == {'weight', 'norm', 'bias', 'table'}


def test_each_trained_parameter_is_in_the_optimizer_once(grouped):
    model, optimizer = grouped
    inside = [id(p) for group in optimizer.param_groups for p in group['params']]
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert len(inside) == len(set(inside)) and set(inside) == trained
    assert len(trained) < len(list(model.parameters()))
    assert {group['lr'] for group in optimizer.param_groups} == {5e-5}


def test_the_schedule_ends_with_the_last_epoch(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.merge_from_dict({'train_cfg.max_epochs': 1})
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = 'schedule'
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    (scheduler,) = runner.param_schedulers
    assert scheduler.end == runner.iter == 4


def test_no_config_ends_its_schedule_elsewhere(repo_root):
    files = [
        *(repo_root / 'configs').glob('*.py'),
        *(repo_root / 'projects').rglob('configs/**/*.py'),
    ]
    for file in files:
        schedulers = Config.fromfile(file).param_scheduler
        assert any(scheduler.by_epoch for scheduler in schedulers), file
        for scheduler in schedulers:
            assert not scheduler.by_epoch or 'end' not in scheduler, file


def test_bfloat16_trains_float32_weights_on_a_cpu(tiny_config, tmp_path):
    if torch.cuda.is_available():
        pytest.skip('MMEngine trains on the GPU that is here')
    cfg = Config.fromfile(tiny_config)
    enable_amp(cfg)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = 'bfloat16'
    cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    seen = set()
    runner.model.decode_head.conv_seg.register_forward_hook(
        lambda module, inputs, output: seen.add((module.training, output.dtype))
    )
    before = runner.model.decode_head.conv_seg.weight.detach().clone()
    runner.train()
    assert isinstance(runner.optim_wrapper, BFloat16OptimWrapper)
    # Training alone is in bfloat16, validation stays exact.
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    after = runner.model.decode_head.conv_seg.weight
    assert after.dtype == torch.float32 and after.isfinite().all()
    assert not torch.equal(before, after)


@pytest.mark.parametrize(
    'capability, hip, expected',
    [
        ((7, 0), None, 'AmpOptimWrapper'),  # V100
        ((7, 5), None, 'AmpOptimWrapper'),  # T4
        ((8, 0), None, 'BFloat16OptimWrapper'),
        ((12, 0), None, 'BFloat16OptimWrapper'),
        ((9, 0), '6.2', 'BFloat16OptimWrapper'),  # AMD counts in its own way
    ],
)
def test_amp_is_float16_where_bfloat16_would_be_emulated(
    tiny_config, monkeypatch, capability, hip, expected
):
    major, minor = capability
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: 0)
    monkeypatch.setattr(
        torch.cuda,
        'get_device_properties',
        lambda device=None: SimpleNamespace(major=major, minor=minor),
    )
    # PyTorch makes a tensor to see whether it can at least emulate the type.
    monkeypatch.setattr(
        torch.cuda, '_check_bf16_tensor_supported', lambda _: True, raising=False
    )
    monkeypatch.setattr(torch.version, 'cuda', None if hip else '12.6')
    monkeypatch.setattr(torch.version, 'hip', hip)
    cfg = Config.fromfile(tiny_config)
    enable_amp(cfg)
    assert cfg.optim_wrapper.type == expected
    scaled = expected == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.get('loss_scale') == ('dynamic' if scaled else None)


def test_amp_keeps_what_the_config_chose(tiny_config):
    cfg = Config.fromfile(tiny_config)
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    enable_amp(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    cfg.optim_wrapper.type = 'MyOptimWrapper'
    with pytest.raises(ValueError, match="'MyOptimWrapper'"):
        enable_amp(cfg)
    assert issubclass(BFloat16OptimWrapper, OptimWrapper)
