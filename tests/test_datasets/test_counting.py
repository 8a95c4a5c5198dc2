# SPDX-License-Identifier: Apache-2.0
"""tools/analysis/dataset_stats.py against numbers counted by hand."""

import json

import pytest
from mmengine.config import Config
from PIL import Image

TOOL = 'analysis/dataset_stats.py'
WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'the', 'ship', 'number', 'on']


@pytest.fixture
def statistics(call_tool, tmp_path):
    """Runs the tool: the numbers, and what it printed."""

    def run(*args):
        path = tmp_path / 'out' / 'numbers.json'
        code, text = call_tool(TOOL, *args, '--quiet', '--workers', 0, '--json', path)
        assert code == 0, text
        return json.loads(path.read_text()), text

    return run


def refcoco(fixture):
    return '--layout', 'refcoco', '--data-root', fixture.root, '--name', 'toy'


def test_table_of_triplets(toy, statistics):
    numbers, text = statistics(*refcoco(toy.write() and toy))
    # Objects 0, 2, 4 are ships with one sentence, 1 and 3 dams with two.
    splits = dict(train=0, val=0, testA=0)
    assert numbers['splits'] == list(splits)
    assert numbers['triplets'] == dict(
        categories=dict(
            dam=dict(train=2, val=2, testA=0, total=4),
            ship=dict(train=2, val=0, testA=1, total=3),
        ),
        total=dict(train=4, val=2, testA=1, total=7),
    )
    assert numbers['images'] == dict(train=3, val=1, testA=1, total=3)
    assert numbers['objects'] == dict(train=3, val=1, testA=1, total=5)
    row = next(line for line in text.splitlines() if line.startswith('| dam'))
    assert row.split() == '| dam | 2 | 2 | 0 | 4 |'.split()


def test_words_and_categories(toy, statistics):
    texts = ["The left ship's dam-wall, (2)!", 'ships', 'a dam near dams', 'x', 'y z']
    for ref, text in zip(toy.refs, texts, strict=True):
        ref['sentences'] = [dict(sent_id=ref['ref_id'], raw=text)]
    toy.refs[3]['split'] = 'train'
    numbers, _ = statistics(*refcoco(toy.write() and toy))
    words = numbers['words']
    assert words['histogram'] == {'1': 2, '2': 1, '4': 1, '5': 1}
    assert (words['min'], words['mean'], words['max']) == (1, 13 / 5, 5)
    # "ship's" and "dam-wall" name both; "dam near dams" names one, once.
    assert numbers['categories_named']['histogram'] == {'0': 2, '1': 2, '2': 1}
    vocabulary = numbers['vocabulary']
    assert vocabulary['size'] == 13 == vocabulary['words'] == vocabulary['once']
    assert vocabulary['not_in_training'] == 2  # y, z: object 4 is in testA
    assert vocabulary['different_expressions'] == 5


def test_areas(toy, lines, segrs, statistics):
    toy.write(), lines.write(), segrs.write()
    pixels = 40 * 56
    shares = sorted(100 * int(truth.sum()) / pixels for truth in toy.truths)
    area = statistics(*refcoco(toy))[0]['area']
    assert area['mean'] == pytest.approx(sum(shares) / 5)
    assert area['quantiles']['50'] == pytest.approx(shares[2])
    counts = dict(
        zip(area['histogram']['edges'][1:], area['histogram']['counts'], strict=True)
    )
    assert counts[10] == sum(3 <= share < 10 for share in shares)
    assert counts[30] == sum(10 <= share < 30 for share in shares)
    assert sum(counts.values()) == 5
    source = ('--layout', 'refsegrs', '--data-root', segrs.root)
    area = statistics(*source)[0]['area']
    truths = segrs.truths.values()
    expected = sum(100 * int(truth.sum()) / pixels for truth in truths) / 4
    assert area['mean'] == pytest.approx(expected)
    source = ('--layout', 'json', '--data-root', lines.root)
    numbers, text = statistics(*source)
    # Lines 4 and 5 are polygons in images of unknown size; the last has no target.
    assert numbers['area']['measured'] == 3
    assert numbers['area']['not_measured'] == 2
    assert numbers['area']['no_target'] == 1
    assert '2 not measured' in text and '1 expressions refer to nothing' in text


def test_truncation_with_a_vocabulary(toy, statistics, tmp_path):
    texts = ['the ship', 'the ship on the ship', 'ship', 'the the', 'ship number ship']
    for ref, text in zip(toy.refs, texts, strict=True):
        ref['sentences'] = [dict(sent_id=ref['ref_id'], raw=text)]
    toy.write()
    (tmp_path / 'vocab.txt').write_text('\n'.join(WORDS))
    options = ('--vocab', tmp_path / 'vocab.txt', '--max-tokens', 4)
    tokens = statistics(*refcoco(toy), *options)[0]['tokens']
    # Words, [CLS] and [SEP].
    assert tokens['histogram'] == {'3': 1, '4': 2, '5': 1, '7': 1}
    assert tokens['max_tokens'] == 4
    assert tokens['truncated']['4'] == 40
    assert tokens['truncated']['10'] == 0


def test_tokenizer_and_limit_of_a_config(toy, statistics, tmp_path):
    toy.write()
    (tmp_path / 'vocab.txt').write_text('\n'.join(WORDS))
    dataset = dict(type='ReferringSegDataset', data_root=str(toy.root), name='toy')
    encoder = dict(
        type='BertTextEncoder',
        pretrained=None,
        vocab=str(tmp_path / 'vocab.txt'),
        max_tokens=6,
    )
    config = Config(
        dict(
            model=dict(text_encoder=encoder),
            train_dataloader=dict(dataset=dataset),
            test_dataloader=dict(dataset=dict(dataset, split='test')),
        )
    )
    config.dump(tmp_path / 'config.py')
    tokens = statistics(tmp_path / 'config.py')[0]['tokens']
    # 'The ship 1 on the left' has six words, 'ship number 1' has three.
    assert tokens['histogram'] == {'5': 2, '8': 5}
    assert tokens['truncated']['6'] == pytest.approx(100 * 5 / 7)


def test_figure(toy, statistics, tmp_path):
    toy.write()
    path = tmp_path / 'figure.png'
    text = statistics(*refcoco(toy), '--plot', path)[1]
    assert f'The figure is in {path}' in text
    colors = Image.open(path).convert('RGB').getcolors(1 << 24)
    assert {(0x31, 0x68, 0x8E), (0x35, 0xB7, 0x79)} <= {color for _, color in colors}


def test_damage_is_an_error_with_advice(toy, call_tool):
    toy.refs[1]['ann_id'] = 9
    toy.write()
    code, text = call_tool(TOOL, *refcoco(toy))
    assert code == 1
    assert 'ref_id 1 refers to annotation id 9' in text and 'check_dataset.py' in text
