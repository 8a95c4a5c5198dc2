# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint a run goes on from, and with which learning rate."""

import copy
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmcadformer.engine import TrainingError, find_resume_checkpoint


def write(folder, *names, last=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        torch.save(dict(state_dict=dict(a=torch.ones(1000))), folder / name)
    if last is not None:
        (folder / 'last_checkpoint').write_text(str(last))


def damage(path):
    """One bit within the numbers: the archive's directory says nothing of it."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_newest_that_is_whole_is_found(tmp_path):
    assert find_resume_checkpoint(tmp_path / 'none') is None
    write(tmp_path, *(f'epoch_{n}.pth' for n in (1, 2, 9, 10)), 'best_oIoU_epoch_2.pth')
    assert find_resume_checkpoint(tmp_path) == tmp_path / 'epoch_10.pth'
    damage(tmp_path / 'epoch_10.pth')
    assert find_resume_checkpoint(tmp_path) == tmp_path / 'epoch_9.pth'
    data = (tmp_path / 'epoch_9.pth').read_bytes()
    (tmp_path / 'epoch_9.pth').write_bytes(data[: len(data) // 2])
    assert find_resume_checkpoint(tmp_path) == tmp_path / 'epoch_2.pth'


def test_the_run_says_which_one_is_its_last(tmp_path):
    write(tmp_path, 'epoch_40.pth', 'epoch_3.pth', 'epoch_2.pth', last='epoch_3.pth')
    assert find_resume_checkpoint(tmp_path) == tmp_path / 'epoch_3.pth'
    damage(tmp_path / 'epoch_3.pth')
    assert find_resume_checkpoint(tmp_path) == tmp_path / 'epoch_2.pth'
    # Stopped in between: no number says that it is the newest.
    write(tmp_path, 'interrupted.pth', last=tmp_path / 'interrupted.pth')
    assert find_resume_checkpoint(tmp_path) == tmp_path / 'interrupted.pth'


def test_a_copy_of_the_folder_is_resumed_from_itself(tmp_path):
    write(tmp_path / 'a', 'epoch_1.pth', last=tmp_path / 'a/epoch_1.pth')
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    assert find_resume_checkpoint(tmp_path / 'b') == tmp_path / 'b/epoch_1.pth'


def test_other_places_and_names_are_known(tmp_path):
    write(tmp_path / 'far/run', 'epoch_9.pth', 'model-7-a.pth', 'model-12-a.pth')
    options = (tmp_path / 'far', 'model-{}-a.pth')
    found = find_resume_checkpoint(tmp_path / 'run', *options)
    assert found == tmp_path / 'far/run/model-12-a.pth'
    place = f'file://{tmp_path}/far'
    assert find_resume_checkpoint(tmp_path / 'run', place, options[1]) == found
    write(tmp_path / 'run', 'e007.pth', 'e012.pth')
    found = find_resume_checkpoint(tmp_path / 'run', None, 'e{:03d}.pth')
    assert found == tmp_path / 'run/e012.pth'


@HOOKS.register_module(force=True)
class Rates(Hook):
    """Notes learning rates, and ends the run after a step."""

    def __init__(self, stop_after=None):
        self.seen = []
        self.stop_after = stop_after

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(runner.optim_wrapper.get_lr()['lr'][0])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.stop_after:
            raise KeyboardInterrupt


def train(config, work_dir, stop_after=None, resume=None, loop=None, **options):
    """Runs without validation; returns the weights and the rates of its steps."""
    cfg = Config.fromfile(config, format_python_code=False)
    cfg.merge_from_dict({name.replace('__', '.'): v for name, v in options.items()})
    cfg.train_cfg = loop or cfg.train_cfg
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'{work_dir}{stop_after}{resume}'.replace('/', '_')
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    cfg.custom_hooks.append(dict(type='Rates', stop_after=stop_after))
    if resume:
        cfg.load_from, cfg.resume = str(work_dir / resume), True
    runner = Runner.from_cfg(cfg)
    try:
        runner.train()
    except KeyboardInterrupt:
        assert stop_after is not None
    rates = next(hook.seen for hook in runner.hooks if isinstance(hook, Rates))
    return copy.deepcopy(runner.model.state_dict()), rates


def equal(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope='module')
def stopped(tiny_config, tmp_path_factory):
    """Folder of a run that ended in its second epoch."""
    folder = tmp_path_factory.mktemp('stopped') / 'a'
    train(tiny_config, folder, stop_after=5)
    return folder


@pytest.mark.parametrize(
    'changes',
    [
        dict(train_cfg__max_epochs=3),
        dict(train_dataloader__batch_size=4),
        dict(optim_wrapper__optimizer__lr=3e-5, optim_wrapper__optimizer__eps=1e-7),
    ],
)
def test_the_schedule_follows_the_config(tiny_config, stopped, tmp_path, changes):
    """As that of a run with the new config from its beginning."""
    shutil.copytree(stopped, tmp_path / 'a')
    _, rates = train(tiny_config, tmp_path / 'a', resume='epoch_1.pth', **changes)
    _, fresh = train(tiny_config, tmp_path / 'b', **changes)
    assert len(rates) < len(fresh)
    assert rates == pytest.approx(fresh[-len(rates) :])
    text = ''.join(path.read_text() for path in (tmp_path / 'a').glob('*/*.log'))
    assert 'resumed with other settings' in text


def test_a_run_goes_on_in_the_middle_of_an_epoch(tiny_config, tmp_path):
    options = dict(
        default_hooks__checkpoint__by_epoch=False,
        default_hooks__checkpoint__interval=3,
        train_dataloader__num_workers=1,
        train_dataloader__persistent_workers=True,
    )
    train(tiny_config, tmp_path / 'a', stop_after=7, **options)
    assert not (tmp_path / 'a/iter_7.pth').exists()
    rest, rates = train(tiny_config, tmp_path / 'a', resume='iter_6.pth', **options)
    whole, all_rates = train(tiny_config, tmp_path / 'b', **options)
    assert rates == all_rates[6:] and len(rates) == 2
    assert equal(whole, rest)


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'DefaultSampler'])
def test_a_run_that_counts_steps_repeats_itself(tiny_config, tmp_path, sampler):
    options = dict(
        loop=dict(type='IterBasedTrainLoop', max_iters=9),
        default_hooks__checkpoint__by_epoch=False,
        default_hooks__checkpoint__interval=3,
        train_dataloader__sampler__type=sampler,
        log_processor__by_epoch=False,
        default_hooks__logger__log_metric_by_epoch=False,
        param_scheduler=[dict(type='PolyLR', power=0.9, by_epoch=False, end=9)],
    )
    train(tiny_config, tmp_path / 'a', stop_after=7, **options)
    rest, rates = train(tiny_config, tmp_path / 'a', resume='iter_6.pth', **options)
    whole, all_rates = train(tiny_config, tmp_path / 'b', **options)
    assert rates == all_rates[6:] and len(rates) == 3
    assert equal(whole, rest)


def test_what_cannot_be_resumed_is_said(tiny_config, tiny_checkpoint, tmp_path):
    content = torch.load(tiny_checkpoint, weights_only=False)
    torch.save(dict(state_dict=content['state_dict'], meta={}), tmp_path / 'w.pth')
    with pytest.raises(TrainingError, match='give it as load_from, without --resume'):
        train(tiny_config, tmp_path, resume='w.pth')
    next(iter(content['state_dict'].values())).view(-1)[0] = float('nan')
    torch.save(content, tmp_path / 'n.pth')
    with pytest.raises(ValueError, match='not finite'):
        train(tiny_config, tmp_path, resume='n.pth')
