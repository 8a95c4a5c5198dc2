# Copyright (c) mmcadformer contributors. All rights reserved.
"""English expressions for the programs of :mod:`.semantics`."""
import re

from .objects import CATEGORIES, OBJECT_COLORS
from .semantics import POSITIONS, SIDES

EXPRESSION_TYPES = ('category', 'position', 'size', 'color', 'relation',
                    'combination')
"""tuple[str]: How an expression tells its object from the others."""

_REGION_WORDS = {
    'left': ('left',), 'right': ('right',), 'top': ('top', 'upper'),
    'bottom': ('bottom', 'lower'),
    'upper left': ('upper left', 'top left'),
    'upper right': ('upper right', 'top right'),
    'lower left': ('lower left', 'bottom left'),
    'lower right': ('lower right', 'bottom right'),
}
_HALF_PHRASES = {
    'left': ('on the left', 'on the left side', 'in the left part',
             'on the left side of the image'),
    'right': ('on the right', 'on the right side', 'in the right part',
              'on the right side of the image'),
    'top': ('at the top', 'in the upper part', 'at the top of the image',
            'in the top part of the image'),
    'bottom': ('at the bottom', 'in the lower part',
               'at the bottom of the image',
               'in the bottom part of the image'),
}
_CORNER_PHRASES = ('in the {}', 'in the {} corner', 'at the {}',
                   'in the {} part of the image')
_CENTER_PHRASES = ('in the center', 'in the middle', 'at the center',
                   'in the middle of the image', 'in the center of the image')
