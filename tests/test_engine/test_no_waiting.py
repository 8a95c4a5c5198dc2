# SPDX-License-Identifier: Apache-2.0
"""A training step reads no value from the device.

Under ``FakeTensorMode`` tensors have shapes but no values, so whatever needs one is an
error.
"""

import pickle
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from mmcadformer.engine.device_history import DeviceHistory, log_scalar

METHODS = sorted(
    path.stem
    for path in (Path(__file__).parents[2] / 'configs').glob('*_tiny_synthrs.py')
    if 'minilm' not in path.stem  # its tokenizer comes with its weights
)
SENTENCES = ['the red pool at the top', 'a court left of the large field']


def read(repo_root, name):
    cfg = Config.fromfile(repo_root / 'configs' / f'{name}.py')
    encoder = cfg.model.text_encoder
    encoder.config.hidden_dropout_prob = 0.1
    encoder.config.attention_probs_dropout_prob = 0.1
    if 'drop_path_rate' in cfg.model.backbone:
        cfg.model.backbone.drop_path_rate = 0.1
    losses = cfg.model.decode_head.loss_decode
    for loss in [losses] if isinstance(losses, dict) else losses:
        if loss.type == 'CrossEntropyLoss':
            loss.class_weight = [0.9, 1.1]
    return cfg


def without_values(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """The model with fake parameters and buffers."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                fake = mode.from_tensor(parameter.detach())
                module._parameters[name] = nn.Parameter(fake, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = mode.from_tensor(buffer)
    return model


def prepare(repo_root, name, mode):
    """A model, tokenised sentences and a batch as its loader gives it."""
    init_default_scope('mmseg')
    cfg = read(repo_root, name)
    model = MODELS.build(cfg.model)
    tokens = model.text_encoder.tokenize(SENTENCES)
    tokens = {key: mode.from_tensor(value) for key, value in tokens.items()}
    model.text_encoder.tokenize = lambda sentences: tokens
    samples = [
        SegDataSample(
            gt_sem_seg=PixelData(data=mode.from_tensor(torch.zeros(1, 64, 64).long())),
            metainfo=dict(expression=text, img_shape=(64, 64), ori_shape=(96, 96)),
        )
        for text in SENTENCES
    ]
    images = [mode.from_tensor(torch.zeros(3, 64, 64).byte()) for _ in SENTENCES]
    return cfg, without_values(model, mode), dict(inputs=images, data_samples=samples)


class Run:
    """What hooks read of a runner."""

    def __init__(self, name):
        self.message_hub = MessageHub.get_instance(name)


@pytest.mark.parametrize('amp', [False, True])
@pytest.mark.parametrize('name', METHODS)
def test_a_step_waits_for_nothing(repo_root, name, amp):
    mode = FakeTensorMode()
    cfg, model, batch = prepare(repo_root, name, mode)
    cfg.optim_wrapper.type = 'BFloat16OptimWrapper' if amp else 'OptimWrapper'
    cfg.optim_wrapper.clip_grad = dict(max_norm=1.0)
    run = Run(f'{name}_{amp}')
    hook = HOOKS.build(dict(type='RuntimeInfoHook'))
    with mode:
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        wrapper.message_hub = run.message_hub
        wrapper.initialize_count_status(model, 0, 4)
        model.train()
        for _ in range(2):
            hook.after_train_iter(run, 0, batch, model.train_step(batch, wrapper))
        assert wrapper.skipped_steps().shape == (2,)
        logged = run.message_hub.log_scalars
        assert {'train/loss', 'train/decode.acc_seg', 'train/grad_norm'} <= set(logged)
        with pytest.raises(DataDependentOutputException):
            logged['train/loss'].current()


@pytest.mark.parametrize('name', METHODS)
def test_inference_waits_for_nothing(repo_root, name):
    mode = FakeTensorMode()
    _, model, batch = prepare(repo_root, name, mode)
    with mode, torch.no_grad():
        found = model.eval().test_step(batch)
    assert found[0].pred_sem_seg.data.shape == (1, 96, 96)


def test_history_reads_when_it_is_asked():
    plain, lazy = HistoryBuffer(max_length=5), DeviceHistory(max_length=5)
    for value in (1.5, 2.0, 4.0, 8.0, 0.1, 7.0, 3.0):
        plain.update(value, 2)
        lazy.update(torch.tensor([value], dtype=torch.double), 2)
    assert lazy.current() == plain.current() == 3.0
    lazy.update(torch.tensor(1.0))
    lazy.update(6.0)  # a plain number in between keeps its place
    lazy.update(torch.tensor(2.0))
    for value in (1.0, 6.0, 2.0):
        plain.update(value)
    for ask in ('mean', 'max', 'min'):
        assert getattr(lazy, ask)(3) == getattr(plain, ask)(3)
        assert lazy.statistics(ask) == plain.statistics(ask)
    assert [list(part) for part in lazy.data] == [list(part) for part in plain.data]


def test_copies_of_a_history_are_mmengines():
    history = DeviceHistory()
    history.update(torch.tensor(2.5))
    copied = pickle.loads(pickle.dumps(history))
    assert type(copied) is HistoryBuffer
    assert copied.current() == 2.5


def test_a_resumed_history_goes_on():
    hub = MessageHub.get_instance('resumed_history')
    hub.update_scalar('train/loss', 1.0)
    log_scalar(hub, 'train/loss', torch.tensor(3.0))
    assert hub.get_scalar('train/loss').mean() == 2.0
    other = MessageHub.get_instance('resumed_history_again')
    other.load_state_dict(hub.state_dict())
    log_scalar(other, 'train/loss', torch.tensor(5.0))
    assert other.get_scalar('train/loss').mean() == 3.0
