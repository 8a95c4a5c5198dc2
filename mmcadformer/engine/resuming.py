# SPDX-License-Identifier: Apache-2.0
"""Where a run goes on, and what of its checkpoint holds under a changed config."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from os.path import basename
from pathlib import Path
from typing import Any

from mmengine.optim import _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..utils.checkpoint import check_finite, find_weights, is_whole
from ..utils.log import warn
from .errors import TrainingError

# A run that was stopped between two checkpoints leaves its state under this name.
INTERRUPTED = 'interrupted.pth'

# Of a scheduler's state: its progress, and what follows from the rest.
_PROGRESS = {'last_step', '_global_step', '_last_value', 'verbose', 'total_iters'}
# How an optimizer computes, not what.
_WAYS = {'params', 'fused', 'foreach', 'capturable', 'differentiable'}


def find_resume_checkpoint(
    work_dir: str | Path, out_dir: str | Path | None = None, filename_tmpl: str = ''
) -> Path | None:
    """Finds the newest checkpoint that is whole.

    That is what ``last_checkpoint`` names, else the one with the highest number below
    it, else the highest one. Times of files don't matter: copies lose them.

    Args:
        work_dir: Folder of the run.
        out_dir: As of the checkpoint hook: the run's checkpoints are below it, in a
            folder with the name of ``work_dir``.
        filename_tmpl: As of the checkpoint hook; empty stands for both defaults.

    Returns:
        The file, or None if there is none to resume from.
    """
    work_dir = Path(work_dir)
    folder = work_dir
    if out_dir is not None:
        folder = Path(local_path(out_dir), work_dir.name)
    for path in _candidates(work_dir, folder, filename_tmpl):
        if is_whole(path):
            return path
        if path.is_file():
            warn(f'{path} is incomplete or damaged, an older checkpoint is tried')
    return None


def local_path(folder: str | Path) -> str:
    """A folder without ``file://``, which MMEngine's file backends don't know."""
    return str(folder).removeprefix('file://')


def _candidates(work_dir: Path, folder: Path, template: str) -> Iterator[Path]:
    """Files that may be resumed from, the best choice first."""
    templates = [template] if template else ['epoch_{}.pth', 'iter_{}.pth']
    # '{}', or with a form such as '{:03d}'
    parts = (re.split(r'\{[^}]*\}', template) for template in templates)
    pattern = '|'.join(r'(\d+)'.join(map(re.escape, part)) for part in parts)

    def number(name: str) -> int | None:
        match = re.fullmatch(pattern, name)
        return int(next(filter(None, match.groups()))) if match else None

    pointer = work_dir / 'last_checkpoint'
    last = pointer.read_text(encoding='utf-8').strip() if pointer.is_file() else ''
    if last:
        # Where it is now comes before where it was: the folder may be a copy.
        yield folder / basename(last)
        yield Path(last)
    else:
        yield folder / INTERRUPTED
    limit = number(basename(last)) or sys.maxsize
    found = {path: number(path.name) for path in folder.glob('*')}
    numbered = [(n <= limit, n, path) for path, n in found.items() if n is not None]
    yield from (path for *_, path in sorted(numbered, reverse=True))


def adapt_checkpoint(runner: Runner, checkpoint: dict) -> None:
    """Lets the config decide what follows, and the checkpoint what was.

    Weights, optimizer state and progress are the checkpoint's. Learning rate, its
    schedule and the optimizer's other settings are the config's from the resumed step
    on: MMEngine would take them from the checkpoint, in silence, and a run that is
    made longer would go on with a learning rate of 0.

    Args:
        runner: The run, built and about to resume.
        checkpoint: What was read from the file; changed in place.

    Raises:
        TrainingError: It can't be resumed from.
    """
    meta = checkpoint.get('meta') or {}
    if not {'epoch', 'iter'} <= meta.keys() or 'optimizer' not in checkpoint:
        raise TrainingError(
            'the checkpoint to resume from holds weights but no state of a training: '
            'give it as load_from, without --resume'
        )
    try:
        check_finite(find_weights(checkpoint), 'the checkpoint to resume from')
    except ValueError as error:
        raise TrainingError(str(error)) from None
    steps = meta['iter']
    changes = _place_in_epoch(runner, meta)
    if isinstance(runner.param_schedulers, list):
        changes += _follow_schedule(runner, checkpoint, steps)
    changes += _follow_optimizer(runner, checkpoint['optimizer'])
    runner.logger.info(
        'Taken over from the checkpoint: weights, state of the optimizer, '
        f'{meta["epoch"]} epochs, {steps} steps. Learning rate and all other settings '
        'are those of the config from here on, '
        + ('which are the same.' if not changes else 'changed are:')
    )
    for change in changes:
        runner.logger.warning(f'resumed with other settings: {change}')


