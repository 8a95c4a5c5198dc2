#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""How much presence gating takes away in a scene that is mostly without the object.

gating_scene.py windows DATA --out FOLDER       JSON lines and pictures to learn from
gating_scene.py measure DATA --category "storage tank" --config C --checkpoint W

DATA is SynthRS (DATA/synthrs, docs/generalised.md). `windows` lays its pictures side
by side and cuts windows anywhere, as tiles of a scene are cut: each is asked for what
is in it and for what isn't.

`measure` lays test pictures side by side, enlarged five times: a share of them has one
object of the category, the rest none. The scene is segmented without a gate, with
thresholds, and with a gate that knows the truth, which no other gate can beat. A tile's
picture decides its answer, so the network looks once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
import rasterio
from PIL import Image
from tabulate import tabulate

from mmcadformer.apis import init_model
from mmcadformer.datasets import ReferringSegDataset
from mmcadformer.datasets.masks import decode_segmentation, encode_mask
from mmcadformer.imagery import read_picture
from mmcadformer.scene import ModelNetwork, SceneReader, TileNetwork, Tiling
from mmcadformer.scene.presence import read_presence
from mmcadformer.scene.run import RunFiles, SceneRun
from mmcadformer.scene.tiling import FULL
from mmcadformer.synthrs import CATEGORIES, OBJECT_COLORS
from mmcadformer.utils.command_line import add_cfg_options, user_errors
from mmcadformer.utils.files import read_json, write_text

# Pixels per side of a picture in a scene, and of a tile: as much as a window shows.
CELL, TILE = 480, 320
# An object of which a window shows less than this part is neither there nor not.
LEAST = 0.25
# How often a window is moved along an axis; else it begins with a picture.
MOVED = 0.75
# So much more often is a category asked for than one of its colours.
PLAIN = 4


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    add = commands.add_parser('windows').add_argument
    add('data', type=Path, help='root folder of SynthRS')
    add('--out', type=Path, required=True, help='folder for the windows')
    add('--train', type=int, default=12000, help='windows of training pictures')
    add('--val', type=int, default=600, help='windows of validation pictures')
    add('--side', type=int, default=64, help='pixels per side of a window')
    add('--absent', type=int, default=2, help='sentences a window that mean nothing')
    add('--seed', type=int, default=0)
    measured = commands.add_parser('measure')
    add = measured.add_argument
    add('data', type=Path, help='root folder of SynthRS')
    add('--category', required=True)
    add('--config', required=True)
    add('--checkpoint', required=True)
    add('--ordinary', help='checkpoint without a head, to compare with')
    add('--presence', nargs='*', default=['0.8', '0.95'], help='numbers, or files')
    add('--size', type=int, default=12000, help='pixels per side')
    add('--share', type=float, default=0.05, help='of cells with one')
    add('--tile', type=int, default=TILE, help='pixels per side of a tile')
    add('--overlap', type=float, default=0.25)
    add('--seed', type=int, default=0)
    add_cfg_options(measured)
    return parser.parse_args()


class Object(NamedTuple):
    """An object of a picture, or of a window."""

    category: str
    color: str | None
    mask: np.ndarray  # bool (H, W)
    shown: float = 1.0  # part of it

    def fits(self, category: str, color: str | None) -> bool:
        """Whether it is such a thing."""
        return self.category == category and color in (None, self.color)


class Pictures:
    """The pictures of a split, and all objects in them."""

    def __init__(self, data: Path, split: str) -> None:
        content = read_json(data / 'synthrs/instances.json')
        self.names = {c['id']: c['name'] for c in content['categories']}
        self.objects: dict[int, list[dict]] = {}
        for annotation in content['annotations']:
            self.objects.setdefault(annotation['image_id'], []).append(annotation)
        records = ReferringSegDataset(str(data), 'synthrs', split=split, pipeline=[])
        infos = map(records.get_data_info, range(len(records)))
        self.files = {info['image_id']: info['img_path'] for info in infos}

    def count(self, image: int, category: str) -> int:
        """Objects of a category in a picture."""
        named = [self.names[a['category_id']] for a in self.objects.get(image, ())]
        return named.count(category)

    def read(self, image: int) -> tuple[np.ndarray, list[Object]]:
        """RGB uint8 (H, W, 3) and objects."""
        rgb = read_picture(self.files[image]).rgb
        size = rgb.shape[:2]
        found = [
            Object(
                self.names[annotation['category_id']],
                annotation['attributes']['color'],
                decode_segmentation(annotation['segmentation'], *size) == 1,
            )
            for annotation in self.objects.get(image, ())
        ]
        return rgb, found


