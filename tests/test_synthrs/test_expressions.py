# SPDX-License-Identifier: Apache-2.0
"""Every SynthRS expression means one object.

The expressions are read back from their English words by a small parser of
this file and checked by brute force against the decoded masks: neither the
generator's programs nor its positions are used.
"""

import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmcadformer.language.directions import rewrite_directions
from mmcadformer.synthrs import (
    CATEGORIES,
    OBJECT_COLORS,
    SYNTHRS_VOCABULARY,
)


def decode(segmentation, height, width):
    if isinstance(segmentation[0], list):
        segmentation = mask_utils.frPyObjects(segmentation, height, width)
    return mask_utils.decode(mask_utils.merge(segmentation)).astype(bool)


COLORS = {color for colors in OBJECT_COLORS.values() for color in colors}
MOST = dict(
    leftmost='left',
    rightmost='right',
    topmost='top',
    uppermost='top',
    bottommost='bottom',
    lowermost='bottom',
)
SIZES = dict(largest=max, biggest=max, smallest=min)
SIDE = '(left|right|top|upper|bottom|lower)'
PLACE = re.compile(
    rf'(?:in|on|at) the ({SIDE}(?: (?:left|right))?|middle|center)'
    r'(?: side| part| corner)?(?: of the image)?$'
)
RELATION = re.compile(
    rf'(?:(?:to the )?{SIDE} of|on the {SIDE} side of|(above)|(below)) (.+)$'
)
DISTANCE = re.compile(r'(?:(nearest|closest) to|(farthest)(?: away)? from) the (.+)$')
EDGE = re.compile(rf'(?:farthest to the {SIDE}|nearest to the {SIDE} edge)$')


def plain_side(word):
    return dict(upper='top', lower='bottom', above='top', below='bottom').get(
        word, word
    )


def parse(text):
    """Category and list of conditions of an expression."""
    text = text.removeprefix('the ')
    start, category = min((text.index(c), c) for c in CATEGORIES if c in text)
    words, tail = text[:start].split(), text[start + len(category) :].strip()
    conditions = []
    ordinal = None
    for word in list(words):
        if word in COLORS:
            conditions.insert(0, ('color', word))
        elif word in MOST:
            conditions.append(('most', MOST[word]))
        elif word in SIZES:
            conditions.append(('size', SIZES[word]))
        elif word in ('second', 'third'):
            ordinal = ['second', 'third'].index(word) + 1
        else:
            continue
        words.remove(word)
    if words:
        conditions.append(('place', [plain_side(word) for word in words]))
    tail = re.sub('^(that is|located) ', '', tail)
    if ordinal is not None:
        conditions.append(('ordinal', ordinal, tail.split()[-1]))
        assert re.fullmatch(rf'from the {SIDE}', tail), text
        tail = ''
    for phrase in tail.split(' and ') if tail else []:
        conditions.append(parse_phrase(phrase))
    order = dict(most=1, size=1, distance=1, ordinal=1)
    return category, sorted(conditions, key=lambda c: order.get(c[0], 0))


def parse_phrase(phrase):
    if match := PLACE.match(phrase):
        return 'place', [plain_side(w) for w in match[1].split()]
    if match := EDGE.match(phrase):
        return 'most', plain_side(match[1] or match[2])
    if match := DISTANCE.match(phrase):
        return 'distance', min if match[1] else max, match[3]
    match = RELATION.match(phrase)
    assert match, f'cannot read {phrase!r}'
    side = next(word for word in match.groups()[:4] if word)
    return 'relation', plain_side(side), match[5].removeprefix('the ')


def along(thing, side):
    """How far a thing lies to a side, from 0 to 1."""
    value = thing['x'] if side in ('left', 'right') else thing['y']
    return 1 - value if side in ('left', 'top') else value


def edge(thing, side):
    """How far a thing's edge lies to a side, from 0 to 1."""
    value = thing['edges'][side]
    return 1 - value if side in ('left', 'top') else value


