# SPDX-License-Identifier: Apache-2.0
"""What a run shows: pictures of samples, and how many expressions were cut."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS

from mmcadformer.engine import ReferringVisualizationHook


def make_runner(tiny_config, work_dir, **changes):
    cfg = Config.fromfile(tiny_config, format_python_code=False)
    cfg.merge_from_dict(changes)
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'{work_dir.parent.name}_{work_dir.name}'
    return Runner.from_cfg(cfg)


def read_log(runner):
    (log,) = runner_files(runner, '*.log')
    return log.read_text()


def runner_files(runner, pattern):
    return sorted(Path(runner.log_dir).rglob(pattern))


@pytest.fixture(scope='module')
def trained(tiny_config, tmp_path_factory):
    """A run of two epochs in which every expression is cut."""
    changes = {
        'model.text_encoder.max_tokens': 3,
        'default_hooks.visualization.val_samples': 3,
    }
    work_dir = tmp_path_factory.mktemp('reporting') / 'train'
    runner = make_runner(tiny_config, work_dir, **changes)
    runner.train()
    return runner


def test_training_draws_the_same_validation_samples_each_time(trained):
    names = [file.stem for file in runner_files(trained, 'val_*.png')]
    count = len(trained.val_dataloader.dataset)
    step = count // 3
    iterations = (trained.iter // 2, trained.iter)
    expected = {
        f'val_{index:06d}_{iteration}'
        for index in (0, step, 2 * step)
        for iteration in iterations
    }
    assert set(names) == expected


def test_cut_expressions_are_counted_per_split_and_epoch(trained):
    log = read_log(trained)
    train_count = len(trained.train_dataloader) * 2
    val_count = len(trained.val_dataloader.dataset)
    for split, count in (('training', train_count), ('validation', val_count)):
        line = f'{count} of {count} {split} expressions (100.0 %) were longer than 3'
        assert log.count(line) == 2


def test_log_has_loss_rate_time_and_rest(trained):
    line = next(
        line for line in read_log(trained).splitlines() if 'Epoch(train)' in line
    )
    for word in ('lr:', 'eta:', 'time:', 'loss:', 'decode.loss_ce:'):
        assert word in line


def test_testing_draws_every_nth_sample_and_reports_no_cuts(tiny_config, tmp_path):
    show_dir = tmp_path / 'show'
    changes = {
        'default_hooks.visualization.show_dir': str(show_dir),
        'default_hooks.visualization.interval': 2,
    }
    runner = make_runner(tiny_config, tmp_path / 'test', **changes)
    runner.test()
    dataset = DATASETS.build(runner.cfg.test_dataloader.dataset)
    stems = [dataset.get_data_info(i)['img_path'] for i in range(0, len(dataset), 2)]
    stems = [path.rsplit('/', 1)[1].rsplit('.', 1)[0] for path in stems]
    names = [f'{2 * i:06d}_{stem}.png' for i, stem in enumerate(stems)]
    assert sorted(file.name for file in show_dir.iterdir()) == names
    # The first panel is the image in its own colours, enlarged 5 times.
    picture = cv2.imread(str(show_dir / names[0]))
    image = cv2.imread(dataset.get_data_info(0)['img_path'])
    enlarged = image.repeat(5, axis=0).repeat(5, axis=1)
    assert any(
        np.array_equal(picture[top : top + 360, :360], enlarged) for top in range(60)
    )
    assert f'0 of {len(dataset)} test expressions were cut' in read_log(runner)


def test_wrong_numbers_are_named():
    with pytest.raises(ValueError, match='not 0 and 8'):
        ReferringVisualizationHook(interval=0)
