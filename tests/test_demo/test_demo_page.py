# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, served by the real command."""

import json
import re
import socket
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmcadformer.apis import ReferringInferencer, init_model

pytest.importorskip('gradio', reason='needs the demo extra')

MAX_CHARACTERS = 60
FIRST, SECOND = 'the left pool', 'the red tennis court at the top'


@dataclass
class Server:
    """The running page.

    Attributes:
        url: Where it is.
        models: The same models.
        outside: Connections that the server tried to make to the outside.
        folder: Where the server keeps files.
    """

    url: str
    models: list[ReferringInferencer]
    outside: list
    folder: Path


@pytest.fixture(scope='module')
def other_checkpoint(tiny_config, tmp_path_factory):
    """Another model of the same kind."""
    torch.manual_seed(1)
    model = init_model(tiny_config, device='cpu')
    model.init_weights()
    path = tmp_path_factory.mktemp('other') / 'other.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture(scope='module')
def outside():
    """Address of a proxy that lets nothing through, and what was asked of it."""
    asked = []
    with closing(socket.create_server(('127.0.0.1', 0))) as proxy:

        def listen():
            while True:
                try:
                    connection, _ = proxy.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(200))

        threading.Thread(target=listen, daemon=True).start()
        yield f'http://127.0.0.1:{proxy.getsockname()[1]}', asked


@pytest.fixture(scope='module')
def server(
    serve,
    playwright,
    tiny_config,
    tiny_checkpoint,
    other_checkpoint,
    outside,
    tmp_path_factory,
):
    proxy, asked = outside
    folder = tmp_path_factory.mktemp('server')
    names = ('HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY')
    proxies = {name: proxy for upper in names for name in (upper, upper.lower())}
    options = [tiny_config, tiny_checkpoint, '--compare', tiny_config]
    options += [other_checkpoint, '--names', 'trained', 'other']
    options += ['--max-pixels', '100000', '--max-upload-mb', '1']
    options += ['--max-characters', MAX_CHARACTERS]
    with serve(folder, *options, **proxies) as (_, url):
        assert url.startswith('http://127.0.0.1:')
        models = [
            ReferringInferencer(tiny_config, weights, device='cpu')
            for weights in (tiny_checkpoint, other_checkpoint)
        ]
        yield Server(url, models, asked, folder)


@pytest.fixture
def page(server, chromium):
    """The page; nothing may go wrong or leave the server while it is open."""
    page = chromium().new_page()
    trouble = []
    page.on('pageerror', lambda error: trouble.append(str(error)))
    page.on('dialog', lambda dialog: (trouble.append('dialog'), dialog.dismiss()))
    page.on(
        'request',
        lambda request: (
            request.url.startswith((server.url, 'data:', 'blob:'))
            or trouble.append(request.url)
        ),
    )
    page.goto(server.url)
    page.locator('#find').wait_for()
    page.locator('#preview img').wait_for()
    yield page
    assert trouble == []
    assert server.outside == []


def picture_of(page, selector):
    """The picture that is shown, as RGB."""
    image = page.locator(f'{selector} img')
    image.scroll_into_view_if_needed()
    page.wait_for_function(
        'image => image.complete && image.naturalWidth', arg=image.element_handle()
    )
    data = page.request.get(image.get_attribute('src')).body()
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def wait_for_picture(page, selector, expected, seconds=60):
    """Waits for a picture: on a busy machine they come after the words."""
    end = time.monotonic() + seconds
    while not np.array_equal(picture_of(page, selector), expected()):
        assert time.monotonic() < end, f'{selector} does not show what is expected'
        page.wait_for_timeout(200)


def upload(page, path, shown):
    """Uploads a file and waits for what the page says about it."""
    if page.locator('#upload [aria-label=Clear]').count():
        page.click('#upload [aria-label=Clear]')
        page.wait_for_function("!document.querySelector('#preview img')")
    page.set_input_files('#upload input[type=file]', path)
    page.locator('#picture-message', has_text=shown).wait_for()


def ask(page, first, second=''):
    page.fill('#sentence input, #sentence textarea', first)
    page.fill('#second input, #second textarea', second)
    page.press('#second input, #second textarea', 'Enter')


def download(page, selector, folder):
    with page.expect_download() as event:
        page.click(selector)
    path = folder / event.value.suggested_filename
    event.value.save_as(path)
    return path


def message(page, text):
    shown = page.locator('#message .error', has_text=text)
    shown.wait_for()
    assert not page.locator('.card h3').count()


