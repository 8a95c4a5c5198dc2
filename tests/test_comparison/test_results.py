# SPDX-License-Identifier: Apache-2.0
"""Reading result files and lining them up."""

import json

import numpy as np
import pytest

from mmcadformer.comparison import load_methods, score
from mmcadformer.comparison.results import read_results


def test_files_are_lined_up_whatever_their_order(make_lines, write_lines):
    lines = make_lines(7, 0.6)
    other = make_lines(7, 0.4, seed=5)
    a, b = load_methods(
        {
            'a': [write_lines(lines, 'a.jsonl')],
            'b': [
                write_lines(other[::-1], 'b0.jsonl'),
                write_lines(other[3:] + other[:3], 'b1.jsonl'),
            ],
        }
    )
    assert [line['sent_id'] for line in a.expressions] == [f's{i}' for i in range(7)]
    assert np.array_equal(a.iou[0], [x['intersection'] / x['union'] for x in lines])
    assert b.iou.shape == (2, 7) and np.array_equal(b.iou[0], b.iou[1])
    assert np.array_equal(b.intersection[1], [x['intersection'] for x in other])


def test_an_empty_truth_found_empty_counts_one(make_lines, write_lines):
    lines = make_lines(2, 0.5)
    lines[1].update(intersection=0, union=0, truth_area=0)
    (method,) = load_methods({'a': [write_lines(lines, 'a.jsonl')]})
    assert method.iou[0, 1] == 1


def test_files_about_other_data_are_refused(make_lines, write_lines):
    lines = make_lines(6, 0.5)
    whole = write_lines(lines, 'whole.jsonl')

    def load(changed):
        load_methods({'a': [whole], 'b': [write_lines(changed, 'changed.jsonl')]})

    with pytest.raises(ValueError, match='changed.jsonl lacks 2 of the 6.*sent_id s4'):
        load(lines[:4])
    with pytest.raises(ValueError, match='whole.jsonl lacks 1 of the 7'):
        load([*lines, dict(lines[0], sent_id='new')])
    with pytest.raises(ValueError, match='disagree on the truth_area.*same size'):
        load([dict(line, truth_area=1) for line in lines])
    with pytest.raises(ValueError, match='line 7: .* is there twice'):
        load([*lines, lines[2]])


def test_damaged_files_are_named(tmp_path, make_lines, write_lines):
    with pytest.raises(FileNotFoundError, match='no result file .*nothing.jsonl'):
        read_results(tmp_path / 'nothing.jsonl')
    empty = write_lines([], 'empty.jsonl')
    with pytest.raises(ValueError, match='empty.jsonl holds no result'):
        read_results(empty)
    empty.write_text('{"expression": "a"}\n')
    with pytest.raises(ValueError, match='line 1 lacks dataset_name, .*union'):
        read_results(empty)
    path = write_lines(make_lines(2, 0.5), 'cut.jsonl')
    path.write_text(path.read_text()[:-9])
    with pytest.raises(ValueError, match='cut.jsonl, line 2: not valid JSON'):
        read_results(path)


@pytest.mark.parametrize(
    'change, said',
    [
        (dict(intersection=float('nan')), 'intersection must be a number of pixels'),
        (dict(union=float('inf')), 'union must be a number of pixels, got inf'),
        (dict(union='9'), "union must be a number of pixels, got '9'"),
        (dict(intersection=-1), 'intersection must be a number of pixels, got -1'),
        (dict(intersection=0.5), 'intersection must be a number of pixels, got 0.5'),
        (dict(intersection=10**6), 'the intersection 1000000 is larger than the union'),
        (dict(truth_area=-3), 'truth_area must be a number of pixels, got -3'),
        (dict(ref_id=[1]), r'ref_id must be text or a number, got \[1\]'),
        (dict(expression=None), 'expression must be text or a number, got None'),
        (dict(ref_id=[[[['x' * 999]]]] * 99), 'ref_id must be text'),
    ],
)
def test_numbers_that_no_test_gives_are_refused(make_lines, write_lines, change, said):
    lines = make_lines(3, 0.5)
    lines[1].update(change)
    with pytest.raises(ValueError, match=rf'a\.jsonl, line 2: {said}') as caught:
        read_results(write_lines(lines, 'a.jsonl'))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize('mark', ['\u2028', '\u2029', '\x85', '\x0b', '\x1c'])
def test_sentences_may_hold_what_unicode_calls_the_end_of_a_line(
    tmp_path, make_lines, mark
):
    lines = make_lines(2, 0.5)
    lines[0]['expression'] = f'the pond{mark}on the left'
    text = '\r\n'.join(json.dumps(line, ensure_ascii=False) for line in lines)
    (tmp_path / 'a.jsonl').write_bytes(b'\xef\xbb\xbf' + text.encode())
    assert read_results(tmp_path / 'a.jsonl') == lines


def test_files_follow_their_protocol(make_lines, write_lines):
    """Ties and empty unions count as in the test that wrote them."""
    lines = make_lines(4, 0.5)
    for line, (hit, union) in zip(lines, [(1, 2), (3, 4), (0, 0), (0, 5)], strict=True):
        line.update(intersection=hit, union=union)
        del line['protocol']  # files of before were exact
    old = write_lines(lines, 'old.jsonl')
    released = write_lines([dict(line, protocol='released') for line in lines], 'r')
    (one,) = load_methods(dict(a=[old]))
    (other,) = load_methods(dict(a=[released]))
    assert one.iou.tolist() == [[0.5, 0.75, 1, 0]]
    assert other.iou.tolist() == [[0.5, 0.75, 0, 0]]
    assert score(one)['Pr@0.5'].mean == score(other)['Pr@0.5'].mean == 50
    assert score(other)['Pr@0.7'].mean == 25
    with pytest.raises(ValueError, match="disagree on the protocol.*'exact' and 'rel"):
        load_methods(dict(a=[old], b=[released]))
    mixed = [lines[0], *(dict(line, protocol='released') for line in lines[1:])]
    with pytest.raises(ValueError, match="line 2 is of protocol='released'"):
        load_methods(dict(a=[write_lines(mixed, 'mixed')]))
    unknown = [dict(lines[0], protocol=['exact'])]
    with pytest.raises(ValueError, match='line 1: protocol must be one of'):
        load_methods(dict(a=[write_lines(unknown, 'unknown')]))
