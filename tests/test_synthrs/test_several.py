# SPDX-License-Identifier: Apache-2.0
"""SynthRS sentences that mean several objects, or none.

What they mean is read from their English words and ``instances.json`` alone, as in the
test of sentences about one object.
"""

import hashlib
import json
import pickle
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmcadformer.datasets import SynthRSDataset
from mmcadformer.datasets.targets import kind_of, targets_of
from mmcadformer.synthrs import CATEGORIES, SYNTHRS_VOCABULARY, generate_synthrs

sys.path.insert(0, str(Path(__file__).parent))
from test_expressions import (  # noqa: E402
    filters_hold,
    holds,
    only,
    parse,
    things_by_image,
)

COUNTS = dict(train=120, test=40)
SHARES = dict(several=1 / 3, none=1 / 3)
OPTIONS = dict(
    image_size=64, difficulty='generalised', max_sentences=1, progress=False, **SHARES
)
NUMBER = re.compile(
    '(?:all three|the three|both|the two|all the|all|the)'
    '(?: (largest|biggest|smallest))? '
)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('several')
    generate_synthrs(root, COUNTS, **OPTIONS)
    return root


def read(root):
    folder = root / 'synthrs'
    refs = pickle.loads((folder / 'grefs(unc).p').read_bytes())
    return json.loads((folder / 'instances.json').read_text()), refs


def read_plural(text):
    """Number, superlative and the same in the singular; None for one object."""
    if not any(f'{category}s' in text for category in CATEGORIES):
        return None
    match = NUMBER.match(text)
    singular = text[match.end() :]
    for category in CATEGORIES:
        singular = singular.replace(f'{category}s', category)
    return match[0].split(), match[1], f'the {singular}'


def several(scene, text):
    """Ids of the things that a plural means."""
    words, superlative, singular = read_plural(text)
    category, conditions = parse(singular)
    things = [t for t in scene if t['category'] == category]
    for condition in conditions:
        things = [t for t in things if holds(t, condition, scene)[1]]
    assert filters_hold(things, conditions, scene), f'{text!r} is doubtful'
    if superlative:
        sign = 1 if superlative == 'smallest' else -1
        things = sorted(things, key=lambda t: sign * t['area'])
        inner, outer = sorted(t['area'] for t in things[1:3])
        assert outer > 1.4 * inner
        things = things[:2]
    counts = {'both': 2, 'two': 2, 'three': 3}
    for word in counts.keys() & set(words):
        assert len(things) == counts[word], text
    return {thing['id'] for thing in things}


def why_absent(scene, text):
    """Degree of absence by the widest sense of the words; None if it may be there."""
    plural = read_plural(text)
    category, conditions = parse(plural[2] if plural else text)
    things = [t for t in scene if t['category'] == category]
    if not things:
        return 'category'
    colors = [c for c in conditions if c[0] == 'color']
    things = [t for t in things if all(holds(t, c, scene)[1] for c in colors)]
    if not things:
        return 'attribute'
    places = [c for c in conditions if c[0] in ('place', 'relation')]
    for condition in places:
        if condition[0] == 'relation':
            assert only(scene, condition[2])  # which is there
    found = [t for t in things if all(holds(t, c, scene)[1] for c in places)]
    return 'relation' if places and not found else None


def test_every_sentence_means_what_is_written(root):
    instances, refs = read(root)
    scenes = things_by_image(instances)
    kinds = Counter()
    for ref in refs:
        scene = scenes[ref['image_id']]
        for sentence in ref['sentences']:
            text = sentence['sent']
            if ref['no_target']:
                assert ref['ann_id'] == ref['category_id'] == [-1]
                why = why_absent(scene, text)
                assert ref['kind'] == f'none/{why}', text
                kinds[ref['kind']] += 1
            elif len(ref['ann_id']) > 1:
                assert several(scene, text) == set(ref['ann_id']), text
                kinds['several'] += 1
            else:
                assert [only(scene, text)['id']] == ref['ann_id'], text
                kinds['one'] += 1
    total = kinds.total()
    assert 0.27 < kinds['one'] / total < 0.42
    assert 0.25 < kinds['several'] / total < 0.40
    none = total - kinds['one'] - kinds['several']
    for why in ('category', 'attribute', 'relation'):
        assert 0.30 < kinds[f'none/{why}'] / none < 0.37


def test_texts_of_none_are_true_elsewhere_in_their_split(root):
    _, refs = read(root)
    true = {
        (r['split'], s['sent'])
        for r in refs
        for s in r['sentences']
        if not r['no_target']
    }
    false = [
        (r['split'], s['sent']) for r in refs for s in r['sentences'] if r['no_target']
    ]
    assert len(false) > 150 and set(false) <= true


def test_words_do_not_tell_absence(root):
    """Neither the number, nor the colour, nor the type of a sentence."""
    _, refs = read(root)
    texts = [(s['sent'], r['no_target']) for r in refs for s in r['sentences']]
    whole = np.mean([absent for _, absent in texts])
    marks = dict(
        plural=lambda t: read_plural(t) is not None,
        red=lambda t: 'red ' in t,
        blue=lambda t: 'blue ' in t,
        white=lambda t: 'white ' in t,
        tennis=lambda t: 'tennis' in t,
        left=lambda t: 'left' in t,
        top=lambda t: 'top' in t or 'upper' in t,
    )
    for name, mark in marks.items():
        found = [absent for text, absent in texts if mark(text)]
        error = np.sqrt(whole * (1 - whole) / len(found))
        assert abs(np.mean(found) - whole) < 0.05 + 2.5 * error, name


def test_datasets_read_them(root):
    dataset = SynthRSDataset(str(root), split='test', test_mode=True)
    records = [dataset.get_data_info(i) for i in range(len(dataset))]
    kinds = {kind_of(record) for record in records}
    assert kinds == {
        'one',
        'several',
        *(f'none/{w}' for w in ('category', 'attribute', 'relation')),
    }
    for record in records:
        assert record['category'] in CATEGORIES
        assert (len(targets_of(record)) > 1) == (kind_of(record) == 'several')


def test_vocabulary_has_every_word(root):
    _, refs = read(root)
    words = {word for r in refs for s in r['sentences'] for word in s['tokens']}
    assert words <= set(SYNTHRS_VOCABULARY)


def test_same_arguments_give_the_same_bytes(tmp_path):
    found = []
    for name, workers in (('a', 0), ('b', 2)):
        counts = dict(train=8, val=4)
        generate_synthrs(tmp_path / name, counts, num_workers=workers, **OPTIONS)
        paths = sorted((tmp_path / name).rglob('*.*'))
        data = [p.read_bytes() for p in paths if p.is_file()]
        found.append([hashlib.sha256(d).hexdigest() for d in data])
    assert found[0] == found[1] and len(found[0]) == 12 + 3


@pytest.mark.parametrize(
    'shares', [dict(none=1.2), dict(several=-1), SHARES | {'none': 0.8}]
)
def test_bad_shares_are_named(tmp_path, shares):
    with pytest.raises(ValueError, match='both are shares'):
        generate_synthrs(tmp_path / 'x', progress=False, **shares)
