# SPDX-License-Identifier: Apache-2.0
"""Checks and changes of a config before a run."""

import json
import re
from argparse import Namespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmcadformer.engine import (
    add_tensorboard,
    check_data_roots,
    check_loaders,
    prepare_cpu_processes,
    read_run_config,
)


def test_missing_data_folder_is_named_with_its_key(tmp_path):
    good = dict(type='A', data_root=str(tmp_path))
    bad = dict(type='A', data_root=str(tmp_path / 'gone'))
    nested = dict(type='ConcatDataset', datasets=[good, dict(dataset=bad)])
    cfg = Config(
        dict(
            train_dataloader=dict(dataset=nested),
            val_dataloader=dict(dataset=good),
            test_dataloader=None,
        )
    )
    check_data_roots(cfg, ['val', 'test'])
    key = 'train_dataloader.dataset.datasets.1.dataset.data_root'
    with pytest.raises(FileNotFoundError, match=re.escape(key)) as error:
        check_data_roots(cfg, ['train'])
    assert str(tmp_path / 'gone') in str(error.value)


def test_tensorboard_is_added_once():
    cfg = Config(dict(visualizer=dict(vis_backends=[dict(type='LocalVisBackend')])))
    add_tensorboard(cfg)
    add_tensorboard(cfg)
    kinds = [backend['type'] for backend in cfg.visualizer.vis_backends]
    assert kinds == ['LocalVisBackend', 'TensorboardVisBackend']


def test_slurm_without_gpus_is_refused():
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    prepare_cpu_processes(Config(dict(launcher='none')))
    with pytest.raises(ValueError, match='dist_train.sh'):
        prepare_cpu_processes(Config(dict(launcher='slurm')))


def prepare(tiny_config, tmp_path, **options):
    cfg = Config.fromfile(tiny_config, format_python_code=False)
    cfg.merge_from_dict({name.replace('__', '.'): v for name, v in options.items()})
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = str(tmp_path).replace('/', '_')
    return Runner.from_cfg(cfg)


def test_a_batch_that_cannot_be_filled_is_found_before_the_run(tiny_config, tmp_path):
    runner = prepare(tiny_config, tmp_path, train_dataloader__batch_size=16)
    with pytest.raises(ValueError, match='train_dataloader.batch_size=16.*8 samples'):
        check_loaders(runner, ['train', 'val'])


def test_a_wrapper_that_the_data_cannot_have_is_named(tiny_config, tmp_path):
    data = Config.fromfile(tiny_config).train_dataloader.dataset
    many = dict(type='ConcatDataset', datasets=[data])
    wrapper = dict(type='ClassBalancedDataset', oversample_thr=0.5, dataset=many)
    options = dict(train_dataloader__dataset=dict(wrapper, _delete_=True))
    runner = prepare(tiny_config, tmp_path, **options)
    with pytest.raises(ValueError, match='train_dataloader can not .*get_cat_ids'):
        check_loaders(runner, ['train'])


@pytest.mark.parametrize('batch_size', [1, 2])
def test_images_that_fit_no_batch_are_found_before_the_run(
    tiny_config, tmp_path, batch_size
):
    for index, width in enumerate((64, 96)):
        cv2.imwrite(f'{tmp_path}/{index}.png', np.zeros((64, width, 3), np.uint8))
    polygon = [[4, 4, 30, 4, 30, 20]]
    lines = [
        dict(image=f'{i}.png', expression='a', mask=polygon, split='val', id=str(i))
        for i in range(2)
    ]
    text = '\n'.join(json.dumps(dict(line, category='a')) for line in lines)
    (tmp_path / 'annotations.jsonl').write_text(text)
    cfg = Config.fromfile(tiny_config, format_python_code=False)
    pipeline = [dict(t) for t in cfg.test_pipeline]
    next(t for t in pipeline if t['type'] == 'Resize')['keep_ratio'] = True
    runner = prepare(
        tiny_config,
        tmp_path,
        val_dataloader__batch_size=batch_size,
        val_dataloader__dataset=dict(
            type='ReferringJsonDataset',
            data_root=str(tmp_path),
            split='val',
            pipeline=pipeline,
        ),
        model__data_preprocessor__test_cfg__size_divisor=48,
    )
    if batch_size == 1:  # padded, and the padding taken back
        check_loaders(runner, ['val'])
        assert runner.val_loop.run()['mIoU'] >= 0
        return
    with pytest.raises(ValueError, match='val_dataloader.batch_size=2.*64x64 and 43x6'):
        check_loaders(runner, ['val'])


def read(tiny_config, **options):
    args = Namespace(
        config=tiny_config, cfg_options=options, launcher='none', local_rank=0,
        data_root=None, data_name=None, work_dir=None,
    )  # fmt: skip
    return read_run_config(args)


@pytest.mark.parametrize('seed', [-1, 2**32, 1.5, 'abc', True])
def test_a_seed_is_a_number_that_all_generators_take(tiny_config, seed):
    with pytest.raises(ValueError, match='^randomness.seed must be a whole number'):
        read(tiny_config, **{'randomness.seed': seed})
    assert read(tiny_config, **{'randomness.seed': 2**32 - 1}).randomness.seed


def test_no_workers_need_no_persistence(tiny_config):
    options = {
        'train_dataloader.persistent_workers': True,
        'train_dataloader.prefetch_factor': 2,
    }
    cfg = read(tiny_config, **options)
    assert cfg.train_dataloader.persistent_workers is False
    assert 'prefetch_factor' not in cfg.train_dataloader
