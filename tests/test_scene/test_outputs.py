# SPDX-License-Identifier: Apache-2.0
"""No run destroys what it reads, or what others have written."""

import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import numpy as np
import shapely

from mmcadformer.scene import Writing, results


@pytest.fixture
def scene(make_scene, blobs, utm, tmp_path):
    (tmp_path / 'out').mkdir()
    return make_scene(blobs(40, 50), 'out/scene.tif', **utm)


def test_results_replace_those_of_the_same_scene(scene, segment, monkeypatch):
    first = segment(scene, ['red', 'blue'])
    assert segment(scene, 'blue').objects != first.objects
    monkeypatch.chdir(scene.parent)
    assert segment('scene.tif').summary['scene'] == str(scene)


def test_results_of_another_scene_of_that_name_stay(
    scene, segment, make_scene, blobs, utm, tmp_path, monkeypatch
):
    (tmp_path / 'later').mkdir()
    later = make_scene(blobs(40, 50, seed=1), 'later/scene.tif', **utm)
    segment(scene)
    before = (tmp_path / 'out/scene.json').read_bytes()
    with pytest.raises(ValueError, match=r'out/scene\.json.*later/scene\.tif'):
        segment(later)
    monkeypatch.chdir(later.parent)
    with pytest.raises(ValueError, match='another output folder'):
        segment('scene.tif')
    assert (tmp_path / 'out/scene.json').read_bytes() == before
    segment(later, out='other')


@pytest.mark.parametrize('text', ['{"type": "Feature", "stac_version": "1.0.0"}', '[]'])
def test_descriptions_of_the_scene_stay(scene, segment, tmp_path, text):
    """Catalogues keep them beside it, under the same name."""
    item = tmp_path / 'out/scene.json'
    item.write_text(text)
    with pytest.raises(ValueError, match=r'scene\.json would be replaced'):
        segment(scene)
    assert item.read_text() == text
    assert sorted(file.name for file in item.parent.iterdir()) == [
        'scene.json', 'scene.tif',
    ]  # fmt: skip


def test_files_of_an_earlier_run_without_successor_are_named(
    scene, segment, tmp_path, monkeypatch
):
    """And stay: someone may have edited them."""
    said = []
    monkeypatch.setattr(results, 'warn', said.append)
    short = Writing(formats=('gpkg',), probability=None)
    segment(scene, ['red', 'blue'])
    assert not said
    segment(scene, ['red'], writing=short)
    left = [
        'scene.geojson', 'scene_01_probability.tif', 'scene_02_mask.tif',
        'scene_02_probability.tif',
    ]  # fmt: skip
    assert sorted(said[0].split(': ')[-1].split(', ')) == left
    assert all((tmp_path / 'out' / name).exists() for name in left)
    segment(scene, ['red'], writing=short)
    assert len(said) == 1


def test_the_area_of_interest_stays(scene, segment, tmp_path):
    segment(scene)
    area = tmp_path / 'out/scene.geojson'
    area.write_text(shapely.to_geojson(shapely.box(-180, -90, 180, 90)))
    with pytest.raises(ValueError, match=r'scene\.geojson is read by this run'):
        segment(scene, aoi=area)
    segment(scene, aoi=area, writing=Writing(formats=('gpkg',)))
    assert area.exists()


def test_the_scene_itself_stays(segment, make_scene, blobs, utm, tmp_path):
    (tmp_path / 'out').mkdir()
    scene = make_scene(blobs(40, 50), 'out/scene.gpkg', driver='GPKG', **utm)
    before = scene.read_bytes()
    with pytest.raises(ValueError, match=r'scene\.gpkg is read by this run'):
        segment(scene)
    segment(f'GPKG:{scene}:scene')
    assert (tmp_path / 'out/scene_scene.gpkg').exists()
    assert scene.read_bytes() == before


@pytest.mark.parametrize('text', ['caf\udce9', 'red\0'])
def test_text_that_no_file_can_hold_is_refused_at_once(scene, segment, network, text):
    with pytest.raises(ValueError, match='expression 2'):
        segment(scene, ['red', text])
    assert network.calls == 0


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_scenes_without_data_give_results_without_data(
    make_scene, segment, network, read, utm, tmp_path, monkeypatch, dtype
):
    """An empty tile of a mosaic must not stop the run over the others."""
    said = []
    monkeypatch.setattr(results, 'warn', said.append)
    result = segment(make_scene(np.zeros((40, 50, 3), dtype), nodata=0, **utm))
    assert network.calls == 0
    assert not len(result.objects)
    [record] = result.summary['expressions']
    for written in ('mask', 'probability'):
        assert (read(tmp_path / 'out' / record[written]) == 255).all()
    assert len(said) == 1 and 'scene.tif has no valid pixels' in said[0]
