# SPDX-License-Identifier: Apache-2.0
"""Windows across pictures, and a small scene that is gated by presence."""

import json
import re
from collections import defaultdict

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmcadformer.datasets import ReferringJsonDataset
from mmcadformer.datasets.masks import load_mask

SCRIPT = '../projects/cadformer/gating_scene.py'
CONFIG = 'configs/cadformer_tiny_windows_generalised.py'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    from mmcadformer.synthrs import generate_synthrs

    root = tmp_path_factory.mktemp('data')
    counts = dict(train=6, val=2, test=30)
    generate_synthrs(root, counts, 96, 3, 'generalised', progress=False)
    return root


def test_windows_say_what_they_show(call_tool, data, tmp_path):
    make = SCRIPT, 'windows', data, '--train', 30, '--val', 5
    out = call_tool(*make, '--out', tmp_path / 'all')
    assert re.search(r'train: (29|30) with a target, 60 without', out)
    call_tool(*make, '--out', tmp_path / 'targets', '--absent', 0)
    records = {
        name: list(ReferringJsonDataset(str(tmp_path / name), split='train'))
        for name in ('all', 'targets')
    }
    meant = [r for r in records['all'] if r['segmentation'] is not None]
    said = [r['expressions'] for r in meant]
    assert said == [r['expressions'] for r in records['targets']]
    assert all(load_mask(r['segmentation'], 64, 64).any() for r in meant)
    there = defaultdict(set)
    for record in meant:
        there[record['img_path']].add(record['category'])
    for record in records['all']:
        if record.get('kind') == 'none/category':
            assert record['category'] not in there[record['img_path']]
    assert {'none/category', 'none/attribute'} <= {
        r.get('kind') for r in records['all']
    }


def test_a_window_is_no_larger_than_a_picture(call_tool, data, tmp_path):
    with pytest.raises(SystemExit, match='--side 97: the pictures have 96 px'):
        call_tool(SCRIPT, 'windows', data, '--out', tmp_path, '--side', 97)


@pytest.fixture(scope='module')
def checkpoints(repo_root, tmp_path_factory):
    """Networks of random weights, with and without a head."""
    from mmseg.registry import MODELS

    init_default_scope('mmseg')
    folder, found = tmp_path_factory.mktemp('weights'), []
    for presence in (dict(), None):
        cfg = Config.fromfile(repo_root / CONFIG)
        cfg.model.decode_head.presence = presence
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        found.append(folder / f'{len(found)}.pth')
        torch.save(dict(state_dict=model.state_dict()), found[-1])
    return found


def test_a_scene_without_and_with_gates(
    call_tool, repo_root, data, checkpoints, tmp_path
):
    calibrated = tmp_path / 'presence.json'
    score = "score of the model's presence head"
    calibrated.write_text(json.dumps(dict(threshold=1.0, score=score)))
    out = call_tool(
        SCRIPT, 'measure', data, '--category', 'roundabout', '--config',
        repo_root / CONFIG, '--checkpoint', checkpoints[0], '--ordinary',
        checkpoints[1], '--size', 1440, '--share', 0.12, '--presence', 0, calibrated,
    )  # fmt: skip
    rows = {
        cells[0]: cells[1:]
        for line in out.splitlines()
        if line.startswith('|')
        for cells in [[cell.strip() for cell in line.strip('|').split('|')]]
    }
    assert rows['0'] == rows['none']
    assert rows['1'][2] == '0'
    assert 'ordinary network, none' in rows and 'stored, 0.50' in rows
    false = [int(rows[name][2].replace(',', '')) for name in ('the truth', 'none')]
    assert 0 < false[0] < false[1]
    assert rows['the truth'][1] == '100.0%'
    assert re.search(r'tiles with: \d+', out) and re.search(r'tiles without: \d+', out)
