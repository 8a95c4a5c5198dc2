# SPDX-License-Identifier: Apache-2.0
"""SynthRS: what is on disk, and that every expression means one object.

The expressions are read back from their English words by a small parser of
this file and checked by brute force against the decoded masks: neither the
generator's programs nor its positions are used.
"""

import hashlib
import json
import pickle
import re
import runpy
import sys
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmcadformer.datasets.transforms import rewrite_directions
from mmcadformer.synthrs import (
    CATEGORIES,
    OBJECT_COLORS,
    SYNTHRS_VOCABULARY,
    Difficulty,
    ObjectFacts,
    SceneSemantics,
    annotate,
    draw_objects,
    generate_synthrs,
    make_scene,
    random_object,
)

ROOT = Path(__file__).parents[2]
COUNTS = dict(train=40, val=6, test=8)
SPARSE = Difficulty(
    main=(2, 2),
    others=(1, 1),
    other_categories=1,
    size=(0.15, 0.2),
    clutter=(0, 0),
    complexity=1,
    weights=dict(category=1, position=1, size=0, color=0, relation=0, combination=0),
)


def read(root):
    """Annotations, references and record of a dataset on disk."""
    folder = Path(root) / 'synthrs'
    with open(folder / 'refs(unc).p', 'rb') as file:
        refs = pickle.load(file)
    return (
        json.loads((folder / 'instances.json').read_text()),
        refs,
        json.loads((folder / 'synthrs.json').read_text()),
    )


def digests(root):
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).digest()
        for p in sorted(Path(root).rglob('*'))
        if p.is_file()
    }


def decode(segmentation, height, width):
    if isinstance(segmentation[0], list):
        segmentation = mask_utils.frPyObjects(segmentation, height, width)
    return mask_utils.decode(mask_utils.merge(segmentation)).astype(bool)


