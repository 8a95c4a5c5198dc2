# SPDX-License-Identifier: Apache-2.0
"""SynthRS on disk, in each difficulty."""

import json
import pickle
from pathlib import Path

import pytest

from mmcadformer.synthrs import generate_synthrs

COUNTS = dict(train=40, val=6, test=8)


@pytest.fixture(scope='session', params=['starter', 'easy', 'normal', 'hard'])
def dataset(request, tmp_path_factory):
    """Difficulty and root of a dataset of 54 scenes."""
    root = tmp_path_factory.mktemp(request.param)
    generate_synthrs(root, COUNTS, difficulty=request.param, progress=False)
    return request.param, root


@pytest.fixture(scope='session')
def easy(tmp_path_factory):
    """Root of 54 easy scenes."""
    root = tmp_path_factory.mktemp('easy')
    generate_synthrs(root, COUNTS, progress=False)
    return root


@pytest.fixture(scope='session')
def read():
    """Reads annotations, references and record of a dataset on disk."""

    def read(root):
        folder = Path(root) / 'synthrs'
        with open(folder / 'refs(unc).p', 'rb') as file:
            refs = pickle.load(file)
        return (
            json.loads((folder / 'instances.json').read_text()),
            refs,
            json.loads((folder / 'synthrs.json').read_text()),
        )

    return read
