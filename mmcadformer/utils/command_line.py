# SPDX-License-Identifier: Apache-2.0
"""What the commands have in common: options, and how they end; imports MMEngine."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from .files import is_exported

Parser = argparse.ArgumentParser | argparse._ArgumentGroup

USER_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError, ImportError)
"""What bad input raises; anything else is a fault of the program."""


@contextmanager
def user_errors(
    *more: type[Exception],
    name: str | None = None,
    hint: str = '',
    interrupted: str = 'interrupted',
    code: int = 1,
) -> Iterator[None]:
    """Ends the command with a message instead of a traceback where input is at fault.

    The message goes to standard error and begins with the command's name. The exit
    code after an interruption is 130 as in a shell.

    Args:
        *more: Exceptions that are the user's, besides ``USER_ERRORS``.
        name: The command; by default the file that Python was started with.
        hint: A line that follows the message: what else helps.
        interrupted: What is said after Ctrl-C.
        code: Exit code where input is at fault.
    """
    name = Path(sys.argv[0]).name if name is None else name
    try:
        yield
    except (*USER_ERRORS, *more) as error:
        message = str(error) or type(error).__name__
        text = '\n'.join([f'{name}: {message}', *([hint] if hint else [])])
        if code == 1:
            sys.exit(text)
        print(text, file=sys.stderr)
        sys.exit(code)
    except KeyboardInterrupt:
        print(f'{name}: {interrupted}', file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


# The disk is full, read-only, or not this user's.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def disk_errors(folder: str | os.PathLike) -> Iterator[None]:
    """Lets a full or read-only disk end a run by one line, and nothing else.

    Args:
        folder: To name where an error doesn't say which file could not be written.
    """
    told, logging.raiseExceptions = logging.raiseExceptions, False
    place, reason = folder, 'the disk is full'
    try:
        yield
        return
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        reason = error.strerror or reason
        place = folder if error.filename is None else error.filename
    except RuntimeError as error:  # PyTorch's writer of checkpoints
        if 'PytorchStreamWriter' not in str(error):
            raise
    finally:
        logging.raiseExceptions = told
    sys.exit(
        f'{Path(sys.argv[0]).name}: {place} cannot be written ({reason}). What was '
        'finished before is whole'
    )


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Lets SIGTERM raise SystemExit, as SIGINT raises KeyboardInterrupt.

    Cleaning up, such as that of ``with`` and ``finally``, is done then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def add_cfg_options(parser: Parser, help: str = 'override config keys') -> None:
    """Adds MMEngine's ``--cfg-options KEY=VALUE...`` to a command line."""
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help=help
    )


def add_data_options(parser: Parser) -> None:
    """Adds ``--data-root`` and ``--data-name``, which point a config to other data."""
    parser.add_argument(
        '--data-root', metavar='FOLDER', help='root folder of all data sets'
    )
    parser.add_argument(
        '--data-name', metavar='NAME', help='name of the data sets below the root'
    )


def add_amp_option(parser: Parser) -> None:
    """Adds ``--amp [TYPE]``: automatic mixed precision in inference."""
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        type=_amp_type,
        metavar='TYPE',
        help='mixed precision: bf16 or fp16; without a type bfloat16 where the '
        'processor or GPU has it, else float16 on GPUs and float32 on processors',
    )


def _amp_type(text: str) -> str:
    if text not in ('auto', 'bf16', 'fp16'):
        raise argparse.ArgumentTypeError(
            f'{text!r} is not bf16, fp16 or auto; write "--amp auto" before other '
            'arguments'
        )
    return text


def add_reading_options(parser: Parser) -> None:
    """Adds how pictures are understood: bands, depth, what is missing."""
    parser.add_argument(
        '--bands',
        type=int,
        nargs='+',
        metavar='N',
        help='numbers, from 1, of red, green and blue, or of one band',
    )
    parser.add_argument(
        '--value-range',
        type=float,
        nargs='+',
        metavar='V',
        help='lowest and highest value, for all bands or for each',
    )
    parser.add_argument(
        '--percentiles',
        type=float,
        nargs=2,
        metavar='P',
        help='bounds of the stretch where values are not 8 bit (default: 2 98)',
    )
    parser.add_argument(
        '--nodata', type=float, metavar='V', help='value of missing pixels'
    )
    parser.add_argument(
        '--alpha',
        choices=['yes', 'no'],
        help='whether a band tagged as alpha is opacity (default: if it looks so)',
    )
    parser.add_argument(
        '--subdataset',
        type=int,
        metavar='N',
        help='number, from 1, of a page or part of the file',
    )


