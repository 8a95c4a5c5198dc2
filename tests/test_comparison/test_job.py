# SPDX-License-Identifier: Apache-2.0
"""State of jobs in their folders."""

import json
import os
import zipfile

import pytest
from mmengine.config import Config

from mmcadformer.comparison import Job, prepare_config


def test_config_holds_everything(tiny_config, tiny_data, tmp_path):
    cfg = prepare_config(
        tiny_config, 9, {'train_cfg.max_epochs': 7}, str(tmp_path), True
    )
    assert cfg.randomness.seed == 9 and cfg.train_cfg.max_epochs == 7
    assert cfg.test_dataloader.dataset.data_root == str(tmp_path)
    assert cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is None
    with pytest.raises(FileNotFoundError, match='config nothing.py does not exist'):
        prepare_config('nothing.py', 0)
    with pytest.raises(FileNotFoundError, match='train_dataloader.*no/such'):
        prepare_config(tiny_config, 0, data_root='no/such')
    with pytest.raises(ValueError, match='test_evaluator.type'):
        prepare_config(tiny_config, 0, {'test_evaluator.type': 'IoUMetric'})


def test_jobs_are_recognised_by_their_config(make_job, cfg, tiny_config):
    job = make_job()
    assert Job.load(job.folder) == job
    dumped = Config.fromfile(job.config_file)
    assert dumped.randomness.seed == 4 and dumped.model == cfg.model
    assert not job.is_trained and not job.is_done
    job.mark('trained.json')
    job.mark('done.json')
    assert job.is_trained and not job.is_done  # no results
    job.result_file.write_text('{}')
    assert job.is_done and make_job().is_done
    assert not make_job(checkpoint='last').is_done
    assert not make_job(save_masks=True).is_done
    # Where logs go makes no difference, another learning rate does.
    for key, same in (('log_level', True), ('optim_wrapper.optimizer.lr', False)):
        other = prepare_config(tiny_config, 4, {key: 1})
        plan = Job.plan('a', 4, job.folder, other)
        assert plan.is_done == plan.is_trained == same
    with pytest.raises(ValueError, match=r'differs in optim_wrapper.optimizer.lr\. '):
        plan.prepare(other)
    plan.prepare(other, overwrite=True)
    assert not job.result_file.exists()
    assert Config.fromfile(job.config_file).optim_wrapper.optimizer.lr == 1


def test_the_checkpoint_that_is_tested(make_job, cfg):
    job = make_job()
    with pytest.raises(FileNotFoundError, match='holds no best checkpoint'):
        job.find_checkpoint()
    folder = job.folder / 'train'
    folder.mkdir()
    for name in ('best_oIoU_epoch_9', 'best_oIoU_epoch_10', 'epoch_11', 'epoch_9'):
        with zipfile.ZipFile(folder / f'{name}.pth', 'w') as file:
            file.writestr('data', '')
    (folder / 'best_oIoU_epoch_12.pth').write_bytes(b'killed while it was saved')
    os.utime(folder / 'epoch_9.pth', (1, 1))
    assert job.find_checkpoint().name == 'best_oIoU_epoch_10.pth'
    assert make_job(checkpoint='last').find_checkpoint().name == 'epoch_11.pth'
    cfg.val_cfg = None
    with pytest.raises(ValueError, match='no validation.*--checkpoint last'):
        Job.plan('a', 4, job.folder, cfg)


def test_marks_are_whole_or_not_there(make_job):
    job = make_job()
    job.mark('done.json', host='here')
    record = json.loads((job.folder / 'done.json').read_text())
    assert record['host'] == 'here' and record['config_hash'] == job.config_hash
    assert not list(job.folder.glob('*.unfinished'))
