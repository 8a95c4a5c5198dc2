# SPDX-License-Identifier: Apache-2.0
"""Masks of any model, evaluated from their files."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from pycocotools import mask as mask_utils

from mmcadformer.comparison import load_methods, score

PROTOCOLS = ('exact', 'released')
TITLES = ('category', 'target size', 'expression length', 'expression type')


@pytest.fixture(scope='module')
def tested(tiny_config, tiny_checkpoint, tmp_path_factory):
    """For each protocol what test.py --save-masks writes, and its metrics."""
    folder = tmp_path_factory.mktemp('tested')
    runs = {}
    for protocol in PROTOCOLS:
        cfg = Config.fromfile(tiny_config)
        cfg.work_dir = str(folder / protocol)
        cfg.experiment_name = f'evaluate_masks_{protocol}'
        cfg.load_from = str(tiny_checkpoint)
        file = folder / f'{protocol}.jsonl'
        cfg.test_evaluator.update(
            protocol=protocol, output_file=str(file), save_rle=True
        )
        metrics = Runner.from_cfg(cfg).test()
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        runs[protocol] = dict(file=file, lines=lines, metrics=metrics)
    return runs


@pytest.fixture
def evaluate(load_tool, tiny_config, tmp_path):
    """Runs the command; returns its report, the lines and the folder."""
    main = load_tool('analysis/evaluate_masks.py').main

    def run(masks, *options, config=tiny_config):
        out = tmp_path / 'out'
        main([str(config), str(masks), '--out-dir', str(out), *options])
        metrics = json.loads((out / 'results.metrics.json').read_text())
        text = (out / 'results.jsonl').read_text()
        return metrics, [json.loads(line) for line in text.splitlines()], out

    return run


def refused(evaluate, *args):
    """The one line that the command ends with."""
    with pytest.raises(SystemExit) as end:
        evaluate(*args)
    message = str(end.value)
    assert '\n' not in message and message.startswith('evaluate_masks.py: ')
    return message


def write_png(folder, lines, name='{ref_id}_{sent_id}.png', value=255):
    for line in lines:
        path = folder / name.format_map(line)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), value * mask_utils.decode(line['pred_rle']))
    return folder


def write_coco(path, lines, *ids):
    entries = [
        dict({key: line[key] for key in ids}, segmentation=line['pred_rle'], score=1)
        for line in lines
    ]
    path.write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_metrics_are_those_of_the_test(evaluate, tested, tmp_path, protocol):
    run = tested[protocol]
    side = run['lines'][0]['height']
    assert side == 64 or protocol == 'exact' and side > 64
    assert 0 < run['metrics']['mIoU'] < 100
    sources = [
        run['file'],
        write_png(tmp_path / 'png', run['lines']),
        write_coco(tmp_path / 'coco.json', run['lines'][::-1], 'ref_id', 'sent_id'),
    ]
    for source in sources:
        report, lines, _ = evaluate(source, '--save-masks', '--resamples', '20')
        assert report['protocol'] == protocol
        assert report['metrics'] == run['metrics']
        assert lines == run['lines']


def test_the_report(evaluate, tested, tmp_path, capsys):
    options = ['--name', 'theirs', '--resamples', '300', '--level', '0.9']
    _, lines, out = evaluate(tested['exact']['file'], *options)
    assert 'pred_rle' not in lines[0]
    page = (out / 'evaluation.md').read_text()
    assert page in capsys.readouterr().out
    parts = [f'By {title}' for title in TITLES]
    parts += ['90% intervals: bootstrap over images', 'protocol: exact', '| mIoU']
    for part in (*parts, 'command: `evaluate_masks.py'):
        assert part in page
    (theirs,) = load_methods(dict(theirs=[out / 'results.jsonl']))
    rows = (out / 'scores.csv').read_text().splitlines()
    assert rows[0] == 'score,theirs,theirs low,theirs high'
    for row in rows[1:]:
        name, value, low, high = row.split(',')
        assert float(value) == pytest.approx(score(theirs)[name].mean)
        assert float(low) <= float(value) <= float(high)
    stems = ['scores', *(f'by_{title.replace(" ", "_")}' for title in TITLES)]
    names = {f'{stem}.{end}' for stem in stems for end in ('md', 'csv', 'tex')}
    assert names < {path.name for path in out.iterdir()}


def test_names_by_a_pattern(evaluate, tested, tmp_path):
    run = tested['exact']
    lines = [dict(line, index=i) for i, line in enumerate(run['lines'])]
    pattern = '{dataset_name}/{image_id}/{index:04d}.tif'
    folder = write_png(tmp_path / 'masks', lines, pattern, value=200)
    options = ['--pattern', pattern, '--mask-threshold', '127', '--quiet']
    report, *_ = evaluate(folder, *options, '--resamples', '9')
    assert report['metrics'] == run['metrics']


def test_missing_masks(evaluate, tested, tmp_path):
    run = tested['released']
    folder = write_png(tmp_path / 'png', run['lines'])
    for line in run['lines'][1:3]:
        (folder / f'{line["ref_id"]}_{line["sent_id"]}.png').unlink()
    message = refused(evaluate, folder)
    count = len(run['lines'])
    assert f'lacks masks of 2 of {count} expressions' in message
    assert run['lines'][1]['expression'] in message and '--missing empty' in message
    assert not (tmp_path / 'out/results.jsonl').exists()
    cv2.imwrite(str(folder / 'other.png'), np.zeros((64, 64), np.uint8))
    _, lines, out = evaluate(folder, '--missing', 'empty', '--resamples', '9')
    for index in (1, 2):
        assert lines[index]['intersection'] == 0
        assert lines[index]['union'] == run['lines'][index]['truth_area']
    page = (out / 'evaluation.md').read_text()
    assert 'missing masks, counted as empty: 2: ' in page
    assert 'masks of no expression, left out: 1: ' in page and 'other.png' in page


def test_doubled_masks(evaluate, tested, tmp_path):
    lines = tested['exact']['lines']
    path = write_coco(tmp_path / 'x.json', [*lines, lines[2]], 'ref_id', 'sent_id')
    message = refused(evaluate, path)
    assert '1 masks are for expressions that have one already' in message
    assert f'entry {len(lines) + 1} (ref_id {lines[2]["ref_id"]!r}' in message
    folder = write_png(tmp_path / 'png', lines)
    message = refused(evaluate, folder, '--pattern', '{dataset_name}.png')
    assert 'tell them apart, such as by {sent_id}' in message


def test_mis_sized_masks(evaluate, tested, tmp_path):
    folder = write_png(tmp_path / 'png', tested['exact']['lines'])
    line = tested['exact']['lines'][3]
    name = f'{line["ref_id"]}_{line["sent_id"]}.png'
    cv2.imwrite(str(folder / name), np.zeros((64, 32), np.uint8))
    message = refused(evaluate, folder)
    assert f'1 of {len(tested["exact"]["lines"])} masks can not' in message
    assert f'{name} has 32 x 64 px, not' in message and line['expression'] in message
    assert not (tmp_path / 'out/results.jsonl').exists()


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_the_other_protocol_is_refused(evaluate, tested, protocol):
    run = tested[protocol]
    other = PROTOCOLS[1 - PROTOCOLS.index(protocol)]
    message = refused(evaluate, run['file'], '--protocol', other)
    width, height = run['lines'][0]['width'], run['lines'][0]['height']
    assert f'has {width} x {height} px: it fits protocol {protocol!r}' in message
    assert f'but protocol {other!r} needs' in message


def test_equal_sizes_leave_the_choice(evaluate, tested, tiny_config):
    """An image of the input's size: the file says, or the option, or it is exact."""
    side = tested['exact']['lines'][0]['height']
    scale = '--cfg-options', f'test_dataloader.dataset.pipeline.2.scale=({side},{side})'
    few = '--resamples', '9'
    found = [
        evaluate(tested['exact']['file'], *few, *scale)[0]['protocol'],
        evaluate(tested['exact']['file'], *few, '--protocol', 'released', *scale)[0][
            'protocol'
        ],
    ]
    assert found == ['exact', 'released']


