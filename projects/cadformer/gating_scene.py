#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""How much presence gating takes away in a scene that is mostly without the object.

gating_scene.py DATA --category "storage tank" --config C --checkpoint W

Lays test pictures of SynthRS (DATA/synthrs, docs/generalised.md) side by side, enlarged
to tiles: a share of them has one object of the category, the rest none. The scene is
segmented without a gate, with thresholds, and with a gate that knows the truth, which
no other gate can beat. A tile's picture decides its answer, so the network looks once.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import rasterio
from tabulate import tabulate

from mmcadformer.apis import init_model
from mmcadformer.datasets import ReferringSegDataset
from mmcadformer.datasets.masks import decode_segmentation
from mmcadformer.imagery import read_picture
from mmcadformer.scene import ModelNetwork, SceneReader, TileNetwork, Tiling
from mmcadformer.scene.run import RunFiles, SceneRun
from mmcadformer.scene.tiling import FULL
from mmcadformer.utils.command_line import add_cfg_options, user_errors
from mmcadformer.utils.files import read_json

TILE = 480


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('data', type=Path, help='root folder of SynthRS')
    parser.add_argument('--category', required=True)
    parser.add_argument('--config', required=True)
    parser.add_argument('--checkpoint', required=True)
    parser.add_argument('--presence', type=float, nargs='*', default=[0.8, 0.95])
    parser.add_argument('--size', type=int, default=12000, help='pixels per side')
    parser.add_argument('--share', type=float, default=0.05, help='of cells with one')
    parser.add_argument('--overlap', type=float, default=0.25)
    parser.add_argument('--seed', type=int, default=0)
    add_cfg_options(parser)
    return parser.parse_args()


def draw(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Scene, RGB uint8 (H, W, 3), and where the category is, bool (H, W)."""
    content = read_json(args.data / 'synthrs/instances.json')
    (category,) = (c['id'] for c in content['categories'] if c['name'] == args.category)
    masks: dict[int, list] = {}
    for annotation in content['annotations']:
        if annotation['category_id'] == category:
            masks.setdefault(annotation['image_id'], []).append(annotation)
    test = ReferringSegDataset(str(args.data), 'synthrs', split='test', pipeline=[])
    infos = map(test.get_data_info, range(len(test)))
    files = {info['image_id']: info['img_path'] for info in infos}
    kinds = [[i for i in files if len(masks.get(i, ())) == n] for n in (0, 1)]
    rng = np.random.default_rng(args.seed)
    side = args.size // TILE
    there = np.zeros(side * side, int)
    there[: round(args.share * len(there))] = 1
    scene = np.zeros((args.size, args.size, 3), np.uint8)
    truth = np.zeros(scene.shape[:2], bool)
    orders = [rng.permutation(kind) for kind in kinds]
    for number, has in enumerate(rng.permutation(there)):
        image = int(orders[has][number % len(orders[has])])
        row, column = (TILE * n for n in divmod(number, side))
        place = np.s_[row : row + TILE, column : column + TILE]
        picture = read_picture(files[image]).rgb
        scene[place] = cv2.resize(picture, (TILE, TILE), interpolation=cv2.INTER_CUBIC)
        for annotation in masks.get(image, ()):
            mask = decode_segmentation(annotation['segmentation'], *picture.shape[:2])
            mask = (mask == 1).astype(np.uint8)
            truth[place] |= (
                cv2.resize(mask, (TILE, TILE), interpolation=cv2.INTER_NEAREST) > 0
            )
    return scene, truth


class Remembered:
    """A network that is asked once about each tile; scores may be others."""

    def __init__(self, network: ModelNetwork) -> None:
        self.network, self.fill, self.pairs = network, network.fill, network.pairs
        self.answers: dict[bytes, tuple[np.ndarray, float]] = {}
        self.known: dict[bytes, bool] | None = None  # whether the object is there
        self.scores: np.ndarray | None = None

    def __call__(
        self, tiles: Sequence[np.ndarray], expressions: Sequence[str]
    ) -> np.ndarray:
        """See :class:`TileNetwork`."""
        keys = [digest(tile) for tile in tiles]
        new = [n for n, key in enumerate(keys) if key not in self.answers]
        if new:
            maps = self.network([tiles[n] for n in new], expressions)
            scores = self.network.scores
            for n, index in enumerate(new):
                score = 1.0 if scores is None else float(scores[n, 0])
                self.answers[keys[index]] = maps[n].astype(np.float16), score
        found = [self.answers[key] for key in keys]
        scores = [score for _, score in found]
        if self.known is not None:
            scores = [float(self.known[key]) for key in keys]
        self.scores = np.array(scores)[:, None]
        return np.stack([maps for maps, _ in found]).astype(np.float32)

    def fingerprint(self) -> str:
        """See :class:`TileNetwork`."""
        return self.network.fingerprint() + ('' if self.known is None else ' truth')


def digest(tile: np.ndarray) -> bytes:
    """Of its pixels."""
    return hashlib.blake2b(np.ascontiguousarray(tile).data, digest_size=16).digest()


def segment(
    scene: Path, text: str, network: TileNetwork, tiling: Tiling, presence: float
) -> np.ndarray:
    """The mask, bool (H, W)."""
    with TemporaryDirectory() as out, SceneReader(scene) as reader:
        files = RunFiles(Path(out) / 'work', dict(network=network.fingerprint()))
        run = SceneRun(reader, network, tiling, [text], presence, None, files)
        run.look(progress=False)
        return np.concatenate([rows > FULL // 2 for _, rows in run.rows(0)])


def main() -> None:
    """Draws, segments and prints a table."""
    args = parse_args()
    with user_errors():
        scene, truth = draw(args)
        model = init_model(args.config, args.checkpoint, 'cpu', args.cfg_options)
    network = Remembered(ModelNetwork(model, pairs=32))
    tiling = Tiling((TILE,), args.overlap)
    gates: list[tuple[str, float]] = [('none', 0.0)]
    if network.network.threshold is not None:
        stored = network.network.threshold
        gates += [(f'stored, {stored:.2f}', stored)]
        gates += [(f'{value:g}', value) for value in args.presence]
    gates += [('the truth', 0.5)]
    rows = []
    with TemporaryDirectory() as folder:
        file = Path(folder) / 'scene.tif'
        height, width = truth.shape
        options = dict(driver='GTiff', height=height, width=width, count=3)
        with rasterio.open(file, 'w', dtype='uint8', tiled=True, **options) as raster:
            raster.write(scene.transpose(2, 0, 1))
        for name, presence in gates:
            if name == 'the truth':
                tiles = (t for b in tiling.batches(height, width, 32) for t in b.tiles)
                network.known = {}
                for row, column, size in tiles:
                    place = np.s_[row : row + size, column : column + size]
                    network.known[digest(scene[place])] = truth[place].any()
            mask = segment(file, f'the {args.category}', network, tiling, presence)
            rows.append([name, int((mask & truth).sum()), int((mask & ~truth).sum())])
    (_, true, false), *_ = rows
    table = [
        [name, f'{t / truth.sum():.1%}', f'{t / true:.1%}', f, f'{f / false:.1%}']
        for name, t, f in rows
    ]
    names = ['gate', 'of the truth', 'of that without', 'false pixels', 'of those']
    print(f'the {args.category}: {truth.mean():.2%} of the scene')
    print(tabulate(table, headers=names, tablefmt='pretty'))


if __name__ == '__main__':
    main()
