# SPDX-License-Identifier: Apache-2.0
import json
import socket

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.dataset import DefaultSampler
from mmengine.logging import MMLogger
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample
from pycocotools import mask as mask_utils

from mmcadformer.datasets import ReferringJsonDataset
from mmcadformer.evaluation import ReferringIoUMetric

COUNT = 11
NAMES = ('rrsisd', 'toy')
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def make_sample(index):
    """A random truth with ignored pixels, and a prediction near it."""
    rng = np.random.default_rng(index)
    height, width = rng.integers(20, 40, 2)
    truth = np.zeros((1, height, width), np.int64)
    y, x = rng.integers(0, 10, 2)
    truth[0, y : y + 9, x : x + 8] = 1
    pred = np.roll(truth, rng.integers(0, 5), axis=2)
    truth[0, :2] = 255
    small = rng.integers(0, 2, (1, 16, 16))
    sample = SegDataSample(
        gt_sem_seg=PixelData(data=torch.from_numpy(truth)),
        pred_sem_seg=PixelData(data=torch.from_numpy(pred)),
        pred_input_seg=PixelData(data=torch.from_numpy(small)),
        metainfo=dict(
            dataset_name=NAMES[index % 3 == 0],
            image_id=100 + index,
            ref_id=index,
            sent_id=f's{index}',
            img_path=f'{index}.png',
            category=('ship', 'dam')[index % 2],
            expression=f'the “{index}”',
        ),
    )
    return sample.to_dict()


def count_pixels(sample):
    """Intersection and union, pixel by pixel."""
    intersection = union = 0
    pred = sample['pred_sem_seg']['data'][0].tolist()
    truth = sample['gt_sem_seg']['data'][0].tolist()
    for pred_row, truth_row in zip(pred, truth, strict=True):
        for p, t in zip(pred_row, truth_row, strict=True):
            if t != 255:
                intersection += p == 1 and t == 1
                union += p == 1 or t == 1
    return intersection, union


def count_predicted(sample):
    pred, truth = (
        np.asarray(sample[key]['data'][0]) for key in ('pred_sem_seg', 'gt_sem_seg')
    )
    return int(((pred == 1) & (truth != 255)).sum())


def expected_metrics(samples):
    """The definitions, in one loop."""
    ious, sum_i, sum_u = [], 0, 0
    for sample in samples:
        i, u = count_pixels(sample)
        ious.append(i / u if u else 1.0)
        sum_i, sum_u = sum_i + i, sum_u + u
    metrics = dict(mIoU=100 * np.mean(ious), oIoU=100 * sum_i / sum_u)
    for x in THRESHOLDS:
        metrics[f'Pr@{x}'] = 100 * np.mean([iou > x for iou in ious])
    return metrics


def evaluate(samples, **kwargs):
    metric = METRICS.build(dict(type='ReferringIoUMetric', **kwargs))
    for start in range(0, len(samples), 3):
        metric.process(None, samples[start : start + 3])
    return metric.evaluate(len(samples))


def binary(pred, truth, **metainfo):
    return dict(
        pred_sem_seg=dict(data=torch.tensor([pred])),
        gt_sem_seg=dict(data=torch.tensor([truth])),
        **metainfo,
    )


def test_against_a_loop_over_pixels():
    samples = [make_sample(i) for i in range(COUNT)]
    metrics = evaluate(samples, per_category=True)
    expected = expected_metrics(samples)
    assert 20 < expected['mIoU'] < 90 and 0 < expected['Pr@0.5'] < 100
    for prefix, key in (('', 'dataset_name'), ('category/', 'category')):
        for value in {sample[key] for sample in samples}:
            group = [sample for sample in samples if sample[key] == value]
            for name, number in expected_metrics(group).items():
                expected[f'{prefix}{value}/{name}'] = number
    assert metrics == pytest.approx(expected)


def test_one_dataset_needs_no_breakdown():
    samples = [make_sample(i) for i in range(COUNT) if i % 3]
    assert list(evaluate(samples)) == ['mIoU', 'oIoU', *(f'Pr@{x}' for x in THRESHOLDS)]
    assert list(evaluate(samples, prefix='val', thresholds=[0.25])) == [
        'val/mIoU',
        'val/oIoU',
        'val/Pr@0.25',
    ]


