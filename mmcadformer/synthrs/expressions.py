# SPDX-License-Identifier: Apache-2.0
"""English expressions for the programs of :mod:`.semantics`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from .objects import CATEGORIES, OBJECT_COLORS
from .semantics import POSITIONS, SIDES, Program, SceneSemantics, Step

EXPRESSION_TYPES = ('category', 'position', 'size', 'color', 'relation', 'combination')
"""How an expression tells its object from the others."""

# Words for a side, as a noun and as an attribute; for a corner, one or the other.
_SIDE_WORDS = {
    'left': ('left', 'left'),
    'right': ('right', 'right'),
    'top': ('top', 'upper'),
    'bottom': ('bottom', 'lower'),
}
_CORNER_WORDS = {
    f'{upper} {side}': (f'{upper} {side}', f'{top} {side}')
    for top, upper in (_SIDE_WORDS['top'], _SIDE_WORDS['bottom'])
    for side in ('left', 'right')
}
_REGION_WORDS = {
    **{side: tuple(dict.fromkeys(words)) for side, words in _SIDE_WORDS.items()},
    **_CORNER_WORDS,
}
_SIDE_PHRASES = (
    'on the {0}',
    'on the {0} side',
    'in the {0} part',
    'on the {0} side of the image',
)
_END_PHRASES = (
    'at the {0}',
    'in the {1} part',
    'at the {0} of the image',
    'in the {0} part of the image',
)
_CORNER_PHRASES = (
    'in the {}',
    'in the {} corner',
    'at the {}',
    'in the {} part of the image',
)
_CENTER_PHRASES = (
    'in the center',
    'in the middle',
    'at the center',
    'in the middle of the image',
    'in the center of the image',
)
_EXTREME_PHRASES = ('farthest to the {}', 'nearest to the {} edge')
_SIZE_WORDS = {'largest': ('largest', 'biggest'), 'smallest': ('smallest',)}
_ORDINAL_WORDS = {2: 'second', 3: 'third'}
_ORDINAL_PHRASE = 'from the {}'
_RELATION_PHRASES = {
    'left': ('to the left of', 'left of', 'on the left side of'),
    'right': ('to the right of', 'right of', 'on the right side of'),
    'top': ('above', 'on the top side of'),
    'bottom': ('below', 'on the bottom side of'),
}
_DISTANCE_PHRASES = {
    'nearest': ('nearest to', 'closest to'),
    'farthest': ('farthest from', 'farthest away from'),
}
_JOIN = ' and '
_LINKS = ('', '', '', 'located ', 'that is ')
_PAIRS = {
    'color': ('position', 'relation', 'extreme', 'size', 'distance'),
    'position': ('size', 'extreme'),
    'relation': ('size', 'relation'),
}
_ARTICLES = ('the ', 'the ', 'the ', '')


def _vocabulary() -> tuple[str, ...]:
    tables = (
        *(OBJECT_COLORS, _REGION_WORDS, _SIZE_WORDS),
        *(_RELATION_PHRASES, _DISTANCE_PHRASES),
    )
    lists = (
        *(CATEGORIES, SIDES, _SIDE_PHRASES, _END_PHRASES, _CORNER_PHRASES),
        *(_CENTER_PHRASES, _EXTREME_PHRASES, _LINKS, _ARTICLES),
        *(words for table in tables for words in table.values()),
        *([f'{word}most' for word in _REGION_WORDS[side]] for side in SIDES),
        *(_ORDINAL_WORDS.values(), (_ORDINAL_PHRASE, _JOIN)),
    )
    text = ' '.join(text for texts in lists for text in texts)
    return tuple(sorted(set(re.findall(r'[a-z]+', text))))


SYNTHRS_VOCABULARY = _vocabulary()
"""Every word that SynthRS expressions are made of."""


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def realize(program: Program, rng: np.random.Generator, short: bool = False) -> str:
    """Says a program in English, in lower case.

    Args:
        program: Steps, see :mod:`.semantics`.
        rng: Chooses between wordings.
        short: Whether all but relations has to stand before the noun, so that
            nothing can be taken for a part of a longer sentence.
    """
    words, phrases, color, noun = [], [], '', ''
    alone = sum(step[0] not in ('category', 'color') for step in program) == 1
    for step in program:
        if step[0] == 'category':
            noun = step[1]
        elif step[0] == 'color':
            color = step[1] + ' '
        else:
            word, phrase = _modifier(step, rng, alone, short)
            words += [word] if word else []
            phrases += [phrase] if phrase else []
    text = ' '.join([*words, color + noun])
    if phrases:
        counted = any(step[0] == 'ordinal' for step in program)
        link = '' if counted else _pick(rng, _LINKS)
        text += ' ' + link + _JOIN.join(phrases)
    return (_ARTICLES[0] if short else _pick(rng, _ARTICLES)) + text


def _modifier(
    step: Step, rng: np.random.Generator, alone: bool, short: bool
) -> tuple[str, str]:
    """Word before the noun and phrase after it for one step."""
    kind, value = step[:2]
    if kind == 'position':
        return _place(value, rng, alone)
    if kind == 'extreme':
        if short or not alone or rng.random() < 0.7:
            return _pick(rng, _REGION_WORDS[value]) + 'most', ''
        return '', _pick(rng, _EXTREME_PHRASES).format(value)
    if kind == 'size':
        return _pick(rng, _SIZE_WORDS[value]), ''
    if kind == 'ordinal':
        return _ORDINAL_WORDS[value], _ORDINAL_PHRASE.format(step[2])
    table = _RELATION_PHRASES if kind == 'relation' else _DISTANCE_PHRASES
    anchor = realize(step[2], rng, short=True)
    return '', f'{_pick(rng, table[value])} {anchor}'


def _place(region: str, rng: np.random.Generator, alone: bool) -> tuple[str, str]:
    if region == 'center':
        return '', _pick(rng, _CENTER_PHRASES)
    if alone and rng.random() < 0.3:
        return _pick(rng, _REGION_WORDS[region]), ''
    if region in SIDES:
        phrases = _SIDE_PHRASES if region in ('left', 'right') else _END_PHRASES
        return '', _pick(rng, phrases).format(*_SIDE_WORDS[region])
    corner = _pick(rng, _REGION_WORDS[region])
    return '', _pick(rng, _CORNER_PHRASES).format(corner)


def describe(
    semantics: SceneSemantics, index: int, complexity: int = 1
) -> dict[str, list[Program]]:
    """Programs that mean one object and no other.

    Args:
        semantics: The scene.
        index: Which object.
        complexity: 1 for one distinction at a time and anchors named by category
            or colour; 2 adds combinations of two steps; 3 adds counted objects
            and anchors described by size or place.

    Returns:
        Programs by one of :data:`EXPRESSION_TYPES`.
    """
    noun: Program = [['category', semantics.facts[index].category]]
    found: dict[str, list[Program]] = {kind: [] for kind in EXPRESSION_TYPES}
    if semantics.resolve(noun) == index:  # no other word would add anything
        found['category'].append(noun)
        return found
    weak = []
    for kind, step in _steps(semantics, index, complexity):
        if semantics.resolve([*noun, step]) == index:
            found[kind].append([*noun, step])
        else:
            weak.append(step)
    if complexity >= 2:
        found['combination'] = [
            noun + pair
            for pair in _pairs(weak)
            if semantics.resolve(noun + pair) == index
        ]
    return found


def _steps(
    semantics: SceneSemantics, index: int, complexity: int
) -> Iterator[tuple[str, Step]]:
    """Steps that may tell an object from others of its category, by type."""
    color = semantics.facts[index].color
    steps: list[tuple[str, Step]] = [('color', ['color', color])] if color else []
    steps += [('position', ['position', region]) for region in POSITIONS]
    steps += [('position', ['extreme', side]) for side in SIDES]
    steps += [('size', ['size', which]) for which in _SIZE_WORDS]
    if complexity >= 3:
        steps += [
            ('position', ['ordinal', number, side])
            for number in _ORDINAL_WORDS
            for side in SIDES
        ]
    for anchor, program in _anchors(semantics, complexity):
        if anchor != index:
            steps += [('relation', ['relation', side, program]) for side in SIDES]
            steps += [
                ('relation', ['distance', which, program])
                for which in _DISTANCE_PHRASES
            ]
    for kind, step in steps:
        holds = step[0] not in ('color', 'position', 'relation')
        if holds or semantics.select(step)[0] >> index & 1:
            yield kind, step


def _anchors(
    semantics: SceneSemantics, complexity: int
) -> Iterator[tuple[int, Program]]:
    """Objects that a short phrase names: pairs of index and program."""
    for index, fact in enumerate(semantics.facts):
        options: list[Program] = [[]]
        if fact.color:
            options.append([['color', fact.color]])
        if complexity >= 3:
            options += [[['size', which]] for which in _SIZE_WORDS]
            options += [[['extreme', side]] for side in SIDES]
        for option in options:
            program = [['category', fact.category], *option]
            if semantics.resolve(program) == index:
                yield index, program
                break


def _pairs(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Pairs of steps that one phrase can say without doubt."""
    for first in steps:
        for second in steps:
            kinds = first[0], second[0]
            if second[0] not in _PAIRS.get(first[0], ()):
                continue
            if kinds == ('relation', 'relation'):
                if first[2] == second[2] or first[1] >= second[1]:
                    continue
            if kinds == ('position', 'extreme') and not _crossed(first[1], second[1]):
                continue
            yield [first, second]


def _crossed(region: str, side: str) -> bool:
    """Whether a half of the image and a side are at right angles."""
    return region in SIDES and (region in SIDES[:2]) != (side in SIDES[:2])
