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
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from safetensors.torch import save_file

import mmcadformer  # noqa: F401  (registers the components)
from mmcadformer.apis.model_zoo.released import (
    METHODS,
    build_empty_model,
    convert,
    read_released,
    read_rules,
)

ROOT = Path(__file__).resolve().parents[3]
TOOL = ROOT / 'tools' / 'model_converters' / 'released2mmcadformer.py'
LISTS = ROOT / 'tests' / 'data' / 'released'
CONFIGS = {
    'lavt': 'configs/lavt_swinb_rrsisd.py',
    'lgce': 'configs/lgce_swinb_rrsisd.py',
    'rmsin': 'configs/rmsin_swinb_rrsisd.py',
    'remotesam': 'configs/remotesam_swinb_rrsisd.py',
    'fianet': 'configs/fianet_swinb_rrsisd.py',
    'fianet_refsegrs': 'configs/fianet_swinb_refsegrs.py',
    'cadformer': 'projects/cadformer/configs/cadformer_released_swinb_rrsisd.py',
}
# List of tensors, method, config.
RELEASED = [
    ('lavt', 'lavt', 'lavt'),
    ('lavt_bert_apart', 'lavt', 'lavt'),
    ('lgce', 'lgce', 'lgce'),
    ('rmsin', 'rmsin', 'rmsin'),
    ('rmsin_bert_apart', 'rmsin', 'rmsin'),
    ('remotesam', 'remotesam', 'remotesam'),
    ('fianet', 'fianet', 'fianet'),
    ('fianet_refsegrs', 'fianet', 'fianet_refsegrs'),
    ('cadformer', 'cadformer', 'cadformer'),
]
# Older versions of transformers store the first, other forks the second.
TOLERATED = ('text_encoder.embeddings.position_ids', 'text_encoder.pooler')

sys.path.insert(0, str(Path(__file__).parent))
from released_models import Released  # noqa: E402

BERT = dict(
    vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=24, max_position_embeddings=30,
)  # fmt: skip
SWIN = dict(depths=(2, 2, 2, 1), num_heads=(1, 2, 2, 4), window_size=4)
CHANNELS = (16, 32, 64, 128)


def small_config(method: str) -> Config:
    method = 'rmsin' if method == 'remotesam' else method
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
        extras = dict(
            fianet=dict(text_channels=32), lgce=dict(text_channels=32, num_heads=(2, 4))
        )
        model['neck'].update(extras.get(method, dict(grid_size=4)))
    cfg.merge_from_dict(dict(model=model))
    return cfg


