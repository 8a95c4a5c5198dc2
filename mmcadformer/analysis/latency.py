# SPDX-License-Identifier: Apache-2.0
"""Latency of two models, measured by turns so that their ratio can be trusted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a model and of the reference, and their ratio.

    Attributes:
        milliseconds: Median over rounds.
        reference: Median of the reference in the same rounds.
        ratio: Median over rounds of the ratio; below 1 is faster.
    """

    milliseconds: float
    reference: float
    ratio: float


def compare_latency(
    step: Callable[[], object],
    reference: Callable[[], object],
    device: torch.device | str,
    rounds: int = 20,
    warmup: int = 3,
) -> Latency:
    """Times two functions by turns.

    A machine that slows down, or is shared, slows both alike, which the ratio of
    each round is free from.

    Args:
        step, reference: Each does one forward pass.
        device: The clock waits for it.
        rounds: Number of timed calls of each.
        warmup: Calls of each before that.

    Raises:
        ValueError: If ``rounds`` is less than 1.
    """
    if rounds < 1:
        raise ValueError(f'rounds must be 1 or more, not {rounds}')
    device = torch.device(device)
    for _ in range(warmup):
        step()
        reference()
    times = [
        (_milliseconds(step, device), _milliseconds(reference, device))
        for _ in range(rounds)
    ]
    return Latency(
        milliseconds=statistics.median(own for own, _ in times),
        reference=statistics.median(other for _, other in times),
        ratio=statistics.median(own / other for own, other in times),
    )


def _milliseconds(step: Callable[[], object], device: torch.device) -> float:
    _synchronize(device)
    start = time.perf_counter()
    step()
    _synchronize(device)
    return 1000 * (time.perf_counter() - start)


def _synchronize(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
