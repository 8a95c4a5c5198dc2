# SPDX-License-Identifier: Apache-2.0
"""Config files as commands are given them."""

import json
import os
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcadformer.utils.config import inference_pipeline, input_shape, read_config

READ = dict(type='mmseg.LoadImageFromFile')
RESIZE = dict(type='Resize', scale=(640, 480))


def test_options_override_what_the_file_says(tmp_path):
    file = tmp_path / 'c.py'
    file.write_text('a = dict(b=1, c=2)\n')
    assert read_config(file).to_dict() == dict(a=dict(b=1, c=2))
    assert read_config(str(file), {'a.b': 3}).to_dict() == dict(a=dict(b=3, c=2))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'config .*gone\.py does not exist'):
        read_config(tmp_path / 'gone.py')


@pytest.mark.parametrize('name', ['best.pth', 'passwd', 'model.safetensors'])
def test_a_file_of_another_kind_is_named(tmp_path, name):
    (tmp_path / name).write_text('x')
    with pytest.raises(ValueError, match=rf'{name} is not a config: give a file that'):
        read_config(tmp_path / name)


@pytest.mark.parametrize('wrapped', [False, True])
def test_the_test_pipeline_is_that_of_the_data_set(wrapped):
    dataset = dict(pipeline=[READ, dict(type='ChooseExpression'), RESIZE])
    if wrapped:
        other = dict(pipeline=[READ])
        dataset = dict(dataset=dict(datasets=[dict(dataset=dataset), other]))
    cfg = Config(dict(test_dataloader=dict(dataset=dataset), test_pipeline=[READ]))
    assert inference_pipeline(cfg) == [READ, RESIZE]
    assert input_shape(cfg) == (480, 640)


def test_without_a_data_set_the_pipeline_at_the_top_counts():
    cfg = Config(dict(test_dataloader=None, test_pipeline=[READ, RESIZE]))
    assert inference_pipeline(cfg) == [READ, RESIZE]
    with pytest.raises(ValueError, match='neither test_dataloader'):
        inference_pipeline(Config(dict(test_pipeline=None)))
    with pytest.raises(ValueError, match='must begin with LoadImageFromFile'):
        inference_pipeline(Config(dict(test_pipeline=[RESIZE])))


@pytest.mark.parametrize('resize', [None, dict(keep_ratio=True), dict(scale=None)])
def test_pipelines_without_a_single_size_have_no_input_shape(resize):
    pipeline = [READ] if resize is None else [READ, dict(RESIZE, **resize)]
    with pytest.raises(ValueError, match='no single size: give one with --shape'):
        input_shape(Config(dict(test_pipeline=pipeline)))
    square = [READ, dict(RESIZE, scale=96)]
    assert input_shape(Config(dict(test_pipeline=square))) == (96, 96)


CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.mark.parametrize('suffix', ['.json', '.yaml'])
def test_configs_of_data_say_the_same(tmp_path, suffix):
    program = read_config(CONFIGS / 'cadformer_tiny_synthrs.py')
    program.dump(tmp_path / f'c{suffix}')
    data = read_config(tmp_path / f'c{suffix}', {'model.neck': None})
    program.model.neck = None
    same = [
        json.dumps(c.to_dict(), default=list, sort_keys=True) for c in (program, data)
    ]
    assert same[0] == same[1]
    init_default_scope('mmseg')
    assert MODELS.build(data.model)


def write(file, content):
    text = json.dumps(content) if file.suffix == '.json' else yaml.dump(content)
    file.write_text('\ufeff' + text, encoding='utf-8')


@pytest.mark.parametrize('suffix', ['.json', '.yml'])
def test_configs_of_data_inherit_from_their_kind(tmp_path, suffix):
    base, other, file = (tmp_path / f'{name}{suffix}' for name in 'boc')
    write(base, dict(model=dict(a=1, b=2), x=[1]))
    write(other, dict(y=3))
    write(file, dict(_base_=[base.name, other.name], model=dict(b=3)))
    assert read_config(file).to_dict() == dict(model=dict(a=1, b=3), x=[1], y=3)
    write(other, dict(_base_=file.name))
    with pytest.raises(ValueError, match='base of itself'):
        read_config(file)
    write(other, dict(x=3))
    with pytest.raises(ValueError, match="two of its bases have the key 'x'"):
        read_config(file)


