# SPDX-License-Identifier: Apache-2.0
"""Time and memory; two models by turns, so that their ratio can be trusted."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

T = TypeVar('T')


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a model and of the reference, and their ratio: medians."""

    milliseconds: float
    reference: float
    ratio: float  # of each round; below 1 is faster than the reference


def compare_latency(
    step: Callable[[], object],
    reference: Callable[[], object],
    device: torch.device | str,
    rounds: int = 20,
    warmup: int = 3,
) -> Latency:
    """Times two functions by turns, after a warm-up.

    A machine that slows down, or is shared, slows both alike, which the ratio of
    each round is free from.
    """
    if rounds < 1:
        raise ValueError(f'rounds must be 1 or more, not {rounds}')
    device = torch.device(device)
    for _ in range(warmup):
        step()
        reference()
    ways = {
        'own': partial(timed, step, device),
        'reference': partial(timed, reference, device),
    }
    (own, ratio), (other, _) = medians(by_turns(ways, rounds), 'reference').values()
    return Latency(own, other, ratio)


def by_turns(ways: Mapping[str, Callable[[], T]], rounds: int) -> list[dict[str, T]]:
    """What each of several ways gives in each round, in alternating order."""
    turns = []
    for turn in range(rounds):
        names = list(ways)[:: -1 if turn % 2 else 1]
        turns.append({name: ways[name]() for name in names})
    return turns


def medians(
    turns: Sequence[Mapping[str, float]], reference: str
) -> dict[str, tuple[float, float]]:
    """Of each way: the median, and that of its ratios to the reference in a round."""
    return {
        name: (
            statistics.median(turn[name] for turn in turns),
            statistics.median(turn[name] / turn[reference] for turn in turns),
        )
        for name in turns[0]
    }


def timed(step: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of one call, for which the clock waits on the device."""
    _synchronize(device)
    start = time.perf_counter()
    step()
    _synchronize(device)
    return 1000 * (time.perf_counter() - start)


def measure(
    step: Callable[[], object], warmup: int, iters: int, device: torch.device
) -> dict[str, float]:
    """Times a function call by call, and watches its memory.

    In the calls of the ``warmup`` kernels are chosen, compiled and cached, and memory
    is reserved.

    Returns:
        Milliseconds ``mean``, ``median``, ``p90``, and ``memory`` in MiB: the most
        that PyTorch had allocated on the GPU, or the peak of the whole process on
        the CPU.
    """
    for _ in range(warmup):
        step()
    _synchronize(device)
    _reset_peak(device)
    times = [timed(step, device) for _ in range(iters)]
    return dict(
        mean=statistics.fmean(times),
        median=statistics.median(times),
        p90=float(np.percentile(times, 90)),
        memory=_peak_memory(device),
    )


def _synchronize(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        return
    # Elsewhere than on Linux, or where it isn't allowed, the peak is that since the
    # process began.
    with suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')


def _peak_memory(device: torch.device) -> float:
    """MiB."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path('/proc/self/status')
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith('VmHWM'):
            return int(line.split()[1]) / 1024
    import resource  # Unix has it

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == 'Darwin' else 1024)
