# SPDX-License-Identifier: Apache-2.0
"""Browsing data, benchmarking, printing a config."""

import json
import mmap
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcadformer.analysis import steps


def test_browse_draws_what_the_pipeline_returns(call_tool, tiny_config, tmp_path):
    arguments = ['analysis/browse_dataset.py', tiny_config, '--num', 3]
    out = call_tool(*arguments, '--output-dir', tmp_path / 'train')
    assert '3 of 8 samples' in out
    call_tool(*arguments, '--output-dir', tmp_path / 'again')
    call_tool(*arguments, '--output-dir', tmp_path / 'other', '--seed', 5)
    call_tool(
        *arguments, '--output-dir', tmp_path / 'test', '--split', 'test', '--shuffle'
    )
    folders = {
        name: [cv2.imread(str(f)) for f in sorted((tmp_path / name).iterdir())]
        for name in ('train', 'again', 'other', 'test')
    }
    assert all(len(pictures) == 3 for pictures in folders.values())
    # 64 px after the training pipeline, 72 px as the truth of the test pipeline.
    assert {picture.shape[1] for picture in folders['train']} == {320}
    assert {picture.shape[1] for picture in folders['test']} == {360}
    assert all(map(np.array_equal, folders['train'], folders['again']))
    assert not all(map(np.array_equal, folders['train'], folders['other']))


def test_browse_names_what_is_missing(call_tool, tiny_config, tmp_path):
    arguments = ['analysis/browse_dataset.py', '--output-dir', tmp_path]
    with pytest.raises(SystemExit, match='config nothing.py does not exist'):
        call_tool(*arguments, 'nothing.py')
    options = ['--cfg-options', 'train_dataloader.dataset.data_root=/no/such']
    with pytest.raises(SystemExit, match='/no/such'):
        call_tool(*arguments, tiny_config, *options)


@pytest.fixture
def benchmark(call_tool, tiny_config, tmp_path):
    def run(*args):
        out = tmp_path / 'numbers.json'
        common = ['--device', 'cpu', '--warmup', 1, '--iters', 3, '--shape', 64]
        text = call_tool(
            'analysis/benchmark.py', tiny_config, *common, '--out', out, *args
        )
        return text, json.loads(out.read_text())

    return run


def test_benchmark_compares_variants(benchmark):
    pair = ['batch_size=2', 'model.neck=None']
    text, numbers = benchmark('--compare', 'amp=True', '--compare', *pair)
    rows = {row['setting']: row for row in numbers['rows']}
    assert list(rows) == ['base', 'amp=True', ' '.join(pair), 'base again']
    for row in rows.values():
        assert row['setting'] in text and row['memory'] > 0
        assert 0 < row['median'] <= row['p90']
    first, last = rows['base']['ratio'], rows['base again']['ratio']
    assert (first + last) / 2 == pytest.approx(1)
    paired = rows[' '.join(pair)]
    speed = 2 * rows['base']['median'] / paired['median']
    assert paired['ratio'] / first == pytest.approx(speed)


def test_benchmark_trains(benchmark):
    _, numbers = benchmark('--mode', 'train', '--batch-size', 2, '--channels-last')
    (row,) = numbers['rows']
    assert row['images_per_s'] == pytest.approx(2000 / row['mean'])


def test_benchmark_reads_data(benchmark):
    _, numbers = benchmark('--mode', 'data', '--workers', 0, 1, '--batch-size', 4)
    assert [row['setting'] for row in numbers['rows']] == ['0 workers', '1 workers']


def test_benchmark_suite_writes_a_page(call_tool, tiny_config, tmp_path):
    def suite(part):
        options = ['--device', 'cpu', '--shape', 64, '--tokens', 9, '--rounds', 1]
        options += ['--suite', tmp_path, '--parts', part]
        return call_tool('analysis/benchmark.py', tiny_config, *options)

    suite('inference')
    printed = suite('data')  # beside what was measured before
    (page,) = tmp_path.glob('speed_*.md')
    assert page.read_text() in printed
    assert '## Inference' in printed and '## Data' in printed
    parts = json.loads(page.with_suffix('.json').read_text())['parts']
    first = parts['inference']['rows'][0]
    assert first['setting'] == 'float32' and first['ratio'] == 1
    assert first['images/s'] == pytest.approx(1 / first['time, s'], rel=0.01)
    for _, other in pairwise(parts['data']['rows']):
        assert other['images/s of a worker'] > 0


