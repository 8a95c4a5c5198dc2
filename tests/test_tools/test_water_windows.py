# SPDX-License-Identifier: Apache-2.0
"""Windows with and without water of real imagery, and the interval of their AUROC."""

import json

import numpy as np
from PIL import Image

from mmcadformer.datasets import ReferringJsonDataset

SCRIPT = '../projects/cadformer/water_windows.py'


def test_windows_of_crops_and_scenes(call_tool, imagery, tmp_path):
    scenes = [imagery / f'scenes/naip_pembina_{year}.tif' for year in (2015, 2020)]
    crops = imagery / 'naip_ponds/naip_ponds'
    out = call_tool(SCRIPT, 'make', crops, *scenes, '--out', tmp_path)
    assert 'test: 188 with water, 56 without' in out
    data = ReferringJsonDataset(str(tmp_path), split='test', pipeline=[])
    infos = [data.get_data_info(i) for i in range(len(data))]
    assert len(infos) == 188 + 56
    kinds = [info.get('kind') for info in infos]
    assert kinds.count('none/category') == 56
    # Nothing east of column 480 is among what teaches.
    lines = map(json.loads, (tmp_path / 'annotations.jsonl').read_text().splitlines())
    taught = {line['image'].split('_')[1] for line in lines if line['split'] != 'test'}
    assert {place[2:] for place in taught} == {'c0', 'c1'}
    assert np.asarray(Image.open(infos[0]['img_path'])).shape == (48, 48, 3)


def test_auroc_and_its_interval(call_tool, tmp_path):
    scores = [(0.9, 5), (0.6, 5), (0.4, 0), (0.7, 0)]
    lines = [
        dict(img_path=f'a/one_{i}_0.png', score=score, truth_area=area)
        for i, (score, area) in enumerate(scores)
    ]
    file = tmp_path / 'results.jsonl'
    file.write_text('\n'.join(map(json.dumps, lines)))
    out = call_tool(SCRIPT, 'score', file)
    assert out.count('AUROC 0.750 (0.000 to 1.000), 2 with, 2 without') == 2
