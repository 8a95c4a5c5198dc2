# SPDX-License-Identifier: Apache-2.0
"""What a hook sees: the forward of each module is what runs, in every mode."""

import re

import pytest
import torch
from torch import nn

EXPRESSIONS = ['the red tennis court', 'a pool on the far left side of the road']

# Whole models: every fusion, neck and head.
MODELS = {
    'cadformer': {},
    'ungated': {'backbone.gated_to_decoder': False},
    'lavt': {'backbone.fusion': dict(type='PWAM')},
    'rmsin': {'backbone.fusion': dict(type='RMSINFusion')},
    'released': {'backbone.fusion': dict(type='ReleasedSMGAM')},
    'fianet': {
        'backbone.fusion': dict(type='FIAM'),
        'text_encoder.type': 'PhraseBertTextEncoder',
        'text_encoder.categories': ('tennis court', 'pool'),
        'neck': dict(
            type='TextAwareMultiScaleNeck',
            in_channels=(16, 32, 64, 128),
            text_channels=32,
        ),
    },
    'lgce': {
        'backbone.fusion': dict(type='PWAM'),
        'neck': dict(
            type='GuidedMultiScaleNeck',
            in_channels=(16, 32, 64, 128),
            text_channels=32,
            num_heads=2,
        ),
    },
}

# Lists of modules; and what a fused attention does in one operation with its
# neighbours, in PyTorch's layers as in ours.
NEVER_CALLED = (nn.ModuleList, nn.ModuleDict)
FUSED = re.compile(
    r'w_msa\.(softmax|attn_drop)|(_attn|attention)\.out_proj|attention\.self\.dropout'
)


def silent_modules(model: nn.Module, run) -> list[str]:
    """Names of the modules whose forward hooks ``run`` doesn't fire."""
    fired, handles = set(), []
    for name, module in model.named_modules():
        hook = module.register_forward_hook(lambda *_, name=name: fired.add(name))
        handles.append(hook)
    run()
    for handle in handles:
        handle.remove()
    return [
        name
        for name, module in model.named_modules()
        if name not in fired
        and not isinstance(module, NEVER_CALLED)
        and not FUSED.search(name)
    ]


@pytest.fixture(params=MODELS)
def model(request, tiny_cfg, build_model):
    for key, value in MODELS[request.param].items():
        *parts, last = key.split('.')
        part = tiny_cfg
        for name in parts:
            part = part[name]
        part[last] = value
    return build_model(tiny_cfg)


def test_training_calls_every_module(model, make_samples):
    images, samples = torch.randn(2, 3, 64, 64), make_samples(EXPRESSIONS)

    def train():
        data = model.data_preprocessor(
            dict(inputs=list(images), data_samples=samples), training=True
        )
        model(**data, mode='loss')

    assert silent_modules(model, train) == []


def test_prediction_calls_every_module_but_the_losses(model, make_samples):
    images, samples = torch.randn(2, 3, 64, 64), make_samples(EXPRESSIONS)
    model.eval()
    silent = silent_modules(model, lambda: model(images, samples, mode='predict'))
    parts = {name.partition('.')[0] for name in silent}
    assert parts <= {'data_preprocessor', 'decode_head'}
    assert all('.loss_decode' in n for n in silent if n.startswith('decode_head'))


def test_hooks_on_the_alignments_see_what_goes_on(tiny_cfg, build_model, make_samples):
    """The output of LGVLA is V_i', which a Grad-CAM of it would weigh."""
    model = build_model(tiny_cfg).eval()
    seen = {}

    def note(name):
        def hook(_, args, output):
            seen[name] = args[0], output

        return hook

    for i, fusion in enumerate(model.backbone.fusions):
        fusion.lgvla.register_forward_hook(note(f'lgvla{i}'))
        fusion.lgvla.gate.register_forward_hook(note(f'gate{i}'))
        fusion.register_forward_hook(note(f'fusion{i}'))
        model.backbone.stages[i].register_forward_hook(note(f'stage{i}'))
    model(torch.randn(1, 3, 64, 64), make_samples(EXPRESSIONS[:1]), mode='predict')
    for i in range(4):
        refined = seen[f'lgvla{i}'][1]
        assert torch.equal(refined, seen[f'gate{i}'][1])
        assert torch.equal(refined, seen[f'fusion{i}'][1].to_decoder)
        assert torch.equal(seen[f'lgvla{i}'][0], seen[f'stage{i}'][1])
