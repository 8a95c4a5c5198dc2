# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that a run can be killed at any moment of."""

from __future__ import annotations

import re
from os.path import basename
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook as HostCheckpointHook
from mmengine.hooks import EMAHook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmseg.registry import HOOKS
from torch import nn

from ...models.layers.adapters import add_base, base_weights, describe_base
from ...utils.checkpoint import check_finite, is_whole
from ...utils.files import remove_unfinished, whole_file
from ..errors import TrainingError
from ..resuming import INTERRUPTED, adapt_checkpoint, local_path
from ..wrapping import unwrapped

_VALIDATED = 'last_validated_iter'


class WholeFileBackend(LocalBackend):
    """Files of the local disk that are either whole or not there."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file, and wait until the disk has it."""
        with whole_file(filepath, synced=True) as unfinished:
            unfinished.write_bytes(obj)


register_backend('whole', WholeFileBackend)


@HOOKS.register_module()
class CheckpointHook(HostCheckpointHook):
    """MMEngine's hook, for runs that may be killed at any moment.

    Takes the place of MMEngine's in every config of the scope ``mmseg``, with its
    keys. Unlike it:

    - A file is written under another name, synced and renamed. An older checkpoint,
      also the best one, is removed when the newer one is there.
    - A resumed run validates first where that is due: the checkpoint of an epoch is
      saved before its validation, so that a run killed in between would never do it.
    - A best checkpoint that was lost or damaged is replaced by the best of those
      that follow; what was left beside it is removed.
    - Weights that aren't finite are never saved.
    - Resumed, the schedule follows the config, see
      :func:`mmcadformer.engine.resuming.adapt_checkpoint`.

    Args:
        adapters_only: Leave the frozen weights of parts with ``lora`` out of the files,
            and note their SHA-256; they are taken from where the config has them.
        **kwargs: Keys of :class:`mmengine.hooks.CheckpointHook`.
    """

    file_backend: Any
    out_dir: str
    backend_args: dict | None

    def __init__(self, adapters_only: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.adapters_only = adapters_only
        self._base: dict[str, dict] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Make a checkpoint to resume from one of this run."""
        model = unwrapped(runner.model)
        if self.adapters_only:
            self._base = describe_base(model)
        try:
            completed = add_base(model, checkpoint, 'the checkpoint to begin from')
        except ValueError as error:
            raise TrainingError(str(error)) from None
        for hook in runner.hooks:
            if completed and isinstance(hook, EMAHook):  # which copied random weights
                hook.ema_model.module.load_state_dict(base_weights(model), strict=False)
        if runner._resume:
            adapt_checkpoint(runner, checkpoint)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Leave out what the config names."""
        if not self.adapters_only:
            return
        base = base_weights(unwrapped(runner.model))
        for key, prefix in (('state_dict', ''), ('ema_state_dict', 'module.')):
            if key in checkpoint:
                left_out = {prefix + name for name in base}
                checkpoint[key] = {
                    k: v for k, v in checkpoint[key].items() if k not in left_out
                }
        checkpoint['meta']['adapter_base'] = self._base

    def before_train(self, runner: Runner) -> None:
        """Find out what is there, and validate if a killed run didn't."""
        if self.adapters_only:
            self._base = _find_base(unwrapped(runner.model), self._base)
        if self.out_dir:
            self.out_dir = local_path(self.out_dir)
        super().before_train(runner)
        local = isinstance(self.file_backend, LocalBackend)
        if local and not self.file_client_args and not self.backend_args:
            self.backend_args = dict(backend='whole')
            self.file_backend = get_file_backend(backend_args=self.backend_args)
            if is_main_process() and Path(self.out_dir).is_dir():
                remove_unfinished(self.out_dir)
        if runner._resume and runner.iter and runner.val_loop is not None:
            self._complete_validation(runner)

    def _complete_validation(self, runner: Runner) -> None:
        info = runner.message_hub.runtime_info
        lost = False
        for key in self._keys():
            recorded = self._best(key)
            if recorded is None:
                continue
            # The run's folder may have been moved since.
            path = self.file_backend.join_path(self.out_dir, basename(recorded))
            whole = is_whole(path)
            barrier()  # before any process writes
            if whole:
                self._set_best(key, path)
                self._remove_other_best(key, path)
                continue
            lost = True
            runner.logger.warning(
                f'the best checkpoint {path} is missing or damaged: this epoch or one '
                'that follows takes its place'
            )
            self._set_best(key, None)
            info.pop(self._info('best_score', key), None)
            info.pop(self._info('best_ckpt', key), None)
        if _is_validation_due(runner) and (lost or info.get(_VALIDATED) != runner.iter):
            step = runner.epoch if self.by_epoch else runner.iter
            name = self.filename_tmpl.format(step)
            self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
            runner.logger.info('Validation that the interrupted run did not finish:')
            runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        """Save the best checkpoint, and note that this step was validated."""
        if not hasattr(self, 'file_backend'):
            return  # a validation by itself, which trains nothing
        runner.message_hub.update_info(_VALIDATED, runner.iter)
        super().after_val_epoch(runner, metrics)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        # The base class would remove the older ones first: it is told of none.
        former = {key: self._best(key) for key in self._keys()}
        for key in former:
            self._set_best(key, None)
        super()._save_best_checkpoint(runner, metrics)
        for key in self._keys():
            path, old = self._best(key), former.get(key, former.get('auto'))
            if path is None:
                self._set_best(key, old)
            elif runner._resume:
                self._remove_other_best(key, path)
            elif old not in (None, path) and is_main_process():
                Path(old).unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        former: list[int] = []
        if self.max_keep_ckpts > 0:
            former = [kept for kept in self.keep_ckpt_ids if kept != step]
            self.keep_ckpt_ids.clear()
            self.keep_ckpt_ids.extend([*former, step])
            kept = list(self.keep_ckpt_ids)
            runner.message_hub.update_info('keep_ckpt_ids', kept)
            former = [old for old in former if old not in kept]
        self._save(runner, self.filename_tmpl.format(step), meta)
        if is_main_process():
            names = [self.filename_tmpl.format(old) for old in former]
            for name in (*names, INTERRUPTED):
                path = self.file_backend.join_path(self.out_dir, name)
                if self.file_backend.isfile(path):
                    self.file_backend.remove(path)

    def save_interrupted(self, runner: Runner, meta: dict) -> str:
        """Save a run that ends before its next checkpoint; it goes on from there.

        Args:
            runner: The run.
            meta: Completed epochs and steps as ``epoch`` and ``iter``.

        Returns:
            The file.
        """
        self._save(runner, INTERRUPTED, meta)
        return self.last_ckpt

    def _save(self, runner: Runner, name: str, meta: dict) -> None:
        _refuse_what_is_not_finite(runner)
        meta = dict(meta, steps_per_epoch=len(runner.train_dataloader))
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            with whole_file(Path(runner.work_dir, 'last_checkpoint'), True) as pointer:
                pointer.write_text(self.last_ckpt)

    def _keys(self) -> list[str]:
        return list(self.key_indicators) if self.save_best else []

    def _info(self, name: str, key: str) -> str:
        return name if len(self.key_indicators) == 1 else f'{name}_{key}'

    def _best(self, key: str) -> str | None:
        if len(self.key_indicators) == 1:
            return self.best_ckpt_path
        return self.best_ckpt_path_dict.get(key)

    def _set_best(self, key: str, path: str | None) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = path
        else:
            self.best_ckpt_path_dict[key] = path

    def _remove_other_best(self, key: str, path: str) -> None:
        """What a killed run left beside the best checkpoint."""
        if not is_main_process():
            return
        prefix = f'best_{key}_'.replace('/', '_')
        pattern = re.sub(r'\{[^}]*\}', '*', self.filename_tmpl)
        for other in Path(self.out_dir).glob(prefix + pattern):
            if other.name != basename(path):
                other.unlink()


def _find_base(model: nn.Module, before: dict[str, dict] | None) -> dict[str, dict]:
    """The base of adapters, which has to be found again without this run's files.

    Args:
        model: As the training begins.
        before: Its base before a checkpoint was loaded; None if none was.

    Raises:
        TrainingError: It can't be found again.
    """
    option = 'default_hooks.checkpoint.adapters_only'
    base = describe_base(model)
    if not base:
        raise TrainingError(f'{option} needs lora in text_encoder or backbone')
    for part, entry in base.items():
        if entry['source'] is None:
            raise TrainingError(
                f'{option}: the weights of {part} come from no file that could bring '
                f'them back: name one by {entry["key"]}, or a whole checkpoint by '
                "model.init_cfg=dict(type='Pretrained', checkpoint=PATH)"
            )
        if before is not None and entry != before.get(part):
            raise TrainingError(
                f'{option}: load_from puts other weights into {part} than those of '
                f'{entry["source"]!r}, which would not be found again: name its file '
                "by model.init_cfg=dict(type='Pretrained', checkpoint=PATH) instead"
            )
    return base


def _refuse_what_is_not_finite(runner: Runner) -> None:
    """All processes end if the first one, which saves, has such weights."""
    problem: list[str | None] = [None]
    if is_main_process():
        try:
            state = unwrapped(runner.model).state_dict()
            check_finite(state, 'this checkpoint is not saved')
        except ValueError as error:
            problem = [f'{error}. {last_good(runner)}']
    broadcast_object_list(problem)
    if problem[0]:
        raise TrainingError(problem[0])


def last_good(runner: Runner) -> str:
    """Says which checkpoint a run can go on from."""
    last = runner.message_hub.runtime_info.get('last_ckpt')
    if last is None:
        return 'No checkpoint was saved before.'
    return f'The last good checkpoint is {last}'


def _is_validation_due(runner: Runner) -> bool:
    """Whether the loop validates after the steps that were done."""
    loop = runner.train_loop
    loop._decide_current_val_interval()
    if isinstance(loop, EpochBasedTrainLoop):
        if getattr(loop, 'first_batch', 0) or not runner.epoch:
            return False
        done, last = loop.epoch, loop.max_epochs
    else:
        done, last = loop.iter, loop.max_iters
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)
