#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Windows with and without water, to measure presence on real imagery.

water_windows.py make SCENE... --out FOLDER          JSON lines and pictures of windows
water_windows.py score RESULTS.jsonl...              AUROC and its interval

A SCENE has red, green, blue and near infrared. Its windows east of a column test; those
west of it teach, but for the last fifth of the rows, which validates. Water is where
(G - N) / (G + N) > 0.1. A window without any such pixel has none, one with 5 % has
some, what is between is left out. `--negatives CROPS`, a folder in the RefCOCO layout
whose only category is water, adds windows of its training crops without annotated
water; crops that are called after the year of a scene, which is known better, are left
out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image

from mmcadformer.datasets import ReferringSegDataset
from mmcadformer.datasets.masks import encode_mask, load_mask
from mmcadformer.evaluation.presence import auroc
from mmcadformer.imagery import read_picture
from mmcadformer.utils.command_line import user_errors
from mmcadformer.utils.files import write_text

SIDE, LEAST, WATER = 48, 0.05, 0.1
# Part of the rows that teach; the others validate.
TAUGHT = 0.8
SAID = ['the water', 'every pond', 'every water body', 'all ponds and lakes']
ASKED = SAID[:1]
RESAMPLES = 10_000


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    make = commands.add_parser('make')
    make.add_argument('scenes', nargs='+', help='rasters of four bands')
    make.add_argument('--out', type=Path, required=True, help='folder for the windows')
    make.add_argument('--east-of', type=int, default=480, metavar='COLUMN')
    make.add_argument(
        '--negatives',
        type=Path,
        metavar='CROPS',
        help='ROOT/NAME, in the RefCOCO layout',
    )
    score = commands.add_parser('score')
    score.add_argument('results', nargs='+', help='of tools/test.py --out')
    return parser.parse_args()


class Windows:
    """A folder in the layout of JSON lines that is being filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / 'images').mkdir(parents=True, exist_ok=True)
        self.lines: list[dict] = []

    def cut(
        self,
        name: str,
        rgb: np.ndarray,
        water: np.ndarray,
        split: str,
        step: int,
        negatives: bool = False,
    ) -> None:
        """Takes the windows of a picture (H, W, 3) whose water (H, W) is known.

        With ``negatives`` only those without.
        """
        for row, column in np.ndindex(*(1 + (n - SIDE) // step for n in water.shape)):
            place = np.s_[
                step * row : step * row + SIDE, step * column : step * column + SIDE
            ]
            mask = water[place]
            if 0 < mask.mean() < LEAST or (negatives and mask.any()):
                continue
            file = f'images/{name}_{step * row}_{step * column}.png'
            Image.fromarray(rgb[place]).save(self.folder / file)
            truth = (
                dict(mask=encode_mask(mask), category='water')
                if mask.any()
                else dict(mask=None, kind='none/category', category='water')
            )
            said = SAID if split == 'train' else ASKED
            self.lines.append(dict(image=file, expressions=said, split=split, **truth))

    def write(self) -> None:
        """Writes the lines and says how many there are."""
        text = ''.join(json.dumps(line) + '\n' for line in self.lines)
        write_text(self.folder / 'annotations.jsonl', text)
        for split in ('train', 'val', 'test'):
            masks = [line['mask'] for line in self.lines if line['split'] == split]
            without = sum(mask is None for mask in masks)
            print(f'{split}: {len(masks) - without} with water, {without} without')


def training_crops(folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, picture and water of each training crop."""
    data = ReferringSegDataset(
        str(folder.parent), folder.name, split='train', pipeline=[]
    )
    masks: dict[str, np.ndarray] = {}
    for index in range(len(data)):
        record = data.get_data_info(index)
        size = record['height'], record['width']
        mask = load_mask(record['segmentation'], *size) == 1
        path = record['img_path']
        masks[path] = masks.get(path, np.zeros(size, bool)) | mask
    for path, mask in masks.items():
        yield Path(path).stem, read_picture(path).rgb, mask


def make(args: argparse.Namespace) -> None:
    """Cuts all windows."""
    windows = Windows(args.out)
    for scene in args.scenes:
        with rasterio.open(scene) as raster:
            bands = raster.read()
        green, infrared = bands[1].astype(float), bands[3].astype(float)
        water = green - infrared > WATER * (green + infrared)
        rgb = np.ascontiguousarray(bands[:3].transpose(1, 2, 0))
        last, column = int(TAUGHT * len(rgb)), args.east_of
        for split, step, place in (
            ('train', SIDE // 4, np.s_[:last, :column]),
            ('val', SIDE, np.s_[last:, :column]),
            ('test', SIDE, np.s_[:, column:]),
        ):
            name = f'{Path(scene).stem}_{split}'
            windows.cut(name, rgb[place], water[place], split, step)
    if args.negatives:
        known = [Path(scene).stem for scene in args.scenes]
        for name, rgb, water in training_crops(args.negatives):
            if not any(name.split('_')[0] in scene for scene in known):
                windows.cut(name, rgb, water, 'train', SIDE // 2, negatives=True)
    windows.write()


def score(files: Sequence[str]) -> None:
    """AUROC of the presence scores in result files, and its 95 % interval.

    Windows are drawn with replacement, of each scene as many as there are.
    """
    for file in files:
        lines = [json.loads(line) for line in Path(file).read_text().splitlines()]
        scenes: dict[str, list[dict]] = {}
        for line in lines:
            name = Path(line['img_path']).stem.rsplit('_', 3)[0]
            scenes.setdefault(name, []).append(line)
        for name, part in (*scenes.items(), ('all', lines)):
            present, absent = (
                np.array([p['score'] for p in part if (p['truth_area'] > 0) == there])
                for there in (True, False)
            )
            rng = np.random.default_rng(0)
            draws = [
                auroc(
                    rng.choice(present, len(present)), rng.choice(absent, len(absent))
                )
                for _ in range(RESAMPLES)
            ]
            low, high = np.percentile(draws, [2.5, 97.5])
            print(
                f'{file}, {name}: AUROC {auroc(present, absent):.3f} '
                f'({low:.3f} to {high:.3f}), {len(present)} with, {len(absent)} without'
            )


def main() -> None:
    """Makes windows, or scores results on them."""
    args = parse_args()
    with user_errors():
        if args.command == 'make':
            make(args)
        else:
            score(args.results)


if __name__ == '__main__':
    main()
