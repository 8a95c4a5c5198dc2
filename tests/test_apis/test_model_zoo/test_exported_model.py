# SPDX-License-Identifier: Apache-2.0
"""A released model as an ONNX file: long sentences lose what its authors' code cuts."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer

from mmcadformer.apis import ReferringInferencer

onnxruntime = pytest.importorskip('onnxruntime', reason="needs the extra 'export'")
pytest.importorskip('onnx', reason="needs the extra 'export'")

ROOT = Path(__file__).resolve().parents[3]
SHORT = 'the lake'
LONG = 'the white ship near the bridge ' * 4 + 'that is left of the lake'


@pytest.fixture
def exported(environment, tiny_release, tmp_path, monkeypatch):
    """What the command writes for a name and its authors' file."""
    path = tmp_path / 'onnx' / 'tiny.onnx'
    options = ['--model', 'tiny', '--weights', tiny_release / 'tiny_v1.pth']
    command = ['export.py', *options, '--out', path]
    monkeypatch.setattr(sys, 'argv', [str(part) for part in command])
    runpy.run_path(str(ROOT / 'tools' / 'export.py'), run_name='__main__')
    return path


def test_probabilities_of_long_sentences_are_equal(exported, tiny_release, tmp_path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(exported), options, providers=['CPUExecutionProvider']
    )
    inside = session.get_modelmeta().custom_metadata_map
    facts = json.loads(inside['metadata.json'])
    assert (facts['max_tokens'], facts['keep_end']) == (20, False)
    assert facts['size'] == [128, 128]
    tokenizer = Tokenizer.from_str(inside['tokenizer.json'])

    inferencer = ReferringInferencer(
        'tiny', device='cpu', weights=tiny_release / 'tiny_v1.pth'
    )
    generator = np.random.default_rng(0)
    areas = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(areas).resize((128, 128), Image.BICUBIC))
    image = picture.transpose(2, 0, 1)[None].astype(np.float32)
    found = {}
    for sentence in (SHORT, LONG, LONG.rpartition(' ')[0]):
        text = tokenizer.encode(sentence)
        assert (len(text.ids) > 20) == (sentence != SHORT)
        feed = dict(
            image=image,
            input_ids=np.array([text.ids[:20]]),
            text_mask=np.array([text.attention_mask[:20]], bool),
        )
        (found[sentence],) = session.run(['probability'], feed)[0]
        (expected,) = inferencer(picture, sentence)
        assert np.abs(found[sentence] - expected.probability).max() < 1e-4
    assert np.abs(found[SHORT] - found[LONG]).max() > 1e-3

    # The example, on the command line, cuts in the same way.
    Image.fromarray(picture).save(tmp_path / 'picture.png')
    example = ROOT / 'projects' / 'cadformer' / 'onnx_runtime_example.py'
    subprocess.run(
        [sys.executable, example, exported, 'picture.png', LONG, 'mask.png'],
        cwd=tmp_path,
        check=True,
    )
    (expected,) = inferencer(picture, LONG)
    mask = np.asarray(Image.open(tmp_path / 'mask.png'))
    certain = np.abs(expected.probability - 0.5) > 1e-4
    assert certain.mean() > 0.9
    assert (mask == expected.mask)[certain].all()