def check_card(page, number, expected, name):
    card = page.locator(f'#card-{number}')
    card.locator('h3', has_text=expected.expression).wait_for()
    assert name in card.locator('h3').inner_text()
    shown = picture_of(page, f'#card-{number} .overlay')
    assert np.array_equal(shown, expected.overlay())
    assert picture_of(page, f'#card-{number} .heat').shape == shown.shape
    numbers = card.locator('.numbers').inner_text()
    assert f'{expected.score:.3f}' in numbers
    assert f'{expected.mask.sum():,} px' in numbers


def test_example_upload_comparison_and_downloads(
    server, page, demo_rgb, fill, tmp_path
):
    # The page works at once: an example and its sentence are there.
    example = picture_of(page, '#preview')
    sentence = page.input_value('#sentence input, #sentence textarea')
    page.uncheck('#models input >> nth=1')
    page.click('#find')
    (expected,) = server.models[0](example, [sentence])
    check_card(page, 0, expected, '')
    assert page.locator('.card h3').count() == 1

    # Another example brings other sentences.
    page.click('#examples .thumbnail-item >> nth=1')
    page.locator('#picture-message', has_text='scene_2.png').wait_for()
    offered = [
        text.strip() for text in page.locator('#suggestions label').all_inner_texts()
    ]
    page.click('#suggestions label >> nth=1')
    page.wait_for_function(
        "text => document.querySelector('#sentence input, #sentence textarea').value"
        ' === text',
        arg=offered[1],
    )

    # One's own picture, two sentences, two models.
    path = tmp_path / 'picture.png'
    cv2.imwrite(str(path), demo_rgb[..., ::-1])
    upload(page, path, 'picture.png · 72 × 60 px')
    assert np.array_equal(picture_of(page, '#preview'), demo_rgb)
    assert not page.locator('.card h3').count()  # those were of another picture
    page.check('#models input >> nth=1')
    ask(page, FIRST, SECOND)
    results = [result for m in server.models for result in m(path, [FIRST, SECOND])]
    assert len({result.probability.tobytes() for result in results}) == 4
    for number, result in enumerate(results):
        check_card(page, number, result, 'trained' if number < 2 else 'other')
    assert not page.locator('.on-the-ground').count()

    expected = results[1]
    assert 0 < expected.mask.mean() < 1
    mask = download(page, '#card-1 .mask', tmp_path)
    stored = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(stored, expected.mask * np.uint8(255))
    assert mask.name == 'picture_the_red_tennis_court_at_the_top_mask.png'
    geojson = download(page, '#card-1 .geojson', tmp_path)
    content = json.loads(geojson.read_text())
    assert 'pixels of a picture of 72 x 60' in content['coordinates_are']
    rings = [
        ring for item in content['features'] for ring in item['geometry']['coordinates']
    ]
    assert np.array_equal(fill(rings, expected.mask.shape), expected.mask)

    page.click('#explanation button >> nth=0')
    page.click('#explain')
    expected = server.models[0].explain(demo_rgb, FIRST).picture()
    assert np.array_equal(picture_of(page, '#attention'), expected)


def test_geotiff(server, page, demo_rgb, write_geotiff, tmp_path):
    rasterio = pytest.importorskip('rasterio')
    path = write_geotiff(tmp_path / 'scene.tif', demo_rgb.transpose(2, 0, 1))
    upload(page, path, 'WGS 84 / UTM zone 14N')
    assert np.array_equal(picture_of(page, '#preview'), demo_rgb)
    page.uncheck('#models input >> nth=1')
    ask(page, SECOND)
    (expected,) = server.models[0](demo_rgb, SECOND)
    check_card(page, 0, expected, '')
    text = page.locator('#card-0 .on-the-ground').inner_text()
    area = float(re.search(r'([\d.,]+) m²', text).group(1).replace(',', ''))
    assert area == pytest.approx(expected.mask.sum() / 4, rel=2e-3, abs=0.1)
    with rasterio.open(path) as scene:
        crs, transform = scene.crs, scene.transform
    with rasterio.open(download(page, '#card-0 .geotiff', tmp_path)) as stored:
        assert (stored.crs, stored.transform) == (crs, transform)
        assert np.array_equal(stored.read(1), expected.mask)
    content = json.loads(download(page, '#card-0 .geojson', tmp_path).read_text())
    west, south = content['features'][0]['geometry']['coordinates'][0][0]
    assert (west, south) == pytest.approx((-97.88, 35.35), abs=0.05)


