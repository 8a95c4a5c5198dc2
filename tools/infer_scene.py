#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Segments what sentences name in a large georeferenced scene.

infer_scene.py SCENE.tif "EXPRESSION" ["EXPRESSION"...] --config C --checkpoint W

Writes, into --out-dir and called after the scene: a mask and a probability GeoTIFF
per expression, polygons with expression, score and area (GeoJSON in EPSG:4326,
GeoPackage or Shapefile in the scene's coordinates), and a summary as JSON. A run that
was interrupted goes on when the same command is given again. See docs/scenes.md.
"""

import argparse

from mmcadformer.scene import (
    ObjectFilter,
    Reading,
    SceneResult,
    SceneSegmentor,
    Writing,
)
from mmcadformer.utils.command_line import Parser, add_cfg_options, user_errors


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('scene', help='GeoTIFF, COG, JPEG 2000, PNG, VRT...')
    parser.add_argument('expressions', nargs='+', metavar='expression')
    parser.add_argument('--config', required=True)
    parser.add_argument('--checkpoint', required=True, help='.pth or .safetensors')
    parser.add_argument('--out-dir', default='outputs', help='default: %(default)s')
    parser.add_argument(
        '--aoi', metavar='FILE', help='vector file: look only inside its polygons'
    )
    parser.add_argument(
        '--aoi-layer', metavar='NAME', help='its layer; default: the first'
    )
    parser.add_argument(
        '--restart',
        action='store_true',
        help='begin anew instead of going on with an interrupted run',
    )
    parser.add_argument('--quiet', action='store_true', help='no progress bar')
    add_network_options(parser.add_argument_group('network'))
    add_tile_options(parser.add_argument_group('tiles'))
    add_reading_options(parser.add_argument_group('reading'))
    add_writing_options(parser.add_argument_group('results'))
    return parser.parse_args(argv)


def add_network_options(group: Parser) -> None:
    """Options of the model."""
    group.add_argument('--device', help="'cpu', 'cuda'...; default: CUDA if there")
    group.add_argument(
        '--batch-size',
        type=int,
        default=4,
        metavar='N',
        help='pairs of tile and expression at once (default: %(default)s)',
    )
    group.add_argument(
        '--amp', choices=['bf16', 'fp16'], help='automatic mixed precision'
    )
    add_cfg_options(group)


def add_tile_options(group: Parser) -> None:
    """Options of the tiling."""
    group.add_argument(
        '--tile-size',
        type=int,
        nargs='+',
        default=[480],
        metavar='PX',
        help='side in scene pixels; several are several scales (default: 480)',
    )
    group.add_argument(
        '--overlap',
        type=float,
        default=0.25,
        metavar='SHARE',
        help='part of a side that neighbours share (default: %(default)s)',
    )
    group.add_argument(
        '--presence',
        metavar='FILE|VALUE',
        help='leave out tiles in which the object does not occur: a file of '
        'tools/analysis/calibrate_presence.py, or a threshold 0...1',
    )


def add_reading_options(group: Parser) -> None:
    """Options of the scene's pixels."""
    group.add_argument(
        '--bands',
        type=int,
        nargs='+',
        metavar='N',
        help='numbers, from 1, of red, green and blue, or of one band',
    )
    group.add_argument(
        '--value-range',
        type=float,
        nargs='+',
        metavar='V',
        help='lowest and highest value, for all bands or for each',
    )
    group.add_argument(
        '--percentiles',
        type=float,
        nargs=2,
        default=[2, 98],
        metavar='P',
        help='bounds of the stretch where values are not 8 bit (default: 2 98)',
    )
    group.add_argument(
        '--nodata', type=float, metavar='V', help='value of missing pixels'
    )
    group.add_argument('--crs', help="coordinate system, like 'EPSG:32614'")
    group.add_argument(
        '--warp',
        action='store_true',
        help='put a scene with control points or RPCs onto the map',
    )


def add_writing_options(group: Parser) -> None:
    """Options of what is written."""
    group.add_argument(
        '--threshold',
        type=float,
        default=0.5,
        metavar='P',
        help='probability above which a pixel counts (default: %(default)s)',
    )
    group.add_argument(
        '--probability',
        choices=['uint8', 'uint16', 'float32', 'none'],
        default='uint8',
        help='how probabilities are stored (default: %(default)s)',
    )
    group.add_argument(
        '--formats',
        nargs='+',
        metavar='NAME',
        help='of polygons: geojson, gpkg, shp (default: geojson gpkg)',
    )
    group.add_argument('--min-area', type=float, default=0, metavar='M2')
    group.add_argument('--min-pixels', type=int, default=0, metavar='N')
    group.add_argument(
        '--simplify',
        type=float,
        default=0,
        metavar='UNITS',
        help="how far outlines may be off, in the scene's units",
    )


def segment(args: argparse.Namespace) -> SceneResult:
    """Runs the scene.

    Raises:
        FileNotFoundError, ValueError: If something can't be used.
    """
    # Options are checked before the model is loaded.
    reading = Reading(
        bands=tuple(args.bands) if args.bands else None,
        value_range=tuple(args.value_range) if args.value_range else None,
        percentiles=tuple(args.percentiles),
        nodata=args.nodata,
        crs=args.crs,
        warp=args.warp,
    )
    writing = Writing(
        threshold=args.threshold,
        probability=None if args.probability == 'none' else args.probability,
        formats=tuple(args.formats) if args.formats else None,
        objects=ObjectFilter(args.min_area, args.min_pixels, args.simplify),
    )
    segmentor = SceneSegmentor.from_config(
        args.config,
        args.checkpoint,
        args.device,
        tile_sizes=args.tile_size,
        overlap=args.overlap,
        presence=args.presence,
        batch_size=args.batch_size,
        amp=args.amp,
        cfg_options=args.cfg_options,
    )
    return segmentor(
        args.scene,
        args.expressions,
        args.out_dir,
        aoi=args.aoi,
        aoi_layer=args.aoi_layer,
        reading=reading,
        writing=writing,
        restart=args.restart,
        progress=not args.quiet,
    )


def report(result: SceneResult) -> None:
    """Prints what was found."""
    for record in result.summary['expressions']:
        area = record['area_m2']
        size = f'{record["pixels"]} px' if area is None else f'{area:,.0f} m2'
        print(
            f'{record["expression"][:60]!r}: {record["objects"]} objects, {size}, in '
            f'{record["tiles_with_object"]} of {record["tiles"]} tiles'
        )
    print('written:')
    for file in result.files:
        print(f'  {file}')


def main(argv: list[str] | None = None) -> None:
    """Segments and reports."""
    args = parse_args(argv)
    with user_errors(interrupted='interrupted; the same command goes on from here'):
        report(segment(args))


if __name__ == '__main__':
    main()
