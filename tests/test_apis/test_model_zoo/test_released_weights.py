# SPDX-License-Identifier: Apache-2.0
"""Released weights, converted: every key accounted for, and the same numbers."""

import argparse
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from safetensors.torch import save_file

import mmcadformer  # noqa: F401  (registers the components)
from mmcadformer.apis.model_zoo.released import LAYOUTS, convert, read_released
from mmcadformer.apis.model_zoo.released.units import find_disorder

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / 'tools' / 'model_converters'
LISTS = ROOT / 'tests' / 'data' / 'released'
CONFIGS = {
    'lavt': 'configs/lavt_swinb_rrsisd.py',
    'rmsin': 'configs/rmsin_swinb_rrsisd.py',
    'fianet': 'configs/fianet_swinb_rrsisd.py',
    'cadformer': 'projects/cadformer/configs/cadformer_released_swinb_rrsisd.py',
}
METHODS = sorted(CONFIGS)

for folder in (FOLDER, Path(__file__).parent):
    sys.path.insert(0, str(folder))
from released2mmcadformer import build_empty_model, differing_options  # noqa: E402
from released_models import Released  # noqa: E402

BERT = dict(
    vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=24, max_position_embeddings=30,
)  # fmt: skip
SWIN = dict(depths=(2, 2, 2, 1), num_heads=(1, 2, 2, 4), window_size=4)
CHANNELS = (16, 32, 64, 128)


def small_config(method: str) -> Config:
    cfg = Config.fromfile(ROOT / CONFIGS[method])
    layers = 0 if method == 'cadformer' else BERT['num_hidden_layers']
    head = dict(in_channels=CHANNELS, channels=32)
    if method == 'cadformer':
        head.update(text_channels=32, num_heads=4, feedforward_channels=24)
    model = dict(
        text_encoder=dict(config=dict(BERT, num_hidden_layers=layers)),
        backbone=dict(embed_dims=16, text_channels=32, init_cfg=None, **SWIN),
        decode_head=head,
    )
    if method != 'lavt':
        model['neck'] = dict(in_channels=CHANNELS)
        extra = dict(text_channels=32) if method == 'fianet' else dict(grid_size=4)
        model['neck'].update(extra)
    cfg.merge_from_dict(dict(model=model))
    return cfg


def small_released(method: str, seed: int = 0) -> Released:
    """The released network with random weights and statistics."""
    torch.manual_seed(seed)
    model = Released(
        method, 16, SWIN['depths'], SWIN['num_heads'], 4, BERT, 32, grid=4,
        reader=(4, 24),
    )  # fmt: skip
    for name, tensor in model.state_dict().items():
        if name.endswith('running_var'):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point() and tensor.dim() == 1:
            tensor.add_(0.3 * torch.randn_like(tensor))
    return model.eval()


def build(method: str):
    init_default_scope('mmseg')
    return MODELS.build(small_config(method).model).eval()


def load(model, state, method):
    new, report = convert(state, method, model.state_dict())
    assert report.complete, str(report)
    result = model.load_state_dict(new)
    assert not result.missing_keys and not result.unexpected_keys
    return report


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    ids = torch.randint(1, 60, (2, 9))
    masks = torch.zeros(2, 3, 9, dtype=torch.bool)
    masks[0, 0, :6], masks[1, 0] = True, True
    masks[0, 1, 2:4] = True  # the second expression names no object
    masks[:, 2, 3:6] = True
    return torch.randn(2, 3, 128, 128), ids, masks


@pytest.mark.parametrize('method', METHODS)
def test_converted_weights_give_the_released_numbers(method, inputs):
    images, ids, masks = inputs
    source = small_released(method).double()
    model = build(method).double()
    load(model, source.state_dict(), method)
    text_mask = masks if method == 'fianet' else masks[:, 0]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            expected = source(images.double(), ids, masks)
            logits = model(images.double(), input_ids=ids, text_mask=text_mask)
    finally:
        torch.set_default_dtype(torch.float32)
    assert expected.std() > 0.01
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize('method', ['lavt', 'fianet'])
def test_sizes_that_need_padding_give_the_released_numbers(method, inputs):
    _, ids, masks = inputs
    source, model = small_released(method), build(method)
    load(model, source.state_dict(), method)
    images = torch.randn(2, 3, 100, 72)
    text_mask = masks if method == 'fianet' else masks[:, 0]
    with torch.no_grad():
        torch.testing.assert_close(
            model(images, input_ids=ids, text_mask=text_mask),
            source(images, ids, masks),
            rtol=1e-3,
            atol=1e-4,
        )


