# SPDX-License-Identifier: Apache-2.0
import json

import cv2
import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

from mmcadformer.scene import Tiling, presence_score, read_presence
from mmcadformer.scene.presence import (
    DEFINITION,
    choose_threshold,
    make_examples,
    score_examples,
    summarise,
)


def test_score_is_the_mean_of_the_highest_probabilities():
    rng = np.random.default_rng(0)
    probabilities = rng.random((100, 200)).astype(np.float32)
    valid = np.ones((100, 200), bool)
    best = np.sort(probabilities.ravel())[-10:]  # 0.05 % of 20,000
    assert presence_score(probabilities, valid) == pytest.approx(best.mean())
    valid[probabilities > 0.5] = False
    assert presence_score(probabilities, valid) <= 0.5
    assert presence_score(probabilities, np.zeros_like(valid)) == 0
    tiny = np.array([[0.2, 0.7]])
    assert presence_score(tiny, np.array([[True, False]])) == pytest.approx(0.2)


def test_tiles_without_the_object_stay_dark(
    make_scene, utm, segment, read, network, tmp_path
):
    """Weak answers light up everywhere, unless something stronger is asked for."""
    picture = np.zeros((64, 320, 3), np.uint8)
    picture[..., 0] = 30  # taken for red, without conviction
    picture[20:40, 120:140, 0] = 255
    path = make_scene(picture, **utm)
    tiling = Tiling((64,), 0)
    segment(path, out='all', tiling=tiling)
    assert read(tmp_path / 'all/scene_01_mask.tif').all()

    result = segment(path, out='gated', tiling=tiling, presence=0.9)
    record = result.summary['expressions'][0]
    assert (record['tiles'], record['tiles_with_object']) == (5, 2)
    assert record['highest_presence'] > 0.99
    probability = read(tmp_path / 'gated/scene_01_probability.tif')
    assert (probability[:, :64] == 0).all() and (probability[:, 192:] == 0).all()
    assert (probability[:, 64:192] > 0).all()


def test_a_silent_tile_leaves_its_neighbours_part_alone(
    make_scene, utm, segment, read, network, tmp_path
):
    """An object at the border of a tile that misses it is not dimmed."""
    picture = np.zeros((64, 112, 3), np.uint8)
    picture[10:50, 46:90, 0] = 255
    path = make_scene(picture, **utm)
    answer = network.answer

    def blind_on_the_left(pixels, word):
        found = answer(pixels, word)
        return found * 0.1 if found[:, :, -16:].mean() > 0.6 else found

    network.pairs = 1
    network.answer = blind_on_the_left
    tiling = Tiling((64,), 0.25)
    segment(path, out='gated', tiling=tiling, presence=0.5)
    mask = read(tmp_path / 'gated/scene_01_mask.tif')
    assert np.array_equal(mask[:, 48:], (picture[..., 0] > 0)[:, 48:])


def test_thresholds_come_from_numbers_and_files(tmp_path):
    assert read_presence(None) == (0, {}) and read_presence('0.25') == (0.25, {})
    file = tmp_path / 'presence.json'
    file.write_text(json.dumps(dict(threshold=0.4, score=DEFINITION)))
    assert read_presence(file)[0] == 0.4
    with pytest.raises(FileNotFoundError, match='nowhere.json'):
        read_presence(tmp_path / 'nowhere.json')
    with pytest.raises(ValueError, match='0...1'):
        read_presence(1.5)
    with pytest.raises(ValueError, match='0...1'):
        read_presence('nan')
    for text in ('{}', 'no json', '[]', '{"threshold": "high"}'):
        file.write_text(text)
        with pytest.raises(ValueError, match='presence.json has no threshold'):
            read_presence(file)
    file.write_text('{"threshold": 0.4, "score": "another"}')
    with pytest.raises(ValueError, match='calibrate again'):
        read_presence(file)