def cut_window(
    pictures: Pictures, rng: np.random.Generator, extent: int
) -> tuple[np.ndarray, list[Object]]:
    """A window over up to four pictures, and the objects of which it shows any part."""
    images = rng.choice(list(pictures.files), 4)
    quarters = [pictures.read(int(image)) for image in images]
    side = len(quarters[0][0])
    if extent > side:
        raise ValueError(f'--side {extent}: the pictures have {side} px')
    row, column = np.where(rng.random(2) < MOVED, rng.integers(side, size=2), 0)
    window = np.s_[row : row + extent, column : column + extent]
    canvas = np.zeros((2 * side, 2 * side, 3), np.uint8)
    shown = []
    for number, (rgb, objects) in enumerate(quarters):
        top, left = (side * n for n in divmod(number, 2))
        place = np.s_[top : top + side, left : left + side]
        canvas[place] = rgb
        for thing in objects:
            mask = np.zeros(canvas.shape[:2], bool)
            mask[place] = thing.mask
            part = mask[window]
            if part.any():
                share = float(part.sum() / thing.mask.sum())
                shown.append(thing._replace(mask=part, shown=share))
    return canvas[window], shown


def ask(
    objects: Sequence[Object], rng: np.random.Generator, absent: int
) -> Iterator[dict]:
    """Lines of sentences about a window: one that means something, others nothing."""
    present: dict[tuple[str, str | None], dict] = {}
    nothing: dict[tuple[str, str | None], dict] = {}
    for category in CATEGORIES:
        there = any(thing.category == category for thing in objects)
        for color in (None, *OBJECT_COLORS.get(category, ())):
            fitting = [thing for thing in objects if thing.fits(category, color)]
            if any(thing.shown < LEAST for thing in fitting):
                continue
            if fitting:
                mask = np.any([thing.mask for thing in fitting], axis=0)
                kind = {} if len(fitting) == 1 else dict(kind='several')
                present[category, color] = dict(mask=encode_mask(mask), **kind)
            else:
                kind = dict(kind='none/attribute' if there else 'none/category')
                nothing[category, color] = dict(mask=None, **kind)
    for answers, count in ((present, 1), (nothing, absent)):
        names = list(answers)
        if not names:
            continue
        weights = np.array([1 if color else PLAIN for _, color in names], float)
        chosen = rng.choice(
            len(names), min(count, len(names)), False, weights / weights.sum()
        )
        for category, color in (names[n] for n in chosen):
            name = ' '.join(filter(None, (color, category)))
            said = [f'the {name}', f'every {name}']
            yield dict(expressions=said, category=category, **answers[category, color])


def make_windows(args: argparse.Namespace) -> None:
    """Cuts windows and writes what is said of them."""
    (args.out / 'images').mkdir(parents=True, exist_ok=True)
    lines: list[dict] = []
    for split, count in dict(train=args.train, val=args.val).items():
        pictures = Pictures(args.data, split)
        for number in range(count):
            rng = np.random.default_rng([args.seed, split == 'val', number])
            rgb, objects = cut_window(pictures, rng, args.side)
            file = f'images/{split}_{number:06d}.png'
            Image.fromarray(rgb).save(args.out / file, compress_level=1)
            for line in ask(objects, rng, args.absent):
                lines.append(dict(image=file, split=split, **line))
        here = [line['mask'] is None for line in lines if line['split'] == split]
        print(f'{split}: {here.count(False)} with a target, {here.count(True)} without')
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    write_text(args.out / 'annotations.jsonl', text)