def test_ids_that_do_not_suffice(evaluate, tested, tmp_path):
    lines = tested['exact']['lines']
    path = write_coco(tmp_path / 'few.json', lines, 'image_id')
    message = refused(evaluate, path)
    assert 'fits ' in message and 'give more ids, such as sent_id' in message
    path = write_coco(tmp_path / 'none.json', lines)
    assert 'share none of the ids' in refused(evaluate, path)
    foreign = [dict(line, ref_id=f'x{line["ref_id"]}') for line in lines]
    path = write_coco(tmp_path / 'foreign.json', foreign, 'ref_id', 'sent_id')
    message = refused(evaluate, path)
    assert 'is for an expression of this split' in message


@pytest.mark.parametrize(
    'name, content, said',
    [
        ('a.jsonl', '{"ref_id": 1}', 'line 1 has no mask'),
        ('a.jsonl', '{"ref_id": 1, "intersection": 3}', 'test with --save-masks'),
        ('a.jsonl', '{', 'line 1: not valid JSON'),
        ('a.json', '{"ref_id": 1}', 'COCO results are a list'),
        ('a.json', '[]', 'share none of the ids'),
        ('a.pkl', '', 'masks are a folder of pictures, a .json file'),
    ],
)
def test_unusable_files_are_named(evaluate, tmp_path, name, content, said):
    path = tmp_path / name
    path.write_text(content)
    message = refused(evaluate, path)
    assert said in message and str(path) in message
    message = refused(evaluate, tmp_path / 'nowhere')
    assert 'no folder or file' in message and 'nowhere' in message


