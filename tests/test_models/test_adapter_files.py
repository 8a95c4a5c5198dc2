# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of adapters alone: trained, resumed, loaded beside their base, merged."""

import copy
import importlib.util
import os
from pathlib import Path

import pytest
import torch
import transformers
from mmengine.config import Config
from mmengine.runner import Runner

from mmcadformer.apis import init_model, load_checkpoint
from mmcadformer.engine import TrainingError
from mmcadformer.export.exportable import ExportableSegmentor
from mmcadformer.models.layers.adapters import base_weights
from mmcadformer.utils.checkpoint import read_content

MISSING = importlib.util.find_spec('peft') is None
pytestmark = pytest.mark.skipif(
    MISSING and not os.environ.get('MMCADFORMER_NEED_HOSTS'),
    reason='peft is not installed',
)
ALONE = {'default_hooks.checkpoint.adapters_only': True}
SENTENCES = ['the red court', 'a pool beside the road']


def save_base(folder, seed: int) -> None:
    """A text encoder and a ConvNeXt V2 with random weights, as they are published."""
    torch.manual_seed(seed)
    sizes = dict(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=400,
    )
    bert = transformers.BertModel(transformers.BertConfig(**sizes))
    bert.save_pretrained(folder / 'text')
    sizes = dict(depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 32, 64])
    host = transformers.ConvNextV2Backbone(transformers.ConvNextV2Config(**sizes))
    host.save_pretrained(folder / 'host')


@pytest.fixture(scope='module')
def bases(tmp_path_factory):
    """Two folders of weights of the same sizes."""
    folders = [tmp_path_factory.mktemp('base') for _ in range(2)]
    for seed, folder in enumerate(folders):
        save_base(folder, seed)
    return folders


@pytest.fixture(scope='module')
def config(tiny_config, bases):
    """Adapters in both parts, and the mean of the weights over steps."""
    cfg = Config.fromfile(tiny_config, format_python_code=False)
    cfg.model.text_encoder = dict(
        type='TransformersTextEncoder',
        pretrained=str(bases[0] / 'text'),
        vocab='remote_sensing',
        max_tokens=40,
        lora=dict(rank=2, target_modules=['query', 'value']),
    )
    cfg.model.backbone = dict(
        type='ReferringBackbone',
        host=dict(type='TransformersBackbone', pretrained=str(bases[0] / 'host')),
        fusion=dict(type='SMGAM'),
        text_channels=32,
        lora=dict(rank=2, target_modules=['pwconv1']),
    )
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    # Fast enough that B of the adapters leaves zero.
    cfg.optim_wrapper.optimizer.lr = 1e-2
    return cfg


def run(config, folder, **changes) -> Runner:
    cfg = copy.deepcopy(config)
    cfg.merge_from_dict(dict(work_dir=str(folder), **changes))
    cfg.experiment_name = f'{folder.name}_{len(changes)}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
    """After two epochs: whole, of a run that resumed from adapters; adapters alone."""
    alone, whole = (tmp_path_factory.mktemp(name) for name in ('alone', 'whole'))
    cfg = copy.deepcopy(config)
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.default_hooks.checkpoint.save_best = None
    run(cfg, alone, **ALONE)
    run(cfg, whole, load_from=str(alone / 'epoch_1.pth'), resume=True)
    return whole / 'epoch_2.pth', alone / 'epoch_2.pth'


@torch.no_grad()
def logits(model):
    model.eval()
    torch.manual_seed(0)
    tokens = model.text_encoder.tokenize(SENTENCES)
    return model.decode(torch.randn(2, 3, 64, 64), **tokens)


def test_a_resumed_run_ends_with_the_same_weights_without_its_base(config, trained):
    whole, alone = (read_content(path) for path in trained)
    model = init_model(config, trained[0], 'cpu')
    base = base_weights(model)
    assert len(base) > 40
    for key, prefix in (('state_dict', ''), ('ema_state_dict', 'module.')):
        left_out = {prefix + name for name in base}
        assert whole[key].keys() - alone[key].keys() == left_out
        for name, value in alone[key].items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, whole[key][name]), name
    assert any('lora_B' in n and v.any() for n, v in alone['state_dict'].items())
    assert trained[1].stat().st_size < trained[0].stat().st_size


def test_adapters_find_their_base(config, trained):
    whole = init_model(config, trained[0], 'cpu')
    alone = init_model(config, trained[1], 'cpu')
    assert torch.equal(logits(whole), logits(alone))
    # A model that has its base already is loaded into as it is.
    load_checkpoint(alone, trained[1])