_EXTREME_WORDS = {
    'left': ('leftmost',), 'right': ('rightmost',),
    'top': ('topmost', 'uppermost'), 'bottom': ('bottommost', 'lowermost'),
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
_DISTANCE_PHRASES = {'nearest': ('nearest to', 'closest to'),
                     'farthest': ('farthest from', 'farthest away from')}
_LINKS = ('', '', '', 'located ', 'that is ')
_ARTICLES = ('the ', 'the ', 'the ', '')


def _vocabulary():
    texts = [*CATEGORIES, *_CORNER_PHRASES, *_CENTER_PHRASES, *_LINKS,
             *_ARTICLES, *_ORDINAL_WORDS.values(), _ORDINAL_PHRASE, *SIDES]
    for table in (OBJECT_COLORS, _REGION_WORDS, _HALF_PHRASES, _EXTREME_WORDS,
                  _EXTREME_PHRASES, _SIZE_WORDS, _RELATION_PHRASES,
                  _DISTANCE_PHRASES):
        for entries in table.values():
            texts.extend(entries)
    words = re.findall(r'[a-z]+', ' '.join(texts))
    return tuple(sorted(set(words)))


SYNTHRS_VOCABULARY = _vocabulary()
"""tuple[str]: Every word that SynthRS expressions are made of."""


def _pick(rng, options):
    return options[int(rng.integers(len(options)))]


def realize(program, rng, article=None):
    """Say a program in English.

    Args:
        program (list): Steps, see :mod:`.semantics`.
        rng (np.random.Generator): Chooses between wordings.
        article (str, optional): Text before the noun phrase; 'the ' or
            nothing by default.

    Returns:
        str: Expression in lower case.
    """
    before, after = [], []
    color = noun = ''
    for step in program:
        kind = step[0]
        if kind == 'category':
            noun = step[1]
        elif kind == 'color':
            color = step[1]
        else:
            word, phrase = _modifier(step, rng, bool(before), bool(after))
            before = [word] + before if word else before
            after = after + [phrase] if phrase else after
    words = ' '.join([*before, color, noun] if color else [*before, noun])
    if after:
        link = _pick(rng, _LINKS)
        words += ' ' + link + ' '.join(after)
    return (_pick(rng, _ARTICLES) if article is None else article) + words


def _modifier(step, rng, has_word, has_phrase):
    """Word before and phrase after the noun for one step of a program."""
    kind = step[0]
    if kind == 'position':
        region = step[1]
        if region == 'center':
            return '', _pick(rng, _CENTER_PHRASES)
        if not has_word and rng.random() < 0.3:
            return _pick(rng, _REGION_WORDS[region]), ''
        if region in SIDES:
            return '', _pick(rng, _HALF_PHRASES[region])
        corner = _pick(rng, _REGION_WORDS[region])
        return '', _pick(rng, _CORNER_PHRASES).format(corner)
    if kind == 'extreme':
        if has_phrase or rng.random() < 0.7:
            return _pick(rng, _EXTREME_WORDS[step[1]]), ''
        return '', _pick(rng, _EXTREME_PHRASES[step[1]])
    if kind == 'size':
        return _pick(rng, _SIZE_WORDS[step[1]]), ''
    if kind == 'ordinal':
        return _ORDINAL_WORDS[step[1]], _ORDINAL_PHRASE.format(step[2])
    table = _RELATION_PHRASES if kind == 'relation' else _DISTANCE_PHRASES
    anchor = realize(step[2], rng, article='the ')
    return '', f'{_pick(rng, table[step[1]])} {anchor}'


def describe(semantics, index, max_complexity=1):
    """Programs that mean one object and no other.

    Args:
        semantics (SceneSemantics): The scene.
        index (int): Which object.
        max_complexity (int): 1 for one distinction at a time and anchors
            named by category or colour; 2 adds combinations of two steps; 3
            adds counted objects and anchors described by size or place.

    Returns:
        dict[str, list]: Programs by type (:data:`EXPRESSION_TYPES`).
    """
    fact = semantics.facts[index]
    noun = [['category', fact.category]]
    found = {kind: [] for kind in EXPRESSION_TYPES}

    def keep(kind, program):
        if semantics.resolve(program) == index:
            found[kind].append(program)
            return True
        return False

    if keep('category', noun):
        alone = True
    else:
        alone = False
    colors = [['color', fact.color]] if fact.color else []
    singles = _steps(semantics, index, max_complexity)
    if not alone:
        for step in colors:
            keep('color', noun + [step])
        for kind, step in singles:
            if kind != 'relation':
                keep(kind, noun + [step])
    for kind, step in singles:
        if kind == 'relation' and not alone:
            keep(kind, noun + [step])
    if max_complexity >= 2 and not alone:
        _combine(semantics, index, noun, colors, singles, keep)
    return found


def _steps(semantics, index, max_complexity):
    """Single steps that could tell one object from others, with types."""
    steps = [('position', ['position', p]) for p in POSITIONS
             if semantics._positions[p][0] >> index & 1]
    steps += [('position', ['extreme', side]) for side in SIDES]
    steps += [('size', ['size', which]) for which in _SIZE_WORDS]
    if max_complexity >= 3:
        steps += [('position', ['ordinal', n, side])
                  for n in _ORDINAL_WORDS for side in SIDES]
    for anchor, program in _anchors(semantics, max_complexity):
        if anchor == index:
            continue
        steps += [('relation', ['relation', side, program]) for side in SIDES
                  if semantics._relation(side, anchor)[0] >> index & 1]
        steps += [('relation', ['distance', which, program])
                  for which in _DISTANCE_PHRASES]
    return steps


def _anchors(semantics, max_complexity):
    """Objects that a short phrase names: pairs of index and program."""
    anchors = []
    for index, fact in enumerate(semantics.facts):
        noun = [['category', fact.category]]
        options = [noun]
        if fact.color:
            options.append(noun + [['color', fact.color]])
        if max_complexity >= 3:
            options += [noun + [['size', which]] for which in _SIZE_WORDS]
            options += [noun + [['extreme', side]] for side in SIDES]
        for program in options:
            if semantics.resolve(program) == index:
                anchors.append((index, program))
                break
    return anchors


def _combine(semantics, index, noun, colors, singles, keep):
    """Pairs of steps of which neither suffices alone."""
    filters = colors + [s for _, s in singles if s[0] in ('position',
                                                         'relation')]
    filters = [s for s in filters if semantics.resolve(noun + [s]) != index]
    for position, first in enumerate(filters):
        for second in filters[position + 1:]:
            if first[0] != second[0]:
                keep('combination', noun + [first, second])
        for _, step in singles:
            if step[0] in ('extreme', 'size', 'distance') and \
                    _compatible(first, step) and \
                    semantics.resolve(noun + [step]) != index:
                keep('combination', noun + [first, step])


def _compatible(first, last):
    """Whether two steps can be said in one phrase."""
    return first[0] == 'color' or last[0] == 'size' or (
        first[0] == 'position' and last[0] == 'extreme')
