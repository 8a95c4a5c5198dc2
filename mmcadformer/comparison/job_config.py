# SPDX-License-Identifier: Apache-2.0
"""The config of one training and test, and how to recognise it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from mmcadformer.engine import check_data_roots, override_data
from mmcadformer.utils.config import read_config

# What changes neither weights nor scores.
_IRRELEVANT = frozenset(
    'work_dir resume launcher log_level log_processor visualizer vis_backends'.split()
)


def prepare_config(
    path: str | Path,
    seed: int,
    options: dict | None = None,
    data_root: str | None = None,
    skip_validation: bool = False,
) -> Config:
    """Puts everything that a run depends on into one config.

    Args:
        path: Config file.
        seed: Of every random number.
        options: Keys to override, as of ``--cfg-options``.
        data_root: Root folder of all data; None keeps the config's.
        skip_validation: Whether to leave validation out.

    Raises:
        FileNotFoundError: If the config or the data isn't there.
        ValueError: If the config tests without ReferringIoUMetric.
    """
    cfg = read_config(path, options)
    override_data(cfg, data_root, None)
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    if skip_validation:
        cfg.update(val_dataloader=None, val_cfg=None, val_evaluator=None)
        cfg.default_hooks.checkpoint.save_best = None
    evaluators = cfg.get('test_evaluator')
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    if not any((e or {}).get('type') == 'ReferringIoUMetric' for e in evaluators):
        raise ValueError(
            f"{path}: the comparison needs test_evaluator.type='ReferringIoUMetric'"
        )
    used = ('train', 'test') if skip_validation else ('train', 'val', 'test')
    check_data_roots(cfg, used)
    return cfg


def selects_best(cfg: Config) -> bool:
    """Whether training keeps the checkpoint that is best in validation."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    return bool(hook.get('save_best')) and cfg.get('val_cfg') is not None


def relevant_part(cfg: Config) -> dict:
    """What of a config decides on the result, in the types of JSON."""
    kept = {k: v for k, v in cfg.to_dict().items() if k not in _IRRELEVANT}
    return json.loads(json.dumps(kept, default=repr, sort_keys=True))


def fingerprint(content: dict) -> str:
    """Hash of what :func:`relevant_part` returns."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differing_keys(one: object, two: object, key: str = '') -> Iterator[str]:
    """Names the keys of two nested dicts that hold different values."""
    if isinstance(one, dict) and isinstance(two, dict):
        for name in sorted({*one, *two}):
            path = f'{key}.{name}' if key else name
            if name in one and name in two:
                yield from differing_keys(one[name], two[name], path)
            else:
                yield path
    elif one != two:
        yield key
