#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Measures scene inference on a large synthetic scene with known objects.

benchmark_scene.py --size 12000

Draws a GeoTIFF in UTM full of courts and tracks of known outline, segments it with a
stand-in for the network that goes by colour, and reports peak memory, time, alignment,
areas and positions; then kills a second run half-way, lets it go on, and compares the
files. What is measured is everything but the network.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyproj
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize
from rasterio.windows import Window
from shapely.affinity import affine_transform, translate

from mmcadformer.scene import SceneSegmentor, Tiling, Writing
from mmcadformer.synthrs import draw_objects, random_object

# No object has this colour.
GROUND = (225, 20, 225)
KINDS = ('tennis court', 'basketball field', 'ground track field', 'baseball field')
CELL = 300
EPSG = 32633
TRANSFORM = Affine(0.3, 0, 400000, 0, -0.3, 5500000)
SENTENCES = ['everything that was built', 'the ground']
# Killed and straight runs are compared to the byte.
_ENVIRONMENT = dict(os.environ, SOURCE_DATE_EPOCH='1760000000')


class ByColor:
    """Answers by each pixel's own colour."""

    fill = GROUND
    pairs = 8

    def __call__(
        self, tiles: Sequence[np.ndarray], expressions: Sequence[str]
    ) -> np.ndarray:
        """Probability of not being ground, and of being ground."""
        built = 1 / (1 + np.exp((_purple(np.stack(tiles)) - 165) / 5))
        answers = dict(zip(SENTENCES, (built, 1 - built), strict=True))
        return np.stack([answers[text] for text in expressions], axis=1)

    def fingerprint(self) -> str:
        """One for all: it has no weights."""
        return 'by colour'


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=int, default=12000, help='pixels per side')
    parser.add_argument('--work-dir', default='work_dirs/benchmark_scene')
    parser.add_argument('--tile-size', type=int, nargs='+', default=[480])
    parser.add_argument('--expressions', type=int, choices=[1, 2], default=1)
    parser.add_argument('--segment', metavar='OUT', help=argparse.SUPPRESS)
    return parser.parse_args()


def draw(file: Path, size: int) -> list[shapely.Polygon]:
    """Writes the scene a row of cells at a time; gives outlines in pixels."""
    rng = np.random.default_rng(0)
    outlines = []
    profile = dict(
        driver='GTiff', width=size, height=size, count=3, dtype='uint8',
        crs=f'EPSG:{EPSG}', transform=TRANSFORM, tiled=True, compress='deflate',
        bigtiff='if_safer',
    )  # fmt: skip
    with rasterio.open(file, 'w', **profile) as raster:
        for top in range(0, size, CELL):
            rows = min(CELL, size - top)
            noise = rng.integers(-12, 13, (rows, size, 3), dtype=np.int16)
            ground = (np.array(GROUND) + noise).clip(0, 255).astype(np.uint8)
            canvas = ground.copy()
            objects = []
            if rows == CELL:
                for left in range(0, size - CELL + 1, CELL):
                    x, y = np.array([left, 0]) + CELL / 2 + rng.uniform(-20, 20, 2)
                    kind = KINDS[rng.integers(len(KINDS))]
                    length = rng.uniform(100, 220)
                    objects.append(random_object(rng, kind, (x, y), length))
            if objects:
                draw_objects(canvas, objects)
                here = [shapely.Polygon(item.polygon()) for item in objects]
                _paint_to_the_pixel(canvas, ground, here)
                outlines += [translate(outline, 0, top) for outline in here]
            window = Window(0, top, size, rows)
            raster.write(canvas.transpose(2, 0, 1), window=window)
    return outlines


def _paint_to_the_pixel(
    canvas: np.ndarray, ground: np.ndarray, outlines: list[shapely.Polygon]
) -> None:
    """Makes the outlines the exact truth: soft edges reach over and under them."""
    inside = rasterize(outlines, out_shape=canvas.shape[:2]) > 0
    canvas[~inside] = ground[~inside]
    faint = inside & (_purple(canvas) > 130)
    canvas[faint] = 90


def _purple(pixels: np.ndarray) -> np.ndarray:
    """What sets the ground apart, about 205 there and at most 60 on objects."""
    pixels = pixels.astype(np.float32)
    return (pixels[..., 0] + pixels[..., 2]) / 2 - pixels[..., 1]


def segment(scene: Path, out: Path, args: argparse.Namespace) -> None:
    """The run that is measured, in a process of its own."""
    segmentor = SceneSegmentor(ByColor(), Tiling(tuple(args.tile_size)))
    sentences = SENTENCES[: args.expressions]
    writing = Writing(formats=('geojson', 'gpkg'))
    segmentor(scene, sentences, out, writing=writing, progress=False)


