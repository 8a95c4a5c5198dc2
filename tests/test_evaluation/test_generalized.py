# SPDX-License-Identifier: Apache-2.0
"""gIoU, cIoU, N-acc, T-acc and AUROC against plain loops over pixels."""

import json
import socket

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmseg.registry import METRICS
from pycocotools import mask as mask_utils

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.evaluation.generalized import GeneralizedReferringMetric
from mmcadformer.evaluation.presence import decide

COUNT = 1000
KINDS = ('one', 'several', 'none', 'none/category', 'none/attribute')


def make_sample(index, head=True):
    """A random case; every fifth mask is empty, every fourth truth."""
    rng = np.random.default_rng(index)
    kind = KINDS[rng.choice(5, p=[0.4, 0.3, 0.1, 0.1, 0.1])]
    truth = (rng.random((7, 9)) < rng.random()).astype(np.int64)
    truth[0, 0] = 1
    if kind.startswith('none'):
        truth[:] = 0
    pred = (rng.random((7, 9)) < rng.random()) * (rng.random() < 0.8)
    truth[rng.random((7, 9)) < 0.1 * (rng.random() < 0.3)] = 255
    if not (truth == 1).any() and not kind.startswith('none'):
        kind = 'none'
    sample = dict(
        pred_sem_seg=dict(data=torch.from_numpy(pred[None].astype(np.int64))),
        gt_sem_seg=dict(data=torch.from_numpy(truth[None])),
        kind=kind,
        dataset_name='a',
        ref_id=index,
        expression=f'number {index}',
    )
    if head:
        sample['presence_score'] = round(float(rng.random()), 2)
        sample['presence_threshold'] = 0.4
    return sample


def reference(samples, limit):
    """The definitions, one sample and one pixel set at a time."""
    giou, inter, union, denied, kept, hits = [], 0, 0, [], [], []
    targets = []
    for sample in samples:
        truth = sample['gt_sem_seg']['data'][0].numpy()
        mask = sample['pred_sem_seg']['data'][0].numpy()
        places = {(y, x) for y in range(7) for x in range(9) if truth[y, x] != 255}
        true = {place for place in places if truth[place] == 1}
        said = {place for place in places if mask[place] == 1}
        if limit is None:
            found = bool(mask.any())
        else:
            found = sample['presence_score'] >= limit
        if not true:
            giou.append(0.0 if found else 1.0)
            union += len(said) if found else 0
            denied.append(not found)
            continue
        iou = len(true & said) / len(true | said)
        giou.append(iou if found else 0.0)
        inter += len(true & said) if found else 0
        union += len(true | said)
        kept.append(found)
        hits.append(found and iou >= 0.5)
        targets.append((len(true & said), len(true | said)))
    return {
        'gIoU': 100 * np.mean(giou),
        'cIoU': 100 * inter / union,
        'N-acc': 100 * np.mean(denied),
        'T-acc': 100 * np.mean(kept),
        'Pr@0.5': 100 * np.mean(hits),
        'target/mIoU': 100 * np.mean([i / u for i, u in targets]),
        'target/oIoU': 100 * sum(i for i, _ in targets) / sum(u for _, u in targets),
    }


def evaluate(samples, **kwargs):
    metric = METRICS.build(dict(type='mmseg.GeneralizedReferringMetric', **kwargs))
    for start in range(0, len(samples), 7):
        metric.process(None, samples[start : start + 7])
    return metric.evaluate(len(samples))


@pytest.mark.parametrize('head', [True, False])
def test_the_scores_are_those_of_the_definitions(head):
    samples = [make_sample(i, head) for i in range(COUNT)]
    found = evaluate(samples)
    expected = reference(samples, 0.4 if head else None)
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    pairs = [
        (a['presence_score'], b['presence_score'])
        for a in samples
        for b in samples
        if head and a['kind'] in KINDS[:2] and b['kind'] not in KINDS[:2]
    ]
    if head:
        wins = np.mean([(a > b) + (a == b) / 2 for a, b in pairs])
        assert found['AUROC'] == pytest.approx(100 * wins)
    for kind in KINDS:
        part = [sample for sample in samples if sample['kind'] == kind]
        if not kind.startswith('none'):
            ours = found[f'kind/{kind}/T-acc']
            theirs = [decide(sample).found for sample in part]
            assert ours == pytest.approx(100 * np.mean(theirs))
            assert f'kind/{kind}/N-acc' not in found
        else:
            ours = found[f'kind/{kind}/N-acc']
            assert ours == found[f'kind/{kind}/gIoU']
            assert f'kind/{kind}/AUROC' in found


