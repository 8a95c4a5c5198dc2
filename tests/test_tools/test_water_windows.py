# SPDX-License-Identifier: Apache-2.0
"""Windows with and without water of real imagery, and the interval of their AUROC."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from mmcadformer.datasets import ReferringJsonDataset

SCRIPT = '../projects/cadformer/water_windows.py'


def test_windows_of_crops_and_scenes(call_tool, imagery, tmp_path):
    scenes = [imagery / f'scenes/naip_pembina_{year}.tif' for year in (2015, 2020)]
    crops = imagery / 'naip_ponds/naip_ponds'
    out = call_tool(SCRIPT, 'make', *scenes, '--out', tmp_path, '--negatives', crops)
    assert 'test: 188 with water, 56 without' in out
    data = ReferringJsonDataset(str(tmp_path), split='test', pipeline=[])
    infos = [data.get_data_info(i) for i in range(len(data))]
    assert len(infos) == 188 + 56
    kinds = [info.get('kind') for info in infos]
    assert kinds.count('none/category') == 56
    lines = map(json.loads, (tmp_path / 'annotations.jsonl').read_text().splitlines())
    taught = [line for line in lines if line['split'] == 'train']
    taught = [(Path(line['image']).stem.split('_'), line['mask']) for line in taught]
    scenes = [(name, mask) for name, mask in taught if 'naip' in name]
    # Nothing east of column 480, or of the last fifth of 723 rows, is among them.
    assert max(int(name[-1]) for name, _ in scenes) + 48 <= 480
    assert max(int(name[-2]) for name, _ in scenes) + 48 <= 578
    assert {mask is None for _, mask in scenes} == {True, False}
    # Of the crops: those without water, of the first two columns and of other years.
    crops = [(name, mask) for name, mask in taught if 'naip' not in name]
    assert {name[1][2:] for name, _ in crops} == {'c0', 'c1'}
    assert all(mask is None for _, mask in crops)
    assert not {'2015', '2020'} & {name[0] for name, _ in crops} and len(crops) > 500
    assert np.asarray(Image.open(infos[0]['img_path'])).shape == (48, 48, 3)


def test_auroc_and_its_interval(call_tool, tmp_path):
    scores = [(0.9, 5), (0.6, 5), (0.4, 0), (0.7, 0)]
    lines = [
        dict(img_path=f'a/one_test_{i}_0.png', score=score, truth_area=area)
        for i, (score, area) in enumerate(scores)
    ]
    file = tmp_path / 'results.jsonl'
    file.write_text('\n'.join(map(json.dumps, lines)))
    out = call_tool(SCRIPT, 'score', file)
    assert out.count('AUROC 0.750 (0.000 to 1.000), 2 with, 2 without') == 2
