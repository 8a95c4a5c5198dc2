#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Trains a model."""

import argparse
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmcadformer.engine import (
    StopHook,
    TrainingError,
    TrainingStopped,
    add_tensorboard,
    check_data_roots,
    check_loaders,
    check_seed,
    enable_amp,
    end_processes,
    find_resume_checkpoint,
    is_first_process,
    last_good,
    prepare_cpu_processes,
    read_run_config,
    unwrapped,
)
from mmcadformer.utils.checkpoint import (
    SAFE_PREFIX,
    TRUSTED_PREFIX,
    check_finite,
    check_run_state,
    find_weights,
    read_content,
)
from mmcadformer.utils.command_line import (
    add_cfg_options,
    add_data_options,
    add_runner_options,
    disk_errors,
    user_errors,
)
from mmcadformer.utils.garbage import settle
from mmcadformer.utils.lock import locked


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description='Train a referring segmentor.')
    add_runner_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint, or from the newest complete one in the '
        'work dir',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='unpickle the checkpoint to resume from as it is, and run what it names; '
        'only for files of your own that hold objects of your own',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: bfloat16, or float16 on GPUs without it',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='torch.compile the network, which takes minutes at the first step',
    )
    parser.add_argument('--seed', type=int, help='seed of every random number')
    parser.add_argument(
        '--tensorboard', action='store_true', help='write logs for TensorBoard too'
    )
    add_data_options(parser)
    add_cfg_options(
        parser,
        'override config keys, e.g. train_dataloader.batch_size=4 '
        'model.backbone.depths="(2,2,6,2)"',
    )
    return parser.parse_args()


def build_config(args: argparse.Namespace) -> Config:
    """Puts the command line into the config and checks what can be checked early.

    Raises:
        FileNotFoundError: If config, data or a checkpoint isn't there.
        ValueError: If options contradict the config.
    """
    cfg = read_run_config(args)
    if args.seed is not None:
        check_seed(args.seed, '--seed')
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=args.seed)
    if args.amp:
        enable_amp(cfg)
    if args.tensorboard:
        add_tensorboard(cfg)
    set_start(cfg, args.resume, args.trust_checkpoint)
    splits = ['train'] if cfg.get('val_cfg') is None else ['train', 'val']
    check_data_roots(cfg, splits)
    return cfg


def set_start(cfg: Config, resume: str | None, trusted: bool = False) -> None:
    """Decides which checkpoint the run begins from.

    Args:
        cfg: Changed in place: ``load_from`` and ``resume``.
        resume: None, 'auto', or a checkpoint.
        trusted: Whether what the checkpoint to resume from names may run.
    """
    if resume is None and cfg.get('resume') and not cfg.get('load_from'):
        resume = 'auto'
    if resume == 'auto':
        hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
        places = hook.get('out_dir'), hook.get('filename_tmpl') or ''
        found = find_resume_checkpoint(cfg.work_dir, *places)
        resume = None if found is None else str(found)
        if resume is None:
            print(f'Nothing to resume in {cfg.work_dir}: training starts anew.')
            cfg.resume = False
    if resume is not None:
        cfg.load_from, cfg.resume = resume, True
    start = cfg.get('load_from')
    if not start:
        return
    path = start.removeprefix(SAFE_PREFIX)
    if '://' not in path and not Path(path).is_file():
        raise FileNotFoundError(f'the checkpoint to begin from, {path}, does not exist')
    if not cfg.get('resume'):
        cfg.load_from = SAFE_PREFIX + path
        check_finite(find_weights(read_content(path, mapped=True)), path)
    elif trusted:
        cfg.load_from = TRUSTED_PREFIX + path
    else:
        check_run_state(path)


def train(runner: Runner) -> None:
    """Trains until the end, or until a signal or a fault that the user can mend."""
    stop = StopHook()
    runner.register_hook(stop)
    try:
        with stop.listening():
            runner.train()
    except TrainingStopped as stopped:
        end(f'stopped: {stopped}.', 128 + stopped.signal)
    except TrainingError as error:
        end(str(error), 1)
    except (RuntimeError, OSError):
        # Data workers that the same signal ended.
        if not stop.signal:
            raise
        end(f'stopped. {last_good(runner)}', 128 + stop.signal)


def end(message: str, code: int) -> None:
    """Ends with a message, once, and how to go on."""
    if is_main_process():
        print(f'train.py: {message}', file=sys.stderr)
        if code > 128:
            given = [argument for argument in sys.argv if argument != '--resume']
            command = shlex.join(['python', *given])
            print(f'To go on: {command} --resume', file=sys.stderr)
    sys.exit(code)


def main() -> None:
    """Trains."""
    with ExitStack() as ended:
        with user_errors():
            args = parse_args()
            cfg = build_config(args)
            if is_first_process():
                ended.enter_context(locked(cfg.work_dir))
            prepare_cpu_processes(cfg)
        with user_errors(KeyError, TypeError):
            runner = Runner.from_cfg(cfg)
            check_loaders(runner, ['train', 'val'])
            if args.compile:
                unwrapped(runner.model).compile_network()
        settle()
        with disk_errors(cfg.work_dir):
            train(runner)
        end_processes()


if __name__ == '__main__':
    main()