def small_released(method: str, seed: int = 0, bert: dict = BERT) -> Released:
    """The released network with random weights and statistics."""
    method = 'rmsin' if method == 'remotesam' else method
    torch.manual_seed(seed)
    model = Released(
        method, 16, SWIN['depths'], SWIN['num_heads'], 4, bert, 32, grid=4,
        reader=(4, 24), guided=(2, 4),
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


def load(model, state, method, names=None):
    new, report = convert(state, read_rules(method, names), model.state_dict())
    assert not report.problems, str(report)
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


def read_list(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes; '@file prefix' includes, '{a..b}' counts.

    The names of tensors that are stored apart begin with their entry of the file.
    """

    def lines(file, prefix=''):
        for line in (LISTS / file).read_text().splitlines():
            if line.startswith('@'):
                yield from lines(*line[1:].split(maxsplit=1))
            elif not line.startswith('#'):
                yield from (f'{prefix}{entry}' for entry in expand(line))

    def expand(line):
        match = re.search(r'\{(\d+)\.\.(\d+)\}', line)
        if not match:
            yield line
            return
        for i in range(int(match[1]), int(match[2]) + 1):
            yield from expand(line[: match.start()] + str(i) + line[match.end() :])

    shapes = {}
    if name == 'remotesam':  # RMSIN's, with 28 x 28 tokens instead of 15 x 15
        other = {225: 784, 314: 1080}
        return {
            key: tuple(other.get(n, n) for n in shape)
            for key, shape in read_list('rmsin').items()
        }
    for line in lines(f'{name}.txt'):
        key, *shape = line.replace('bert_model: ', 'bert_model:').split()
        assert key not in shapes, key
        shapes[key] = tuple(int(n) for n in shape[0].split(',')) if shape else ()
    return shapes


def weightless(name: str) -> dict[str, torch.Tensor]:
    """Tensors of the listed shapes that take one number of memory each."""
    return {
        re.sub(r'^bert_model:(module\.)?', 'text_encoder.', key): (
            torch.zeros(()).expand(shape)
        )
        for key, shape in read_list(name).items()
    }


def empty(config: str) -> dict[str, torch.Tensor]:
    return build_empty_model(Config.fromfile(ROOT / CONFIGS[config])).state_dict()


@pytest.mark.parametrize(('name', 'method', 'config'), RELEASED)
def test_every_listed_tensor_is_accounted_for(name, method, config):
    target, state = empty(config), weightless(name)
    new, report = convert(state, read_rules(method), target)
    assert not report.problems and not report.zeros
    for key, tensor in new.items():
        assert tensor.shape == target[key].shape
    handled = [a for a, _ in report.placed] + [a for a, _ in report.unused]
    assert sorted(handled) == sorted(state)
    assert len({b for _, b in report.placed}) == len(report.placed)


def test_every_rule_places_a_listed_tensor():
    """For at least one of the methods that share the rule."""
    rules = {method: read_rules(method).names for method in METHODS}
    used = [
        next(rule for rule in rules[method] if rule.pattern.fullmatch(key))
        for name, method, _ in RELEASED
        for key in (*weightless(name), *TOLERATED)
    ]
    assert not set(sum(rules.values(), [])) - set(used)


@pytest.mark.parametrize(('name', 'method', 'config'), RELEASED)
def test_released_networks_have_the_listed_names(name, method, config):
    """At full depth; narrow."""
    method = 'rmsin' if method == 'remotesam' else method
    blocks = 1 if config == 'fianet_refsegrs' else 3
    model = Released(
        method, 16, (2, 2, 18, 2), SWIN['num_heads'], 4,
        dict(BERT, num_hidden_layers=12), 32, grid=4, blocks=blocks, reader=(4, 24),
        guided=(2, 4),
    )  # fmt: skip
    state, listed = model.state_dict(), weightless(name)
    assert state.keys() == listed.keys()
    assert all(state[key].dim() == listed[key].dim() for key in state)


@pytest.mark.parametrize(('name', 'method', 'config'), RELEASED)
def test_listed_parameters_add_up_to_the_published_count(name, method, config):
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')
    buffers += ('relative_position_index',)
    total = sum(
        tensor.numel()
        for key, tensor in weightless(name).items()
        if not key.endswith(buffers)
    )
    expected = dict(lavt=118.85 + 108.892, rmsin=240.04, cadformer=359.25)
    expected.update(lgce=167.366 + 108.892, remotesam=241.59)
    expected.update(fianet=256.17, fianet_refsegrs=251.92)
    assert total / 1e6 == pytest.approx(expected[config], abs=0.01)


def apart(state: dict, prefix: str = '') -> tuple[dict, dict]:
    """The network, and BERT with another prefix."""
    network = {k: v for k, v in state.items() if not k.startswith('text_encoder.')}
    bert = {
        k.replace('text_encoder.', prefix): v
        for k, v in state.items() - network.items()
    }
    return network, bert


def wrapped(state: dict) -> dict:
    return {f'module.{name}': value for name, value in state.items()}


def save_plain(state, path):
    torch.save(state, path)


def save_training(state, path):
    content = {'args': argparse.Namespace(lr=1e-4), 'epoch': 3, 'optimizer': {'a': []}}
    torch.save({'model': state, **content}, path)


def save_wrapped(state, path):
    torch.save({'model': wrapped(state)}, path)


def save_apart(state, path):
    network, bert = apart(state)
    torch.save({'model': network, 'bert_model': bert}, path)


def save_apart_wrapped(state, path):
    network, bert = apart(state)
    torch.save({'model': network, 'bert_model': wrapped(bert)}, path)


def save_both_wrapped(state, path):
    network, bert = apart(state)
    torch.save({'model': wrapped(network), 'bert_model': wrapped(bert)}, path)


def save_safe(state, path):
    save_file({k: v.contiguous() for k, v in state.items()}, path)


def save_safe_apart(state, path):
    network, bert = apart(state, 'bert_model.')
    save_safe({**network, **bert}, path)


def save_safe_wrapped(state, path):
    network, bert = apart(state, 'bert_model.module.')
    save_safe({**wrapped(network), **bert}, path)


FORMS = [
    (save_plain, 'pth'),
    (save_training, 'pth'),
    (save_wrapped, 'bin'),
    (save_apart, 'pth'),
    (save_apart_wrapped, 'pth'),
    (save_both_wrapped, 'bin'),
    (save_safe, 'safetensors'),
    (save_safe_apart, 'safetensors'),
    (save_safe_wrapped, 'safetensors'),
]


@pytest.mark.parametrize('method', METHODS)
def test_all_forms_of_a_file_in_any_order_give_equal_tensors(method, tmp_path):
    state, target = small_released(method).state_dict(), build(method).state_dict()
    rules = read_rules(method)
    expected, _ = convert(state, rules, target)
    names = list(state)
    for seed, (save, suffix) in enumerate(FORMS):
        random.Random(seed).shuffle(names)
        path = tmp_path / f'{save.__name__}.{suffix}'
        save({name: state[name] for name in names}, path)
        read = read_released(path)
        assert read.keys() == state.keys(), path
        new, report = convert(read, rules, target)
        assert not report.problems, path
        assert new.keys() == expected.keys()
        for name, value in new.items():
            assert torch.equal(value, expected[name]), (path, name)


@pytest.mark.parametrize(('name', 'method', 'config'), RELEASED)
def test_missing_extra_and_misshapen_tensors_are_named(name, method, config):
    target, state = empty(config), weightless(name)
    rules = read_rules(method)
    _, report = convert(state, rules, target)
    placed = random.Random(0).sample(report.placed, 12)
    missing, misshapen, extra = placed[:4], placed[4:8], placed[8:]
    for theirs, _ in missing:
        del state[theirs]
    for theirs, _ in misshapen:
        state[theirs] = torch.zeros(()).expand(*state[theirs].shape, 2)
    for theirs, _ in extra:
        state[f'{theirs}.more'] = torch.zeros(1)
    state['head.weight'] = torch.zeros(1)
    _, report = convert(state, rules, target)
    expected = [f'missing: {ours}' for _, ours in missing]
    expected += [f'shape:   {theirs} -> {ours}: ' for theirs, ours in misshapen]
    expected += [f'unknown: {t}.more (the model has no {o}.more)' for t, o in extra]
    expected += ['unknown: head.weight']
    assert len(report.problems) == len(expected)
    for start in expected:
        assert [p for p in report.problems if p.startswith(start)], start
    assert all(problem in str(report) for problem in report.problems)


@pytest.mark.parametrize(
    ('theirs', 'shape'),
    [
        ('backbone.layers.1.fusion.project_mm.0.weight', (64, 16)),  # as many numbers
        ('backbone.layers.1.fusion.image_lang_att.f_key.0.weight', (16, 64, 1)),
        ('classifier.conv1_1.weight', (32, 2, 1, 1)),  # transposed
    ],
)
def test_tensors_of_as_many_numbers_but_another_shape_are_refused(theirs, shape):
    state, target = small_released('lavt').state_dict(), build('lavt').state_dict()
    assert state[theirs].shape != shape
    state[theirs] = state[theirs].reshape(shape)
    _, report = convert(state, read_rules('lavt'), target)
    (problem,) = report.problems
    assert problem.startswith(f'shape:   {theirs} -> ')
    ours = dict(report.placed)[theirs]
    assert f'{shape} is not {tuple(target[ours].shape)}' in problem


def test_dead_last_gate_pooler_and_old_tables_are_left_out():
    model, state = build('lavt'), small_released('lavt').state_dict()
    state['text_encoder.pooler.dense.weight'] = torch.zeros(32, 32)
    state['text_encoder.pooler.dense.bias'] = torch.zeros(32)
    state['text_encoder.embeddings.position_ids'] = torch.arange(30)[None]
    unused = dict(load(model, state, 'lavt').unused)
    assert 'pooler' in unused['text_encoder.pooler.dense.bias']
    assert 'anew' in unused['text_encoder.embeddings.position_ids']
    assert 'last stage' in unused['backbone.layers.3.res_gate.0.weight']


def test_two_tensors_for_one_of_ours_are_refused(tmp_path):
    state, target = small_released('lavt').state_dict(), build('lavt').state_dict()
    state['a'] = state['backbone.norm0.bias']
    file = write_names(tmp_path / 'a.yml', names={'a': 'backbone.norm0.bias'})
    _, report = convert(state, read_rules('lavt', file), target)
    assert report.problems == ['unknown: a (another tensor is backbone.norm0.bias)']


@pytest.mark.parametrize(
    ('method', 'other', 'part'),
    [
        ('rmsin', 'lavt', 'neck.'),
        ('fianet', 'lavt', 'neck.'),
        ('cadformer', 'rmsin', 'decode_head.text_layers.'),
    ],
)
def test_the_config_of_another_method_is_refused(method, other, part):
    target = build_empty_model(small_config(other)).state_dict()
    state = small_released(method).state_dict()
    _, report = convert(state, read_rules(method), target)
    assert [p for p in report.problems if f'(the model has no {part}' in p]


def write_names(path: Path, **content) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_names_of_a_fork_come_first(tmp_path):
    """Another neck's name, gates the other way round, one bias left out."""
    model, state = build('rmsin'), small_released('rmsin').state_dict()
    load(model, state, 'rmsin')
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    del state['backbone.cim.block.0.csa1.m.DWConv1.0.bias']
    fork = {
        k.replace('backbone.cim.', 'neck.')
        .replace('visual_gate', 'a')
        .replace('res_gate', 'visual_gate')
        .replace('.a.', '.res_gate.'): v
        for k, v in state.items()
    }
    file = write_names(
        tmp_path / 'fork.yml',
        names={
            'neck.block.0.csa1.m': ['neck.attention1', 'cross-scale attention'],
            'neck.block.0.csa2.m': ['neck.attention2', 'cross-scale attention'],
            'neck.block.0.ff.m': ['neck.feed_forward.layers', 'feed-forward'],
            **{
                f'neck.block.0.intra_ff.m.ff{i + 1}.m': [
                    f'neck.intra_scale.feed_forwards.{i}.layers',
                    'feed-forward',
                ]
                for i in range(4)
            },
            'neck': ['neck', 'neck frame'],
            'backbone.layers.3.res_gate': {'unused': 'dead'},
            'backbone.layers.3.visual_gate': {'unused': 'dead'},
            'backbone.layers.<i>.res_gate': 'backbone.fusions.<i>.visual_gate.mlp',
            'backbone.layers.<i>.visual_gate': 'backbone.fusions.<i>.gate.mlp',
        },
        zeros=['neck.attention1.subsample2.<i>'],
        settings={'model.text_encoder.max_tokens': 30},
    )
    report = load(model, fork, 'rmsin', file)
    bias = 'neck.attention1.subsample2.0.bias'
    assert report.zeros == [bias]
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name] if name != bias else 0 * value), name
    config = small_config('rmsin')
    rules = read_rules('rmsin', file)
    options = rules.differing_settings(model.state_dict(), config)
    assert options['model.text_encoder.max_tokens'] == 30


