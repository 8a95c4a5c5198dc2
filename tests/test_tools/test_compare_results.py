# SPDX-License-Identifier: Apache-2.0
"""Comparison of result files from the command line."""

import csv
import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('analysis/compare_results.py').main


@pytest.fixture
def files(tmp_path):
    """Results of a method with two seeds, and of one that is always right."""
    cv2.imwrite(str(tmp_path / 'grey.png'), np.full((40, 50, 3), 90, np.uint8))
    truth = np.zeros((40, 50), np.uint8, order='F')
    truth[5:25, 5:25] = 1
    size, paths = [40, 50], []
    for seed, right in ((0, False), (1, False), (0, True)):
        lines = []
        for i in range(9):
            pred = np.asfortranarray(np.roll(truth, 0 if right else i + seed, axis=1))
            rles = [
                dict(size=size, counts=mask_utils.encode(mask)['counts'].decode())
                for mask in (pred, truth)
            ]
            lines.append(
                dict(
                    dataset_name='toy',
                    image_id=i,
                    ref_id=i,
                    sent_id=i,
                    img_path='moved/grey.png',
                    category=('ship', 'dam')[i % 2],
                    expression=('the red dam', 'the ship on the left')[i % 2],
                    intersection=int((pred & truth).sum()),
                    union=int((pred | truth).sum()),
                    truth_area=int(truth.sum()),
                    height=40,
                    width=50,
                    pred_rle=rles[0],
                    truth_rle=rles[1],
                )
            )
        paths.append(tmp_path / f'{"right" if right else "shifted"}{seed}.jsonl')
        text = ''.join(json.dumps(line) + '\n' for line in lines)
        paths[-1].write_text(text)
    return paths


def test_everything_is_written(main, files, tmp_path, capsys):
    out = tmp_path / 'out'
    named = [f'shifted={files[0]}', f'shifted={files[1]}', f'right={files[2]}']
    options = ['--images', str(tmp_path), '--pictures', '3', '--panel-width', '100']
    main([*named, '--out-dir', str(out), '--resamples', '100', *options])
    names = [
        'scores', 'differences', 'by_category', 'by_target_size',
        'by_expression_length', 'by_expression_type',
    ]  # fmt: skip
    expected = {f'{name}.{ending}' for name in names for ending in ('md', 'csv', 'tex')}
    assert {file.name for file in out.iterdir()} == expected | {
        'comparison.md', 'disagreements.png'
    }  # fmt: skip
    with open(out / 'scores.csv', encoding='utf-8') as file:
        shifted, right = csv.DictReader(file)
    assert shifted['seeds'] == '2' and float(right['mIoU']) == 100
    # Rolled by k columns, 20 x 20 px overlap in 20 - k of 20 + k columns.
    ious = [[(20 - i - s) / (20 + i + s) for i in range(9)] for s in (0, 1)]
    assert float(shifted['mIoU']) == pytest.approx(100 * np.mean(ious))
    with open(out / 'by_expression_type.csv', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert [row['expression type'] for row in rows] == [
        'all', 'position', 'attribute'
    ]  # fmt: skip
    wins = sum(np.mean(ious, axis=0) < 0.95)
    assert rows[0]['right win / tie / loss'] == f'{wins} / {9 - wins} / 0'
    page = (out / 'comparison.md').read_text(encoding='utf-8')
    assert page in capsys.readouterr().out
    # Image, truth and two predictions, for three expressions.
    sheet = cv2.imread(str(out / 'disagreements.png'))
    assert sheet.shape[1] == 4 * 100 + 3 * 4 and sheet.shape[0] > 3 * 80


def test_files_without_masks_or_sizes(main, files, tmp_path, capsys):
    for path in files[1:]:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            del line['pred_rle'], line['truth_area']
        path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    out = tmp_path / 'out'
    options = ['--out-dir', str(out), '--resamples', '100']
    main([*map(str, files[1:]), *options])
    text = capsys.readouterr().out
    assert 'No pictures: test with --save-masks' in text
    assert 'No table by target size' in text
    assert not (out / 'disagreements.png').exists()
    assert (out / 'by_category.md').exists()


def test_wrong_command_lines(main, files, tmp_path, capsys):
    out = ['--out-dir', str(tmp_path / 'out')]
    for arguments, message in (
        ([str(files[0])], 'two or more methods'),
        ([str(files[0]), str(files[0])], 'two files are called shifted0'),
    ):
        with pytest.raises(SystemExit):
            main([*arguments, *out])
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit, match='no result file nothing.jsonl'):
        main([str(files[0]), 'nothing.jsonl', *out])
    # The pictures would be looked for where the tests ran.
    with pytest.raises(SystemExit, match='moved/grey.png.*--images'):
        main([str(files[0]), str(files[2]), *out])
