# SPDX-License-Identifier: Apache-2.0
"""The data sets of the runnable configs, and several of them in one test run."""

import json

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmseg.registry import DATASETS


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def on_disk(toy, lines, segrs):
    """Root folder by type of data set."""
    for i, ref in enumerate(toy.refs):
        ref['split'] = ('train', 'val', 'test')[i % 3]
    toy.write()
    for name in ('rrsisd', 'rrsishr'):
        (toy.root / name).symlink_to(toy.root / 'toy')
        (toy.root / 'images' / name).symlink_to(toy.root / 'images' / 'toy')
    return dict(
        RefSegRSDataset=str(segrs.write()),
        ReferringJsonDataset=str(lines.write()),
        RRSISDDataset=str(toy.root),
        RRSISHRDataset=str(toy.root),
    )


def leaves(dataset):
    return dataset.get('datasets', [dataset])


@pytest.mark.parametrize('name', ['refsegrs', 'json', 'rrsisd_rrsishr'])
def test_config_reads_its_data(repo_root, on_disk, name):
    cfg = Config.fromfile(repo_root / f'configs/cadformer_swinb_{name}.py')
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        for leaf in leaves(dataset):
            leaf.data_root = on_disk[leaf.type]
        sample = DATASETS.build(dataset)[0]
        assert sample['inputs'].shape == (3, 480, 480)
        mask = sample['data_samples'].gt_sem_seg.data
        assert mask.shape == ((1, 480, 480) if split == 'train' else (1, 40, 56))
        assert mask.any()


def test_metrics_of_each_data_set_in_one_run(repo_root, on_disk, tmp_path):
    cfg = Config.fromfile(repo_root / 'tests/data/tiny.py')
    parts = [
        dict(type=kind, data_root=on_disk[kind], split='test', test_mode=True)
        for kind in ('RRSISDDataset', 'RefSegRSDataset', 'ReferringJsonDataset')
    ]
    pipeline = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.dataset = dict(
        type='ConcatDataset',
        ignore_keys=['categories'],
        datasets=[dict(part, pipeline=pipeline) for part in parts],
    )
    cfg.test_evaluator.output_file = str(tmp_path / 'results.jsonl')
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = 'one_run'
    metrics = Runner.from_cfg(cfg).test()
    results = [json.loads(line) for line in (tmp_path / 'results.jsonl').open()]
    names = [result['dataset_name'] for result in results]
    assert names == ['rrsisd'] + ['refsegrs'] + ['mine'] * 2
    for name in ('rrsisd', 'refsegrs', 'mine'):
        ious = [r['iou'] for r in results if r['dataset_name'] == name]
        mean = 100 * sum(ious) / len(ious)
        assert metrics[f'{name}/mIoU'] == pytest.approx(mean, abs=1e-3)
    every = [result['iou'] for result in results]
    assert metrics['mIoU'] == pytest.approx(100 * sum(every) / 4, abs=1e-3)