def _place_in_epoch(runner: Runner, meta: dict) -> list[str]:
    """Finds the step within its epoch, which may have other batches now."""
    loop, epoch, step = runner.train_loop, meta['epoch'], meta['iter']
    if not isinstance(loop, EpochBasedTrainLoop):
        return []
    now = len(loop.dataloader)
    # Checkpoints of MMEngine's own hook don't say it, but are of whole epochs.
    then = meta.get('steps_per_epoch') or (step // epoch if epoch else now)
    first = step - epoch * then
    changes = []
    if then != now:
        changes.append(f'{now} steps an epoch in place of {then}')
        first = round(first * now / then)
        meta['iter'] = epoch * now + first
    loop.first_batch = first
    return changes


def _follow_schedule(runner: Runner, checkpoint: dict, steps: int) -> list[str]:
    """Brings schedulers to the resumed step, unless they are the checkpoint's."""
    schedulers = runner.param_schedulers
    saved = checkpoint.get('param_schedulers') or []
    done = _steps_done(runner, checkpoint['meta'], steps)
    if len(saved) == len(schedulers):
        changes = [
            f'param_scheduler.{index}.{change}'
            for index, state in enumerate(saved)
            for change in _differences(schedulers[index], state, done[index])
        ]
    else:
        changes = [f'{len(schedulers)} param_scheduler in place of {len(saved)}']
    if not changes:
        return []
    _replay(runner, schedulers, done)
    checkpoint['param_schedulers'] = [dict(s.state_dict()) for s in schedulers]
    names = {key for s in schedulers for key in _scheduled(s)}
    for group, other in _groups(runner, checkpoint['optimizer']):
        other.update({name: group[name] for name in names & group.keys()})
    return changes


def _steps_done(runner: Runner, meta: dict, steps: int) -> list[int]:
    """How often each scheduler would have been called with this config."""
    configs = runner.cfg.get('param_scheduler') or []
    configs = configs if isinstance(configs, list) else [configs]
    done = []
    for index, scheduler in enumerate(runner.param_schedulers):
        config = configs[index] if index < len(configs) else {}
        if scheduler.by_epoch:
            done.append(meta['epoch'])
        elif config.get('convert_to_iter_based'):
            done.append(meta['iter'])  # by epochs, in the steps of today's epochs
        else:
            done.append(steps)
    return done


def _differences(scheduler: _ParamScheduler, state: dict, done: int) -> list[str]:
    """In what a scheduler differs from the one that left the state."""
    if hasattr(scheduler, 'need_val_args'):  # it knows no more than what it has seen
        return []
    now = {k: v for k, v in scheduler.state_dict().items() if k not in _PROGRESS}
    changes = [
        f'{key}: {_short(state.get(key))} -> {_short(value)}'
        for key, value in now.items()
        if state.get(key) != value
    ]
    if not changes and state.get('_global_step') != done:
        changes.append(f'step: {state.get("_global_step")} -> {done}')
    return changes


def _replay(runner: Runner, schedulers: list[_ParamScheduler], done: list[int]) -> None:
    """Calls new schedulers as often, and in the order, as the training would have."""
    steps = max(1, len(runner.train_dataloader))
    # An epoch's step comes after those of its batches.
    calls = sorted(
        (step * (steps if scheduler.by_epoch else 1), scheduler.by_epoch, index)
        for index, scheduler in enumerate(schedulers)
        if not hasattr(scheduler, 'need_val_args')
        for step in range(1, done[index] + 1)
    )
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that no optimizer steps in between
        for *_, index in calls:
            schedulers[index].step()


def _follow_optimizer(runner: Runner, saved: dict) -> list[str]:
    """Settings of the optimizer other than what schedulers set."""
    groups = runner.optim_wrapper.optimizer.param_groups
    if len(groups) != len(saved['param_groups']):
        raise TrainingError(
            f'the checkpoint to resume from has {len(saved["param_groups"])} groups of '
            f'parameters, the config makes {len(groups)}: it trains other parts, or '
            'has another paramwise_cfg. Give the checkpoint as load_from, without '
            '--resume, to begin anew from its weights'
        )
    schedulers = runner.param_schedulers
    listed = schedulers if isinstance(schedulers, list) else []
    scheduled = {'params', *(key for s in listed for key in _scheduled(s))}
    changes: dict[str, str] = {}
    for group, other in _groups(runner, saved):
        for key in group.keys() - scheduled:
            if key not in _WAYS and other.get(key) != group[key]:
                text = f'{_short(other.get(key))} -> {_short(group[key])}'
                changes.setdefault(key, f'optimizer.{key}: {text}')
            other[key] = group[key]
    return sorted(changes.values())


def _groups(runner: Runner, saved: dict) -> Iterator[tuple[dict, dict]]:
    """Parameter groups of the run beside those of the checkpoint."""
    wrapper = runner.optim_wrapper
    yield from zip(wrapper.optimizer.param_groups, saved['param_groups'], strict=True)
    if wrapper.base_param_settings and saved.get('base_param_settings'):
        yield wrapper.base_param_settings, saved['base_param_settings']


def _scheduled(scheduler: _ParamScheduler) -> tuple[str, str]:
    return scheduler.param_name, f'initial_{scheduler.param_name}'


def _short(value: Any) -> str:
    text = f'{value:g}' if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else text[:57] + '...'