def test_benchmark_suite_of_whole_programs(
    call_tool, tiny_config, tiny_checkpoint, tmp_path
):
    pytest.importorskip('onnxruntime')
    file = tmp_path / 'tiny.onnx'
    call_tool('export.py', tiny_config, tiny_checkpoint, '--out', file, '--shape', 64)
    options = ['--device', 'cpu', '--shape', 64, '--tokens', 9, '--rounds', 1]
    options += ['--parts', 'exported', 'waiting', 'scene', '--suite', tmp_path]
    options += ['--checkpoint', tiny_checkpoint, '--exported', file]
    call_tool('analysis/benchmark.py', tiny_config, *options)
    (page,) = tmp_path.glob('speed_*.json')
    parts = json.loads(page.read_text())['parts']
    exported = {row['setting']: row for row in parts['exported']['rows']}
    assert float(exported['tiny.onnx']['largest difference']) < 1e-4
    assert exported['PyTorch, float32']['ratio'] == 1
    for row in parts['waiting']['rows']:
        assert 0 < row['of it waiting, s'] < row['step, s']
    assert parts['scene']['rows'][0]['megapixels/s'] > 0


def test_benchmark_steps_do_the_work(tiny_config):
    tool, args = steps, steps.Conditions('train', (64, 64), 'cpu')
    cfg = Config.fromfile(tiny_config)
    setting = tool.Setting('base', 2, 9)
    model = tool.build_model(cfg, setting, args)
    assert tool.inference_step(model, setting, args)().shape == (2, 2, 16, 16)
    before = model.decode_head.conv_seg.weight.detach().clone()
    losses = tool.training_step(model, setting, args)()
    assert losses['loss'] > 0 and model.training
    assert not torch.equal(before, model.decode_head.conv_seg.weight)
    # As many tokens as were asked for.
    seen = []
    model.text_encoder.register_forward_hook(lambda m, inputs, o: seen.append(o.shape))
    tool.training_step(model, setting, args)()
    assert seen == [(2, 9, 32)]


def test_benchmark_of_many_expressions(call_tool, tiny_config, tmp_path):
    out = tmp_path / 'numbers.json'
    options = ['--expressions', 9, '--rounds', 2, '--device', 'cpu', '--out', out]
    text = call_tool('analysis/benchmark_expressions.py', tiny_config, *options)
    numbers = json.loads(out.read_text())
    assert 0 < numbers['difference'] < 1e-5
    assert f'{numbers["wall ratio"]:.3f}' in text and 'CPU' in text
    with pytest.raises(SystemExit, match='2'):
        call_tool('analysis/benchmark_expressions.py', tiny_config, '--image', 'no')


def test_benchmark_clock_counts_calls_and_memory(load_tool):
    tool = load_tool('analysis/benchmark.py')
    calls = []

    def step():
        calls.append(0)
        if len(calls) == 4:
            # Pages of its own: the heap may have room that counts already.
            pages = mmap.mmap(-1, 40 * 2**20)
            for start in range(0, len(pages), mmap.PAGESIZE):
                pages[start] = 1
            pages.close()

    device = torch.device('cpu')
    before = tool.measure(lambda: None, 0, 1, device)['memory']
    result = tool.measure(step, 2, 5, device)
    assert len(calls) == 7
    # The peak counts although the memory is free again.
    assert result['memory'] > before + 20


def test_print_config_shows_what_is_inherited(call_tool, tiny_config, tmp_path):
    out = tmp_path / 'full.py'
    options = ['--out', out, '--cfg-options', 'train_cfg.max_epochs=77']
    text = call_tool('misc/print_config.py', tiny_config, *options)
    assert "type='ReferringSegmentor'" in text
    cfg = Config.fromfile(out)
    assert cfg.train_cfg.max_epochs == 77 and cfg.pretty_text == text.strip() + '\n'
