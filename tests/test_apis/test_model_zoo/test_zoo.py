# SPDX-License-Identifier: Apache-2.0
"""Released models by name: downloaded, checked, converted and cached."""

import json
import os
import re
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config

from mmcadformer.apis import ReferringInferencer, init_model, list_models
from mmcadformer.apis.model_zoo import find_model, open_model, released_config
from mmcadformer.apis.model_zoo.released import METHODS
from mmcadformer.models.text_encoders.bert import VOCAB_FILES
from mmcadformer.scene import SceneSegmentor

ROOT = Path(__file__).resolve().parents[3]
PICTURE = ROOT / 'docs' / 'images' / 'scene_naip_2015.jpg'


def test_every_released_method_has_a_model_that_can_be_built():
    assert {'remotesam', 'rmsin_released', 'cadformer_released'} <= set(list_models())
    models = [find_model(name) for name in list_models()]
    assert {model.method for model in models} == set(METHODS)
    for model in models:
        assert model.licence and model.page.startswith('https://') and model.about
        config = released_config(model.name)
        assert config.model.text_encoder.keep_end is False
        assert not Path(model.name).suffix


def test_remotesam_is_what_its_publishers_say():
    config, model = released_config('remotesam'), find_model('remotesam')
    assert config.model.neck.grid_size == 28
    assert config.model.text_encoder.max_tokens == 20
    assert (model.hub, model.file) == ('1e12Leon/RemoteSAM', 'RemoteSAMv1.pth')
    assert model.size == pytest.approx(2.57e9, rel=0.01)
    assert 'CC-BY-NC-4.0' in model.licence and 'none stated' in model.licence


def vocabulary_size() -> int:
    return len(VOCAB_FILES['remote_sensing'].read_text().splitlines())


def infer(run_python, tmp_path, *options, **environment):
    command = (ROOT / 'tools' / 'infer.py', PICTURE, 'the lake', '--device', 'cpu')
    out = tmp_path / 'out'
    return run_python(*command, '--out-dir', out, *options, **environment)


def test_command_downloads_once_and_says_what(run_python, hub, tmp_path):
    result = infer(run_python, tmp_path, '--model', 'tiny')
    assert result.returncode == 0, result.stderr
    told = f'tiny: downloading tiny_v1.pth, 1.23 GB from {hub.address}/somebody/tiny'
    assert told in result.stderr and 'Licence: of the tests' in result.stderr
    records = json.loads((tmp_path / 'out' / 'results.json').read_text())['results']
    assert len(records) == 1
    assert sum(r.startswith('GET') for r in hub.requests) == 1
    (converted,) = (tmp_path / 'converted').glob('*.pth')
    hub.requests.clear()
    again = infer(run_python, tmp_path, '--model', 'tiny', HF_HUB_OFFLINE='1')
    assert again.returncode == 0, again.stderr
    assert not hub.requests and 'downloading' not in again.stderr
    assert list((tmp_path / 'converted').glob('*.pth')) == [converted]


def test_a_broken_download_is_resumed(environment, hub, tmp_path):
    content = torch.load(hub.file, weights_only=True)
    content['optimizer'] = torch.zeros(6 * 2**20)  # 24 MiB; pieces have 10
    torch.save(content, hub.file)
    hub.break_after = 15 * 2**20
    try:
        open_model('tiny')
    except FileNotFoundError as error:  # some clients leave going on to the next call
        assert 'cannot be downloaded' in str(error)
        open_model('tiny')
    resumed = [r for r in hub.requests if ' from ' in r]
    assert len(resumed) == 1 and int(resumed[0].rpartition(' ')[2]) >= 10 * 2**20