def test_corner_cases():
    def sample(pred, truth, **more):
        data = dict(pred_sem_seg=pred, gt_sem_seg=truth)
        tensors = {k: dict(data=torch.tensor([[v]])) for k, v in data.items()}
        return dict(tensors, **more)

    empty = evaluate([sample([0, 0], [0, 0])])
    assert empty['gIoU'] == empty['cIoU'] == empty['N-acc'] == 100
    assert 'T-acc' not in empty and 'AUROC' not in empty
    alarm = evaluate([sample([1, 0], [0, 0])])
    assert alarm['gIoU'] == alarm['cIoU'] == alarm['N-acc'] == 0
    # found by the head, though its mask is empty: a false alarm without pixels
    said = evaluate([sample([0, 0], [0, 0], presence_score=0.9)])
    assert said['gIoU'] == said['N-acc'] == 0 and said['cIoU'] == 100
    # a rejected target: no intersection, the union of before
    pair = [
        sample([1, 1], [1, 0], presence_score=0.1),
        sample([1, 0], [1, 0], presence_score=0.9),
    ]
    rejected = evaluate(pair)
    assert rejected['gIoU'] == 50 and rejected['T-acc'] == 50
    assert rejected['cIoU'] == pytest.approx(100 / 3)
    assert rejected['target/oIoU'] == pytest.approx(200 / 3)
    assert rejected['Pr@0.5'] == 50
    half = evaluate([sample([1, 1], [1, 0], presence_score=1.0)])
    assert half['Pr@0.5'] == 100  # a tie counts


def test_a_threshold_of_the_data_themselves(tmp_path):
    samples = [make_sample(i) for i in range(200)]
    path = tmp_path / 'lines.jsonl'
    found = evaluate(samples, choose_threshold=True, output_file=str(path))
    limit = found['presence_threshold']
    expected = reference(samples, limit)
    means = [
        ours['N-acc'] + ours['T-acc']
        for ours in (reference(samples, x) for x in np.linspace(-0.005, 1.005, 102))
    ]
    assert found['N-acc'] + found['T-acc'] == pytest.approx(max(means))
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line['ref_id'] for line in lines] == list(range(200))
    assert [line['found'] for line in lines] == [
        line['score'] >= limit for line in lines
    ]
    assert {line['kind'] for line in lines} == set(KINDS)
    only = [s for s in samples if s['kind'] == 'one']
    assert 'presence_threshold' not in evaluate(only, choose_threshold=True)


def test_without_a_head_no_threshold_is_chosen():
    """The mask decides, as it does in the test."""
    samples = [make_sample(i, head=False) for i in range(50)]
    assert evaluate(samples, choose_threshold=True) == evaluate(samples)


def test_lines_hold_decisions_and_masks_before_them(tmp_path):
    path = tmp_path / 'lines.jsonl'
    samples = [make_sample(i) for i in range(30)]
    evaluate(samples, output_file=str(path), save_rle=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for sample, line in zip(samples, lines, strict=True):
        truth = sample['gt_sem_seg']['data'][0].numpy()
        mask = (sample['pred_sem_seg']['data'][0].numpy() == 1) & (truth != 255)
        assert np.array_equal(mask_utils.decode(line['pred_rle']), mask)
        assert np.array_equal(mask_utils.decode(line['truth_rle']), truth == 1)
        assert line['found'] == (line['score'] >= line['threshold'] == 0.4)
        assert (line['height'], line['width']) == truth.shape
    assert {line['found'] for line in lines} == {True, False}
    with pytest.raises(ValueError, match='save_rle needs an output_file'):
        GeneralizedReferringMetric(save_rle=True)


def test_without_a_head_the_score_is_that_of_the_probabilities():
    logits = torch.full((2, 40, 50), -3.0)
    logits[1, :2, :5] = 2.0
    sample = dict(
        seg_logits=dict(data=logits), pred_sem_seg=dict(data=torch.zeros(1, 40, 50))
    )
    decision = decide(sample)
    assert not decision.found and decision.threshold is None
    assert decision.score == pytest.approx(1 / (1 + np.exp(-5)))


def _evaluate_in_process(rank, port, folder):
    torch.distributed.init_process_group(
        'gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2
    )
    metric = GeneralizedReferringMetric(collect_dir=f'{folder}/parts')
    metric.process(None, [make_sample(i) for i in range(rank, COUNT, 2)])
    with open(f'{folder}/{rank}.json', 'w') as file:
        json.dump(metric.evaluate(COUNT), file)
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_numbers_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    mp.start_processes(
        _evaluate_in_process, (port, str(tmp_path)), nprocs=2, start_method='fork'
    )
    samples = [make_sample(i) for i in range(COUNT)]
    expected = reference(samples, 0.4)
    for rank in range(2):
        found = json.loads((tmp_path / f'{rank}.json').read_text())
        assert {key: found[key] for key in expected} == pytest.approx(expected)
        assert found == pytest.approx(evaluate(samples))