class Runs:
    """What code in a config does: it leaves a file where the test runs."""

    CODE = "import os; os.mkdir('ran')"

    @pytest.fixture(autouse=True)
    def _in_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / 'evil.py').write_text(f'{self.CODE}\nx = 1\n')
        os.mkdir('evils')
        (tmp_path / 'evils/registry.py').write_text(self.CODE)
        (tmp_path / 'evils/__init__.py').touch()
        (tmp_path / 'evil.pkl').write_bytes(b"cos\nmkdir\n(S'ran'\ntR.")
        yield
        assert not os.path.exists('ran')


class TestConfigsOfDataRunNothing(Runs):
    @pytest.mark.parametrize('suffix', ['.json', '.yaml'])
    @pytest.mark.parametrize(
        'content, said',
        [
            (
                dict(custom_imports=dict(imports=['evil'])),
                "custom_imports names 'evil'",
            ),
            (dict(custom_imports=dict(imports='mmseg_evil')), 'custom_imports names'),
            (dict(_base_='evil.py'), "_base_ names 'evil.py'"),
            (dict(_base_=['mmseg::_base_/default_runtime.py']), '_base_ names'),
            (dict(_base_='{{$X:evil.py}}'), 'placeholder'),
            (dict(a='{{$X:evil}}'), 'placeholder'),
            (dict(model=dict(type='evil')), "model.type = 'evil' is not a registered"),
            (dict(model=dict(type='evil.x')), 'is not a registered name'),
            (dict(model=dict(type='os.system')), 'is not a registered name'),
            (dict(model=dict(type='mmengine.load')), 'is not a registered name'),
            (dict(a=[dict(b=dict(type='os.system'))]), r'a\.0\.b\.type'),
            (dict(optim_wrapper=dict(constructor='evil')), r'optim_wrapper\.constr'),
            (dict(default_scope='evils'), 'default_scope'),
            (dict(a=dict(_scope_='evils')), 'a._scope_'),
            (
                dict(dataset=dict(type='BaseSegDataset', ann_file='evil.pkl')),
                'a pickle',
            ),
        ],
    )
    def test_roads_are_closed(self, tmp_path, suffix, content, said):
        write(tmp_path / f'c{suffix}', content)
        with pytest.raises(ValueError, match=said) as caught:
            read_config(f'c{suffix}')
        assert f'c{suffix}' in str(caught.value)

    @pytest.mark.parametrize(
        'text, said',
        [
            ("a: !!python/object/apply:os.mkdir ['ran']", 'could not determine'),
            ('a: !!python/name:evil.x', 'could not determine'),
            ('a: !!python/module:evil', 'could not determine'),
            ('a: &a [*a]', 'holds itself'),
            (
                'a0: &a0 [x, x]\n'
                + '\n'.join(
                    f'a{n + 1}: &a{n + 1} [{", ".join([f"*a{n}"] * 9)}]'
                    for n in range(12)
                ),
                'stand for more than',
            ),
            ('[1, 2]', 'keys and values'),
            ('a: [1', 'expected'),
            ('a: ' + '[' * 3000, 'nested too deeply'),
        ],
    )
    def test_yaml_is_plain(self, tmp_path, text, said):
        (tmp_path / 'c.yaml').write_text(text)
        with pytest.raises(ValueError, match=said) as caught:
            read_config('c.yaml')
        assert 'c.yaml' in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    'text', ['', 'x = (', 'x = 1 / 0', '_base_ = 3', 'a = dict(', 'raise KeyError(3)']
)
def test_programs_that_fail_are_named(tmp_path, text):
    file = tmp_path / 'c.py'
    file.write_text(text)
    if not text:
        assert read_config(file).to_dict() == {}
        return
    with pytest.raises(ValueError, match=r'c\.py'):
        read_config(file)


def test_options_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r'--cfg-options a\.7\.b does not fit'):
        read_config(Config(dict(a=[1])), {'a.7.b': 3})


def test_classes_as_types_become_names(tmp_path):
    """As in pure Python configs; those of the package stand in for MMEngine's."""
    file = tmp_path / 'c.py'
    file.write_text(
        'from mmengine.hooks import CheckpointHook\n'
        'from mmengine.optim import OptimWrapper\n'
        'from torch.optim import AdamW\n'
        'from mmcadformer.evaluation import ReferringIoUMetric\n'
        'hooks = [dict(type=CheckpointHook, interval=1)]\n'
        'optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW))\n'
        'test_evaluator = dict(type=ReferringIoUMetric)\n'
    )
    cfg = read_config(file)
    assert cfg.hooks[0].type == 'CheckpointHook'
    assert cfg.optim_wrapper.type == 'OptimWrapper'
    assert cfg.optim_wrapper.optimizer.type == 'AdamW'
    assert cfg.test_evaluator.type == 'ReferringIoUMetric'
    assert cfg.default_scope == 'mmseg'
