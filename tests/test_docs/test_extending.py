# SPDX-License-Identifier: Apache-2.0
"""The project of docs/extending.md, made from the page itself and trained."""

import csv
import os
import re
import subprocess
import sys

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmcadformer.datasets import SynthRSDataset
from mmcadformer.datasets.masks import load_mask

LONGEST = 40
PARTS = ('film', 'smooth_neck', 'csv_dataset', 'pointing')


@pytest.fixture(scope='module')
def page(repo_root) -> str:
    return (repo_root / 'docs' / 'extending.md').read_text(encoding='utf-8')


def blocks(text: str) -> dict[str, str]:
    """File -> its content, from blocks of Python that begin with the file's name."""
    found = re.findall(
        r'^```python\n# (\S+)\n(.*?)^```$', text, re.MULTILINE | re.DOTALL
    )
    return dict(found)


@pytest.fixture
def project(page, repo_root, tmp_path, monkeypatch):
    """The folder that the page describes, beside the checkout."""
    (tmp_path / 'mmcadformer').symlink_to(repo_root)
    root = tmp_path / 'my_project'
    for name, content in blocks(page).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / 'my_parts' / '__init__.py').touch()
    monkeypatch.syspath_prepend(str(root))
    yield root
    for name in [name for name in sys.modules if name.split('.')[0] == 'my_parts']:
        del sys.modules[name]


@pytest.fixture
def csv_data(tiny_data, tmp_path):
    """The scenes of ``tiny_data`` as the page's own layout."""
    root = tmp_path / 'data'
    (root / 'images').mkdir(parents=True)
    (root / 'masks').mkdir()
    rows = []
    for split in ('train', 'val', 'test'):
        for obj in SynthRSDataset(data_root=str(tiny_data), split=split).load_objects():
            image = cv2.imread(obj['img_path'])
            name, mask = f'{obj["image_id"]}.png', f'{obj["ref_id"]}.png'
            cv2.imwrite(str(root / 'images' / name), image)
            pixels = load_mask(obj['segmentation'], *image.shape[:2])
            cv2.imwrite(str(root / 'masks' / mask), 255 * pixels)
            rows.append([split, name, mask, obj['expressions'][0]])
    with open(root / 'sentences.csv', 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([['split', 'image', 'mask', 'sentence'], *rows])
    return root


def test_every_part_is_short_and_has_a_config(page):
    sections = re.split(r'^## .*$', page, flags=re.MULTILINE)[1:]
    assert len(sections) == len(PARTS)
    for name, section in zip(PARTS, sections, strict=True):
        files = blocks(section)
        assert files.keys() == {f'my_parts/{name}.py', f'configs/{name}.py'}
        assert sum(len(text.splitlines()) for text in files.values()) <= LONGEST


@pytest.mark.parametrize('name', PARTS)
def test_part_trains_a_step(project, request, tiny_data, name):
    cfg = Config.fromfile(project / 'configs' / f'{name}.py')
    if name == 'csv_dataset':
        root = request.getfixturevalue('csv_data')
    else:
        root = tiny_data
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset.data_root = str(root)
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.work_dir, cfg.experiment_name = str(project / 'run'), f'extending_{name}'
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
    cfg.param_scheduler, cfg.train_dataloader.sampler.type = None, 'InfiniteSampler'
    cfg.log_processor.by_epoch = cfg.default_hooks.checkpoint.by_epoch = False
    cfg.custom_hooks = []
    runner = Runner.from_cfg(cfg)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    metrics = runner.val_loop.run()

    after = runner.model.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    mine = dict(film='film.weight', smooth_neck='neck.convs.3.weight').get(name)
    assert any(mine in key for key in changed) if mine else changed
    assert 0 <= metrics['mIoU'] <= 100
    if name == 'pointing':
        assert 0 <= metrics['pointing/accuracy'] <= 100
    if name == 'csv_dataset':
        assert type(runner.train_dataloader.dataset).__name__ == 'CsvDataset'
        assert len(runner.train_dataloader.dataset) > 2


def test_command_of_the_page(project, page, tiny_data):
    """The first of its commands, for one epoch of one small batch."""
    assert 'cd my_project\nPYTHONPATH=. python ../mmcadformer/tools/train.py' in page
    command = [sys.executable, '../mmcadformer/tools/train.py', 'configs/film.py']
    options = ['--data-root', str(tiny_data), '--cfg-options']
    options += ['train_dataloader.batch_size=2', 'train_cfg.max_epochs=1']
    path = os.pathsep.join(['.', os.environ.get('PYTHONPATH', '')])
    result = subprocess.run(
        [*command, *options],
        cwd=project,
        env={**os.environ, 'PYTHONPATH': path, 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (project / 'work_dirs' / 'film' / 'epoch_1.pth').is_file()