@pytest.fixture(scope='module', params=['starter', 'easy', 'normal', 'hard'])
def dataset(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    generate_synthrs(root, COUNTS, difficulty=request.param, progress=False)
    return request.param, root


@pytest.fixture(scope='module')
def easy(tmp_path_factory):
    root = tmp_path_factory.mktemp('easy')
    generate_synthrs(root, COUNTS, progress=False)
    return root


# --- reading the expressions -------------------------------------------------

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


# --- expressions -------------------------------------------------------------


def test_every_expression_means_exactly_its_object(dataset):
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
def test_expressions_stay_true_when_image_and_words_are_turned(dataset, name, turn):
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


def test_vocabulary_covers_every_expression(dataset):
    _, refs, _ = read(dataset[1])
    words = {
        word
        for ref in refs
        for sentence in ref['sentences']
        for word in sentence['tokens']
    }
    assert words <= set(SYNTHRS_VOCABULARY)
    assert len(SYNTHRS_VOCABULARY) <= 120


def test_sentences_of_an_object_differ(dataset):
    _, refs, _ = read(dataset[1])
    several = 0
    for ref in refs:
        texts = [sentence['sent'] for sentence in ref['sentences']]
        assert 1 <= len(texts) <= 3 and len(set(texts)) == len(texts)
        several += len(texts) > 1
    assert several > 0.5 * len(refs)


@pytest.mark.parametrize(
    'steps, expected',
    [
        ([['position', 'left']], None),  # the second tank is nearly on the left
        ([['position', 'upper left']], 0),
        ([['extreme', 'left']], 0),
        ([['extreme', 'top']], None),  # 0.05 image heights are no clear lead
        ([['size', 'largest']], None),
        ([['color', 'brown']], 1),
        ([['color', 'white']], None),
        ([['color', 'white'], ['extreme', 'right']], 2),
        ([['ordinal', 2, 'left']], 1),
        ([['relation', 'right', [['category', 'roundabout']]]], 2),
        ([['distance', 'nearest', [['category', 'roundabout']]]], 1),
        ([['relation', 'left', [['category', 'tennis court']]]], None),
    ],
)
def test_programs_have_three_values(steps, expected):
    semantics = SceneSemantics(
        [
            ObjectFacts('storage tank', 'white', 0.2, 0.2, 100.0),
            ObjectFacts('storage tank', 'brown', 0.49, 0.6, 130.0),
            ObjectFacts('storage tank', 'white', 0.8, 0.25, 100.0),
            ObjectFacts('roundabout', None, 0.5, 0.4, 90.0),
        ]
    )
    program = [['category', 'storage tank']] + steps
    assert semantics.resolve(program) == expected


def test_unknown_step_is_an_error():
    semantics = SceneSemantics([])
    with pytest.raises(ValueError, match='shiny'):
        semantics.run([['shiny', 1]])


# --- scenes ------------------------------------------------------------------


def test_most_targets_stand_among_candidates(dataset):
    instances, refs, _ = read(dataset[1])
    counts = Counter(
        (a['image_id'], a['category_id']) for a in instances['annotations']
    )
    most = Counter()
    for (image_id, _), count in counts.items():
        most[image_id] = max(most[image_id], count)
    crowded = sum(count >= 3 for count in most.values())
    assert crowded >= 0.8 * len(instances['images'])
    among = sum(counts[r['image_id'], r['category_id']] >= 3 for r in refs)
    assert among >= 0.6 * len(refs)


def test_objects_lie_inside_and_apart(dataset):
    instances, _, _ = read(dataset[1])
    covered = defaultdict(lambda: 0)
    for ann in instances['annotations']:
        mask = decode(ann['segmentation'], 128, 128)
        covered[ann['image_id']] = covered[ann['image_id']] + mask
        x, y, width, height = ann['bbox']
        rows, columns = np.nonzero(mask)
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        assert ann['area'] == mask.sum() > 0
        assert not mask[[0, -1]].all() and 0 <= x and x + width <= 128
    assert len(covered) == sum(COUNTS.values())
    assert max(image.max() for image in covered.values()) == 1


@pytest.mark.parametrize('category', CATEGORIES)
@pytest.mark.parametrize('size', [24, 80])
def test_masks_cover_what_is_drawn(category, size):
    height, width = 110, 120
    pixels = [(x + 0.5, y + 0.5) for y in range(height) for x in range(width)]
    rng = np.random.default_rng(size)
    for _ in range(4):
        obj = random_object(rng, category, rng.uniform(54, 60, 2), size)
        masks = [
            decode(annotate(obj, height, width, form)['segmentation'], height, width)
            for form in (True, False)
        ]
        mask = masks[0]
        assert (mask == masks[1]).all()
        outline = obj.polygon().astype(np.float32)
        inside = [cv2.pointPolygonTest(outline, xy, False) >= 0 for xy in pixels]
        inside = np.reshape(inside, mask.shape)
        assert (mask & inside).sum() > 0.94 * (mask | inside).sum()
        # shadows leave black ground black; 50 is half of the darkest paint
        canvas = np.zeros((height, width, 3), np.uint8)
        drawn = draw_objects(canvas, [obj]).max(axis=2) > 50
        assert drawn[mask].mean() > 0.97
        if category not in ('roundabout', 'swimming pool'):  # roads, decks
            overlap = (mask & drawn).sum() / (mask | drawn).sum()
            assert overlap > (0.87 if size == 24 else 0.95)
            near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) > 0
            assert not (drawn & ~near).any()


def test_drawing_is_the_same_anywhere_on_a_large_canvas():
    rng = np.random.default_rng(3)
    objects = [
        random_object(rng, category, (60 + 5 * i, 64), 40)
        for i, category in enumerate(CATEGORIES)
    ]
    small = np.full((128, 160, 3), 120, np.uint8)
    draw_objects(small, objects)
    large = np.full((900, 1300, 3), 120, np.uint8)
    for obj in objects:
        obj.center = obj.center[0] + 1000, obj.center[1] + 700
    draw_objects(large, objects)
    assert (small != 120).mean() > 0.1
    np.testing.assert_array_equal(large[700:828, 1000:1160], small)
    large[700:828, 1000:1160] = 120
    assert (large == 120).all()


