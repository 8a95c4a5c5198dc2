# SPDX-License-Identifier: Apache-2.0
"""Training, inference, the page and scenes see the same picture, and find the same."""

import numpy as np
import pytest
import rasterio
from mmengine.config import Config
from mmseg.registry import TRANSFORMS
from PIL import Image

import mmcadformer  # noqa: F401  (registers the transforms)
from mmcadformer.imagery import read_picture

pytest.importorskip('pyogrio', reason='needs the geo extra')

from mmcadformer.apis import ReferringInferencer
from mmcadformer.demo.uploads import Limits
from mmcadformer.demo.uploads import read_picture as read_upload
from mmcadformer.scene import ModelNetwork, Reading, SceneReader, SceneSegmentor, Tiling

pytestmark = pytest.mark.filterwarnings(
    'ignore::rasterio.errors.NotGeoreferencedWarning'
)
SIDE = 96
SCENES = ('naip_pembina_2015', 'naip_pembina_2020', 'landsat7_rgb')


def crop(imagery, name):
    """RGB uint8 (96, 96, 3) from the middle of a scene."""
    with rasterio.open(imagery / 'scenes' / f'{name}.tif') as file:
        row, column = (file.height - SIDE) // 2, (file.width - SIDE) // 2
        pixels = file.read([1, 2, 3])[:, row : row + SIDE, column : column + SIDE]
    assert pixels.dtype == np.uint8 and pixels.std() > 3
    return pixels.transpose(1, 2, 0)


def inks(rgb):
    return np.array(Image.fromarray(rgb).convert('CMYK'))


VARIANTS = {
    'rgb': (lambda rgb: rgb, {}),
    'four bands': (
        lambda rgb: np.dstack([rgb, rgb[..., 0] // 2]),
        dict(photometric='RGB', alpha='YES'),
    ),
    'five bands': (lambda rgb: np.dstack([rgb, rgb[..., :2]]), {}),
    '16 bits': (lambda rgb: rgb.astype(np.uint16) * 257, {}),
    'float': (lambda rgb: (rgb / 255).astype(np.float32), {}),
    'single band': (lambda rgb: rgb[..., :1], {}),
    'white is least': (lambda rgb: 255 - rgb[..., :1], dict(photometric='MINISWHITE')),
    '16-bit inks': (lambda rgb: inks(rgb).astype(np.uint16) * 257,
                    dict(photometric='CMYK')),
}  # fmt: skip


def write_variant(rgb, variant, path):
    if variant in ('palette', 'inks', 'jpeg', 'png'):
        image = Image.fromarray(rgb)
        mode = dict(palette='P', inks='CMYK').get(variant, 'RGB')
        image.convert(mode).save(path)
        return
    change, profile = VARIANTS[variant]
    pixels = change(rgb)
    shape = dict(width=SIDE, height=SIDE, count=pixels.shape[2], dtype=pixels.dtype)
    with rasterio.open(path, 'w', driver='GTiff', **shape, **profile) as file:
        file.write(pixels.transpose(2, 0, 1))


@pytest.fixture(scope='module')
def inferencer(tiny_config, tiny_checkpoint, tmp_path_factory):
    """With the loader of this package's configs."""
    cfg = Config.fromfile(tiny_config)
    cfg.test_dataloader.dataset.pipeline[0] = dict(type='WholeLoadImageFromFile')
    return ReferringInferencer(cfg, tiny_checkpoint, 'cpu')


@pytest.mark.parametrize('name', SCENES)
@pytest.mark.parametrize('variant', [*VARIANTS, 'palette', 'inks', 'jpeg', 'png'])
def test_one_picture_everywhere(imagery, inferencer, tmp_path, name, variant):
    ending = dict(jpeg='jpg', png='png').get(variant, 'tif')
    path = tmp_path / f'crop.{ending}'
    write_variant(crop(imagery, name), variant, path)
    picture = read_picture(path)
    valid = np.ones((SIDE, SIDE), bool) if picture.valid is None else picture.valid

    loader = TRANSFORMS.build(dict(type='WholeLoadImageFromFile'))
    seen = [loader(dict(img_path=str(path)))['img'][..., ::-1]]
    (result,) = inferencer(str(path), 'the pond')
    seen += [result.image, read_upload(path, Limits()).rgb]
    with SceneReader(path) as reader:
        seen.append(reader.read(0, 0, SIDE, SIDE, (124, 116, 104))[0])
    for rgb in seen:
        assert np.array_equal(rgb[valid], picture.rgb[valid])

    segmentor = SceneSegmentor(ModelNetwork(inferencer.model), Tiling((SIDE,)))
    segmentor(path, 'the pond', tmp_path / 'out', progress=False)
    with rasterio.open(tmp_path / 'out/crop_01_mask.tif') as file:
        found = file.read(1) == 1
    union = (found | result.mask).sum()
    assert union == 0 or (found & result.mask).sum() / union >= 0.99


def test_options_go_over_what_the_config_says():
    said = dict(bands=[4, 1, 2], value_range=[0, 4000])
    assert Reading().over(said) == Reading((4, 1, 2), (0, 4000))
    assert Reading(bands=(1,), nodata=0).over(said) == Reading(
        (1,), (0, 4000), nodata=0
    )


def test_missing_pixels_are_in_no_mask(inferencer, tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    alpha = np.full((SIDE, SIDE), 255, np.uint8)
    alpha[:, :40] = 0
    Image.fromarray(np.dstack([rgb, alpha])).save(tmp_path / 'a.png')
    (result,) = inferencer(str(tmp_path / 'a.png'), 'the pond')
    assert not result.mask[:, :40].any() and not result.probability[:, :40].any()
    assert np.array_equal(result.image[:, 40:], rgb[:, 40:])


def test_settings_of_the_config_reach_scenes_and_exports(inferencer, tmp_path):
    cfg = inferencer.model.cfg.copy()
    pipeline = cfg.test_dataloader.dataset.pipeline
    pipeline[0] = dict(type='WholeLoadImageFromFile', bands=[3, 2, 1])
    changed = ReferringInferencer(cfg, device='cpu')
    assert ModelNetwork(changed.model).reading == dict(bands=[3, 2, 1])
    rgb = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / 'a.png')
    (result,) = changed(str(tmp_path / 'a.png'), 'it')
    assert np.array_equal(result.image, rgb[..., ::-1])
