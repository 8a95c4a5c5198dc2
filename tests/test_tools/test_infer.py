# SPDX-License-Identifier: Apache-2.0
"""Inference from the command line."""

import json
import subprocess
import sys

import cv2
import pytest


@pytest.fixture(scope='module')
def images(tiny_data):
    return sorted((tiny_data / 'images/synthrs/JPEGImages').glob('*test*'))


@pytest.fixture
def infer(call_tool, tiny_config, tiny_checkpoint, tmp_path):
    def run(*args):
        model = ['--config', tiny_config, '--checkpoint', tiny_checkpoint]
        common = [*model, '--device', 'cpu', '--out-dir', tmp_path / 'out']
        text = call_tool('infer.py', *args, *common)
        return text, json.loads((tmp_path / 'out/results.json').read_text())

    return run


def test_runs_from_anywhere(run_tool, tiny_config, tiny_checkpoint, images, tmp_path):
    sentences = ['the left pool', 'the round one']
    run_tool(
        'infer.py', images[0], *sentences, '--config', tiny_config,
        '--checkpoint', tiny_checkpoint, '--batch-size', 2, cwd=tmp_path,
    )  # fmt: skip
    report = json.loads((tmp_path / 'outputs/results.json').read_text())
    assert [entry['expression'] for entry in report['results']] == sentences
    for entry in report['results']:
        assert entry['image'] == str(images[0]) and 0 <= entry['score'] <= 1
        mask = cv2.imread(str(tmp_path / 'outputs' / entry['mask']), 0)
        assert mask.shape == (72, 72) and (mask == 255).sum() == entry['area']
        assert cv2.imread(str(tmp_path / 'outputs' / entry['overlay'])) is not None


def test_one_sentence_is_for_all_images(infer, images):
    _, report = infer(images[0].parent, 'it')
    found = [entry['image'] for entry in report['results']]
    assert found == sorted(map(str, images[0].parent.iterdir()))


def test_sentences_may_belong_to_images(infer, images):
    _, report = infer(*images, 'one', 'two')
    pairs = [(entry['image'], entry['expression']) for entry in report['results']]
    assert pairs == [(str(images[0]), 'one'), (str(images[1]), 'two')]


@pytest.mark.parametrize('kind', ['tsv', 'jsonl'])
def test_lists_name_images_relative_to_themselves(infer, images, kind):
    pairs = [(f'JPEGImages/{image.name}', f'озеро {image.stem}') for image in images]
    if kind == 'tsv':
        lines = ['\t'.join(pair) for pair in pairs]
    else:
        keys = ('image', 'expression')
        lines = [json.dumps(dict(zip(keys, pair, strict=True))) for pair in pairs]
    file = images[0].parent.parent / f'list.{kind}'
    file.write_text('\n'.join(lines) + '\n\n', encoding='utf-8')
    _, report = infer('--list', file)
    found = [entry['expression'] for entry in report['results']]
    assert found == [expression for _, expression in pairs]
    assert [entry['image'] for entry in report['results']] == list(map(str, images))


def test_the_command_line_is_read_before_anything_heavy(repo_root, tmp_path):
    code = f"""
import os, runpy, sys
sys.argv = ['infer.py', '--help']
try:
    runpy.run_path({str(repo_root / 'tools/infer.py')!r}, run_name='__main__')
except SystemExit as end:
    assert end.code == 0
print(sorted({{'torch', 'mmseg', 'transformers'}} & set(sys.modules)))
print('MMCADFORMER_REGISTER' in os.environ)
"""
    command = [sys.executable, '-c', code]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ['[]', 'False'], done.stderr


def test_mixed_precision_is_said(infer, images):
    text, report = infer(images[0], 'it', '--amp', 'bf16')
    assert 'precision: bf16' in text
    assert report['results'][0]['precision'] == 'bf16'
    with pytest.raises(SystemExit):
        infer('--amp', images[0], 'it')