def clearly(things, key, pick, lead):
    """The thing with the largest or smallest key, with a lead on others."""
    assert things
    best = pick(things, key=key)
    for other in things:
        assert other is best or lead(key(best), key(other))
    return [best]


def holds(thing, condition, scene):
    """Whether a condition holds: strictly, and in the widest sense."""
    kind = condition[0]
    if kind == 'color':
        return (thing['color'] == condition[1],) * 2
    if kind == 'place' and condition[1][0] in ('middle', 'center'):
        off = max(abs(thing['x'] - 0.5), abs(thing['y'] - 0.5))
        return off < 0.15, off < 0.22
    if kind == 'place':
        values = [along(thing, side) for side in condition[1]]
        return min(values) > 0.55, min(values) > 0.47
    anchor = only(scene, condition[2])
    if thing is anchor:
        return False, False
    ahead = along(thing, condition[1]) - along(anchor, condition[1])
    across = [abs(thing['x'] - anchor['x']), abs(thing['y'] - anchor['y'])]
    aside = across[condition[1] in ('left', 'right')]
    return ahead > 0.07 and ahead > 0.9 * aside, ahead > 0.03


def only(scene, text):
    """The one thing of a scene that an expression means."""
    category, conditions = parse(text)
    things = [t for t in scene if t['category'] == category]
    for condition in conditions:
        if condition[0] in SUPERLATIVES:
            settled = filters_hold(things, conditions, scene)
            assert settled, f'{text!r} compares doubtful things'
            things = superlative(things, condition, scene)
            continue
        things = [t for t in things if holds(t, condition, scene)[1]]
    assert len(things) == 1, f'{len(things)} things are {text!r}'
    assert filters_hold(things, conditions, scene), f'{text!r} is doubtful'
    return things[0]


def filters_hold(things, conditions, scene):
    """Whether all conditions but superlatives hold strictly for things."""
    return all(
        holds(thing, condition, scene)[0]
        for thing in things
        for condition in conditions
        if condition[0] not in SUPERLATIVES
    )


SUPERLATIVES = 'most', 'size', 'distance', 'ordinal'


def superlative(things, condition, scene):
    """What stands out of things, clearly."""
    kind = condition[0]
    if kind == 'most':
        side = condition[1]
        outer = clearly(things, lambda t: edge(t, side), max, lambda a, b: a > b)
        first = clearly(
            things, lambda t: along(t, side), max, lambda a, b: a - b > 0.07
        )
        assert first[0] is outer[0]
        return first
    if kind == 'size':
        return clearly(
            things,
            lambda t: t['area'],
            condition[1],
            lambda a, b: max(a, b) > 1.4 * min(a, b),
        )
    if kind == 'distance':
        anchor = only(scene, condition[2])
        return clearly(
            [t for t in things if t is not anchor],
            lambda t: np.hypot(t['x'] - anchor['x'], t['y'] - anchor['y']),
            condition[1],
            lambda a, b: max(a, b) > 1.25 * min(a, b),
        )
    _, number, side = condition
    things = sorted(things, key=lambda t: -along(t, side))
    gaps = -np.diff([along(t, side) for t in things])
    assert min(gaps[: number + 1]) > 0.07
    edges = [edge(t, side) for t in things]
    assert edges[number] > max(edges[number + 1 :], default=0)
    return [things[number]]


def kind_of(text):
    """Type of an expression as the record calls it."""
    _, conditions = parse(text)
    if len(conditions) > 1:
        return 'combination'
    names = dict(
        color='color',
        size='size',
        place='position',
        most='position',
        ordinal='position',
        relation='relation',
        distance='relation',
    )
    return names[conditions[0][0]] if conditions else 'category'


