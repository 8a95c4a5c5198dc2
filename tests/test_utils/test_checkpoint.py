# SPDX-License-Identifier: Apache-2.0
"""Weights from files: every usual form, nothing executed, clear errors."""

import argparse
import copy
import os
import pickle
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import initialize
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import save_file
from torch import nn

from mmcadformer.utils.checkpoint import (
    check_run_state,
    read_checkpoint,
    weights_digest,
)


def make_model(width=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))


class Malicious:
    """Runs a program when a plain pickle reader meets it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def same(state, other):
    return state.keys() == other.keys() and all(
        torch.equal(value, other[key]) for key, value in state.items()
    )


@pytest.mark.parametrize('form', ['plain', 'state_dict', 'model', 'module', 'legacy'])
def test_usual_forms_are_read(tmp_path, form):
    state = make_model().state_dict()
    content = {
        'plain': state,
        'state_dict': dict(state_dict=state, meta=dict(epoch=3)),
        'model': dict(model=state, optimizer={}, epoch=3, args=None),
        'module': dict(model={f'module.{key}': v for key, v in state.items()}),
        'legacy': dict(state_dict=state, meta=dict(epoch=3)),
    }[form]
    path = tmp_path / 'weights.pth'
    torch.save(content, path, _use_new_zipfile_serialization=form != 'legacy')
    checkpoint = read_checkpoint(path)
    assert same(checkpoint['state_dict'], state)
    has_meta = form in ('state_dict', 'legacy')
    assert checkpoint['meta'] == (dict(epoch=3) if has_meta else {})


def test_safetensors_are_read(tmp_path):
    state = make_model().state_dict()
    save_file(state, tmp_path / 'weights.safetensors')
    loaded = read_checkpoint(tmp_path / 'weights.safetensors')
    assert same(loaded['state_dict'], state)
    (tmp_path / 'broken.safetensors').write_bytes(b'no header')
    with pytest.raises(ValueError, match='not a safetensors file'):
        read_checkpoint(tmp_path / 'broken.safetensors')


@pytest.mark.parametrize('new_format', [True, False])
def test_objects_beside_the_weights_are_left_out(tmp_path, new_format):
    state = make_model().state_dict()
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    content = dict(
        state_dict=state,
        meta=dict(epoch=3, when=np.float64(2.5)),
        message_hub=dict(log_scalars=dict(loss=history)),
        optimizer=dict(state={0: dict(step=torch.tensor(3.0))}),
        args=argparse.Namespace(lr=0.1),
    )
    path = tmp_path / 'epoch_3.pth'
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    checkpoint = read_checkpoint(path)
    assert same(checkpoint['state_dict'], state)
    assert checkpoint['meta']['epoch'] == 3


@pytest.mark.parametrize('new_format', [True, False])
def test_no_program_in_a_file_is_run(tmp_path, new_format):
    state = make_model().state_dict()
    folder = tmp_path / 'made by the file'
    path = tmp_path / 'evil.pth'
    content = dict(state_dict=state, extra=Malicious(str(folder)))
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    assert same(read_checkpoint(path)['state_dict'], state)
    path.write_bytes(pickle.dumps(Malicious(str(folder))))
    with pytest.raises(ValueError, match='evil.pth'):
        read_checkpoint(path)
    assert not folder.exists()


def test_load_from_in_configs_reads_safely(tmp_path):
    state = make_model().state_dict()
    folder = tmp_path / 'made by the file'
    torch.save(dict(state_dict=state, x=Malicious(str(folder))), tmp_path / 'a.pth')
    loaded = CheckpointLoader.load_checkpoint(f'safe:{tmp_path}/a.pth', 'cpu')
    assert same(loaded['state_dict'], state)
    assert not folder.exists()


def test_url_is_fetched_once(tmp_path, monkeypatch):
    state = make_model().state_dict()
    (tmp_path / 'web').mkdir()
    torch.save(state, tmp_path / 'web/weights.pth')
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'cache'))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / 'web'))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}/weights.pth'
    try:
        assert same(read_checkpoint(url)['state_dict'], state)
        with pytest.raises(FileNotFoundError, match='cannot be downloaded'):
            read_checkpoint(url.replace('weights', 'nothing'))
    finally:
        server.shutdown()
        server.server_close()
    assert same(read_checkpoint(url)['state_dict'], state)


@pytest.mark.parametrize(
    'content, message',
    [
        (b'', '0 bytes'),
        (b'<html>404</html>', 'damaged or not a PyTorch checkpoint'),
        (pickle.dumps([1, 2]), 'damaged or not a PyTorch checkpoint'),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / 'file.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(path)


def test_damaged_or_empty_checkpoints_are_refused(tmp_path):
    path = tmp_path / 'file.pth'
    with pytest.raises(FileNotFoundError, match='file.pth does not exist'):
        read_checkpoint(path)
    torch.save(make_model().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match='damaged'):
        read_checkpoint(path)
    torch.save(dict(epoch=3), path)
    with pytest.raises(ValueError, match='holds no weights'):
        read_checkpoint(path)
    torch.jit.save(torch.jit.trace(make_model().eval(), torch.rand(1, 3, 4, 4)), path)
    with pytest.raises(ValueError, match='TorchScript'):
        read_checkpoint(path)


def test_digests_tell_weights_apart():
    state = dict(a=torch.arange(6.0).reshape(2, 3), b=torch.tensor(1))
    digest = weights_digest(state).hexdigest()
    assert digest == weights_digest(copy.deepcopy(state)).hexdigest()
    # Runs that an earlier version has begun depend on it.
    assert digest.startswith('cc3d9d1dc6811ea2')
    for other in (
        dict(state, a=state['a'] + 1),
        dict(state, a=state['a'].reshape(3, 2)),
        dict(state, b=torch.tensor(1.0)),
        dict(c=state['a'], b=state['b']),
    ):
        assert digest != weights_digest(other).hexdigest()


def saved(tmp_path, content, name='epoch_3.pth', **kwargs):
    path = tmp_path / name
    torch.save(content, path, **kwargs)
    return path


def history_of(values):
    return HistoryBuffer(values, [1] * len(values), max_length=7)


def run_state(**more):
    """What MMEngine saves of a run."""
    return dict(
        state_dict=make_model().state_dict(),
        meta=dict(epoch=3, iter=30, seed=np.int64(7), config='x = 1'),
        message_hub=dict(
            log_scalars=dict(loss=history_of([1.0, 0.5]), empty=history_of([])),
            runtime_info=dict(epoch=3, lr=np.float64(0.5)),
            resumed_keys=dict(loss=True),
        ),
        optimizer=dict(state={0: dict(step=torch.tensor(3.0))}, param_groups=[]),
        **more,
    )


def test_the_state_of_a_run_is_read_by_a_list_of_types(tmp_path):
    path = saved(tmp_path, run_state())
    check_run_state(path)
    read = CheckpointLoader.load_checkpoint(str(path), 'cpu')
    expected = run_state()
    assert same(read['state_dict'], expected['state_dict'])
    scalars = read['message_hub']['log_scalars']
    for name, history in expected['message_hub']['log_scalars'].items():
        assert type(scalars[name]) is HistoryBuffer
        assert scalars[name].max_length == 7
        for values, others in zip(scalars[name].data, history.data, strict=True):
            assert np.array_equal(values, others) and values.dtype == others.dtype
    assert scalars['loss'].mean(2) == 0.75
    assert read['message_hub']['runtime_info'] == dict(epoch=3, lr=0.5)
    # MMEngine would run the text when it resumes.
    assert read['meta'] == dict(epoch=3, iter=30, seed=7)


def test_the_state_of_a_run_runs_nothing(tmp_path):
    folder = tmp_path / 'made by the file'
    path = saved(tmp_path, run_state(extra=Malicious(str(folder))))
    with pytest.raises(ValueError, match=r'posix\.mkdir.*--trust-checkpoint'):
        check_run_state(path)
    CheckpointLoader.load_checkpoint(str(path), 'cpu')
    assert not folder.exists()
    CheckpointLoader.load_checkpoint(f'trusted:{path}')  # the danger was real
    assert folder.exists()


@pytest.mark.parametrize('prefix', [None, '0'])
def test_weights_that_a_config_names_are_read_safely(tmp_path, prefix):
    folder = tmp_path / 'made by the file'
    state = make_model().state_dict()
    path = saved(tmp_path, dict(state_dict=state, extra=Malicious(str(folder))))
    model = make_model() if prefix is None else make_model()[0]
    for value in model.parameters():
        value.data.zero_()
    cfg = dict(type='Pretrained', checkpoint=str(path))
    initialize(model, dict(cfg, prefix=prefix) if prefix else cfg)
    mark = '' if prefix is None else f'{prefix}.'
    assert same(
        model.state_dict(), {name: state[mark + name] for name in model.state_dict()}
    )
    assert not folder.exists()


@pytest.mark.parametrize(
    'name', ['torchvision://resnet18', 'open-mmlab://x', 's3://a/b', 'a:petrel://b']
)
def test_weights_from_other_places_are_refused(name):
    with pytest.raises(ValueError, match='fetch the file and give its path'):
        CheckpointLoader.load_checkpoint(name)


@pytest.mark.parametrize('mapped', [False, True])
def test_a_changed_byte_is_found(tmp_path, mapped):
    state = dict(a=torch.zeros(1000))
    path = saved(tmp_path, state)
    data = bytearray(path.read_bytes())
    data[data.index(bytes(2000)) + 1000] = 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match='epoch_3.pth.* differs from its checksum'):
        read_checkpoint(path, mapped)


def repack(path, change, compression=zipfile.ZIP_STORED):
    """Writes an archive anew, with the records that ``change`` makes of its own."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, data in change(records).items():
            archive.writestr(name, data)


def test_archives_that_swell_are_refused(tmp_path):
    path = saved(tmp_path, dict(a=torch.zeros(100_000)))
    repack(path, dict, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match='is compressed'):
        read_checkpoint(path)


def test_tensors_beyond_their_record_are_refused(tmp_path):
    path = saved(tmp_path, dict(a=torch.zeros(100_000)))
    repack(
        path,
        lambda records: {
            name: data[:400] if '/data/' in name else data
            for name, data in records.items()
        },
    )
    with pytest.raises(ValueError, match='shorter than its tensor'):
        read_checkpoint(path)


def test_tensors_beyond_an_old_file_are_refused(tmp_path):
    state = dict(a=torch.zeros(100_000))
    path = saved(tmp_path, state, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match='shorter than its tensors'):
        read_checkpoint(path)


def test_one_value_does_not_stand_for_billions(tmp_path):
    few = torch.zeros(1).expand(1000, 1000)
    assert read_checkpoint(saved(tmp_path, dict(a=few)))['state_dict']['a'].sum() == 0
    many = torch.zeros(1).expand(100_000, 100_000)
    with pytest.raises(ValueError, match=r'claims the shape \(100000, 100000\)'):
        read_checkpoint(saved(tmp_path, dict(a=many)))
