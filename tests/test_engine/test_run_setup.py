# SPDX-License-Identifier: Apache-2.0
"""Checks and changes of a config before a run."""

import os
import re

import pytest
import torch
from mmengine.config import Config

from mmcadformer.engine import (
    add_tensorboard,
    check_data_roots,
    find_resume_checkpoint,
    prepare_cpu_processes,
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


def test_resume_skips_a_checkpoint_that_was_cut_off(tmp_path):
    assert find_resume_checkpoint(tmp_path / 'none') is None
    for epoch in (1, 2, 9, 10):
        path = tmp_path / f'epoch_{epoch}.pth'
        torch.save(dict(state_dict=dict(a=torch.ones(1000))), path)
        os.utime(path, (0, epoch))
    torch.save({}, tmp_path / 'best_oIoU_epoch_2.pth')
    assert find_resume_checkpoint(tmp_path) == tmp_path / 'epoch_10.pth'
    data = (tmp_path / 'epoch_10.pth').read_bytes()
    (tmp_path / 'epoch_10.pth').write_bytes(data[: len(data) // 2])
    assert find_resume_checkpoint(tmp_path) == tmp_path / 'epoch_9.pth'


def test_resume_prefers_the_newest_over_the_highest(tmp_path):
    for epoch, time in ((40, 1), (3, 2)):
        path = tmp_path / f'epoch_{epoch}.pth'
        torch.save({}, path)
        os.utime(path, (time, time))
    assert find_resume_checkpoint(tmp_path) == tmp_path / 'epoch_3.pth'


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
