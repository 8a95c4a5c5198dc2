# SPDX-License-Identifier: Apache-2.0
import json

from mmengine.config import Config

TOOL = 'analysis/profile_pipeline.py'


def test_every_transform_is_timed(toy, lines, call_tool, tmp_path):
    toy.write(), lines.write()
    pipeline = [
        dict(type='WholeLoadImageFromFile'),
        dict(type='ChooseExpression'),
        dict(type='LoadReferringMask'),
        dict(type='PackReferringInputs'),
    ]
    parts = [
        dict(type='ReferringSegDataset', data_root=str(toy.root), name='toy'),
        dict(type='ReferringJsonDataset', data_root=str(lines.root)),
    ]
    dataset = dict(
        type='ConcatDataset',
        ignore_keys=['categories'],
        datasets=[dict(part, pipeline=pipeline) for part in parts],
    )
    Config(dict(train_dataloader=dict(dataset=dataset))).dump(tmp_path / 'config.py')
    path = tmp_path / 'numbers.json'
    code, text = call_tool(TOOL, tmp_path / 'config.py', '--num', 20, '--json', path)
    assert code == 0, text
    numbers = json.loads(path.read_text())
    assert numbers['index']['records'] == 5  # 3 and 2 objects
    steps = [step['step'] for step in numbers['steps']]
    names = [f'{i} {part["type"]}' for i, part in enumerate(pipeline, 1)]
    assert steps == ['(record)', *names]
    assert all(step['mean_ms'] > 0 for step in numbers['steps'])
    assert abs(sum(step['share'] for step in numbers['steps']) - 100) < 1e-6


def test_missing_data_is_an_error(call_tool, tmp_path):
    code, text = call_tool(TOOL, tmp_path / 'no.py')
    assert code == 1 and 'no.py does not exist' in text