def test_damaged_masks_are_named(evaluate, tested, tmp_path):
    lines = tested['exact']['lines']
    folder = write_png(tmp_path / 'png', lines)
    line = lines[1]
    name = f'{line["ref_id"]}_{line["sent_id"]}.png'
    (folder / name).write_bytes((folder / name).read_bytes()[:60])
    assert name in refused(evaluate, folder)
    broken = dict(lines[1], pred_rle=dict(line['pred_rle'], counts='0'))
    path = write_coco(tmp_path / 'x.json', [lines[0], broken, *lines[2:]], 'ref_id',
                      'sent_id')  # fmt: skip
    assert f'{path}, entry 2: RLE counts' in refused(evaluate, path)
    other = [dict(line, expression='something else') for line in lines]
    path = tmp_path / 'other.jsonl'
    path.write_text('\n'.join(map(json.dumps, other)))
    assert "is for 'something else', but" in refused(evaluate, path)


def test_damaged_images_are_named(evaluate, tested, tiny_data, tmp_path):
    run = tested['exact']
    shutil.copytree(tiny_data, tmp_path / 'data')
    image = (
        tmp_path / 'data' / Path(run['lines'][-1]['img_path']).relative_to(tiny_data)
    )
    image.write_bytes(image.read_bytes()[:200])
    data = ['--data-root', str(tmp_path / 'data')]
    loader = 'test_dataloader.dataset.pipeline.0.type=WholeLoadImageFromFile'
    for workers in (0, 1):
        options = ['--cfg-options', loader, f'test_dataloader.num_workers={workers}']
        message = refused(evaluate, run['file'], *data, *options)
        assert f'evaluate_masks.py: {image} (ref_id ' in message


def test_several_data_sets(evaluate, tested, tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    dataset = cfg.test_dataloader.dataset
    folder = Path(dataset.data_root)
    for part in ('', 'images'):
        (tmp_path / 'data' / part).mkdir(parents=True, exist_ok=True)
        for name in ('synthrs', 'other'):
            (tmp_path / 'data' / part / name).symlink_to(folder / part / 'synthrs')
    dataset.data_root = str(tmp_path / 'data')
    other = dict(dataset, name='other')
    cfg.test_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[other, dataset], ignore_keys=['categories']
    )
    cfg.dump(tmp_path / 'both.py')
    lines = tested['released']['lines']
    pattern = '{dataset_name}/{ref_id}_{sent_id}.png'
    write_png(tmp_path / 'png', lines, pattern)
    wrong = [dict(line, dataset_name='other') for line in lines]
    write_png(tmp_path / 'png', wrong, pattern, value=0)
    options = ['--pattern', pattern, '--resamples', '9']
    report, found, _ = evaluate(tmp_path / 'png', *options, config=tmp_path / 'both.py')
    count = len(lines)
    assert [line['dataset_name'] for line in found[:count]] == ['other'] * count
    assert not any(line['intersection'] for line in found[:count])
    same = [(line['intersection'], line['union']) for line in lines]
    assert [(line['intersection'], line['union']) for line in found[count:]] == same
    expected = tested['released']['metrics']['mIoU']
    assert report['metrics']['synthrs/mIoU'] == expected
    assert report['metrics']['other/mIoU'] == 0


def test_names_that_fit_nothing(evaluate, tmp_path):
    (tmp_path / 'masks').mkdir()
    cv2.imwrite(str(tmp_path / 'masks/mine.png'), np.zeros((9, 9), np.uint8))
    message = refused(evaluate, tmp_path / 'masks')
    assert 'there is mine.png' in message and '--pattern' in message
    message = refused(evaluate, tmp_path / 'masks', '--pattern', '{id}.png')
    assert 'ids in braces are dataset_name, image_id' in message


def test_it_needs_a_split_that_is_there(evaluate, tmp_path):
    message = refused(evaluate, tmp_path, '--split', 'nightly')
    assert "no entry of the split 'nightly'; available" in message