def test_biases_become_zero_only_where_the_rules_say_so():
    state, target = small_released('rmsin').state_dict(), build('rmsin').state_dict()
    del state['backbone.cim.block.0.csa1.m.DWConv1.0.bias']
    _, report = convert(state, read_rules('rmsin'), target)
    assert report.problems == ['missing: neck.attention1.subsample2.0.bias']
    assert not report.zeros


def test_extra_tensors_are_left_out_where_that_is_allowed():
    state, target = small_released('rmsin').state_dict(), build('rmsin').state_dict()
    rules = read_rules('remotesam')
    expected, _ = convert(state, rules, target)
    state |= {'head.weight': torch.zeros(2), 'backbone.norm0.scale': torch.zeros(2)}
    new, report = convert(state, rules, target, allow_extra=True)
    assert not report.problems and new.keys() == expected.keys()
    assert report.extra == ['head.weight', 'backbone.norm0.scale']
    del state['backbone.norm1.bias']
    _, report = convert(state, rules, target, allow_extra=True)
    assert report.problems == ['missing: backbone.norm1.bias']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'name': {}}, 'fork.yml: name is not one of names'),
        ({'names': ['a']}, 'fork.yml: names is not one of names'),
        ({'names': {'a': 1}}, 'fork.yml: a: expected our name'),
        (
            {'names': {'a': ['b', 'swim']}},
            'fork.yml: swim is not a part; there are swin',
        ),
        (
            {'names': {'a.<i>': 'b.<j>'}},
            r'fork.yml: a.<i>: expected our name \(with no',
        ),
        ({'also': ['swim']}, 'fork.yml: swim is not a part'),
    ],
)
def test_mistakes_in_a_file_of_names_are_told(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_rules('lavt', write_names(tmp_path / 'fork.yml', **content))


def test_a_file_of_names_that_is_not_yaml_is_refused(tmp_path):
    (tmp_path / 'a.yml').write_text('names: [')
    with pytest.raises(ValueError, match='a.yml is not YAML'):
        read_rules('lavt', tmp_path / 'a.yml')
    (tmp_path / 'b.yml').write_text('names')
    with pytest.raises(ValueError, match='b.yml holds no keys and values'):
        read_rules('lavt', tmp_path / 'b.yml')


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


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    content = {'model': {'module.a': torch.ones(2), 'a': torch.ones(2)}}
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='a.pth holds a twice'):
        read_released(tmp_path / 'a.pth')


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


