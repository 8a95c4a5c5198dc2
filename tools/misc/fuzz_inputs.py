#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Damages files of every kind that the package reads, and sees what it says.

    fuzz_inputs.py --inputs 1000

Good files are written, one of them is damaged, and what reads it is called. Right is
that it reads the file, or ends by an error for the user that names the file, within
seconds and without much memory. The seed fixes everything; what is found is listed
with the number of the input, which --only repeats. The exit code is 1 if any is.
"""

import argparse
import contextlib
import io
import logging
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fuzz_files import READERS, write_files
from mmengine.logging import MMLogger

from mmcadformer.utils.command_line import USER_ERRORS

SECONDS = 20  # after which an input is said to hang
GIGABYTES = 3.0
PER_PROCESS = 100
_TOKENS = (
    *(b'null', b'NaN', b'-1', b'1e999', b'[]', b'{}', b'""', b'true', b'\x00', b'\n'),
    *(b'99999999999999999999', b'\xff\xfe', b'[' * 2000, b'"' + b'x' * 3000 + b'"'),
    *('\u2028'.encode(), b'\xef\xbb\xbf', b'!!python/name:os.system', b'/dev/zero'),
)

# Commands end by the second one.
_SAID: tuple[type[BaseException], ...] = (*USER_ERRORS, SystemExit)


def damage(data: bytes, rng: random.Random, gently: bool) -> bytes:
    """One file in another form: cut, with bytes changed, moved, repeated or put in."""
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.choice((1, 4, 40, 400)))
    ways = [
        lambda: data[:start],
        lambda: data[:start] + data[end:],
        lambda: b'',
        lambda: data[:start] + data[start:end] * 3 + data[end:],
    ]
    if not gently:  # what is left is no other program
        other = bytes(rng.randrange(256) for _ in range(end - start))
        token = rng.choice(_TOKENS)
        ways += [
            lambda: data[:start] + other + data[end:],
            lambda: data[:start] + token + data[start:],
            lambda: data[:start] + token + data[end:],
            lambda: bytes(rng.randrange(256) for _ in range(200)),
        ]
    return rng.choice(ways)()


class Hangs(BaseException):
    """An input took too long."""


def _alarm(*_: object) -> None:
    raise Hangs


def try_input(number: int, seed: int, root: Path) -> tuple[str, list[str]]:
    """The file that an input damages, and what is wrong with what was said."""
    rng = random.Random(f'{seed} {number}')
    name = sorted(READERS)[number % len(READERS)]
    file = root / name
    good = file.read_bytes()
    found = []
    try:
        file.write_bytes(damage(good, rng, name.endswith('.py')))
        for reader in READERS[name]:
            signal.alarm(SECONDS)
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    reader(root, file)
            except _SAID as error:
                if str(root) not in str(error):
                    found.append(f'no file in: {str(error)[:300]}')
                elif len(str(error)) > 1500:
                    found.append(f'{len(str(error))} letters: {str(error)[:300]}')
            except Hangs:
                found.append(f'hangs: {traceback.format_exc(limit=-2)[-400:]}')
            except BaseException:
                found.append(traceback.format_exc(limit=-3)[-900:])
            finally:
                signal.alarm(0)
    finally:
        file.write_bytes(good)
    return name, found


def run(numbers: Sequence[int], seed: int, now: Any, results: Any) -> None:
    """Tries inputs in a process of their own, which may die of one."""
    signal.signal(signal.SIGALRM, _alarm)
    torch.set_num_threads(1)
    MMLogger.get_instance('fuzz', log_level=logging.CRITICAL)
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        write_files(root)
        for name, readers in READERS.items():
            for reader in readers:
                with contextlib.redirect_stdout(io.StringIO()):
                    reader(root, root / name)  # which good files pass
        for number in numbers:
            now.value = number
            results.put((number, *try_input(number, seed, root)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    results.put((None, '', [f'{peak:.1f} GB of memory'] if peak > GIGABYTES else []))


def fuzz(numbers: Sequence[int], seed: int) -> list[str]:
    """Tries inputs; what was found, with the number and the file of each."""
    context = multiprocessing.get_context('fork')
    found: list[str] = []
    counts: Counter[str] = Counter()
    for start in range(0, len(numbers), PER_PROCESS):
        part = numbers[start : start + PER_PROCESS]
        while part:
            now, results = context.Value('q', -1), context.SimpleQueue()
            process = context.Process(target=run, args=(part, seed, now, results))
            process.start()
            done = -1
            while process.is_alive() or not results.empty():
                if results.empty():
                    process.join(0.05)
                    continue
                number, name, problems = results.get()
                done = done if number is None else number
                counts[name] += number is not None
                found += [f'input {number}, {name}: {text}' for text in problems]
            if process.exitcode == 0:
                break
            if now.value < 0:
                raise RuntimeError('the good files cannot be read, see above')
            found.append(f'input {now.value}: the process died ({process.exitcode})')
            part = [number for number in part if number > now.value]
    print(f'{sum(counts.values())} inputs of {len(READERS)} kinds of files')
    return found


def main() -> None:
    """Tries inputs and lists what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--inputs', type=int, default=1000, metavar='N')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--only', type=int, nargs='+', metavar='NUMBER', help='only these inputs'
    )
    args = parser.parse_args()
    found = fuzz(args.only or list(range(args.inputs)), args.seed)
    for text in found:
        print(f'\n{text}')
    print(f'{len(found)} found')
    sys.exit(1 if found else 0)


if __name__ == '__main__':
    main()
