# SPDX-License-Identifier: Apache-2.0
"""Config files as commands are given them."""

import pytest

from mmcadformer.utils.config import read_config


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
