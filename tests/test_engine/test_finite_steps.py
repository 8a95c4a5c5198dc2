# SPDX-License-Identifier: Apache-2.0
"""Steps whose loss or gradients aren't finite."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, init_default_scope
from mmengine.runner import Runner
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn

import mmcadformer
from mmcadformer.engine import FiniteStepsHook, TrainingError


@HOOKS.register_module(force=True)
class Plant(Hook):
    """Makes the loss of some steps infinite, or NaN from one step on."""

    def __init__(self, infinite=(), nan_from=None, poison=None):
        self.infinite = infinite
        self.nan_from = nan_from
        self.poison = poison
        self.reached = 0

    def before_train(self, runner):
        loss = runner.model.decode_head.loss_by_feat

        def planted(*args, **kwargs):
            losses = loss(*args, **kwargs)
            if runner.iter in self.infinite:
                losses['loss_ce'] = losses['loss_ce'] + float('inf')
            if self.nan_from is not None and runner.iter >= self.nan_from:
                losses['loss_ce'] = losses['loss_ce'] * float('nan')
            return losses

        runner.model.decode_head.loss_by_feat = planted

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.reached = runner.iter + 1
        if self.reached == self.poison:
            next(runner.model.parameters()).data.fill_(float('nan'))


def prepare(tiny_config, work_dir, epochs=3, **plant):
    cfg = Config.fromfile(tiny_config, format_python_code=False)
    cfg.train_cfg.max_epochs = epochs
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = str(work_dir).replace('/', '_')
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    cfg.custom_hooks.append(dict(type='Plant', **plant))
    return Runner.from_cfg(cfg)


def hook_of(runner, kind):
    return next(hook for hook in runner.hooks if isinstance(hook, kind))


def log_of(work_dir):
    return ''.join(path.read_text() for path in work_dir.glob('*/*.log'))


def test_one_spike_is_left_out(tiny_config, tmp_path):
    runner = prepare(tiny_config, tmp_path, infinite=(5,))
    runner.train()
    assert all(torch.isfinite(p).all() for p in runner.model.state_dict().values())
    assert hook_of(runner, FiniteStepsHook).skipped == 1
    assert 'WARNING - 1 of the last steps up to 10 skipped (1 in all)' in log_of(
        tmp_path
    )
    saved = torch.load(tmp_path / 'epoch_3.pth', weights_only=False)
    # It isn't among the steps of the optimizer.
    assert {int(s['step']) for s in saved['optimizer']['state'].values()} == {11}


def test_a_loss_that_stays_nan_ends_the_run(tiny_config, tmp_path):
    runner = prepare(tiny_config, tmp_path, epochs=9, nan_from=6)
    with pytest.raises(TrainingError) as error:
        runner.train()
    assert 'finite' in str(error.value)
    assert hook_of(runner, Plant).reached - 6 <= 20
    named = str(error.value).rpartition(' is ')[2]
    weights = torch.load(named, weights_only=False)['state_dict']
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_weights_that_are_not_finite_are_never_saved(tiny_config, tmp_path):
    runner = prepare(tiny_config, tmp_path, poison=7)
    with pytest.raises(TrainingError, match='not saved.*last good .*epoch_1.pth'):
        runner.train()
    assert not (tmp_path / 'epoch_2.pth').exists()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def build(kind='OptimWrapper', optimizer='AdamW', **options):
    init_default_scope('mmseg')
    net = Net()
    kinds = dict(AdamW=torch.optim.AdamW, SGD=torch.optim.SGD, RMS=torch.optim.RMSprop)
    optimizer = kinds[optimizer](net.parameters(), lr=0.1)
    wrapper = OPTIM_WRAPPERS.build(dict(type=kind, optimizer=optimizer, **options))
    return net, wrapper


def step(net, wrapper, images, factor=1.0):
    with wrapper.optim_context(net):
        loss = net.body(images).square().mean() * factor
    wrapper.update_params(loss)


@pytest.mark.parametrize('kind', ['OptimWrapper', 'BFloat16OptimWrapper'])
@pytest.mark.parametrize('optimizer', ['AdamW', 'SGD', 'RMS'])
@pytest.mark.parametrize('parts', [1, 2])
def test_a_skipped_step_changes_nothing(kind, optimizer, parts):
    assert mmcadformer.__name__  # which registers the wrappers
    net, wrapper = build(kind, optimizer, accumulative_counts=parts)
    images = torch.randn(5, 3)
    for _ in range(2 * parts):
        step(net, wrapper, images)
    before = copy.deepcopy((net.state_dict(), wrapper.optimizer.state_dict()))
    for factors in ([float('inf')], [float('nan')]):
        for factor in (factors + [1.0] * (parts - 1))[::-1]:
            step(net, wrapper, images, factor)
    # A loss that is fine with gradients that aren't.
    for _ in range(parts):
        step(net, wrapper, torch.full((5, 3), 3e38))
    after = (net.state_dict(), wrapper.optimizer.state_dict())
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert wrapper.skipped_steps().tolist() == [3, 3]
    for _ in range(parts):
        step(net, wrapper, images)
    assert wrapper.skipped_steps().tolist() == [0, 3]
    assert wrapper.skipped_steps().tolist() == [0, 0]
    assert not torch.equal(net.body[0].weight, before[0]['body.0.weight'])


def test_steps_that_are_fine_are_those_of_the_optimizer():
    torch.manual_seed(0)
    net, wrapper = build()
    other = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(other.parameters(), lr=0.1, fused=True)
    for _ in range(4):
        images = torch.randn(5, 3)
        step(net, wrapper, images)
        optimizer.zero_grad()
        other.body(images).square().mean().backward()
        optimizer.step()
    assert all(
        torch.equal(a, b)
        for a, b in zip(net.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.gpu
@pytest.mark.parametrize('kind', ['OptimWrapper', 'BFloat16OptimWrapper'])
@pytest.mark.parametrize('optimizer', ['AdamW', 'SGD'])
def test_a_gpu_decides_by_itself(kind, optimizer):
    init_default_scope('mmseg')
    net = Net().cuda()
    kinds = dict(AdamW=torch.optim.AdamW, SGD=torch.optim.SGD)
    wrapper = OPTIM_WRAPPERS.build(
        dict(type=kind, optimizer=kinds[optimizer](net.parameters(), lr=0.1))
    )
    images = torch.randn(5, 3, device='cuda')
    factors = torch.tensor([1.0, 1.0, float('inf'), float('nan'), 1.0], device='cuda')
    step(net, wrapper, images)
    torch.cuda.set_sync_debug_mode('error')
    try:
        for factor in factors[:2]:
            step(net, wrapper, images, factor)
        before = [p.clone() for p in net.state_dict().values()]
        for factor in factors[2:4]:
            step(net, wrapper, images, factor)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    after = net.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert wrapper.skipped_steps().tolist() == [2, 2]