def draw(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Scene, RGB uint8 (H, W, 3), and where the category is, bool (H, W)."""
    pictures = Pictures(args.data, 'test')
    counts = {image: pictures.count(image, args.category) for image in pictures.files}
    kinds = [[i for i, found in counts.items() if found == n] for n in (0, 1)]
    rng = np.random.default_rng(args.seed)
    side = args.size // CELL
    there = np.zeros(side * side, int)
    there[: round(args.share * len(there))] = 1
    scene = np.zeros((args.size, args.size, 3), np.uint8)
    truth = np.zeros(scene.shape[:2], bool)
    orders = [rng.permutation(kind) for kind in kinds]
    for number, has in enumerate(rng.permutation(there)):
        image = int(orders[has][number % len(orders[has])])
        row, column = (CELL * n for n in divmod(number, side))
        place = np.s_[row : row + CELL, column : column + CELL]
        rgb, objects = pictures.read(image)
        scene[place] = cv2.resize(rgb, (CELL, CELL), interpolation=cv2.INTER_CUBIC)
        for thing in objects:
            if thing.category == args.category:
                mask = thing.mask.astype(np.uint8)
                size = (CELL, CELL)
                large = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
                truth[place] |= large > 0
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


def known_tiles(
    scene: np.ndarray, truth: np.ndarray, tiling: Tiling
) -> dict[bytes, bool]:
    """Whether the object is in it, of each tile."""
    known = {}
    for batch in tiling.batches(*truth.shape, 32):
        for row, column, size in batch.tiles:
            place = np.s_[row : row + size, column : column + size]
            known[digest(scene[place])] = bool(truth[place].any())
    return known


def load_network(args: argparse.Namespace, checkpoint: str, head: bool) -> Remembered:
    """A network of the config, or one like it without a head."""
    options = dict(args.cfg_options or {})
    if not head:
        options['model.decode_head.presence'] = None
    model = init_model(args.config, checkpoint, 'cpu', options)
    return Remembered(ModelNetwork(model, pairs=32))


def measure(args: argparse.Namespace) -> None:
    """Draws, segments and prints a table."""
    scene, truth = draw(args)
    network = load_network(args, args.checkpoint, head=True)
    looks: list[tuple[str, Remembered, float]] = [('none', network, 0.0)]
    if args.ordinary:
        ordinary = load_network(args, args.ordinary, head=False)
        looks.append(('ordinary network, none', ordinary, 0.0))
    stored = network.network.threshold
    if stored is not None:
        looks.append((f'stored, {stored:.2f}', network, stored))
        values = [read_presence(source)[0] for source in args.presence]
        looks += [(f'{value:.3g}', network, value) for value in values]
    looks.append(('the truth', network, 0.5))
    tiling, text = Tiling((args.tile,), args.overlap), f'the {args.category}'
    rows = []
    with TemporaryDirectory() as folder:
        file = Path(folder) / 'scene.tif'
        height, width = truth.shape
        options = dict(driver='GTiff', height=height, width=width, count=3)
        with rasterio.open(file, 'w', dtype='uint8', tiled=True, **options) as raster:
            raster.write(scene.transpose(2, 0, 1))
        known = known_tiles(scene, truth, tiling)
        for name, asked, presence in looks:
            asked.known = known if name == 'the truth' else None
            mask = segment(file, text, asked, tiling, presence)
            rows.append((name, int((mask & truth).sum()), int((mask & ~truth).sum())))
    print(f'{text}: {truth.mean():.2%} of the scene')
    print_table(rows, int(truth.sum()), bool(args.ordinary))
    scores = {key: score for key, (_, score) in network.answers.items()}
    for there in (True, False):
        here = np.array([s for key, s in scores.items() if known[key] == there])
        passing = [f'{(here >= value).mean():.1%}' for _, _, value in looks]
        print(f'tiles {"with" if there else "without"}: {len(here)}, pass: {passing}')


def print_table(
    rows: Sequence[tuple[str, int, int]], true: int, ordinary: bool
) -> None:
    """Pixels of the truth that are found and false ones, beside those without gate."""
    names = ['gate', 'of the truth', 'of that without', 'false pixels', 'of those']
    bases = rows[:1]
    if ordinary:
        bases = rows[:2]
        names += ["of the ordinary one's", 'false, of its']
    table = []
    for name, found, false in rows:
        line = [name, f'{found / true:.1%}']
        shares = [(f'{found / b[1]:.1%}', f'{false / b[2]:.1%}') for b in bases]
        line += [shares[0][0], f'{false:,}', shares[0][1]]
        table.append([*line, *(shares[1] if ordinary else ())])
    print(tabulate(table, headers=names, tablefmt='pretty'))


def main() -> None:
    """Makes windows, or measures."""
    args = parse_args()
    with user_errors():
        if args.command == 'windows':
            make_windows(args)
        else:
            measure(args)


if __name__ == '__main__':
    main()