def test_without_network_and_file_it_says_what_to_do(environment, hub, monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    message = 'tiny_v1.pth of tiny cannot be downloaded from somebody/tiny .*as weights'
    with pytest.raises(FileNotFoundError, match=message):
        open_model('tiny')
    assert not hub.requests


@pytest.mark.parametrize('where', ['entry', 'hub'])
def test_a_file_with_another_hash_is_refused(
    environment, hub, write_index, where, tmp_path
):
    expected = '0' * 64 if where == 'entry' else 'f' * 64
    if where == 'entry':
        write_index(SHA256=expected)
    else:
        hub.etag = expected
    with pytest.raises(ValueError, match=f'its SHA-256 is .*, not {expected}. Delete'):
        open_model('tiny')
    assert not (tmp_path / 'converted').exists()


class Program:
    """Runs when a plain pickle reader meets it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_file_that_holds_a_program_is_refused(environment, tiny_release, tmp_path):
    content = torch.load(tiny_release / 'tiny_v1.pth', weights_only=True)
    content['args'] = Program(str(tmp_path / 'made by the file'))
    torch.save(content, tmp_path / 'bad.pth')
    with pytest.raises(ValueError, match='names programs, such as .*mkdir. None was'):
        open_model('tiny', tmp_path / 'bad.pth')
    assert not (tmp_path / 'made by the file').exists()
    assert not list((tmp_path / 'converted').glob('*.pth'))


def test_a_downloaded_file_is_converted_once(environment, tiny_release, tmp_path):
    weights = tiny_release / 'tiny_v1.pth'
    config, path = open_model('tiny', weights)
    assert config.model.text_encoder.keep_end is False
    before = path.stat().st_mtime_ns
    assert open_model('tiny', weights)[1] == path
    assert path.stat().st_mtime_ns == before
    other = torch.load(weights, weights_only=True)
    other['model']['backbone.norm0.bias'] += 1
    torch.save(other, tmp_path / 'other.pth')
    assert open_model('tiny', tmp_path / 'other.pth')[1] != path


@contextmanager
def largest_anonymous_memory():
    """Yields a list that gets the most bytes that the block took beyond its start."""

    def now() -> int:
        status = Path('/proc/self/status').read_text()
        return int(re.search(r'RssAnon:\s+(\d+) kB', status)[1]) * 1024

    most, ended = [], threading.Event()
    begin = now()

    def watch():
        found = 0
        while not ended.wait(0.002):
            found = max(found, now() - begin)
        most.append(found)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')
def test_what_is_no_weights_takes_no_memory(environment, tiny_release):
    """As the optimizer's state, of which released files mostly consist."""
    weights = tiny_release / 'tiny_v1.pth'
    open_model('tiny', weights)  # what is loaded once
    content = torch.load(weights, weights_only=True)
    content['optimizer'] = {'state': torch.ones(50 * 2**20)}  # 200 MiB
    torch.save(content, weights)
    del content
    with largest_anonymous_memory() as most:
        open_model('tiny', weights)
    assert most[0] < 50 * 2**20


def test_a_file_that_does_not_fit_is_refused(environment, tiny_release, tmp_path):
    content = torch.load(tiny_release / 'tiny_v1.pth', weights_only=True)
    del content['model']['backbone.norm0.bias']
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='does not fit tiny: 1 problems(.|\n)*norm0'):
        open_model('tiny', tmp_path / 'other.pth')
    content = torch.load(tiny_release / 'tiny_v1.pth', weights_only=True)
    content['model']['head.weight'] = torch.zeros(1)
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='(.|\n)*head.weight\nNothing is missing. To'):
        open_model('tiny', tmp_path / 'other.pth')


def test_an_explicit_checkpoint_wins(environment, tiny_release, tmp_path, hub):
    _, path = open_model('tiny', tiny_release / 'tiny_v1.pth')
    state = torch.load(path, weights_only=True)['state_dict']
    state['backbone.norm0.bias'] += 1
    torch.save(state, tmp_path / 'mine.pth')
    model = init_model('tiny', tmp_path / 'mine.pth', 'cpu')
    assert torch.equal(model.backbone.norm0.bias, state['backbone.norm0.bias'])
    assert model.cfg.model.text_encoder.keep_end is False and not hub.requests


def test_python_takes_the_name(environment, tiny_release, tmp_path):
    weights = tiny_release / 'tiny_v1.pth'
    inferencer = ReferringInferencer('tiny', device='cpu', weights=weights)
    (result,) = inferencer(str(PICTURE), 'the lake')
    config, path = open_model('tiny', weights)
    (expected,) = ReferringInferencer(config, path, 'cpu')(str(PICTURE), 'the lake')
    assert (result.probability == expected.probability).all()


def test_from_a_name_to_a_map(environment, tiny_release, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (3, 150, 170), dtype=np.uint8)
    place = rasterio.transform.from_origin(601_000, 3_912_000, 0.5, 0.5)
    profile = dict(crs='EPSG:32614', transform=place, height=150, width=170, count=3)
    with rasterio.open('scene.tif', 'w', dtype='uint8', **profile) as file:
        file.write(noise)
    weights = tiny_release / 'tiny_v1.pth'
    segmentor = SceneSegmentor.from_name('tiny', weights=weights, device='cpu')
    assert segmentor.tiling.sizes == (128,)
    segmentor('scene.tif', 'the ship')
    (mask,) = Path('outputs').glob('*mask*.tif')
    with rasterio.open(mask) as file:
        assert (file.shape, file.crs.to_epsg()) == ((150, 170), 32614)
    assert list(Path('outputs').glob('*.geojson'))


def test_models_without_an_address_say_what_to_get(environment, write_index):
    write_index(Hub=None)
    with pytest.raises(FileNotFoundError, match='get tiny_v1.pth .see https://example'):
        open_model('tiny')


def test_the_tokenizer_that_will_be_fetched_is_told(
    environment, tiny_release, monkeypatch, capsys
):
    weights, config = tiny_release / 'tiny_v1.pth', tiny_release / 'tiny.py'
    open_model('tiny', weights)
    assert 'tokenizer' not in capsys.readouterr().err
    config.write_text(
        config.read_text()
        + "\nmodel['text_encoder'].update(pretrained='bert-base-uncased', vocab=None)\n"
        + f"model['text_encoder']['config']['vocab_size'] = {vocabulary_size()}\n"
    )
    open_model('tiny', weights)
    assert 'the tokenizer comes from http' in capsys.readouterr().err


def test_names_that_are_not_known_are_refused(environment, tmp_path):
    with pytest.raises(ValueError, match="'tinny' is neither a config file nor a"):
        init_model('tinny', device='cpu')
    with pytest.raises(ValueError, match='those are tiny'):
        SceneSegmentor.from_name('tinny')
    with pytest.raises(ValueError, match='go with the name of a released model'):
        init_model(Config(dict(model={})), weights=tmp_path / 'a.pth')


def test_an_index_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv('MMCADFORMER_MODEL_INDEX', str(tmp_path / 'none.yml'))
    with pytest.raises(FileNotFoundError, match='none.yml does not exist, in which'):
        list_models()
