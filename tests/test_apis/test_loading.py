# SPDX-License-Identifier: Apache-2.0
"""Weights from files into models."""

import pickle

import pytest
import torch
from torch import nn

from mmcadformer.apis import init_model, load_checkpoint


def make_model(width=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))


def test_mmengine_checkpoint_is_loaded(tiny_config, tiny_checkpoint):
    model = init_model(tiny_config, tiny_checkpoint, device='cpu')
    trusted = torch.load(tiny_checkpoint, weights_only=False)['state_dict']
    state = model.state_dict()
    assert state.keys() == trusted.keys()
    assert all(torch.equal(value, trusted[key]) for key, value in state.items())
    # Such a file really is one that PyTorch's safe reader refuses.
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tiny_checkpoint, weights_only=True)


def test_weights_that_do_not_fit_are_explained(tmp_path):
    path = tmp_path / 'file.pth'
    state = make_model().state_dict()
    torch.save({f'other.{key}': value for key, value in state.items()}, path)
    with pytest.raises(ValueError, match='another model: it has other.0.weight'):
        load_checkpoint(make_model(), path)
    torch.save(make_model(width=5).state_dict(), path)
    with pytest.raises(ValueError, match='size mismatch for 0.weight'):
        load_checkpoint(make_model(), path, strict=False)
    del state['0.bias'], state['1.num_batches_tracked']
    torch.save(dict(state, extra=torch.ones(1)), path)
    with pytest.raises(ValueError, match='1 entries are missing: 0.bias.*: extra'):
        load_checkpoint(make_model(), path)
    model = make_model()
    nn.init.zeros_(model[0].weight)
    load_checkpoint(model, path, strict=False)
    assert torch.equal(model[0].weight, state['0.weight'])


def test_init_model_explains_what_is_missing(tiny_config, tmp_path):
    with pytest.raises(FileNotFoundError, match='config nothing.py does not exist'):
        init_model('nothing.py')
    with pytest.raises(FileNotFoundError, match='nothing.pth does not exist'):
        init_model(tiny_config, tmp_path / 'nothing.pth', device='cpu')
    with pytest.raises(ValueError, match="'gpu' is unknown"):
        init_model(tiny_config, device='gpu')
    with pytest.raises(ValueError, match='cuda:99 is not there'):
        init_model(tiny_config, device='cuda:99')


def test_cfg_options_change_the_model(tiny_config):
    options = {'model.text_encoder.max_tokens': 5}
    model = init_model(tiny_config, device='cpu', cfg_options=options)
    assert model.text_encoder.max_tokens == 5 and not model.training