def read_list(method: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a listing; '@file' includes, '{a..b}' counts."""

    def lines(file):
        for line in (LISTS / file).read_text().splitlines():
            line = line.split('#')[0].strip()
            if line.startswith('@'):
                yield from lines(line[1:])
            elif line:
                yield from expand(line)

    def expand(line):
        match = re.search(r'\{(\d+)\.\.(\d+)\}', line)
        if not match:
            yield line
            return
        for i in range(int(match[1]), int(match[2]) + 1):
            yield from expand(line[: match.start()] + str(i) + line[match.end() :])

    shapes = {}
    for line in lines(f'{method}.txt'):
        name, *shape = line.split()
        assert name not in shapes, name
        shapes[name] = tuple(int(n) for n in shape[0].split(',')) if shape else ()
    return shapes


def weightless(method: str) -> dict[str, torch.Tensor]:
    """Tensors of the listed shapes that take one number of memory each."""
    return {
        name: torch.zeros(()).expand(shape) for name, shape in read_list(method).items()
    }


@pytest.mark.parametrize('method', METHODS)
def test_every_listed_key_is_accounted_for(method):
    config = Config.fromfile(ROOT / CONFIGS[method])
    target = build_empty_model(config).state_dict()
    # Expanded zeros share no storage, so that no layer passes for a twin.
    new, report = convert(weightless(method), method, target)
    assert not report.unknown and not report.missing and not report.zeros
    for name, tensor in new.items():
        assert tensor.shape == target[name].shape
    handled = {a for a, *_ in report.placed} | {a for a, _ in report.unused}
    assert handled == {name.rpartition('.')[0] for name in read_list(method)}
    assert len({b for _, b, _ in report.placed}) == len(report.placed)


@pytest.mark.parametrize('method', METHODS)
def test_listed_parameters_add_up_to_the_published_count(method):
    shapes = read_list(method)
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')
    buffers += ('relative_position_index', 'position_ids')
    total = sum(
        torch.Size(shape).numel()
        for name, shape in shapes.items()
        if not name.endswith(buffers)
    )
    bert = 108.892
    expected = dict(lavt=118.85 + bert, rmsin=240.04, fianet=256.17, cadformer=359.25)
    assert total / 1e6 == pytest.approx(expected[method], abs=0.01)


def rename(state, pattern, new):
    renamed = {re.sub(pattern, new, name): value for name, value in state.items()}
    assert len(renamed) == len(state) and renamed.keys() != state.keys()
    return renamed


@pytest.mark.parametrize(
    ('method', 'pattern', 'new'),
    [
        ('rmsin', r'backbone\.neck\.', 'cim.'),
        ('rmsin', r'\.(local_embedding|global_embedding|global_act)\.', r'.x_\1y.'),
        ('rmsin', r'receptive\.', 'vr_block.'),
        ('rmsin', r'res_gate_v', 'visual_switch'),
        ('rmsin', r'\.res_gate\.', '.lang_gate.'),
        ('rmsin', r'\.(attn1|attn2)\.', r'.\1_of_block.'),
        ('fianet', r'opab\.(object|position)_', r'\1ness.'),
        ('fianet', r'\.opab\.', '.branch.'),
        ('cadformer', r'lang_(fusions|gates)', r'l_\1'),
        ('cadformer', r'reader_', 'transformer'),
    ],
)
def test_uncertain_names_do_not_matter(method, pattern, new):
    model = build(method)
    state = small_released(method).state_dict()
    load(model, state, method)
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    load(model, rename(state, pattern, new), method)
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize('gates', ['lang_gates', 'word_switches'])
def test_words_that_look_at_pixels_may_be_projected_by_linear_layers(gates):
    """VGLVA with 2-D weights, which have the shape of its gates."""
    model, state = build('cadformer'), small_released('cadformer').state_dict()
    load(model, state, 'cadformer')
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    linear = {
        name.replace('lang_gates', gates): (
            value.squeeze(2) if 'lang_fusions' in name and value.dim() == 3 else value
        )
        for name, value in state.items()
    }
    report = load(model, linear, 'cadformer')
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    square = [
        (a, how)
        for a, _, how in report.placed
        if re.search(r'lang_fusions.*(project|f_query|W)', a)
    ]
    assert len(square) == 4 * 4
    assert {how for _, how in square} == {'order'}


def test_listed_keys_of_linear_layers_on_words_are_accounted_for():
    config = Config.fromfile(ROOT / CONFIGS['cadformer'])
    state = {
        name: value.squeeze(2) if 'lang_fusions' in name and value.dim() == 3 else value
        for name, value in weightless('cadformer').items()
    }
    target = build_empty_model(config).state_dict()
    _, report = convert(state, 'cadformer', target)
    assert report.complete and not report.zeros, str(report)


@pytest.mark.parametrize(
    ('language', 'visual', 'certain'),
    [
        ('lang_gate', 'res_gate', True),
        ('res_gate', 'visual_gate', True),
        ('res_gate', 'switch', False),
        ('res_gate', 'res_gate_2', False),
        ('lang_vis_gate', 'vis_lang_gate', False),
    ],
)
def test_gates_are_told_apart_by_unambiguous_names_alone(language, visual, certain):
    model, state = build('rmsin'), small_released('rmsin').state_dict()
    load(model, state, 'rmsin')
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    names = {'res_gate': language, 'res_gate_v': visual}
    state = {
        re.sub(r'res_gate\w*', lambda match: names[match[0]], name): value
        for name, value in state.items()
    }
    report = load(model, state, 'rmsin')
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    gates = {a: how for a, b, how in report.placed if re.search(r'gate\.mlp', b)}
    assert len(gates) == 3 * 2 * 2
    assert set(gates.values()) == {'name' if certain else 'order'}


@pytest.mark.parametrize('registered_first', [False, True])
def test_last_norm_of_the_neck_is_the_one_beside_its_convolution(registered_first):
    """A norm inside the blocks may be the only one without a number in its name."""
    model, state = build('rmsin'), small_released('rmsin').state_dict()
    load(model, state, 'rmsin')
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    state = rename(state, r'neck\.bn\.', 'neck.tail.0.')
    state = rename(state, r'neck\.up_channel\.', 'neck.tail.1.')
    state = rename(state, r'neck\.block\.0\.ff\.bn1\.', 'neck.blk.ffn.norm.')
    if registered_first:
        state = dict(sorted(state.items(), key=lambda item: '.tail.' not in item[0]))
    report = load(model, state, 'rmsin')
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert ('backbone.neck.tail.0', 'neck.expand.0') in report.by_order()


def test_receptive_branch_with_flat_names():
    """No names of branches: the place of the 3x3 convolution decides."""
    model, state = build('rmsin'), small_released('rmsin').state_dict()
    load(model, state, 'rmsin')
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    flat = {}
    for name, value in state.items():
        name = re.sub(r'(first|second)\.small\.0', r'\1.conv_a', name)
        name = re.sub(r'(first|second)\.small\.1', r'\1.bn_a', name)
        name = re.sub(r'(first|second)\.large\.(\d)', r'\1.layer\2', name)
        flat[name.replace('.same.', '.bn_b.')] = value
    load(model, flat, 'rmsin')
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize('method', METHODS)
def test_report_names_what_was_told_apart_by_order(method):
    report = load(build(method), small_released(method).state_dict(), method)
    ordered = [a for a, _ in report.by_order()]
    if method == 'lavt':
        assert not ordered
    known = ('blocks', 'text_encoder', 'conv1_', 'image_lang_att', 'patch_embed')
    assert not [name for name in ordered if any(part in name for part in known)]


def test_unknown_and_missing_keys_are_reported():
    model, state = build('lavt'), small_released('lavt').state_dict()
    state['backbone.extra.weight'] = torch.zeros(3)
    del state['classifier.conv2_3.weight']
    _, report = convert(state, 'lavt', model.state_dict())
    assert report.unknown == ['backbone.extra']
    assert report.missing == ['decode_head.seg_blocks.2.3.weight']
    assert 'UNKNOWN backbone.extra' in str(report)


def test_dead_last_gate_and_pooler_are_left_out():
    model, state = build('lavt'), small_released('lavt').state_dict()
    state['text_encoder.pooler.dense.weight'] = torch.zeros(32, 32)
    state['text_encoder.pooler.dense.bias'] = torch.zeros(32)
    unused = dict(load(model, state, 'lavt').unused)
    assert 'pooler' in unused['text_encoder.pooler.dense']
    assert 'no part' in unused['backbone.layers.3.res_gate.0']


def test_layer_registered_twice_is_recognised():
    model, source = build('rmsin'), small_released('rmsin')
    source.classifier.routing = source.classifier.conv2_4.rounting_func
    unused = dict(load(model, source.state_dict(), 'rmsin').unused)
    same = 'the same layer as classifier.conv2_4.rounting_func.dwc'
    assert unused['classifier.routing.dwc'] == same


def test_bias_that_the_release_lacks_becomes_zero():
    model, state = build('rmsin'), small_released('rmsin').state_dict()
    del state['backbone.neck.block.0.attn1.down1.bias']
    report = load(model, state, 'rmsin')
    assert report.zeros == ['neck.attention1.subsample2.0.bias']
    assert not model.neck.attention1.subsample2[0].bias.any()


def test_weights_of_another_size_are_refused():
    model, state = build('lavt'), small_released('lavt').state_dict()
    state['backbone.patch_embed.proj.weight'] = torch.zeros(24, 3, 4, 4)
    with pytest.raises(ValueError, match=r'patch_embed.proj.weight \(24, 3, 4, 4\)'):
        convert(state, 'lavt', model.state_dict())


def test_a_config_without_the_methods_neck_is_refused():
    config = small_config('rmsin')
    config.model.neck = None
    target = build_empty_model(config).state_dict()
    with pytest.raises(ValueError, match=r'whose model\.neck is that of rmsin'):
        convert(small_released('rmsin').state_dict(), 'rmsin', target)


@pytest.mark.parametrize(
    ('method', 'other', 'part'),
    [('fianet', 'lavt', 'neck'), ('cadformer', 'rmsin', 'decode_head')],
)
def test_the_config_of_another_method_is_refused(method, other, part):
    target = build_empty_model(small_config(other)).state_dict()
    with pytest.raises(ValueError, match=rf'whose model\.{part} is that of {method}'):
        convert(small_released(method).state_dict(), method, target)


def test_training_checkpoint_with_arguments_is_read(tmp_path):
    """DDP's prefix, a Namespace beside the weights, and BERT stored apart."""
    content = {
        'model': {'module.classifier.conv1_1.bias': torch.ones(2)},
        'bert_model': {'embeddings.LayerNorm.bias': torch.ones(3)},
        'args': argparse.Namespace(lr=1e-4),
        'epoch': 3,
    }
    torch.save(content, tmp_path / 'a.pth')
    assert set(read_released(tmp_path / 'a.pth')) == {
        'classifier.conv1_1.bias',
        'text_encoder.embeddings.LayerNorm.bias',
    }


def test_prefixes_are_taken_off_either_network(tmp_path):
    content = {
        'model': {'module.a.bias': torch.ones(2)},
        'bert_model': {'module.encoder.bias': torch.ones(3)},
    }
    torch.save(content, tmp_path / 'a.pth')
    assert set(read_released(tmp_path / 'a.pth')) == {
        'a.bias',
        'text_encoder.encoder.bias',
    }


class Program:
    """Runs when a plain pickle reader meets it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_programs_in_files_are_not_run(tmp_path):
    program = Program(str(tmp_path / 'made by the file'))
    content = {'model': {'a': torch.ones(1)}, 'args': program, 'bert_model': program}
    torch.save(content, tmp_path / 'a.pth')
    assert set(read_released(tmp_path / 'a.pth')) == {'a'}
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


def test_files_without_weights_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        read_released(tmp_path / 'b.pth')
    torch.save({'epoch': 3}, tmp_path / 'c.pth')
    with pytest.raises(ValueError, match='holds no tensors'):
        read_released(tmp_path / 'c.pth')


def sort_naturally(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers as such, and a layer's weight before its bias."""
    parts = name.replace('weight', '').split('.')
    return [(int(part), '') if part.isdigit() else (-1, part) for part in parts]


def shuffle_layers(state: dict) -> dict:
    """Other layers after each other, the tensors of each as they were."""
    layers = sorted({name.rpartition('.')[0] for name in state})
    random.Random(0).shuffle(layers)
    return {
        name: value
        for layer in layers
        for name, value in state.items()
        if name.rpartition('.')[0] == layer
    }


ORDERS = {
    'sorted': lambda state: dict(sorted(state.items())),
    'naturally': lambda state: {k: state[k] for k in sorted(state, key=sort_naturally)},
    'backwards': lambda state: dict(reversed(state.items())),
    'shuffled': shuffle_layers,
}


@pytest.mark.parametrize('order', ORDERS)
@pytest.mark.parametrize('method', METHODS)
def test_entries_in_another_order_are_refused(method, order, tmp_path):
    """Unless names alone tell all layers apart."""
    model, state = build(method), small_released(method).state_dict()
    mixed = ORDERS[order](state)
    if method == 'lavt':
        load(model, state, method)
        expected = {k: v.clone() for k, v in model.state_dict().items()}
        load(model, mixed, method)
        for name, value in model.state_dict().items():
            assert torch.equal(value, expected[name]), name
        return
    message = 'the entries are not in the order in which the network registers them'
    with pytest.raises(ValueError, match=message):
        convert(mixed, method, model.state_dict())


@pytest.mark.parametrize('method', METHODS)
def test_listed_keys_are_in_the_order_of_registration(method):
    assert find_disorder(small_released(method).state_dict()) is None


def test_safetensors_are_refused_with_one_line(tmp_path):
    source, config = tmp_path / 'fianet.safetensors', tmp_path / 'config.py'
    state = small_released('fianet').state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, source)
    small_config('fianet').dump(config)
    result = run('fianet', source, tmp_path / 'out.pth', '--config', config)
    assert result.returncode == 1
    assert 'released2mmcadformer.py: the entries are not in the order' in result.stderr
    assert 'Traceback' not in result.stderr and not (tmp_path / 'out.pth').exists()