def test_errors_are_said_on_the_page(server, page, demo_rgb, tmp_path):
    ask(page, '  ')
    message(page, 'Type a sentence')
    ask(page, 'pool ' * MAX_CHARACTERS)
    message(page, f'the limit is {MAX_CHARACTERS}')
    nasty = '<img src=x onerror=alert(1)> ${1 + 1}'
    ask(page, nasty)
    page.locator('#card-0 h3', has_text=nasty).wait_for()

    (tmp_path / 'text.txt').write_text('no picture')
    upload(page, tmp_path / 'text.txt', 'text.txt is not a picture that can be read')
    assert not page.locator('#preview img').count()
    ask(page, FIRST)
    message(page, 'There is no picture')

    cv2.imwrite(str(tmp_path / 'large.png'), np.zeros((400, 300, 3), np.uint8))
    upload(page, tmp_path / 'large.png', 'large.png is too large')
    assert 'tools/infer_scene.py' in page.inner_text('#picture-message .error')

    cv2.imwrite(str(tmp_path / 'picture.jpg'), demo_rgb[..., ::-1])
    data = (tmp_path / 'picture.jpg').read_bytes()
    (tmp_path / 'cut.jpg').write_bytes(data[: len(data) // 2])
    upload(page, tmp_path / 'cut.jpg', 'cut.jpg is cut off')

    # Too large to be taken at all: Gradio says so itself.
    (tmp_path / 'heavy.tif').write_bytes(bytes(2**20 + 1))
    page.click('#upload [aria-label=Clear]')
    page.set_input_files('#upload input[type=file]', tmp_path / 'heavy.tif')
    page.get_by_text('exceed the maximum allowed size').wait_for()

    # After all that it still works.
    page.reload()
    page.uncheck('#models input >> nth=1')
    page.uncheck('#models input >> nth=0')
    page.click('#find')
    message(page, 'Choose at least one model')
    upload(page, tmp_path / 'picture.jpg', 'picture.jpg · 72 × 60 px')
    page.check('#models input >> nth=1')
    ask(page, FIRST)
    (expected,) = server.models[1](tmp_path / 'picture.jpg', FIRST)
    check_card(page, 0, expected, '')


def test_the_last_click_counts(server, page, demo_rgb, tmp_path):
    # Clicks while an earlier job runs are not lost. A hand's: those of one instant go
    # to the server in requests that may overtake each other.
    for number in (1, 4, 2, 3):
        page.locator('#examples .thumbnail-item').nth(number).click()
    page.locator('#picture-message', has_text='scene_4.png').wait_for()
    sentence = page.locator('#sentence input, #sentence textarea')
    page.uncheck('#models input >> nth=1')
    for text in ('the first question', 'another one', FIRST):
        sentence.fill(text)
        sentence.press('Enter')
    page.locator('#card-0 h3', has_text=FIRST).wait_for()

    def answer():
        (found,) = server.models[0](picture_of(page, '#preview'), FIRST)
        return found

    wait_for_picture(page, '#card-0 .overlay', lambda: answer().overlay())
    check_card(page, 0, answer(), '')

    for name in ('one.png', 'two.png'):
        cv2.imwrite(str(tmp_path / name), demo_rgb[..., ::-1])
    page.click('#examples .thumbnail-item >> nth=0')
    # An example empties the form, and with it takes the cross away.
    page.locator('#picture-message', has_text='scene_1.png').wait_for()
    page.set_input_files('#upload input[type=file]', tmp_path / 'one.png')
    page.click('#upload [aria-label=Clear]')
    page.set_input_files('#upload input[type=file]', tmp_path / 'two.png')
    page.locator('#picture-message', has_text='two.png').wait_for()
    wait_for_picture(page, '#preview', lambda: demo_rgb)
    page.wait_for_timeout(500)  # nothing older comes after it
    assert 'two.png' in page.inner_text('#picture-message')
    assert np.array_equal(picture_of(page, '#preview'), demo_rgb)


def test_a_slow_connection_breaks_nothing(server, chromium):
    page = chromium().new_page()
    errors = []
    page.on('pageerror', lambda error: errors.append(str(error)))
    network = page.context.new_cdp_session(page)
    network.send('Network.enable')
    slow = dict(latency=300, downloadThroughput=4e5, uploadThroughput=1e5)  # bytes/s
    network.send('Network.emulateNetworkConditions', dict(offline=False, **slow))
    page.goto(server.url, timeout=120_000)
    page.locator('#suggestions label').first.wait_for(timeout=120_000)
    page.locator('#preview img').wait_for(timeout=120_000)
    page.click('#find')
    page.locator('.card h3').first.wait_for(timeout=120_000)
    assert errors == []