def measured(command: list[str]) -> dict:
    """Runs a command; seconds and peak memory in GiB."""
    start = time.monotonic()
    process = subprocess.Popen(command, env=_ENVIRONMENT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f'the run failed with status {status}')
    return dict(
        seconds=round(time.monotonic() - start, 1),
        peak_gib=round(usage.ru_maxrss / 2**20, 3),
    )


def kill_half_way(command: list[str], work: Path, num_strips: int) -> int:
    """SIGKILL when half of the rows are finished; gives their number."""
    process = subprocess.Popen(command, env=_ENVIRONMENT)
    while len(list(work.glob('strip_*.npy'))) < num_strips // 2:
        if process.poll() is not None:
            sys.exit('the run ended before it could be killed')
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(list(work.glob('strip_*.npy')))


def compare_with_truth(out: Path, outlines: list[shapely.Polygon]) -> dict:
    """Mask, areas and positions against the outlines that were drawn."""
    return dict(
        objects=len(outlines),
        wrong_pixels=_wrong_pixels(out / 'scene_01_mask.tif', outlines),
        **_compare_polygons(out / 'scene.geojson', outlines),
    )


def _wrong_pixels(mask_file: Path, outlines: list[shapely.Polygon]) -> int:
    tree = shapely.STRtree(outlines)
    wrong = 0
    with rasterio.open(mask_file) as raster:
        assert (raster.crs.to_epsg(), raster.transform) == (EPSG, TRANSFORM)
        for row in range(0, raster.height, 512):
            rows = min(512, raster.height - row)
            mask = raster.read(1, window=Window(0, row, raster.width, rows))
            here = tree.query(shapely.box(0, row, raster.width, row + rows))
            truth = rasterize(
                [outlines[index] for index in here],
                out_shape=mask.shape,
                transform=Affine.translation(0, row),
            )
            wrong += int((mask != truth).sum())
    return wrong


def _compare_polygons(file: Path, outlines: list[shapely.Polygon]) -> dict:
    to_earth = pyproj.Transformer.from_crs(EPSG, 4326, always_xy=True)
    place = TRANSFORM.to_shapely()
    truths = [
        shapely.transform(
            affine_transform(item, place),
            lambda corners: np.stack(to_earth.transform(*corners.T), axis=-1),
        )
        for item in outlines
    ]
    geod = pyproj.Geod(ellps='WGS84')
    tree = shapely.STRtree([truth.centroid for truth in truths])
    offsets, errors, matched = [], [], set()
    for feature in json.loads(file.read_text())['features']:
        if feature['properties']['expression'] != SENTENCES[0]:
            continue
        center = shapely.geometry.shape(feature['geometry']).centroid
        index = int(tree.nearest(center))
        matched.add(index)
        true_center = truths[index].centroid
        ends = (center.x, center.y, true_center.x, true_center.y)
        offsets.append(geod.inv(*ends)[2])
        area = abs(geod.geometry_area_perimeter(truths[index])[0])
        errors.append(feature['properties']['area_m2'] / area - 1)
    return dict(
        polygons=len(offsets),
        objects_found=len(matched),
        largest_area_error_percent=round(100 * float(np.abs(errors).max()), 3),
        largest_offset_m=round(float(np.max(offsets)), 3),
    )


def hashes(folder: Path) -> dict[str, str]:
    """Of all files."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
    }


def main() -> None:
    """Measures and reports."""
    args = parse_args()
    folder = Path(args.work_dir)
    scene = folder / 'scene.tif'
    if args.segment:
        segment(scene, Path(args.segment), args)
        return
    folder.mkdir(parents=True, exist_ok=True)
    outlines = draw(scene, args.size)
    command = [
        sys.executable, __file__, '--work-dir', str(folder), '--expressions',
        str(args.expressions), '--tile-size', *map(str, args.tile_size), '--segment',
    ]  # fmt: skip
    straight, resumed = folder / 'straight', folder / 'resumed'
    report = dict(pixels=args.size**2, scene_mib=scene.stat().st_size >> 20)
    report['run'] = measured([*command, str(straight)])
    report.update(compare_with_truth(straight, outlines))
    num_strips = -(-args.size // 512)
    done = kill_half_way([*command, str(resumed)], resumed / 'scene.work', num_strips)
    report['killed_after_strips'] = f'{done} of {num_strips}'
    report['resumed_run'] = measured([*command, str(resumed)])
    report['identical_files'] = hashes(straight) == hashes(resumed)
    report['files'] = sorted(hashes(straight))
    print(json.dumps(report, indent=2))
    (folder / 'report.json').write_text(json.dumps(report, indent=2) + '\n')


if __name__ == '__main__':
    main()
