# SPDX-License-Identifier: Apache-2.0
"""Flags and a score that say which masks a person should look at first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..utils.files import read_json
from .quality import MaskMeasures


@dataclass(frozen=True)
class Rule:
    """When a measure is suspicious, and how much that counts.

    Attributes:
        measure: An attribute of :class:`MaskMeasures`.
        fine: Up to this value nothing is wrong.
        bad: From this value on it can't get worse. Below ``fine`` for measures
            that should be high.
        weight: Score of a mask with nothing else wrong and this at its worst.
        text: What the flag means, for people.
    """

    measure: str
    fine: float
    bad: float
    weight: float
    text: str

    def __post_init__(self):
        if self.measure not in MaskMeasures.__dataclass_fields__:
            raise ValueError(f'unknown measure {self.measure!r}')
        if self.fine == self.bad:
            raise ValueError(f'fine and bad must differ, both are {self.fine}')
        if not 0 <= self.weight <= 1:
            raise ValueError(f'weight must be in 0...1, got {self.weight}')

    def severity(self, measures: MaskMeasures) -> float:
        """0 where nothing is wrong, 1 at the worst, linear in between."""
        value = getattr(measures, self.measure)
        if value is None:
            return 0.0
        return min(max((value - self.fine) / (self.bad - self.fine), 0.0), 1.0)


RULES: dict[str, Rule] = {
    'unsure': Rule('predicted_iou', 0.88, 0.6, 0.6, 'SAM itself expects a poor mask'),
    'off_box': Rule('box_iou', 0.8, 0.4, 0.8, 'mask and box span different areas'),
    'outside': Rule('outside_share', 0.02, 0.3, 0.8, 'the mask runs out of the box'),
    'fills_edge': Rule('edge_contact', 0.6, 1.0, 0.3, 'the mask fills the box edge'),
    'thin': Rule('area_ratio', 0.3, 0.05, 0.5, 'the mask fills little of the box'),
    'parts': Rule('stray_share', 0.0, 0.2, 0.5, 'the mask has several parts'),
    'tiny_holes': Rule('tiny_holes', 0.0, 8.0, 0.4, 'the mask has tiny holes'),
}
EMPTY = 'empty'


@dataclass(frozen=True)
class Suspicion:
    """What is suspicious about a mask.

    Attributes:
        score: 0 (nothing) ... 1 (surely wrong).
        flags: Severity in 0...1 of each thing that is wrong, the worst first.
    """

    score: float
    flags: dict[str, float]


def rate(measures: MaskMeasures, rules: Mapping[str, Rule] = RULES) -> Suspicion:
    """Rates a mask.

    The score is ``1 - prod(1 - weight * severity)`` over all rules: as if each
    were independent evidence. It never falls when a further thing is wrong. An
    empty mask scores 1.

    Args:
        measures: Measures of the mask.
        rules: Rules by the name of their flag.

    Returns:
        Score and flags.
    """
    if not measures.area:
        return Suspicion(1.0, {EMPTY: 1.0})
    fine, weighted = 1.0, []
    for name, rule in rules.items():
        severity = rule.severity(measures)
        fine *= 1 - rule.weight * severity
        if severity > 0:
            weighted.append((rule.weight * severity, name, severity))
    flags = {name: severity for _, name, severity in sorted(weighted, reverse=True)}
    return Suspicion(1 - fine, flags)


def read_rules(path: Path) -> dict[str, Rule]:
    """The standard rules with changes from a JSON file.

    The file maps names of flags to the attributes to change, or to null for a
    flag that isn't wanted: ``{"thin": null, "off_box": {"fine": 0.7}}``.

    Raises:
        FileNotFoundError, ValueError: The file is missing or damaged, or names
            something unknown.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f'{path}: expected an object of flags')
    rules = dict(RULES)
    for name, changes in content.items():
        if name not in rules:
            raise ValueError(
                f'{path}: unknown flag {name!r}; known: {", ".join(RULES)}'
            )
        if changes is None:
            del rules[name]
            continue
        try:
            rules[name] = Rule(**{**vars(rules[name]), **changes})
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path}: {name}: {error}') from None
    return rules
