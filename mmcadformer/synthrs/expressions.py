# SPDX-License-Identifier: Apache-2.0
"""English expressions for the programs of :mod:`.semantics`."""

import re

from .objects import CATEGORIES, OBJECT_COLORS
from .semantics import POSITIONS, SIDES

EXPRESSION_TYPES = ('category', 'position', 'size', 'color', 'relation', 'combination')
"""tuple[str]: How an expression tells its object from the others."""

_REGION_WORDS = {
    'left': ('left',),
    'right': ('right',),
    'top': ('top', 'upper'),
    'bottom': ('bottom', 'lower'),
    'upper left': ('upper left', 'top left'),
    'upper right': ('upper right', 'top right'),
    'lower left': ('lower left', 'bottom left'),
    'lower right': ('lower right', 'bottom right'),
}
_HALF_PHRASES = {
    'left': (
        'on the left',
        'on the left side',
        'in the left part',
        'on the left side of the image',
    ),
    'right': (
        'on the right',
        'on the right side',
        'in the right part',
        'on the right side of the image',
    ),
    'top': (
        'at the top',
        'in the upper part',
        'at the top of the image',
        'in the top part of the image',
    ),
    'bottom': (
        'at the bottom',
        'in the lower part',
        'at the bottom of the image',
        'in the bottom part of the image',
    ),
}
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
_EXTREME_WORDS = {
    'left': ('leftmost',),
    'right': ('rightmost',),
    'top': ('topmost', 'uppermost'),
    'bottom': ('bottommost', 'lowermost'),
}
_EXTREME_PHRASES = {
    'left': ('farthest to the left', 'nearest to the left edge'),
    'right': ('farthest to the right', 'nearest to the right edge'),
    'top': ('farthest to the top', 'nearest to the top edge'),
    'bottom': ('farthest to the bottom', 'nearest to the bottom edge'),
}
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
    ('color', 'position'),
    ('color', 'relation'),
    ('color', 'extreme'),
    ('color', 'size'),
    ('color', 'distance'),
    ('position', 'size'),
    ('position', 'extreme'),
    ('relation', 'size'),
    ('relation', 'relation'),
}
_ARTICLES = ('the ', 'the ', 'the ', '')


def _vocabulary():
    texts = [
        *CATEGORIES,
        *_CORNER_PHRASES,
        *_CENTER_PHRASES,
        *_LINKS,
        _JOIN,
        *_ARTICLES,
        *_ORDINAL_WORDS.values(),
        _ORDINAL_PHRASE,
        *SIDES,
    ]
    for table in (
        OBJECT_COLORS,
        _REGION_WORDS,
        _HALF_PHRASES,
        _EXTREME_WORDS,
        _EXTREME_PHRASES,
        _SIZE_WORDS,
        _RELATION_PHRASES,
        _DISTANCE_PHRASES,
    ):
        for entries in table.values():
            texts.extend(entries)
    words = re.findall(r'[a-z]+', ' '.join(texts))
    return tuple(sorted(set(words)))


SYNTHRS_VOCABULARY = _vocabulary()
"""tuple[str]: Every word that SynthRS expressions are made of."""


def _pick(rng, options):
    return options[int(rng.integers(len(options)))]


def realize(program, rng, short=False):
    """Say a program in English.

    Args:
        program (list): Steps, see :mod:`.semantics`.
        rng (np.random.Generator): Chooses between wordings.
        short (bool): Whether all but relations has to stand before the noun,
            so that nothing can be taken for a part of a longer sentence.

    Returns:
        str: Expression in lower case.
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


def _modifier(step, rng, alone, short):
    """Word before the noun and phrase after it for one step."""
    kind = step[0]
    if kind == 'position':
        return _place(step[1], rng, alone)
    if kind == 'extreme':
        if short or not alone or rng.random() < 0.7:
            return _pick(rng, _EXTREME_WORDS[step[1]]), ''
        return '', _pick(rng, _EXTREME_PHRASES[step[1]])
    if kind == 'size':
        return _pick(rng, _SIZE_WORDS[step[1]]), ''
    if kind == 'ordinal':
        return _ORDINAL_WORDS[step[1]], _ORDINAL_PHRASE.format(step[2])
    table = _RELATION_PHRASES if kind == 'relation' else _DISTANCE_PHRASES
    anchor = realize(step[2], rng, short=True)
    return '', f'{_pick(rng, table[step[1]])} {anchor}'


def _place(region, rng, alone):
    if region == 'center':
        return '', _pick(rng, _CENTER_PHRASES)
    if alone and rng.random() < 0.3:
        return _pick(rng, _REGION_WORDS[region]), ''
    if region in SIDES:
        return '', _pick(rng, _HALF_PHRASES[region])
    corner = _pick(rng, _REGION_WORDS[region])
    return '', _pick(rng, _CORNER_PHRASES).format(corner)


def describe(semantics, index, complexity=1):
    """Programs that mean one object and no other.

    Args:
        semantics (SceneSemantics): The scene.
        index (int): Which object.
        complexity (int): 1 for one distinction at a time and anchors named by
            category or colour; 2 adds combinations of two steps; 3 adds
            counted objects and anchors described by size or place.

    Returns:
        dict[str, list]: Programs by type (:data:`EXPRESSION_TYPES`).
    """
    fact = semantics.facts[index]
    noun = [['category', fact.category]]
    found = {kind: [] for kind in EXPRESSION_TYPES}
    if semantics.resolve(noun) == index:  # no other word would add anything
        found['category'].append(noun)
        return found
    steps = _steps(semantics, index, complexity)
    enough, weak = [], []
    for kind, step in steps:
        means = semantics.resolve(noun + [step])
        (enough if means == index else weak).append((kind, step))
    for kind, step in enough:
        found[kind].append(noun + [step])
    if complexity >= 2:
        found['combination'] = [
            noun + pair
            for pair in _pairs([step for _, step in weak])
            if semantics.resolve(noun + pair) == index
        ]
    return found


def _steps(semantics, index, complexity):
    """Steps that may tell an object from others of its category, by type."""
    color = semantics.facts[index].color
    steps = [('color', ['color', color])] if color else []
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
    filters = 'color', 'position', 'relation'
    return [
        (kind, step)
        for kind, step in steps
        if step[0] not in filters or semantics.select(step)[0] >> index & 1
    ]


def _anchors(semantics, complexity):
    """Objects that a short phrase names: pairs of index and program."""
    anchors = []
    for index, fact in enumerate(semantics.facts):
        options = [[]]
        if fact.color:
            options.append([['color', fact.color]])
        if complexity >= 3:
            options += [[['size', which]] for which in _SIZE_WORDS]
            options += [[['extreme', side]] for side in SIDES]
        for option in options:
            program = [['category', fact.category]] + option
            if semantics.resolve(program) == index:
                anchors.append((index, program))
                break
    return anchors


def _pairs(steps):
    """Pairs of steps that one phrase can say without doubt."""
    for first in steps:
        for second in steps:
            if (first[0], second[0]) not in _PAIRS:
                continue
            if second[0] == 'relation' and first[0] == 'relation':
                if first[2] == second[2] or first[1] >= second[1]:
                    continue
            if second[0] == 'extreme' and first[0] == 'position':
                if not _crossed(first[1], second[1]):
                    continue
            yield [first, second]


def _crossed(region, side):
    """Whether a half of the image and a side are at right angles."""
    return region in SIDES and (region in SIDES[:2]) != (side in SIDES[:2])
