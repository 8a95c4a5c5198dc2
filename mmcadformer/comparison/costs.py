# SPDX-License-Identifier: Apache-2.0
"""Parameters, operations and latency of several methods, measured in one run."""

from __future__ import annotations

import gc
import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config

from ..analysis import analyse, build_without_weights, compare_latency, random_inputs
from ..utils.files import digest, read_json, write_json


@dataclass(frozen=True)
class Cost:
    """What a method costs for one image and one expression."""

    parameters: int  # the text encoder's included
    flops: int  # two per multiply-add
    milliseconds: float | None  # None if latency wasn't measured
    ratio: float | None  # latency relative to the reference


def measure_costs(
    configs: dict[str, Config],
    shape: tuple[int, int],
    tokens: int,
    device: str,
    rounds: int,
    cache: Path,
) -> dict[str, Cost]:
    """Measures methods, or finds what was measured for the same ones in ``cache``.

    The first is the reference. Operations are counted on the CPU, for an image of this
    height and width; 0 rounds leave latency out.
    """
    measured = dict(shape=shape, tokens=tokens, device=device, rounds=rounds)
    models = {name: cfg.model.to_dict() for name, cfg in configs.items()}
    # Through JSON, in which a config's tuples and lists are the same.
    asked = json.loads(json.dumps(dict(models=models, measured=measured), default=repr))
    key = digest(asked)
    known = _read_costs(cache, key)
    if known is not None:
        return known
    costs: dict[str, Cost] = {}
    reference = None
    for name, cfg in configs.items():
        model = build_without_weights(cfg, tokens)
        counts = analyse(model, shape, tokens)
        milliseconds = ratio = None
        if rounds:
            inputs = random_inputs(shape, tokens, 1, device)
            step = torch.no_grad()(partial(model.to(device), **inputs))
            reference = reference or step
            latency = compare_latency(step, reference, device, rounds)
            milliseconds, ratio = latency.milliseconds, latency.ratio
        total = counts['parameters']['total']
        costs[name] = Cost(total, counts['flops'], milliseconds, ratio)
        del model
        gc.collect()
    plain = {name: asdict(cost) for name, cost in costs.items()}
    write_json(cache, dict(measured, key=key, costs=plain))
    return costs


def _read_costs(cache: Path, key: str) -> dict[str, Cost] | None:
    """What was measured for the same methods, if that is in the file.

    Raises:
        ValueError: The file is damaged.
    """
    if not cache.is_file():
        return None
    try:
        record = read_json(cache)
        if record['key'] != key:
            return None
        return {name: Cost(**cost) for name, cost in record['costs'].items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f'{cache} is damaged ({error!r}): delete it, to have the costs measured '
            'again'
        ) from None
