# SPDX-License-Identifier: Apache-2.0
"""Result files of made-up methods, and folders of jobs."""

import json

import numpy as np
import pytest

CATEGORIES = ('dam', 'ship', 'harbor')
EXPRESSIONS = (
    'the dam',
    'the ship on the left',
    'the large red harbor',
    'the dam left of the small ship',
    'the large ship in the upper right corner of the image next to the long red harbor',
)


@pytest.fixture
def make_lines():
    """Makes lines as ReferringIoUMetric writes them."""

    def make(count, skill, seed=0):
        truths = np.random.default_rng(1).integers(1, 400, count)
        rng = np.random.default_rng(seed)
        lines = []
        for i, truth in enumerate(truths.tolist()):
            hit = int(truth * rng.beta(5 * skill, 5 * (1 - skill)))
            wrong = int(rng.integers(0, truth))
            union = truth + wrong
            lines.append(
                dict(
                    dataset_name='toy',
                    image_id=i // 3,
                    ref_id=i // 2,
                    sent_id=f's{i}',
                    img_path=f'{i // 3}.png',
                    category=CATEGORIES[i % 3],
                    expression=EXPRESSIONS[i % 5],
                    intersection=hit,
                    union=union,
                    truth_area=truth,
                    height=40,
                    width=50,
                    iou=round(hit / union, 6),
                    protocol='exact',
                )
            )
        return lines

    return make


@pytest.fixture
def write_lines(tmp_path):
    """Writes a result file."""

    def write(lines, name):
        path = tmp_path / name
        text = ''.join(json.dumps(line) + '\n' for line in lines)
        path.write_text(text, encoding='utf-8')
        return path

    return write


@pytest.fixture
def load(make_lines, write_lines):
    """Loads methods; each is described by a skill, 0...1, for each seed."""
    from mmcadformer.comparison import load_methods

    def load(count, **skills):
        files = {
            name: [
                write_lines(make_lines(count, skill, 10 * m + s), f'{name}_{s}.jsonl')
                for s, skill in enumerate(values)
            ]
            for m, (name, values) in enumerate(skills.items())
        }
        return load_methods(files)

    return load


@pytest.fixture
def cfg(tiny_config):
    from mmcadformer.comparison import prepare_config

    return prepare_config(tiny_config, seed=4)


@pytest.fixture
def make_job(cfg, tmp_path):
    from mmcadformer.comparison import Job

    def make(name='a', **kwargs):
        job = Job.plan(name, 4, tmp_path / 'jobs' / name, cfg, **kwargs)
        job.prepare(cfg)
        return job

    return make