def test_drawing_over_the_border_is_clipped():
    canvas = np.full((40, 40, 3), 120, np.uint8)
    rng = np.random.default_rng(0)
    draw_objects(
        canvas,
        [
            random_object(rng, 'storage tank', (2, 2), 20),
            random_object(rng, 'storage tank', (500, 2), 20),
        ],
    )
    assert (canvas[:8, :8] != 120).any() and (canvas[30:, 30:] == 120).all()


def test_unknown_category_is_an_error():
    with pytest.raises(ValueError, match='bridge'):
        random_object(np.random.default_rng(0), 'bridge', (0, 0), 10)


@pytest.mark.parametrize('size', [96, 301])
def test_scenes_scale_with_the_image(size):
    scene = make_scene(np.random.default_rng(1), size)
    assert scene.image.shape == (size, size, 3)
    assert scene.image.dtype == np.uint8 and scene.image.std() > 10
    assert len(scene.objects) >= 4
    longest = [max(obj.bbox()[2:]) / size for obj in scene.objects]
    assert 0.1 < min(longest) and max(longest) < 0.45


# --- files -------------------------------------------------------------------


# sparse scenes repeat one-word expressions, which pickle may store as one object
@pytest.mark.parametrize('difficulty', ['hard', SPARSE], ids=['hard', 'sparse'])
def test_same_arguments_give_the_same_bytes(tmp_path, difficulty):
    options = dict(difficulty=difficulty, image_size=96, progress=False)
    for name, seed, workers in (('a', 7, 0), ('b', 7, 2), ('c', 8, 0)):
        options.update(seed=seed, num_workers=workers)
        generate_synthrs(tmp_path / name, dict(train=15, test=5), **options)
    first, second, other = (digests(tmp_path / name) for name in 'abc')
    assert len(first) == 20 + 3 and first == second
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_layout(easy):
    instances, refs, record = read(easy)
    assert [c['name'] for c in instances['categories']] == list(CATEGORIES)
    anns = {a['id']: a for a in instances['annotations']}
    images = {i['id']: i for i in instances['images']}
    sent_ids = [i for ref in refs for i in ref['sent_ids']]
    for ids in ([r['ref_id'] for r in refs], [r['ann_id'] for r in refs], sent_ids):
        assert len(set(ids)) == len(ids)
    assert {str(i) for i in sent_ids} == set(record['sentences'])
    for ref in refs:
        ann = anns[ref['ann_id']]
        assert ref['image_id'] == ann['image_id']
        assert ref['category_id'] == ann['category_id']
        assert ref['sent_ids'] == [s['sent_id'] for s in ref['sentences']]
        for sentence in ref['sentences']:
            assert sentence['raw'] == sentence['sent']
            assert ' '.join(sentence['tokens']) == sentence['sent']
    forms = Counter(type(a['segmentation'][0]) for a in anns.values())
    assert min(forms[list], forms[dict]) > 0.3 * len(anns)
    folder = easy / 'images' / 'synthrs' / 'JPEGImages'
    assert {p.name for p in folder.iterdir()} == {
        i['file_name'] for i in images.values()
    }
    picture = cv2.imread(str(folder / images[1]['file_name']))
    assert picture.shape == (images[1]['height'], images[1]['width'], 3)


def test_splits_share_no_scene(easy):
    instances, refs, _ = read(easy)
    folder = easy / 'images' / 'synthrs' / 'JPEGImages'
    split_of = {}
    for ref in refs:
        assert split_of.setdefault(ref['image_id'], ref['split']) == ref['split']
    assert set(split_of.values()) == {'train', 'val', 'test'}
    pictures = {(folder / i['file_name']).read_bytes() for i in instances['images']}
    assert len(pictures) == len(instances['images'])
    objects = defaultdict(set)
    for ann in instances['annotations']:
        objects[split_of[ann['image_id']]].add(tuple(ann['attributes']['centroid']))
    assert objects['train'].isdisjoint(objects['test'] | objects['val'])


def test_a_split_does_not_depend_on_the_others(easy, tmp_path):
    generate_synthrs(tmp_path, dict(test=3), progress=False)
    for number in range(3):
        name = f'images/synthrs/JPEGImages/synthrs_test_{number:06d}.jpg'
        assert (tmp_path / name).read_bytes() == (easy / name).read_bytes()


