# SPDX-License-Identifier: Apache-2.0
import argparse
import json
import os
import pickle
from collections import OrderedDict
from functools import reduce

import numpy as np
import pytest

from mmcadformer.datasets import UnsafePickleError, load_plain_pickle

PLAIN = [
    {'ref_id': 3, 'box': (1.5, -2.0), 'split': 'tëst', 'big': 2**70},
    {'flag': None, 'ok': True, 'raw': b'\x00\xff', 'ids': {1, 2}},
]


class _Writes:
    """Would create a file while it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('protocol', [3, 4, 5])
def test_plain_data_is_read(protocol):
    data = pickle.dumps(PLAIN, protocol=protocol)
    content = PLAIN if protocol > 3 else PLAIN[:1]
    if protocol == 3:  # sets are built by a call there, which plain data isn't
        data = pickle.dumps(content, protocol=3)
    assert load_plain_pickle(data) == content


@pytest.mark.parametrize('protocol', range(6))
def test_lists_of_dicts_are_read_in_every_protocol(protocol):
    content = [{'ref_id': 3, 'sentences': [{'raw': 'the dam'}], 'x': 0.5}]
    assert load_plain_pickle(pickle.dumps(content, protocol)) == content


def test_python2_strings_are_text():
    # what Python 2 writes for [{'raw': 'caf\xc3\xa9'}]
    data = b"(lp0\n(dp1\nS'raw'\np2\nS'caf\\xc3\\xa9'\np3\nsa."
    assert load_plain_pickle(data) == [{'raw': 'café'}]


def test_ordered_dicts_and_numpy_numbers_become_plain():
    data = pickle.dumps(
        [
            OrderedDict(id=np.int64(-5)),
            {'area': np.float32(2.5), 'ok': np.bool_(True), 'n': np.uint8(200)},
            np.dtype('>i4').type(7),
            np.str_('café'),
        ]
    )
    content = load_plain_pickle(data)
    assert content[:2] == [{'id': -5}, {'area': 2.5, 'ok': True, 'n': 200}]
    assert [type(v) for v in content[1].values()] == [float, bool, int]
    assert content[2:] == [7, 'café'] and type(content[3]) is str


@pytest.mark.parametrize('protocol', range(6))
def test_nothing_in_a_malicious_pickle_runs(tmp_path, protocol):
    target = tmp_path / 'made-by-the-pickle'
    data = pickle.dumps([{'ref_id': 0}, _Writes(target)], protocol)
    with pytest.raises(UnsafePickleError, match=r'refs\(unc\)\.p: .*\.mkdir'):
        load_plain_pickle(data, 'refs(unc).p')
    assert not target.exists()
    pickle.loads(data)  # the danger was real
    assert target.exists()


@pytest.mark.parametrize(
    'data, name',
    [
        (b'cbuiltins\neval\n(V1+1\ntR.', 'builtins.eval'),
        (b'cnumpy\nload\n(Vx\ntR.', 'numpy.load'),
        (b'(V1\nios\nsystem\n.', 'os.system'),
        (pickle.dumps(np.array('text')), 'malformed NumPy array'),
        (pickle.dumps(np.array([1j])), "NumPy value of type 'c16'"),
        (pickle.dumps(np.array([b'text'])), "NumPy value of type 'S4'"),
        (pickle.dumps(np.array([b'text'], 'V4')), "NumPy value of type 'V4'"),
    ],
)
def test_other_globals_are_named(data, name):
    with pytest.raises(UnsafePickleError, match=name):
        load_plain_pickle(data)


def test_numpy_values_that_are_no_numbers_are_refused():
    with pytest.raises(UnsafePickleError, match='neither number .* as refs.json'):
        load_plain_pickle(pickle.dumps(np.datetime64('2020-01-01')))


def test_damaged_pickles_are_value_errors_with_the_file():
    data = pickle.dumps(PLAIN)
    for cut in range(len(data)):
        with pytest.raises(ValueError, match='some file'):
            load_plain_pickle(data[:cut], 'some file')


@pytest.mark.parametrize(
    'data, said',
    [
        (b'cos\nsystem\n(Vls\ntR.', 'damaged or malicious'),
        (b'c__builtin__\neval\n(V1+1\ntR.', 'damaged or malicious'),
        (b'cpandas\nDataFrame\n(tR.', 'best as refs.json'),
        (pickle.dumps(argparse.Namespace(a=1)), 'best as refs.json'),
    ],
)
def test_only_programs_are_called_malicious(data, said):
    with pytest.raises(UnsafePickleError, match=said) as caught:
        load_plain_pickle(data)
    assert str(caught.value).count('malicious') == said.count('malicious')


@pytest.mark.parametrize('protocol', range(6))
@pytest.mark.parametrize(
    'array',
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype='>i2').reshape(2, 3)),
        np.zeros((0, 4), np.uint8),
        np.array([True, False]),
        np.array([['the pond', 'café'], ['', 'a']]),
        np.array([1, 'a', None, [2]], object),
        np.array([[1, 'a'], [None, {}]], object),
    ],
)
def test_arrays_of_numbers_become_lists(array, protocol):
    (read,) = load_plain_pickle(pickle.dumps([array], protocol))
    assert read == array.tolist()
    assert json.loads(json.dumps(read)) == array.tolist()


LATIN = b"(lp0\n(dp1\nS'raw'\np2\nS'caf\\xe9'\np3\nsa."


def test_latin_text_of_python2_is_read_on_request():
    with pytest.raises(ValueError, match=r'refs_to_json\.py --encoding latin-1'):
        load_plain_pickle(LATIN)
    assert load_plain_pickle(LATIN, encoding='latin-1') == [{'raw': 'café'}]


@pytest.mark.parametrize(
    'data, said',
    [
        # Ten lists, each of ten times the one before.
        (pickle.dumps(reduce(lambda part, _: [part] * 10, range(10), 'x')), 'values'),
        (b']' * 500 + b'a' * 499 + b'.', 'nested'),
        (b'(lp0\nh\x00a.', 'holds itself'),
        # The number of an object in memory, for which there shall be room.
        (b'\x80\x02]r\xff\xff\xff\x7fh\x00.', 'not a readable'),
        (b'\x80\x04\x8e' + b'\xff' * 7 + b'\x7fabc.', 'not a readable'),
    ],
)
def test_small_pickles_stay_small(data, said):
    with pytest.raises(ValueError, match=said) as caught:
        load_plain_pickle(data, 'refs.p')
    assert len(str(caught.value)) < 400
