#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Segments what sentences name in large georeferenced scenes.

infer_scene.py SCENE.tif "EXPRESSION" ["EXPRESSION"...] --config C --checkpoint W
infer_scene.py SCENES... --text "EXPRESSION" [--text "EXPRESSION"...] ...

Writes, into --out-dir and called after the scene: a mask and a probability GeoTIFF
per expression, polygons with expression, score and area (GeoJSON in EPSG:4326,
GeoPackage, Shapefile or GeoParquet in the scene's coordinates), and a summary as JSON.
A run that was interrupted goes on when the same command is given again. SCENES are
rasters, folders, patterns ('tiles/**/*.tif'), @LIST.txt, STAC items or item
collections. See docs/scenes.md.
"""

import argparse
import os
import sys

import torch

from mmcadformer.scene import (
    SET_NAME,
    ObjectFilter,
    Reading,
    SceneResult,
    SceneSegmentor,
    ScenesResult,
    SetOptions,
    Share,
    Writing,
    check_expressions,
    find_scenes,
    is_picture_name,
    prepare_scenes,
    segment_scenes,
)
from mmcadformer.utils.command_line import (
    Parser,
    add_amp_option,
    add_cfg_options,
    add_model_options,
    add_reading_options,
    check_model_options,
    given_reading,
    user_errors,
)
from mmcadformer.utils.garbage import settle


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'scenes',
        nargs='+',
        metavar='scene',
        help='GeoTIFF, COG, JPEG 2000, PNG, VRT...; without --text, what follows the '
        'first are expressions',
    )
    parser.add_argument(
        '--text',
        action='append',
        metavar='EXPRESSION',
        help='what to look for; may be given several times',
    )
    add_model_options(parser)
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
    add_set_options(parser.add_argument_group('many scenes'))
    add_network_options(parser.add_argument_group('network'))
    add_tile_options(parser.add_argument_group('tiles'))
    reading = parser.add_argument_group('reading')
    add_reading_options(reading)
    reading.add_argument('--crs', help="coordinate system, like 'EPSG:32614'")
    reading.add_argument(
        '--warp',
        action='store_true',
        help='put a scene with control points or RPCs onto the map',
    )
    add_writing_options(parser.add_argument_group('results'))
    return parser.parse_intermixed_args(argv)


def add_set_options(group: Parser) -> None:
    """Options of many scenes as a whole."""
    group.add_argument(
        '--merge',
        action='store_true',
        help='write the objects of all scenes into one GeoPackage, too',
    )
    group.add_argument(
        '--common-stretch',
        action='store_true',
        help='stretch values of more than 8 bits alike in all scenes',
    )
    group.add_argument(
        '--skip-errors',
        action='store_true',
        help="leave out scenes that can't be used; all_scenes.json says why",
    )
    group.add_argument('--asset', metavar='NAME', help='which asset of STAC items')
    group.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm'],
        default='none',
        help='share the scenes among the processes of torchrun or srun',
    )


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
    add_amp_option(group)
    add_cfg_options(group)


def add_tile_options(group: Parser) -> None:
    """Options of the tiling."""
    group.add_argument(
        '--tile-size',
        type=int,
        nargs='+',
        metavar='PX',
        help='side in scene pixels; several are several scales (default: 480, or the '
        'size of the input of a released model)',
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
        help='of polygons: geojson, gpkg, shp, parquet (default: geojson gpkg)',
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


def split_inputs(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Scenes and sentences of the command line.

    Raises:
        ValueError: If a scene has come among the sentences, or there are none.
    """
    scenes, texts = args.scenes, args.text
    if texts is None:
        scenes, texts = scenes[:1], scenes[1:]
        for text in texts:
            if os.path.exists(text) or is_picture_name(text):
                raise ValueError(
                    f'{text} is taken for an expression, but is the name of a file or '
                    'folder: where there are several scenes, give expressions by '
                    '--text "EXPRESSION"'
                )
    for text in texts:
        if os.path.isfile(text):
            raise ValueError(f'{text} is a file, not an expression')
    if not texts:
        raise ValueError(
            f'no expression is given for {", ".join(scenes)}: add it after the scene, '
            'or by --text "EXPRESSION"'
        )
    return scenes, texts


def read_share(args: argparse.Namespace, many: bool) -> Share | None:
    """This process's part, for which a GPU of its own is chosen.

    Raises:
        ValueError: If there is no launcher, or nothing to share.
    """
    if args.launcher == 'none':
        return None
    if not many:
        raise ValueError('--launcher shares scenes, but only one is given')
    share = Share.from_launcher(args.launcher)
    gpus = torch.cuda.device_count()
    if args.device is None and gpus:
        args.device = f'cuda:{share.local_rank % gpus}'
    return share


def segment(args: argparse.Namespace) -> SceneResult | ScenesResult:
    """Runs the scenes.

    Raises:
        FileNotFoundError, ValueError: If something can't be used.
    """
    # All is checked before the model is loaded.
    check_model_options(args)
    scenes, texts = split_inputs(args)
    texts = check_expressions(texts)
    reading = Reading(crs=args.crs, warp=args.warp, **given_reading(args))
    writing = Writing(
        threshold=args.threshold,
        probability=None if args.probability == 'none' else args.probability,
        formats=tuple(args.formats) if args.formats else None,
        objects=ObjectFilter(args.min_area, args.min_pixels, args.simplify),
    )
    options = SetOptions(args.asset, args.merge, args.common_stretch, args.skip_errors)
    first, *others = find_scenes(scenes, args.asset, args.out_dir)
    many = None
    if others or first.found or options != SetOptions():
        many = prepare_scenes(scenes, args.out_dir, options, reading, writing)
    elif first.problem:
        raise FileNotFoundError(first.problem)
    share = read_share(args, many is not None)
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
        weights=args.weights,
        runtime=args.runtime,
    )
    settle()
    how = dict(
        aoi=args.aoi,
        aoi_layer=args.aoi_layer,
        restart=args.restart,
        progress=not args.quiet and (share is None or share.is_first),
    )
    if many is not None:
        return segment_scenes(segmentor, many, texts, share=share, **how)
    return segmentor(
        first.path, texts, args.out_dir, reading=reading, writing=writing, **how
    )


def report(result: SceneResult | ScenesResult) -> None:
    """Prints what was found."""
    if isinstance(result, ScenesResult):
        report_many(result)
        return
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


def report_many(result: ScenesResult) -> None:
    """Prints how many objects are in all scenes, and what was left out."""
    if not result.files:
        return  # another process reports
    done = result.of('done')
    for number, text in enumerate(result.report['expressions']):
        count = sum(record['objects'][number] for record in done)
        print(f'{text[:60]!r}: {count} objects in {len(done)} scenes')
    if result.kept:
        print(f'{result.kept} scenes had been finished before')
    if result.of('outside'):
        print(f'{len(result.of("outside"))} scenes lie outside of the area of interest')
    for record in result.of('failed'):
        print(f'failed: {record["error"]}', file=sys.stderr)
    print(f'written: {len(result.files)} files')
    for file in result.files:
        if file.stem == SET_NAME:
            print(f'  {file}')


def main(argv: list[str] | None = None) -> None:
    """Segments and reports."""
    args = parse_args(argv)
    with user_errors(interrupted='interrupted; the same command goes on from here'):
        report(segment(args))


if __name__ == '__main__':
    main()