def things_by_image(instances, turn=lambda mask: mask):
    """Scenes measured from their masks, which ``turn`` may mirror."""
    names = {c['id']: c['name'] for c in instances['categories']}
    sizes = {i['id']: (i['height'], i['width']) for i in instances['images']}
    scenes = defaultdict(list)
    for ann in instances['annotations']:
        height, width = sizes[ann['image_id']]
        mask = turn(decode(ann['segmentation'], height, width))
        y, x = np.nonzero(mask)
        height, width = mask.shape
        scenes[ann['image_id']].append(
            dict(
                id=ann['id'],
                category=names[ann['category_id']],
                color=ann['attributes']['color'],
                area=int(mask.sum()),
                x=(x.mean() + 0.5) / width,
                y=(y.mean() + 0.5) / height,
                edges=dict(
                    left=x.min() / width,
                    right=x.max() / width,
                    top=y.min() / height,
                    bottom=y.max() / height,
                ),
            )
        )
    return scenes


def test_every_expression_means_exactly_its_object(dataset, read):
    difficulty, root = dataset
    instances, refs, record = read(root)
    scenes = things_by_image(instances)
    kinds = Counter()
    for ref in refs:
        for sentence in ref['sentences']:
            text = sentence['sent']
            thing = only(scenes[ref['image_id']], text)
            assert thing['id'] == ref['ann_id'], text
            said = record['sentences'][str(sentence['sent_id'])]
            assert kind_of(text) == said['type'], text
            kinds[said['type']] += 1
    expected = {'category', 'position', 'size', 'color', 'relation', 'combination'}
    if difficulty == 'starter':  # one distinction at a time
        expected.remove('combination')
    assert set(kinds) == expected
    if difficulty == 'easy':
        simple = kinds['position'] + kinds['size'] + kinds['color']
        assert simple > 0.5 * kinds.total()
    if difficulty == 'hard':
        assert kinds['relation'] + kinds['combination'] > 0.5 * kinds.total()


def test_the_check_itself_sees_doubtful_expressions():
    def tank(number, x, y, area=100.0, color='white'):
        thing = dict(id=number, category='storage tank', color=color, x=x, y=y)
        return thing | dict(area=area, edges=dict(left=x, right=x, top=y, bottom=y))

    scene = [tank(1, 0.2, 0.2), tank(2, 0.49, 0.6, 130.0), tank(3, 0.8, 0.25)]
    assert only(scene, 'the upper left storage tank')['id'] == 1
    assert only(scene, 'lowermost storage tank')['id'] == 2
    for text in (
        'the storage tank on the left',
        'the largest storage tank',
        'the topmost storage tank',
        'the white storage tank',
        'the storage tank at the top',
        'the storage tank',
    ):
        with pytest.raises(AssertionError):
            only(scene, text)


@pytest.mark.parametrize(
    'name, turn',
    [
        ('horizontal', np.fliplr),
        ('vertical', np.flipud),
        ('rotate90', np.rot90),
        ('rotate180', lambda mask: np.rot90(mask, 2)),
        ('rotate270', lambda mask: np.rot90(mask, 3)),
    ],
)
def test_expressions_stay_true_when_image_and_words_are_turned(
    dataset, name, turn, read
):
    instances, refs, _ = read(dataset[1])
    scenes = things_by_image(instances, turn)
    texts = kept = 0
    for ref in refs:
        for sentence in ref['sentences']:
            text = rewrite_directions(sentence['sent'], name)
            texts += 1
            if text is not None:
                kept += 1
                assert only(scenes[ref['image_id']], text)['id'] == ref['ann_id']
    assert kept > 0.95 * texts


def test_vocabulary_covers_every_expression(dataset, read):
    _, refs, _ = read(dataset[1])
    words = {
        word
        for ref in refs
        for sentence in ref['sentences']
        for word in sentence['tokens']
    }
    assert words <= set(SYNTHRS_VOCABULARY)
    assert len(SYNTHRS_VOCABULARY) <= 120


def test_sentences_of_an_object_differ(dataset, read):
    _, refs, _ = read(dataset[1])
    several = 0
    for ref in refs:
        texts = [sentence['sent'] for sentence in ref['sentences']]
        assert 1 <= len(texts) <= 3 and len(set(texts)) == len(texts)
        several += len(texts) > 1
    assert several > 0.5 * len(refs)