@pytest.mark.parametrize(
    ('key', 'part'),
    [
        ('model.text_encoder.pretrained', 'text'),
        ('model.backbone.host.pretrained', 'host'),
    ],
)
def test_another_base_is_refused_by_name(config, trained, bases, key, part):
    other = str(bases[1] / part)
    with pytest.raises(ValueError, match='adapters alone') as error:
        init_model(config, trained[1], 'cpu', {key: other})
    for word in (str(bases[0] / part), other, f'{key}=PATH', 'SHA-256'):
        assert word in str(error.value)


def test_resuming_beside_another_base_is_refused(config, trained, bases, tmp_path):
    changes = {'model.text_encoder.pretrained': str(bases[1] / 'text')}
    with pytest.raises(TrainingError, match='adapters alone'):
        run(config, tmp_path, **changes, load_from=str(trained[1]), resume=True)


def test_a_config_without_lora_is_refused(config, trained):
    with pytest.raises(ValueError, match='in no part'):
        none = {'model.text_encoder.lora': None, 'model.backbone.lora': None}
        init_model(config, trained[1], 'cpu', none)


def test_a_base_that_no_file_has_is_refused_at_the_start(config, bases, tmp_path):
    scratch = {
        'model.text_encoder.pretrained': None,
        'model.text_encoder.config': transformers.BertConfig.from_pretrained(
            bases[0] / 'text'
        ).to_diff_dict(),
    }
    with pytest.raises(TrainingError, match=r'model\.text_encoder\.pretrained'):
        run(config, tmp_path, **ALONE, **scratch)


def test_a_base_from_load_from_is_refused_and_from_init_cfg_found(
    config, trained, bases, tmp_path
):
    """A whole checkpoint as the base: of other weights than the pretrained ones."""
    model = init_model(config, trained[0], 'cpu')
    with torch.no_grad():
        for value in base_weights(model).values():
            value.add_(0.01)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'base.pth')
    alone = {**ALONE, 'train_cfg.max_epochs': 1}
    with pytest.raises(TrainingError, match=r"model.init_cfg=dict\(type='Pretrained'"):
        run(config, tmp_path / 'a', **alone, load_from=str(tmp_path / 'base.pth'))
    named = dict(type='Pretrained', checkpoint=str(tmp_path / 'base.pth'))
    runner = run(config, tmp_path / 'b', **alone, **{'model.init_cfg': named})
    cfg = copy.deepcopy(config)
    cfg.model.init_cfg = named
    found = init_model(cfg, tmp_path / 'b' / 'epoch_1.pth', 'cpu')
    for name, value in base_weights(found).items():
        assert torch.equal(value, runner.model.get_parameter(name)), name


def test_commands_take_them_where_they_take_a_checkpoint(
    config, trained, fork_tool, tmp_path
):
    config.dump(tmp_path / 'config.py')
    image = next(Path(config.test_dataloader.dataset.data_root).rglob('*.jpg'))
    common = ('--config', 'config.py', '--device', 'cpu', '--out-dir')
    for name, checkpoint in zip(('whole', 'alone'), trained, strict=True):
        infer = (image, SENTENCES[0], *common, name, '--checkpoint', checkpoint)
        test = ('config.py', checkpoint, '--out', f'{name}.jsonl', '--save-masks')
        for tool, args in (('infer.py', infer), ('test.py', test)):
            result = fork_tool(tool, *args, cwd=tmp_path).wait()
            assert result.returncode == 0, result.stderr
    one, other = (
        sorted(p.read_bytes() for p in (tmp_path / name).rglob('*.png'))
        for name in ('whole', 'alone')
    )
    assert one and one == other
    assert (tmp_path / 'whole.jsonl').read_bytes() == (
        tmp_path / 'alone.jsonl'
    ).read_bytes()


def test_merged_they_are_a_plain_checkpoint(config, trained, fork_tool, tmp_path):
    config.dump(tmp_path / 'config.py')
    command = ('model_converters/merge_adapters.py', 'config.py', trained[1])
    result = fork_tool(*command, 'merged.pth', cwd=tmp_path).wait()
    assert 'text_encoder' in result.stdout and 'backbone.host' in result.stdout
    none = {'model.text_encoder.lora': None, 'model.backbone.lora': None}
    merged = init_model(config, tmp_path / 'merged.pth', 'cpu', none)
    assert not any('lora_' in name for name in merged.state_dict())
    expected = logits(init_model(config, trained[1], 'cpu'))
    torch.testing.assert_close(logits(merged), expected, rtol=0, atol=1e-5)


def test_an_exported_network_has_them_merged(config, trained):
    model = init_model(config, trained[1], 'cpu')
    exported = ExportableSegmentor(model)
    assert not any('lora_' in name for name in exported.state_dict())
    torch.testing.assert_close(logits(exported.model), logits(model), rtol=0, atol=1e-5)