def test_hand_counted():
    samples = [
        binary([[1, 1, 0, 0]], [[1, 0, 0, 0]]),  # IoU 1/2, no hit at 0.5
        binary([[0, 0, 0, 0]], [[1, 1, 1, 1]]),  # nothing found
        binary([[0, 0, 0, 0]], [[0, 0, 0, 0]]),  # nothing there, nothing found
        binary([[0, 0, 0, 1]], [[0, 0, 0, 0]]),  # nothing there
        binary([[1, 1, 1, 0]], [[255, 1, 1, 255]]),  # right where it counts
    ]
    metrics = evaluate(samples, thresholds=(0.5, 0.4))
    assert metrics['mIoU'] == pytest.approx(100 * (0.5 + 0 + 1 + 0 + 1) / 5)
    assert metrics['oIoU'] == pytest.approx(100 * (1 + 0 + 0 + 0 + 2) / (2 + 4 + 1 + 2))
    assert metrics['Pr@0.5'] == pytest.approx(100 * 2 / 5)
    assert metrics['Pr@0.4'] == pytest.approx(100 * 3 / 5)


@pytest.mark.parametrize('hits', [3, 6, 7, 8, 9])
def test_an_iou_at_the_threshold_does_not_exceed_it(hits):
    truth = [[1] * 10]
    pred = [[1] * hits + [0] * (10 - hits)]
    metrics = evaluate([binary(pred, truth)])
    for x in THRESHOLDS:
        assert metrics[f'Pr@{x}'] == (100 if hits > round(10 * x) else 0)


def test_only_empty_truths_found_empty():
    metrics = evaluate([binary([[0, 0]], [[0, 0]])])
    assert metrics['oIoU'] == metrics['mIoU'] == metrics['Pr@0.9'] == 100


def test_lines_of_json(tmp_path):
    samples = [make_sample(i) for i in range(COUNT)]
    path = tmp_path / 'new folder' / 'ious.jsonl'
    evaluate(samples, output_file=str(path))
    lines = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    assert len(lines) == COUNT
    for sample, line in zip(samples, lines, strict=True):
        intersection, union = count_pixels(sample)
        assert line.pop('iou') == pytest.approx(intersection / union, abs=1e-6)
        assert line == dict(
            {key: sample[key] for key in line if key in sample},
            intersection=intersection,
            union=union,
            truth_area=int((sample['gt_sem_seg']['data'] == 1).sum()),
            pred_area=count_predicted(sample),
            height=sample['gt_sem_seg']['data'].shape[1],
            width=sample['gt_sem_seg']['data'].shape[2],
            protocol='exact',
        )
        assert len(line) == 14
    evaluate(samples[:2], output_file=str(path))
    assert len(path.read_text(encoding='utf-8').splitlines()) == 2


