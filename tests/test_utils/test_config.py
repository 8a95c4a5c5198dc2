# SPDX-License-Identifier: Apache-2.0
"""Config files as commands are given them."""

import pytest
from mmengine.config import Config

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