END = 'model.text_encoder.keep_end=False'
PHRASES = f'{END} model.text_encoder.phrases=released'


@pytest.mark.parametrize(
    ('method', 'config', 'options'),
    [
        ('lavt', CONFIGS['lavt'], END),
        ('lgce', CONFIGS['lgce'], END),
        ('rmsin', CONFIGS['rmsin'], END),
        ('remotesam', CONFIGS['remotesam'], ''),
        ('fianet', CONFIGS['fianet'], f'model.text_encoder.max_tokens=22 {PHRASES}'),
        ('fianet', 'configs/fianet_swinb_refsegrs.py', PHRASES),
        ('cadformer', CONFIGS['cadformer'], ''),
    ],
)
def test_settings_that_no_weight_shows_are_named(method, config, options):
    config = Config.fromfile(ROOT / config)
    target = build_empty_model(config).state_dict()
    settings = read_rules(method).differing_settings(target, config)
    assert ' '.join(f'{key}={value}' for key, value in settings.items()) == options


def run(*args):
    command = [sys.executable, TOOL, *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_command_writes_a_loadable_file(tmp_path):
    source, config = tmp_path / 'rmsin.pth', tmp_path / 'config.py'
    save_apart_wrapped(small_released('rmsin').state_dict(), source)
    small_config('rmsin').dump(config)
    target, report = tmp_path / 'out.pth', tmp_path / 'report.txt'
    args = ('rmsin', source, target, '--config', config, '--report', report)
    result = run(*args)
    assert result.returncode == 0, result.stderr
    assert ' unused, 0 unknown, missing or of another shape' in result.stdout
    assert f'wrote {target}\n' in result.stdout
    assert result.stdout.endswith(f'--cfg-options {END}\n')
    assert 'used    backbone.patch_embed.proj.weight -> ' in report.read_text()
    state = torch.load(target, weights_only=True)['state_dict']
    assert not build('rmsin').load_state_dict(state).missing_keys


def test_command_refuses_what_it_does_not_know(tmp_path):
    source, target = tmp_path / 'lavt.safetensors', tmp_path / 'out.pth'
    state = small_released('lavt').state_dict()
    del state['backbone.norm1.bias']
    state['head.weight'] = torch.zeros(2, 2)
    state['backbone.norm2.bias'] = torch.zeros(7)
    save_safe_apart(state, source)
    small_config('lavt').dump(tmp_path / 'config.py')
    names = write_names(tmp_path / 'names.yml', names={'other': {'unused': 'no use'}})
    options = ('--config', tmp_path / 'config.py', '--names', names)
    result = run('lavt', source, target, *options)
    assert result.returncode == 1
    for line in (
        'unknown: head.weight\n',
        'missing: backbone.norm1.bias\n',
        'shape:   backbone.norm2.bias -> backbone.norm2.bias: (7,) is not (64,)\n',
        f'released2mmcadformer.py: {source} does not fit the released lavt',
    ):
        assert line in result.stderr
    assert 'Traceback' not in result.stderr and not target.exists()
