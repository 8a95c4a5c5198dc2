# SPDX-License-Identifier: Apache-2.0
"""The command that counts parameters and operations."""

import json

import pytest


def test_command_prints_table_or_json(call_tool, tiny_config):
    arguments = ['analysis/get_flops.py', tiny_config, '--shape', 64, '--tokens', 12]
    text = call_tool(*arguments, '--least', '0.001')
    assert 'One multiply-add is two FLOPs' in text and 'decode_head' in text
    numbers = json.loads(call_tool(*arguments, '--json'))
    assert numbers['shape'] == [64, 64] and numbers['tokens'] == 12
    assert numbers['modules'][0]['params'] == numbers['parameters']['total']
    with pytest.raises(SystemExit, match='128 positions'):
        call_tool(*arguments[:4], '--tokens', 500)


def test_a_config_that_is_not_there_is_named(call_tool):
    with pytest.raises(SystemExit, match=r'no_such_config\.py does not exist'):
        call_tool('analysis/get_flops.py', 'no_such_config.py')


def test_nothing_is_fetched_from_a_hub(call_tool, tiny_config):
    text = call_tool(
        'analysis/get_flops.py', tiny_config, '--shape', 64, '--cfg-options',
        'model.text_encoder.vocab=None',
        'model.text_encoder.pretrained=no/such/model',
    )  # fmt: skip
    # The embedding has the size of bert-base-uncased, 32 channels wide.
    total = float(text.split('parameters, total: ')[1].split()[0])
    assert total > 30522 * 32 / 1e6