def test_masks_in_the_lines(tmp_path):
    path = tmp_path / 'lines.jsonl'
    samples = [make_sample(i) for i in range(4)]
    empty = binary([[0, 0, 1]], [[0, 0, 0]])
    evaluate([*samples, empty], output_file=str(path), save_rle=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for sample, line in zip([*samples, empty], lines, strict=True):
        truth = np.asarray(sample['gt_sem_seg']['data'][0])
        pred = np.asarray(sample['pred_sem_seg']['data'][0])
        drawn = mask_utils.decode(line['pred_rle'])
        assert np.array_equal(drawn, (pred == 1) & (truth != 255))
        assert np.array_equal(mask_utils.decode(line['truth_rle']), truth == 1)
    with pytest.raises(ValueError, match='save_rle needs an output_file'):
        ReferringIoUMetric(save_rle=True)


def test_results_are_small():
    """17,402 expressions of 1024 x 1024 px must not hold their masks."""
    metric = ReferringIoUMetric()
    metric.process(None, [make_sample(0)])
    kept = metric.results[0]
    assert all(isinstance(value, (int, float, str, type(None))) for value in kept)


def test_tables_are_logged(capsys):
    from mmengine.logging import MMLogger

    MMLogger.get_instance('test_tables_are_logged')
    evaluate([make_sample(i) for i in range(COUNT)], per_category=True)
    text = ''.join(capsys.readouterr())
    for word in ('all', 'toy', 'rrsisd', 'ship', 'dam', 'mIoU', 'Pr@0.9', 'original'):
        assert word in text


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(protocol='480'), r"one of \['exact', 'released'\], got '480'"),
        (dict(eval_size='480'), "'original' or 'input', got '480'"),
        (dict(eval_size='input', protocol='exact'), 'protocol and not eval_size'),
        (dict(thresholds=[50]), r'thresholds must be in \[0, 1\)'),
    ],
)
def test_bad_settings(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ReferringIoUMetric(**kwargs)


def test_unusable_samples_are_named():
    sample = dict(make_sample(4), pred_sem_seg=make_sample(5)['pred_sem_seg'])
    with pytest.raises(ValueError, match=r'4\.png.*after Resize'):
        evaluate([sample])
    del sample['pred_sem_seg']
    with pytest.raises(ValueError, match=r"4\.png.*'pred_sem_seg'"):
        evaluate([sample])
    del sample['gt_sem_seg']
    with pytest.raises(ValueError, match=r'4\.png.*LoadReferringMask'):
        evaluate([sample])


WAYS = [('exact', True), ('exact', False), ('released', True)]
"""Protocols, and whether the sampler repeats samples to make parts equal."""


def _evaluate_in_process(rank, port, folder):
    """What a runner does on one of two processes, with and without padding."""
    torch.distributed.init_process_group(
        'gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2
    )
    dataset = list(range(COUNT))
    for protocol, round_up in WAYS:
        indices = list(DefaultSampler(dataset, shuffle=False, round_up=round_up))
        name = f'{folder}/{protocol}_{round_up}'
        metric = ReferringIoUMetric(
            protocol=protocol,
            per_category=True,
            output_file=f'{name}.jsonl',
            collect_dir=f'{name}_parts',
        )
        for start in range(0, len(indices), 2):  # batches of two
            batch = [make_sample(i) for i in indices[start : start + 2]]
            metric.process(None, batch)
        metrics = metric.evaluate(len(dataset))
        with open(f'{name}_{rank}.json', 'w') as file:
            json.dump([len(indices), metrics], file)
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_numbers_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    # forked: to import the stack twice again would take far longer
    mp.start_processes(
        _evaluate_in_process, (port, str(tmp_path)), nprocs=2, start_method='fork'
    )
    samples = [make_sample(i) for i in range(COUNT)]
    counts = []
    for protocol, round_up in WAYS:
        file = tmp_path / f'one_{protocol}.jsonl'
        one = evaluate(
            samples, protocol=protocol, per_category=True, output_file=str(file)
        )
        name = f'{protocol}_{round_up}'
        for rank in range(2):
            count, metrics = json.loads((tmp_path / f'{name}_{rank}.json').read_text())
            assert metrics == one
            counts.append(count)
        assert (tmp_path / f'{name}.jsonl').read_text() == file.read_text()
    assert counts == [6, 6, 6, 5, 6, 6]  # 6 and 6 hold one sample twice


def test_the_hosts_metric_beside_names_background_and_target(tmp_path):
    """Its IoU of the target is the oIoU of this package's."""
    samples = [make_sample(index) for index in range(COUNT)]
    host = METRICS.build(dict(type='mmseg.IoUMetric', iou_metrics=['mIoU']))
    host.dataset_meta = ReferringJsonDataset(str(tmp_path), lazy_init=True).metainfo
    own = ReferringIoUMetric()
    for metric in (host, own):
        metric.process({}, samples)
    log = tmp_path / 'log.txt'
    MMLogger.get_instance('beside', log_file=str(log))
    host.evaluate(COUNT)
    expected = own.evaluate(COUNT)['oIoU']
    rows = [
        line.split('|')[1:3] for line in log.read_text().splitlines() if '|' in line
    ]
    table = {name.strip(): value.strip() for name, value in rows}
    assert list(table)[:3] == ['Class', 'background', 'target']
    assert float(table['target']) == pytest.approx(expected, abs=0.01)
