# SPDX-License-Identifier: Apache-2.0
"""Latency by a clock that the measured functions set forward."""

import statistics
import time

import pytest

from mmcadformer.analysis import compare_latency


class Clock:
    """Time passes only in :meth:`work`, ever more slowly for both."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def work(self, name, seconds):
        def step():
            self.calls.append(name)
            self.now += seconds * (1 + len(self.calls) // 4)

        return step


def test_ratio_is_free_of_a_machine_that_slows_down(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, 'perf_counter', lambda: clock.now)
    steps = clock.work('own', 0.003), clock.work('reference', 0.002)
    latency = compare_latency(*steps, 'cpu', rounds=9, warmup=2)
    turns = ['own', 'reference', 'reference', 'own'] * 5
    assert clock.calls == ['own', 'reference'] * 2 + turns[:18]
    assert latency.ratio == pytest.approx(1.5, rel=0.2)
    # Call number n takes 1 + n // 4 times as long; 4 calls of warming up.
    own = [3 * (1 + n // 4) for n, name in enumerate(clock.calls, 1) if name == 'own']
    assert latency.milliseconds == pytest.approx(statistics.median(own[2:]))


def test_some_round_is_needed():
    with pytest.raises(ValueError, match='rounds must be 1 or more'):
        compare_latency(int, int, 'cpu', rounds=0)
