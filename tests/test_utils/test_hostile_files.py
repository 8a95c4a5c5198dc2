# SPDX-License-Identifier: Apache-2.0
"""Every road that a checkpoint comes by, with every form that could run a program.

The rows and columns of the table in docs/security.md.
"""

import io
import json
import os
import pickle
import tarfile
import zipfile
from contextlib import suppress

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint
from torch import nn
from transformers import BertConfig, BertModel

from mmcadformer.apis import read_checkpoint
from mmcadformer.apis.loading import load_checkpoint as load_weights
from mmcadformer.apis.model_zoo.released import read_released
from mmcadformer.models import BertTextEncoder
from mmcadformer.utils.checkpoint import check_run_state, read_content

RAN = 'ran'


class Runs:
    def __reduce__(self):
        return os.mkdir, (RAN,)


class RunsLate:
    """Runs when its state is set."""

    def __reduce__(self):
        return nn.Module, (), Runs()


def state():
    torch.manual_seed(0)
    return nn.Linear(2, 2).state_dict()


def content(hostile):
    return dict(
        state_dict=state(),
        meta=dict(epoch=1, iter=1, config=f"import os; os.mkdir('{RAN}')"),
        message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
        extra=hostile,
    )


def as_archive(file):
    torch.save(content(Runs()), file)


def as_late_archive(file):
    torch.save(content(RunsLate()), file)


def as_old_file(file):
    torch.save(content(Runs()), file, _use_new_zipfile_serialization=False)


def as_pickle(file):
    file.write_bytes(pickle.dumps(content(Runs())))


def as_first_pickle(file):
    """A program in the place of the old form's mark."""
    as_old_file(file)
    file.write_bytes(pickle.dumps(Runs(), 2) + file.read_bytes())


def as_tar(file):
    with tarfile.open(file, 'w') as archive:
        for name in ('storages', 'tensors', 'pickle', '../outside'):
            data = pickle.dumps(Runs(), 2)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def as_two_pickles(file):
    """A second ``data.pkl``, which another reader might take."""
    as_archive(file)
    with zipfile.ZipFile(file, 'a') as archive:
        archive.writestr('other/data.pkl', pickle.dumps(Runs(), 2))


def as_torchscript(file):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.rand(1, 2)), file)
    with zipfile.ZipFile(file, 'a') as archive:
        archive.writestr('x/data.pkl', pickle.dumps(Runs(), 2))


def as_other_name(file):
    """Renamed: what begins as an archive is one, whatever its name."""
    as_archive(file)
    file.rename(file.with_suffix('.safetensors'))
    file.write_bytes(file.with_suffix('.safetensors').read_bytes())


FORMS = (
    as_archive, as_late_archive, as_old_file, as_pickle, as_first_pickle, as_tar,
    as_two_pickles, as_torchscript, as_other_name,
)  # fmt: skip


class Part(BaseModule):
    def __init__(self, **init_cfg):
        super().__init__(dict(type='Pretrained', **init_cfg))
        self.linear = nn.Linear(2, 2)


def by_init_cfg(file):
    Part(checkpoint=str(file)).init_weights()


def by_init_cfg_with_prefix(file):
    part = Part(checkpoint=str(file), prefix='x')
    try:
        part.init_weights()
    except AssertionError as error:  # the file has no weights of this name
        assert 'x. is not in' in str(error)


def by_load_from(file):
    load_checkpoint(nn.Linear(2, 2), str(file))


def by_resume(file):
    """What ``Runner.resume`` does with a file."""
    read = CheckpointLoader.load_checkpoint(str(file), 'cpu')
    if 'config' in read['meta']:
        Config.fromstring(read['meta']['config'], file_format='.py')


ROADS = dict(
    test_and_inference=lambda file: load_weights(nn.Linear(2, 2), file),
    weights=read_checkpoint,
    everything=read_content,
    released_weights=read_released,
    load_from=by_load_from,
    init_cfg=by_init_cfg,
    init_cfg_with_prefix=by_init_cfg_with_prefix,
    resume=by_resume,
    resume_check=check_run_state,
)


@pytest.mark.parametrize('form', FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize('road', ROADS)
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_no_road_runs_a_file(tmp_path, monkeypatch, road, form, suffix):
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    file = tmp_path / 'here/file.pth'
    form(file)
    if suffix != '.pth':
        file = file.rename(file.with_suffix(suffix))
    before = sorted(tmp_path.rglob('*'))
    try:
        ROADS[road](file)
    except ValueError as error:
        assert file.name in str(error)
    assert sorted(tmp_path.rglob('*')) == before


SIZES = dict(
    vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
    intermediate_size=8,
)  # fmt: skip


def write_encoder(folder, **auto_map):
    """A folder as the model hub has it, with a file of Python in it."""
    BertModel(BertConfig(**SIZES)).save_pretrained(folder, safe_serialization=False)
    (folder / 'vocab.txt').write_text('[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\npond')
    (folder / 'theirs.py').write_text(f"import os\nos.mkdir('{RAN}')\n")
    for name, content in auto_map.items():
        file = folder / f'{name}.json'
        known = json.loads(file.read_text()) if file.is_file() else {}
        file.write_text(json.dumps({**known, **content}))
    return folder


def hostile_weights(folder):
    for form in (as_archive, as_late_archive, as_old_file, as_pickle):
        write_encoder(folder)
        form(folder / 'pytorch_model.bin')
        yield form


def own_code(folder):
    tokenizer = dict(auto_map=dict(AutoTokenizer=['theirs.Theirs', None]))
    model = dict(auto_map=dict(AutoModel='theirs.Theirs', AutoConfig='theirs.Theirs'))
    for kind in ('bert', 'theirs'):
        write_encoder(folder, config=dict(model, model_type=kind))
        yield kind
    write_encoder(folder, tokenizer_config=dict(tokenizer, tokenizer_class='Theirs'))
    yield 'tokenizer'


@pytest.mark.parametrize('forms', [hostile_weights, own_code])
def test_no_text_encoder_runs_a_file(tmp_path, monkeypatch, forms):
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    for _ in forms(tmp_path / 'encoder'):
        with suppress(RuntimeError, ValueError):
            BertTextEncoder(str(tmp_path / 'encoder'), SIZES).init_weights()
        assert not os.listdir('.')


def test_a_text_encoder_is_finite(tmp_path):
    folder = write_encoder(tmp_path)
    state = torch.load(folder / 'pytorch_model.bin')
    next(iter(state.values())).view(-1)[0] = float('nan')
    torch.save(state, folder / 'pytorch_model.bin')
    with pytest.raises(RuntimeError, match=f'{folder}: 1 of .* not finite'):
        BertTextEncoder(str(folder), SIZES).init_weights()


def test_the_danger_is_real(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for form in (as_archive, as_late_archive, as_old_file):
        form(tmp_path / 'file.pth')
        with suppress(TypeError):  # what comes after it ran
            torch.load(tmp_path / 'file.pth', weights_only=False)
        os.rmdir(RAN)