END = 'model.text_encoder.keep_end=False'


@pytest.mark.parametrize(
    ('method', 'config', 'options'),
    [
        ('lavt', CONFIGS['lavt'], END),
        ('rmsin', CONFIGS['rmsin'], END),
        ('fianet', CONFIGS['fianet'], f'model.text_encoder.max_tokens=22 {END}'),
        ('fianet', 'configs/fianet_swinb_refsegrs.py', END),
        ('cadformer', CONFIGS['cadformer'], ''),
    ],
)
def test_settings_that_no_weight_shows_are_named(method, config, options):
    config = Config.fromfile(ROOT / config)
    target = build_empty_model(config).state_dict()
    assert differing_options(LAYOUTS[method](target).settings, config) == options


def run(*args):
    command = [sys.executable, FOLDER / 'released2mmcadformer.py', *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_command_writes_a_loadable_file(tmp_path):
    source, config = tmp_path / 'rmsin.pth', tmp_path / 'config.py'
    torch.save({'model': small_released('rmsin').state_dict()}, source)
    small_config('rmsin').dump(config)
    target, report = tmp_path / 'out.pth', tmp_path / 'report.txt'
    args = ('rmsin', source, target, '--config', config, '--report', report)
    result = run(*args)
    assert result.returncode == 0, result.stderr
    assert '0 unknown, 0 tensors missing' in result.stdout
    assert 'told apart by their order alone' in result.stdout
    assert f'wrote {target}\n' in result.stdout
    assert result.stdout.endswith(f'--cfg-options {END}\n')
    assert 'used    backbone.patch_embed.proj' in report.read_text()
    state = torch.load(target, weights_only=True)['state_dict']
    assert not build('rmsin').load_state_dict(state).missing_keys


def test_command_refuses_what_it_does_not_know(tmp_path):
    source, target = tmp_path / 'lavt.pth', tmp_path / 'out.pth'
    state = small_released('lavt').state_dict()
    del state['backbone.norm1.bias']
    state['head.weight'] = torch.zeros(2, 2)
    torch.save(state, source)
    small_config('lavt').dump(tmp_path / 'config.py')
    result = run('lavt', source, target, '--config', tmp_path / 'config.py')
    assert result.returncode != 0
    assert 'unknown: head' in result.stderr
    assert not target.exists()
