# SPDX-License-Identifier: Apache-2.0
"""Pictures of 16 bits and four bands train as the 8-bit ones that they come from."""

import json
import shutil

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from mmcadformer.imagery import read_picture

pytestmark = pytest.mark.filterwarnings(
    'ignore::rasterio.errors.NotGeoreferencedWarning'
)


def write_png(rgb, path):
    Image.fromarray(rgb).save(path)


def write_deep_tiff(rgb, path):
    """Value x 257, with near infrared that GDAL tags as alpha."""
    bands = np.dstack([rgb, rgb[..., 1]]).astype(np.uint16) * 257
    shape = dict(width=rgb.shape[1], height=rgb.shape[0], count=4, dtype='uint16')
    options = dict(photometric='RGB', alpha='YES', compress='deflate')
    with rasterio.open(path, 'w', driver='GTiff', **shape, **options) as file:
        file.write(bands.transpose(2, 0, 1))


def copy_ponds(imagery, root, ending, write):
    """The ponds with pictures of another format."""
    source = imagery / 'naip_ponds'
    folder, pictures = root / 'ponds', root / 'images/ponds/JPEGImages'
    folder.mkdir(parents=True)
    pictures.mkdir(parents=True)
    shutil.copy(source / 'naip_ponds/refs(unc).p', folder)
    instances = json.loads((source / 'naip_ponds/instances.json').read_text())
    for image in instances['images']:
        jpeg = source / 'images/naip_ponds/JPEGImages' / image['file_name']
        image['file_name'] = f'{jpeg.stem}.{ending}'
        write(np.asarray(Image.open(jpeg)), pictures / image['file_name'])
    (folder / 'instances.json').write_text(json.dumps(instances))
    return sorted(pictures.iterdir())


def train(repo_root, root, reading):
    """Weights after an epoch."""
    cfg = Config.fromfile(repo_root / 'tests/data/tiny.py')
    cfg.train_dataloader.dataset = dict(
        type='ReferringSegDataset',
        data_root=str(root),
        name='ponds',
        split='train',
        pipeline=[dict(type='WholeLoadImageFromFile', **reading)]
        + cfg.train_dataloader.dataset.pipeline[1:],
    )
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1)
    cfg.work_dir, cfg.experiment_name = str(root / 'run'), root.name
    Runner.from_cfg(cfg).train()
    return torch.load(root / 'run/epoch_1.pth', weights_only=False)['state_dict']


def test_an_epoch_on_16_bits_ends_with_equal_weights(imagery, repo_root, tmp_path):
    eight = copy_ponds(imagery, tmp_path / 'eight', 'png', write_png)
    sixteen = copy_ponds(imagery, tmp_path / 'sixteen', 'tif', write_deep_tiff)
    reading = dict(value_range=(0, 65535))
    assert len(eight) == len(sixteen) > 20
    for png, tiff in zip(eight, sixteen, strict=True):
        assert np.array_equal(read_picture(png).rgb, read_picture(tiff, **reading).rgb)
    expected = train(repo_root, tmp_path / 'eight', {})
    found = train(repo_root, tmp_path / 'sixteen', reading)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