def test_bad_inputs_are_skipped_only_when_asked(infer, images, tmp_path):
    broken = tmp_path / 'broken.png'
    broken.write_text('no image')
    arguments = [images[0], broken, tmp_path / 'gone.png', 'it']
    with pytest.raises(SystemExit, match='broken.png is not an image'):
        infer(images[0], broken, 'it')
    text, report = infer(*arguments, '--skip-bad')
    assert '2 of 3 inputs were skipped' in text
    assert [entry['image'] for entry in report['skipped']] == list(
        map(str, arguments[1:3])
    )
    assert len(report['results']) == 1


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['a.png', 'b.png', 'c.png', 'one', 'two'], '3 images but 2 expressions'),
        (['only words'], 'no image is given'),
        (['a.png'], 'no expression is given'),
        (['gone.png', 'it'], 'gone.png does not exist'),
        (['--list', 'gone.tsv'], 'list gone.tsv does not exist'),
        (['a.png', 'it', '--list', 'gone.tsv'], 'not both'),
    ],
)
def test_wrong_commands_are_explained(infer, arguments, message):
    with pytest.raises(SystemExit, match=message):
        infer(*arguments)


def test_list_errors_name_the_line(infer, images, tmp_path):
    file = tmp_path / 'list.tsv'
    file.write_text('a.png\tone\nb.png two\n')
    with pytest.raises(SystemExit, match='list.tsv, line 2'):
        infer('--list', file)
    file = tmp_path / 'list.jsonl'
    file.write_text('{"image": "a.png"}\n')
    with pytest.raises(SystemExit, match='list.jsonl, line 1'):
        infer('--list', file)


WRONG = {
    'blank': (['{image}', ' '], 'is empty'),
    'empty': (['{image}', ''], 'is empty'),
    'empty among others': (['{image}', 'the pool', ''], 'is empty'),
    'mistyped image': (['pool.pgn', 'the pool'], "'pool.pgn' is neither an image nor"),
    'second mistyped': (
        ['{image}', 'pool.pgn', 'the pool'],
        'pool.pgn looks like a path',
    ),
    'folder': (['{image}', './pools', 'the pool'], r'\./pools looks like a path'),
    'missing image': (['pool.png', 'the pool'], 'image pool.png does not exist'),
    'image at the end': (['{image}', 'the pool', '{image}'], 'is a file, but stands'),
}


@pytest.mark.parametrize('name', WRONG)
def test_wrong_inputs_are_named_before_a_model_is_loaded(call_tool, images, name):
    inputs, message = WRONG[name]
    inputs = [text.format(image=images[0]) for text in inputs]
    model = ['--config', 'there is none', '--checkpoint', 'there is none']
    with pytest.raises(SystemExit, match=message):
        call_tool('infer.py', *inputs, *model)


def test_empty_sentences_of_lists_are_named_before_too(call_tool, images, tmp_path):
    file = tmp_path / 'list.jsonl'
    lines = [dict(image=str(images[0]), expression=text) for text in ('a pool', ' ')]
    file.write_text('\n'.join(map(json.dumps, lines)))
    model = ['--config', 'there is none', '--checkpoint', 'there is none']
    with pytest.raises(SystemExit, match='is empty'):
        call_tool('infer.py', '--list', file, *model)


def test_long_sentences_are_told_of(infer, images):
    sentence = 'the blue pool that lies to the left of ' + 'a storage tank near ' * 15
    assert len(sentence) > 300
    text, report = infer(images[0], sentence, 'the left pool')
    long, short = report['results']
    assert long['expression'] == sentence.strip() and short['read'] is None
    assert sentence.startswith(long['read']) and len(long['read']) < len(sentence)
    assert f'it read {long["read"]!r}' in text and text.count('cut: ') == 1


def test_long_names_of_images(infer, images, tmp_path):
    image = tmp_path / f'{"озеро" * 24}.png'  # 240 bytes
    image.write_bytes(images[0].read_bytes())
    _, report = infer(image, 'the left pool')
    assert (tmp_path / 'out' / report['results'][0]['overlay']).is_file()


@pytest.mark.parametrize('options', [[], ['--explain']])
def test_a_folder_that_cannot_be_made_is_named(infer, images, tmp_path, options):
    (tmp_path / 'out').touch()
    with pytest.raises(SystemExit, match='infer.py: .*out'):
        infer(images[0], 'the left pool', *options)