def test_threshold_is_the_best_there_is():
    """Against trying every threshold, and against SciPy's rank statistic."""
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(1)
    present, absent = rng.normal(0.6, 0.2, 80).clip(0, 1), rng.normal(0.4, 0.2, 60)
    absent = absent.clip(0, 1)
    found = choose_threshold(present, absent)
    grid = np.linspace(0, 1, 20001)
    recall = (present[:, None] >= grid).mean(0)
    alarms = (absent[:, None] >= grid).mean(0)
    assert found.recall - found.false_alarms == pytest.approx((recall - alarms).max())
    passing = [(scores >= found.threshold).mean() for scores in (present, absent)]
    assert [found.recall, found.false_alarms] == pytest.approx(passing)
    u = mannwhitneyu(present, absent).statistic
    assert found.auroc == pytest.approx(u / (80 * 60))

    strict = choose_threshold(present, absent, max_false_alarms=0.05)
    assert strict.false_alarms <= 0.05
    assert strict.recall == pytest.approx(recall[alarms <= 0.05].max())
    kept = choose_threshold(present, absent, min_recall=0.9)
    assert kept.recall >= 0.9
    assert kept.false_alarms == pytest.approx(alarms[recall >= 0.9].min())
    clear = choose_threshold([0.9, 0.8], [0.1, 0.2])
    assert clear.threshold == pytest.approx(0.5) and clear.auroc == 1
    with pytest.raises(ValueError, match='both kinds'):
        choose_threshold([], [0.1])
    with pytest.raises(ValueError, match='out of range'):
        choose_threshold([0.5], [0.1], max_false_alarms=2)
    with pytest.raises(ValueError, match='exclude each other'):
        choose_threshold([0.5], [0.1], max_false_alarms=0.1, min_recall=0.9)
    with pytest.raises(ValueError, match='cannot be kept'):
        choose_threshold([0.5], [1.0], max_false_alarms=0)


def write_image(folder, name, boxes):
    """A dark picture with boxes of full colour, and its records."""
    picture = np.full((80, 100, 3), 10, np.uint8)
    records = []
    for word, (left, top, right, bottom) in boxes:
        picture[top:bottom, left:right, 'red green blue'.split().index(word)] = 255
        polygon = [left, top, right, top, right, bottom, left, bottom]
        records.append(
            dict(
                img_path=str(folder / name),
                category=word,
                expressions=[word],
                segmentation=[polygon],
                height=80,
                width=100,
            )
        )
    cv2.imwrite(str(folder / name), picture[..., ::-1])
    return records


def test_counterexamples_lack_the_object(tmp_path, network):
    records = write_image(
        tmp_path, 'a.png', [('red', (10, 10, 30, 30)), ('blue', (50, 40, 90, 70))]
    )
    records += write_image(tmp_path, 'b.png', [('red', (5, 5, 45, 45))])
    records += write_image(tmp_path, 'c.png', [('green', (0, 0, 100, 75))])
    examples = make_examples(records)
    kinds = [(e.kind, e.image[-5:], e.expressions) for e in examples]
    assert ('present', 'a.png', ['red', 'blue']) in kinds
    assert ('erased', 'a.png', ['blue']) in kinds
    # Nothing would be left of the third image.
    assert not any(kind == 'erased' and name == 'c.png' for kind, name, _ in kinds)
    others = [
        (name, word) for kind, name, words in kinds if kind == 'other image'
        for word in words
    ]  # fmt: skip
    assert len(others) == 4
    assert not {('a.png', 'red'), ('a.png', 'blue'), ('b.png', 'red')} & set(others)

    scored = list(score_examples(examples, network))
    for example, scores in scored:
        if example.kind == 'present':
            assert min(scores) > 0.95
        else:
            assert max(scores) < 0.6
    result = summarise(scored)
    assert 0.6 < result['threshold'] < 0.95
    assert result['recall'] == 1 and result['false_alarms'] == 0
    assert result['examples']['erased'] == dict(
        count=3, passing=0.0, quartiles=[0.5] * 3
    )

    some = make_examples(records, max_images=2)
    assert len({example.image for example in some}) == 2
    assert some == make_examples(records, max_images=2)


def test_data_without_any_counterexample_are_refused(tmp_path):
    records = write_image(tmp_path, 'a.png', [('red', (0, 0, 100, 80))])
    with pytest.raises(ValueError, match='no image without the object'):
        make_examples(records)