def test_finished_dataset_is_left_alone(tmp_path):
    counts = dict(train=2)
    generate_synthrs(tmp_path, counts, progress=False)
    record = tmp_path / 'synthrs' / 'synthrs.json'
    before = record.stat().st_mtime_ns
    generate_synthrs(tmp_path, counts, progress=False)
    assert record.stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match='other arguments'):
        generate_synthrs(tmp_path, counts, seed=1, progress=False)
    assert record.stat().st_mtime_ns == before
    generate_synthrs(tmp_path, counts, seed=1, progress=False, overwrite=True)
    assert read(tmp_path)[2]['arguments']['seed'] == 1


def test_lost_files_and_interrupted_runs_are_made_again(tmp_path):
    counts = dict(train=3)
    generate_synthrs(tmp_path, counts, progress=False)
    whole = digests(tmp_path)
    (tmp_path / 'images/synthrs/JPEGImages/synthrs_train_000001.jpg').unlink()
    generate_synthrs(tmp_path, counts, progress=False)
    assert digests(tmp_path) == whole
    # what an interrupted run leaves
    (tmp_path / 'synthrs' / 'synthrs.json').unlink()
    (tmp_path / 'synthrs' / 'incomplete.json').write_text('{}')
    generate_synthrs(tmp_path, counts, progress=False)
    assert digests(tmp_path) == whole


@pytest.mark.parametrize('folder', ['synthrs', 'images/synthrs'])
@pytest.mark.parametrize('overwrite', [False, True])
def test_foreign_files_are_never_deleted(tmp_path, folder, overwrite):
    precious = tmp_path / folder / 'thesis.txt'
    precious.parent.mkdir(parents=True)
    precious.write_text('years of work')
    with pytest.raises(FileExistsError, match='not made by'):
        generate_synthrs(tmp_path, dict(train=1), progress=False, overwrite=overwrite)
    assert precious.read_text() == 'years of work'


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(difficulty='brutal'), 'brutal.*easy'),
        (dict(num_scenes=dict(testA=3)), 'testA'),
        (dict(num_scenes=dict(train=-3)), 'train.*-3'),
        (dict(image_size=12), 'image_size is 12'),
        (dict(image_size=128.5), 'image_size is 128.5'),
        (dict(seed=-1), 'seed is -1'),
        (dict(max_refs=0), 'max_refs is 0'),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_synthrs(tmp_path / 'out', progress=False, **arguments)
    assert not (tmp_path / 'out').exists()


def test_own_difficulty(tmp_path):
    for _ in range(2):  # the second call finds the same arguments
        generate_synthrs(tmp_path, dict(train=12), difficulty=SPARSE, progress=False)
    instances, _, record = read(tmp_path)
    assert len(instances['annotations']) == 36
    kinds = {said['type'] for said in record['sentences'].values()}
    assert kinds == {'category', 'position'}


def test_command(tmp_path, monkeypatch, capsys):
    def run(*options):
        script = str(ROOT / 'tools' / 'dataset_converters' / 'synthrs.py')
        sizes = '--train 2 --val 1 --test 1 --image-size 96 --difficulty normal'
        arguments = [script, str(tmp_path / 'cli'), *sizes.split(), *options]
        monkeypatch.setattr(sys, 'argv', arguments)
        runpy.run_path(script, run_name='__main__')

    run('--seed', '4', '--workers', '2')
    assert '4/4' in capsys.readouterr().out  # the progress bar
    generate_synthrs(
        tmp_path / 'library',
        dict(train=2, val=1, test=1),
        image_size=96,
        seed=4,
        difficulty='normal',
        progress=False,
    )
    assert digests(tmp_path / 'cli') == digests(tmp_path / 'library')
    with pytest.raises(SystemExit, match='other arguments.*--overwrite'):
        run('--seed', '5')
    run('--seed', '5', '--overwrite')
    assert read(tmp_path / 'cli')[2]['arguments']['seed'] == 5