def given_reading(args: argparse.Namespace) -> dict[str, Any]:
    """What was said by :func:`add_reading_options`, by key of a reading."""
    said: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key in ('bands', 'value_range', 'percentiles', 'nodata', 'subdataset')
        if (value := getattr(args, key)) is not None
    }
    if args.alpha is not None:
        said['alpha'] = args.alpha == 'yes'
    return said


def add_work_options(parser: Parser) -> None:
    """Adds ``--workers`` and ``--quiet`` to a command that works on many files."""
    parser.add_argument(
        '--workers',
        type=int,
        default=default_workers(),
        metavar='N',
        help='processes; 0 works in this one (default: %(default)s)',
    )
    parser.add_argument('--quiet', action='store_true', help='show no progress bar')


def add_runner_options(parser: Parser) -> None:
    """What commands that start a runner take, for ``engine.read_run_config``."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir',
        metavar='FOLDER',
        help="for logs and checkpoints; by default the config's, or "
        'work_dirs/<name of the config>',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm'], default='none'
    )
    # Old launchers pass it; newer ones set the environment variable.
    parser.add_argument(
        '--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS
    )


def add_model_options(
    parser: Parser,
    positional: bool = False,
    several: bool = False,
    runtime: bool = True,
) -> None:
    """Adds what names a trained model: config and checkpoint, or a released model.

    Args:
        parser: Parser or group, extended in place.
        positional: Config and checkpoint are given without ``--config`` and
            ``--checkpoint``.
        several: ``--model`` may be given again, each with a file of its own; it is a
            list then.
        runtime: Exported files are run, too: ``--runtime`` says by what.
    """
    weights = '.pth or .safetensors'
    if runtime:
        weights += '; or an exported .xml or .onnx file, which needs no config'
        add_runtime_option(parser)
    if positional:
        parser.add_argument('config', nargs='?', help='config file')
        parser.add_argument('checkpoint', nargs='?', help=weights)
    else:
        parser.add_argument('--config', help='config file')
        parser.add_argument('--checkpoint', help=weights)
    again = '; may be given again, for a choice' if several else ''
    parser.add_argument(
        '--model',
        metavar='NAME[=FILE]' if several else 'NAME',
        action='append' if several else 'store',
        help='a released model in place of config and checkpoint, such as remotesam; '
        f'docs/model_zoo.md lists them{again}',
    )
    parser.add_argument(
        '--weights',
        metavar='FILE',
        help="the released model's file, as its authors publish it; by default it is "
        'downloaded where that is possible',
    )


def add_runtime_option(parser: Parser) -> None:
    """Adds ``--runtime``: what runs an exported file."""
    parser.add_argument(
        '--runtime',
        choices=['onnx', 'openvino'],
        help='what runs an exported file (default: OpenVINO for .xml, onnxruntime for '
        '.onnx)',
    )


def check_model_options(args: argparse.Namespace) -> None:
    """Puts the model's name in the place of the config.

    Raises:
        ValueError: Neither a model is named, nor config and checkpoint.
    """
    if args.model is not None and args.config is not None:
        raise ValueError('give --model or a config, not both')
    if args.model is not None:
        args.config = args.model
    elif is_exported(args.checkpoint):
        return
    elif args.config is None or args.checkpoint is None:
        raise ValueError('give a config and a checkpoint, or --model NAME')


def split_name(argument: str) -> tuple[str | None, str]:
    """Splits ``[NAME=]FILE``; the name is None where none is given."""
    name, separator, file = argument.partition('=')
    if not separator or '/' in name:
        return None, argument
    return name, file


def default_workers() -> int:
    """As many processes as cores that this one may use, 8 at most."""
    if hasattr(os, 'sched_getaffinity'):
        return min(8, len(os.sched_getaffinity(0)))
    return min(8, os.cpu_count() or 1)
