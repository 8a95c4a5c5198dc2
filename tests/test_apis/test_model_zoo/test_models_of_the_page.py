# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser with released models to choose from."""

import cv2
import numpy as np
import pytest
import torch
import yaml

from mmcadformer.apis import ReferringInferencer

pytest.importorskip('gradio', reason='needs the demo extra')

SENTENCE = 'the left pool'


@pytest.fixture
def two_models(environment, write_index, tiny_release):
    """'tiny' and 'second', of other weights; their authors' files by name."""
    index = write_index()
    metafile = tiny_release / 'tiny.yml'
    (entry,) = yaml.safe_load(metafile.read_text())['Released']
    second = dict(entry, Name='second', License='<b>no</b> trade')
    metafile.write_text(yaml.safe_dump({'Released': [entry, second]}))
    content = torch.load(tiny_release / 'tiny_v1.pth', weights_only=True)
    for name, tensor in content['model'].items():
        if name.startswith('classifier.') and tensor.is_floating_point():
            tensor.neg_()
    torch.save(content, tiny_release / 'second.pth')
    assert index.is_file()
    return dict(tiny=tiny_release / 'tiny_v1.pth', second=tiny_release / 'second.pth')


def cards(page):
    return [text.strip() for text in page.locator('.card h3').all_inner_texts()]


def test_a_visitor_chooses(two_models, serve, chromium, tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (60, 72, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'picture.png'), rgb[..., ::-1])
    expected = {
        name: ReferringInferencer(name, device='cpu', weights=file)(rgb, SENTENCE)[0]
        for name, file in two_models.items()
    }
    assert len({round(result.score, 3) for result in expected.values()}) == 2
    options = [f'{name}={file}' for name, file in two_models.items()]
    folder = tmp_path / 'server'
    folder.mkdir()
    with serve(folder, '--model', options[0], '--model', options[1]) as (_, url):
        page = chromium().new_page()
        page.goto(url)
        page.locator('#find').wait_for()
        names = page.locator('#models label').all_inner_texts()
        assert [name.strip() for name in names] == ['tiny', 'second']
        boxes = page.locator('#models input')
        assert [boxes.nth(i).is_checked() for i in (0, 1)] == [True, False]
        # What they are and under which terms stands there, as text.
        notes = page.locator('#notes p').all_inner_texts()
        about = '{}: a tiny network (https://example.org/tiny). Licence: {}.'
        assert notes[0] == about.format('tiny', 'of the tests')
        assert notes[1] == about.format('second', '<b>no</b> trade')

        page.set_input_files('#upload input[type=file]', tmp_path / 'picture.png')
        page.locator('#picture-message', has_text='72 × 60 px').wait_for()
        page.fill('#sentence input, #sentence textarea', SENTENCE)
        page.click('#find')
        page.locator('#card-0 h3', has_text=SENTENCE).wait_for()
        assert cards(page) == [SENTENCE]
        numbers = page.locator('#card-0 .numbers').inner_text()
        assert f'{expected["tiny"].score:.3f}' in numbers

        boxes.nth(0).uncheck()
        boxes.nth(1).check()
        page.click('#find')
        score = f'{expected["second"].score:.3f}'
        page.locator('#card-0 .numbers', has_text=score).wait_for()

        boxes.nth(0).check()
        page.click('#find')
        page.locator('#card-1 h3').wait_for()
        shown = cards(page)
        assert 'tiny' in shown[0] and 'second' in shown[1]
