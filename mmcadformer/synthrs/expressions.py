# SPDX-License-Identifier: Apache-2.0
"""English expressions for the programs of :mod:`.semantics`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine import load

from .objects import CATEGORIES, OBJECT_COLORS
from .semantics import POSITIONS, SIDES, Program, SceneSemantics, Step

EXPRESSION_TYPES = ('category', 'position', 'size', 'color', 'relation', 'combination')
"""How an expression tells its object from the others."""

_TEXTS = load(Path(__file__).with_name('expressions.yml'))
# Words for a side, as a noun and as an attribute; for a corner, one or the other.
_SIDE_WORDS: dict[str, list[str]] = _TEXTS['side_words']
_REGION_WORDS = {side: list(dict.fromkeys(both)) for side, both in _SIDE_WORDS.items()}
_REGION_WORDS |= {
    f'{upper} {side}': [f'{upper} {side}', f'{top} {side}']
    for top, upper in (_SIDE_WORDS['top'], _SIDE_WORDS['bottom'])
    for side in ('left', 'right')
}
_SIZE_WORDS: dict[str, list[str]] = _TEXTS['size_words']
_ORDINAL_WORDS: dict[int, str] = _TEXTS['ordinal_words']
_NUMBER_WORDS: dict[int, str] = _TEXTS['number_words']
_DISTANCE_PHRASES: dict[str, list[str]] = _TEXTS['distance_phrases']
# Steps that may be false of the only object of a category.
_FILTERS = ('color', 'position', 'relation')
# What two steps one phrase may say.
_PAIRS = {
    'color': ('position', 'relation', 'extreme', 'size', 'distance'),
    'position': ('size', 'extreme'),
    'relation': ('size', 'relation'),
}


def _words(texts: Iterable) -> set[str]:
    """All words in texts, or in collections of them."""
    if isinstance(texts, str):
        return set(re.findall('[a-z]+', texts))
    parts = texts.values() if isinstance(texts, Mapping) else texts
    return {word for part in parts if part for word in _words(part)}


_MOST = [f'{word}most' for side in SIDES for word in _REGION_WORDS[side]]
_PLURALS = [f'{category}s' for category in CATEGORIES]
SYNTHRS_VOCABULARY = tuple(
    sorted(_words([CATEGORIES, _PLURALS, OBJECT_COLORS, SIDES, _TEXTS, _MOST]))
)
"""Every word that SynthRS expressions are made of."""


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def realize(program: Program, rng: np.random.Generator, short: bool = False) -> str:
    """Says a program in English, in lower case, in one of its wordings.

    If ``short``, all but relations stand before the noun, so that nothing can be
    taken for a part of a longer sentence.
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
        link = '' if counted else _pick(rng, _TEXTS['links'])
        text += ' ' + link + _TEXTS['join'].join(phrases)
    return (_TEXTS['articles'][0] if short else _pick(rng, _TEXTS['articles'])) + text


def realize_several(program: Program, count: int, rng: np.random.Generator) -> str:
    """Says in English a program that means ``count`` objects of one category."""
    number, color, phrase = '', '', ''
    ((_, category), *steps) = program
    for step in steps:
        if step[0] == 'color':
            color = step[1] + ' '
        elif step[0] == 'top':
            number = f'the {_NUMBER_WORDS[step[1]]} {_pick(rng, _SIZE_WORDS[step[2]])} '
        else:
            phrase = _phrase_of(step, rng)
    if not number:
        options = [*_TEXTS['all_articles'], *_TEXTS['count_articles'].get(count, ())]
        number = _pick(rng, options)
    return ' '.join(f'{number}{color}{category}s {phrase}'.split())


def _phrase_of(step: Step, rng: np.random.Generator) -> str:
    """A place or a relation as it follows a noun."""
    if step[0] == 'position':
        return _pick(rng, _region_phrases(step[1]))
    return _modifier(step, rng, False, True)[1]


def _region_phrases(region: str) -> list[str]:
    """Phrases for a part of the image."""
    if region == 'center':
        return _TEXTS['center_phrases']
    if region in SIDES:
        kind = 'side_phrases' if region in ('left', 'right') else 'end_phrases'
        return [phrase.format(*_SIDE_WORDS[region]) for phrase in _TEXTS[kind]]
    return [
        phrase.format(word)
        for word in _REGION_WORDS[region]
        for phrase in _TEXTS['corner_phrases']
    ]


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
        return '', _pick(rng, _TEXTS['extreme_phrases']).format(value)
    if kind == 'size':
        return _pick(rng, _SIZE_WORDS[value]), ''
    if kind == 'ordinal':
        return _ORDINAL_WORDS[value], _TEXTS['ordinal_phrase'].format(step[2])
    table = _TEXTS['relation_phrases'] if kind == 'relation' else _DISTANCE_PHRASES
    anchor = realize(step[2], rng, short=True)
    return '', f'{_pick(rng, table[value])} {anchor}'


def _place(region: str, rng: np.random.Generator, alone: bool) -> tuple[str, str]:
    if region == 'center':
        return '', _pick(rng, _TEXTS['center_phrases'])
    if alone and rng.random() < 0.3:
        return _pick(rng, _REGION_WORDS[region]), ''
    if region in SIDES:
        kind = 'side_phrases' if region in ('left', 'right') else 'end_phrases'
        return '', _pick(rng, _TEXTS[kind]).format(*_SIDE_WORDS[region])
    corner = _pick(rng, _REGION_WORDS[region])
    return '', _pick(rng, _TEXTS['corner_phrases']).format(corner)


def describe(
    semantics: SceneSemantics,
    index: int,
    complexity: int = 1,
    redundant: bool = False,
) -> dict[str, list[Program]]:
    """Programs that mean one object and no other.

    Args:
        semantics, index: The scene, and which of its objects.
        complexity: 1 for one distinction at a time and anchors named by category
            or colour; 2 adds combinations of two steps; 3 adds counted objects
            and anchors described by size or place.
        redundant: Also say colour, place and relation of the only object of its
            category, which the category alone would name.

    Returns:
        Programs by one of :data:`EXPRESSION_TYPES`.
    """
    noun: Program = [['category', semantics.facts[index].category]]
    found: dict[str, list[Program]] = {kind: [] for kind in EXPRESSION_TYPES}
    if semantics.resolve(noun) == index:  # no other word would add anything
        found['category'].append(noun)
        for kind, step in _steps(semantics, index, complexity) if redundant else ():
            program = [*noun, step]
            if step[0] in _FILTERS and semantics.resolve(program) == index:
                found[kind].append(program)
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
    for anchor, program in anchors(semantics, complexity):
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


def anchors(
    semantics: SceneSemantics, complexity: int = 1
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
