#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""From nothing to a trained CADFormer: draw SynthRS, train, test, show.

Runs the very commands that a user would, one after the other, and prints them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import torch

from mmcadformer.apis import init_model
from mmcadformer.synthrs import generate_synthrs
from mmcadformer.utils.command_line import user_errors
from mmcadformer.utils.files import read_json

REPO = Path(__file__).resolve().parents[1]
CONFIG = 'configs/cadformer_tiny_synthrs.py'
SCENES = dict(train=2000, val=40, test=150)
METRICS = ('mIoU', 'oIoU', 'Pr@0.5')
# Keeps glibc from giving large blocks back to the system at every step: training on
# CPUs is a fifth faster. Other allocators ignore it.
KEEP_MEMORY = dict(
    MALLOC_MMAP_THRESHOLD_='1073741824',
    MALLOC_TRIM_THRESHOLD_='4294967296',
    MALLOC_TOP_PAD_='268435456',
)
# PyTorch's threads (libgomp) spin for milliseconds while one waits for another. Where
# other programs have the cores, that is most of a step: they sleep sooner.
SHORT_WAITS = dict(GOMP_SPINCOUNT='10000')


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--work-dir',
        default='work_dirs/quickstart',
        help='folder for data, logs, checkpoints and pictures (default: %(default)s)',
    )
    parser.add_argument(
        '--epochs', type=int, help="training epochs (default: the config's)"
    )
    parser.add_argument(
        '--train-scenes',
        type=int,
        default=SCENES['train'],
        help='number of training scenes to draw (default: %(default)s)',
    )
    parser.add_argument(
        '--test-scenes',
        type=int,
        default=SCENES['test'],
        help='number of test scenes to draw (default: %(default)s)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the training (default: %(default)s)'
    )
    return parser.parse_args()


def run(tool: str, work_dir: Path, *arguments: str) -> None:
    """Prints a command of ``tools/`` and runs it from the repository's root.

    Raises:
        SystemExit: If it fails; says where its log is.
    """
    command = [tool, CONFIG, *arguments, '--work-dir', str(work_dir)]
    print(f'\n$ python {shlex.join(command)}', flush=True)
    environment = {**KEEP_MEMORY, **SHORT_WAITS, **os.environ}
    code = subprocess.run(
        [sys.executable, *command], cwd=REPO, env=environment
    ).returncode
    if code:
        sys.exit(
            f'quickstart.py: {tool} failed with exit code {code}, see above; its log '
            f'is in {work_dir}'
        )


def draw_scenes(data_root: Path, scenes: dict[str, int]) -> None:
    """Writes SynthRS, unless the same scenes are there already."""
    print(f'Drawing {sum(scenes.values())} scenes into {data_root}', flush=True)
    generate_synthrs(
        data_root,
        num_scenes=scenes,
        image_size=96,
        seed=0,
        difficulty='starter',
        num_workers=2,
        overwrite=True,
    )


def save_untrained(path: Path) -> None:
    """Writes a checkpoint of random weights, the starting point to compare with."""
    torch.manual_seed(0)
    model = init_model(REPO / CONFIG, device='cpu')
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), path)


def test(name: str, checkpoint: Path, args: list[str], work_dir: Path) -> dict:
    """Tests a checkpoint with ``tools/test.py``.

    Args:
        name: Of the result file.
        checkpoint: Weights.
        args: Further arguments of the tool.
        work_dir: Folder for logs and results.

    Returns:
        Metrics by name.
    """
    out = work_dir / f'{name}.jsonl'
    arguments = [str(checkpoint), '--out', str(out), *args]
    run('tools/test.py', work_dir / 'test', *arguments)
    return read_json(out.with_suffix('.metrics.json'))['metrics']


def best_checkpoint(folder: Path) -> Path:
    """The checkpoint with the best validation oIoU."""
    return max(folder.glob('best_oIoU_*.pth'), key=lambda path: path.stat().st_mtime)


def print_table(rows: dict[str, dict]) -> None:
    """Prints metrics in percent, a row per variant."""
    width = max(map(len, rows))
    print('\nHeld-out test scenes'.ljust(width + 3), *(m.rjust(8) for m in METRICS))
    for name, metrics in rows.items():
        values = (f'{metrics[metric]:8.2f}' for metric in METRICS)
        print(' ', name.ljust(width), *values)


def print_next_steps(work_dir: Path, checkpoint: Path, pictures: Path) -> None:
    """Says where things are and how to go on."""
    shown = sorted(pictures.rglob('*.png'))
    image = next((work_dir / 'data/images/synthrs/JPEGImages').iterdir())
    print(f"""
Pictures (image, prediction, truth): {len(shown)} in {pictures}, such as
{chr(10).join(f'  {path}' for path in shown[:4])}

Go on (first: source .venv/bin/activate)
  Ask it something yourself:
    python tools/infer.py {image} "the largest tennis court" \\
        --config {CONFIG} --checkpoint {checkpoint} --out-dir {work_dir / 'infer'}
  Full size, on a GPU:
    python tools/dataset_converters/synthrs.py data --image-size 480 --difficulty normal
    python tools/train.py configs/cadformer_swinb_synthrs.py --amp
  RRSIS-HR or RRSIS-D, downloaded to data/ (see docs/datasets.md):
    python tools/train.py configs/cadformer_swinb_rrsishr.py --amp
  Your own data in the RefCOCO layout:
    python tools/train.py configs/cadformer_tiny_refcoco.py \\
        --data-root YOUR_FOLDER --data-name YOUR_NAME""")


def compare(trained: Path, data: list[str], work_dir: Path) -> dict[str, dict]:
    """Tests random weights, trained ones, and trained ones with wrong sentences.

    Args:
        trained: Checkpoint.
        data: Arguments that point the tool to the data.
        work_dir: Folder for logs, results and pictures.

    Returns:
        Row of the table -> metrics by name.
    """
    untrained = work_dir / 'untrained.pth'
    save_untrained(untrained)
    show = ['--show-dir', str(work_dir / 'pictures'), '--show-interval', '25']
    shuffle = ['--cfg-options', 'test_dataloader.dataset.shuffle_expressions=True']
    return {
        'untrained': test('untrained', untrained, data, work_dir),
        'trained': test('trained', trained, [*show, *data], work_dir),
        'trained, expressions shuffled': test(
            'shuffled', trained, [*data, *shuffle], work_dir
        ),
    }


def main() -> None:
    """Runs the quickstart."""
    args = parse_args()
    begin = time.time()
    work_dir = (REPO / args.work_dir).resolve()
    with user_errors():
        work_dir.mkdir(parents=True, exist_ok=True)
        scenes = dict(SCENES, train=args.train_scenes, test=args.test_scenes)
        draw_scenes(work_dir / 'data', scenes)
        data = ['--data-root', str(work_dir / 'data')]
        epochs = []
        if args.epochs:
            epochs = ['--cfg-options', f'train_cfg.max_epochs={args.epochs}']
        run(
            'tools/train.py',
            work_dir / 'train',
            *('--seed', str(args.seed)),
            *data,
            *epochs,
        )
        trained = best_checkpoint(work_dir / 'train')
        rows = compare(trained, data, work_dir)
    print_table(rows)
    print(
        '\n"Shuffled" gives every object the sentence of another object in its scene: '
        '\na model that reads the sentence must fail there.'
    )
    print_next_steps(work_dir, trained, work_dir / 'pictures')
    print(f'\nDone in {(time.time() - begin) / 60:.1f} minutes.')


if __name__ == '__main__':
    main()
