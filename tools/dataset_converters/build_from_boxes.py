# SPDX-License-Identifier: Apache-2.0
"""Build a referring segmentation dataset from boxes and sentences.

The steps, each with its own --help; docs/build_dataset.md walks through them:

  masks    boxes to masks by SAM, and a page to review them
  review   write the review page again, for disputes or corrected masks
  compare  tell how well annotators agree, and where they don't
  export   flagged masks to COCO JSON, for CVAT or Label Studio
  build    what was accepted to the RefCOCO layout
"""

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from mmcadformer.annotation import (
    RULES,
    Outcome,
    Review,
    Rule,
    SamBoxSegmenter,
    Workspace,
    build_dataset,
    compare_reviews,
    export_for_correction,
    format_table,
    make_workspace,
    read_corrections,
    read_review,
    read_rules,
    settle,
    write_review,
)
from mmcadformer.annotation.build import UNDECIDED
from mmcadformer.annotation.correction import SHAPES
from mmcadformer.annotation.review_page import SHOW
from mmcadformer.annotation.sam import CHOICES, DTYPES
from mmcadformer.annotation.splits import RATIOS, SPLIT_METHODS
from mmcadformer.datasets.formats import (
    IMAGE_MODES,
    SPLIT_UNITS,
    BadEntries,
    BoxItem,
    load_json_lines_boxes,
    load_refcoco_boxes,
    load_voc_boxes,
)
from mmcadformer.utils.command_line import user_errors
from mmcadformer.utils.files import write_json
from mmcadformer.utils.lock import locked

PAGE = 'review.html'


def parse_args(arguments: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(dest='step', required=True, metavar='STEP')
    _add_masks(steps.add_parser('masks', help='boxes to masks by SAM'))
    _add_review(steps.add_parser('review', help='write the review page'))
    _add_compare(steps.add_parser('compare', help='compare annotators'))
    _add_export(steps.add_parser('export', help='flagged masks to COCO JSON'))
    _add_build(steps.add_parser('build', help='write the dataset'))
    return parser.parse_args(arguments)


def _add_masks(parser: ArgumentParser) -> None:
    _add_folder(parser, 'folder to work in; the same again goes on')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        '--voc',
        type=Path,
        metavar='DIR',
        help='XML files with <description>, as RSVG-HR and DIOR-RSVG have them',
    )
    source.add_argument(
        '--refcoco',
        type=Path,
        metavar='DIR',
        help='annotations of a RefCOCO layout, <root>/<name>',
    )
    source.add_argument(
        '--json-lines',
        type=Path,
        metavar='FILE',
        help='one object per line: image, box, expression, category',
    )
    add = parser.add_argument
    add('--images', type=Path, metavar='DIR', help='image folder')
    add('--split-dir', type=Path, metavar='DIR', help='train.txt, ... of --voc')
    add(
        '--split-unit',
        choices=SPLIT_UNITS,
        default='object',
        help='what a line in them is (default: %(default)s)',
    )
    add('--one-based', action='store_true', help='coordinates of --voc begin at 1')
    add(
        '--sam',
        required=True,
        metavar='CHECKPOINT',
        help='folder, or name on the model hub such as facebook/sam-vit-huge',
    )
    add('--device', default='auto', help='(default: %(default)s)')
    add('--dtype', choices=DTYPES, default='float32', help='of the image encoder')
    add(
        '--choose',
        choices=CHOICES,
        default='predicted_iou',
        help="the best of SAM's three masks, or its single one (default: %(default)s)",
    )
    add('--boxes-per-pass', type=int, default=32, metavar='N', help='limits memory')
    add('--skip-bad', action='store_true', help='leave out what cannot be used')
    add('--overwrite', action='store_true', help='make masks of other settings again')
    _add_rules(parser)
    _add_quiet(parser)


def _add_review(parser: ArgumentParser) -> None:
    _add_folder(parser)
    _add_decisions(parser)
    add = parser.add_argument
    add(
        '--show', choices=SHOW, default='all', help='which items (default: %(default)s)'
    )
    add('--min-suspicion', type=float, default=0.0, metavar='S', help='0...1')
    add('--out', type=Path, metavar='FILE', help='HTML file')
    add('--annotator', default='', metavar='NAME')
    add('--title', default='')
    add('--crop-size', type=int, default=384, metavar='PX', help='of the pictures')
    add(
        '--items-per-file', type=int, default=1000, metavar='N', help='more: more files'
    )
    _add_rules(parser)
    _add_quiet(parser)


def _add_compare(parser: ArgumentParser) -> None:
    _add_folder(parser)
    add = parser.add_argument
    add('reviews', type=Path, nargs='+', help='saved by the review page')
    add('--out', type=Path, metavar='FILE', help='JSON report')


def _add_export(parser: ArgumentParser) -> None:
    _add_folder(parser)
    add = parser.add_argument
    add('out', type=Path, help='new folder')
    _add_decisions(parser)
    add(
        '--min-suspicion',
        type=float,
        metavar='S',
        help='export undecided masks from this suspicion on, too',
    )
    add(
        '--shape',
        choices=SHAPES,
        default='polygon',
        help='polygons have no holes; only CVAT reads rle (default: %(default)s)',
    )
    _add_rules(parser)


def _add_build(parser: ArgumentParser) -> None:
    _add_folder(parser)
    add = parser.add_argument
    add('root', type=Path, help='root folder of the data')
    add('--name', required=True, help='name of the dataset')
    _add_decisions(parser)
    add(
        '--undecided',
        choices=UNDECIDED,
        default='error',
        help='what becomes of items without a decision (default: %(default)s)',
    )
    add('--drop-unfixed', action='store_true', help='leave out what is still to fix')
    add('--splits', choices=SPLIT_METHODS, default='stratified', help='(%(default)s)')
    add(
        '--ratios',
        type=float,
        nargs=3,
        default=list(RATIOS.values()),
        metavar=('TRAIN', 'VAL', 'TEST'),
        help='default: 0.8 0.1 0.1',
    )
    add('--seed', type=int, default=0, help='of the splits')
    add('--shared-images', action='store_true', help='allow an image in two splits')
    add(
        '--rename',
        nargs='+',
        default=[],
        metavar='OLD=NEW',
        help='new names of categories',
    )
    add('--image-mode', choices=IMAGE_MODES, default='copy', help='(%(default)s)')
    add('--refs-json', action='store_true', help='write refs.json, too')
    add('--overwrite', action='store_true', help='replace a dataset built before')


def _add_folder(
    parser: ArgumentParser, text: str = 'folder that `masks` filled'
) -> None:
    parser.add_argument('folder', type=Path, help=text)


def _add_rules(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--rules', type=Path, metavar='FILE', help='JSON with changes to the flags'
    )


def _add_quiet(parser: ArgumentParser) -> None:
    parser.add_argument('--quiet', action='store_true', help='show no progress bar')


def _add_decisions(parser: ArgumentParser) -> None:
    for option, text in (
        ('--apply-review', 'saved by the review page, one or more per annotator'),
        ('--final', "the panel's decisions, which overrule the others"),
        ('--corrected', 'COCO JSON with corrected masks'),
    ):
        parser.add_argument(
            option, type=Path, nargs='+', default=[], metavar='FILE', help=text
        )
    parser.add_argument(
        '--majority',
        action='store_true',
        help='more than half decides; otherwise all who decided must agree',
    )


def make_masks(args: Namespace) -> None:
    bad = BadEntries(args.skip_bad)
    items, images, source = _read_source(args, bad)
    rules = _rules(args)
    segmenter = SamBoxSegmenter(
        args.sam, args.device, args.dtype, args.choose, args.boxes_per_pass
    )
    workspace = make_workspace(
        args.folder,
        items,
        images,
        source,
        segmenter,
        bad,
        rules,
        args.overwrite,
        not args.quiet,
    )
    print(f'{len(workspace.items)} masks of {len(workspace.sizes)} images')
    if workspace.skipped:
        print(f'{len(workspace.skipped)} entries left out, see skipped.json')
    page, outcome = args.folder / PAGE, settle(workspace)
    _print_files(
        write_review(workspace, page, outcome, rules=rules, progress=not args.quiet)
    )


def _read_source(args: Namespace, bad: BadEntries) -> tuple[list[BoxItem], Path, str]:
    """Items, their image folder, and what they were read from."""
    if args.refcoco:
        folder = args.refcoco.resolve()
        items, images = load_refcoco_boxes(folder.parent, folder.name, bad)
        return items, args.images or images, f'RefCOCO layout {folder.name}'
    if args.images is None:
        raise ValueError('--images is needed with --voc and --json-lines')
    if args.voc:
        items = load_voc_boxes(
            args.voc, args.images, args.split_dir, args.split_unit, args.one_based, bad
        )
        return items, args.images, f'XML files of {args.voc.resolve().name}'
    items = load_json_lines_boxes(args.json_lines, bad)
    return items, args.images, f'JSON lines of {args.json_lines.name}'


def make_review(args: Namespace) -> None:
    workspace, outcome, _ = _settle(args)
    files = write_review(
        workspace,
        args.out or args.folder / PAGE,
        outcome,
        args.show,
        args.min_suspicion,
        args.annotator,
        args.title,
        _rules(args),
        args.crop_size,
        args.items_per_file,
        not args.quiet,
    )
    _print_files(files)


def compare(args: Namespace) -> None:
    report = compare_reviews(
        Workspace(args.folder), [read_review(path) for path in args.reviews]
    )
    for pair in report['agreement']:
        facts = [f'{pair["items"]} items in common']
        if pair['agreement'] is not None:
            facts.append(f'{100 * pair["agreement"]:.1f} % agreement')
        if pair['kappa'] is not None:
            facts.append(f'kappa {pair["kappa"]:.2f}')
        print(f'{" and ".join(pair["annotators"])}: {", ".join(facts)}')
    print(f'{len(report["disputed"])} disputed items')
    for item, votes in report['disputed'].items():
        said = ', '.join(f'{vote["annotator"]} {vote["decision"]}' for vote in votes)
        print(f'  {item}: {said}')
    if args.out:
        write_json(args.out, report)


def export(args: Namespace) -> None:
    workspace, outcome, _ = _settle(args)
    number = export_for_correction(
        workspace, args.out, outcome, args.min_suspicion, args.shape, _rules(args)
    )
    print(f'{number} masks to correct: {args.out / "annotations.json"}, images/')


def build(args: Namespace) -> None:
    workspace, outcome, reviews = _settle(args)
    about = build_dataset(
        workspace,
        args.root,
        args.name,
        outcome,
        reviews,
        undecided=args.undecided,
        drop_unfixed=args.drop_unfixed,
        split_method=args.splits,
        ratios=dict(zip(RATIOS, args.ratios, strict=True)),
        seed=args.seed,
        shared_images=args.shared_images,
        rename=_renames(args.rename),
        image_mode=args.image_mode,
        refs_as_json=args.refs_json,
        overwrite=args.overwrite,
    )
    print(format_table(about['table']))
    print(f'\n{about["masks"]["corrected"]} masks corrected by hand, ', end='')
    print(f'{len(about["left_out"])} entries left out')
    print(f'written to {args.root / args.name}')


def _settle(args: Namespace) -> tuple[Workspace, Outcome, list[Review]]:
    """Workspace, where its items stand, and all reviews."""
    workspace = Workspace(args.folder)
    reviews = [read_review(path) for path in args.apply_review]
    final = [read_review(path) for path in args.final]
    corrected = read_corrections(workspace, args.corrected)
    rule = 'majority' if args.majority else 'unanimous'
    return workspace, settle(workspace, reviews, final, corrected, rule), reviews


def run(args: Namespace) -> None:
    """Does a step, while no other process writes to the same place.

    Raises:
        FolderInUse: Another process does.
    """
    with ExitStack() as ended:
        out = _written(args)
        if out is not None:
            ended.enter_context(locked(out.parent, out.name))
        STEPS[args.step](args)


def _written(args: Namespace) -> Path | None:
    """What a step writes, besides single files."""
    if args.step in ('masks', 'review'):
        return args.folder.resolve()
    if args.step == 'build':
        return (args.root / args.name).resolve()
    return args.out.resolve() if args.step == 'export' else None


def _rules(args: Namespace) -> Mapping[str, Rule]:
    return read_rules(args.rules) if args.rules else RULES


def _renames(pairs: Iterable[str]) -> dict[str, str]:
    for pair in pairs:
        if '=' not in pair:
            raise ValueError(f'--rename needs OLD=NEW, got {pair!r}')
    return dict(pair.split('=', 1) for pair in pairs)


def _print_files(paths: Iterable[Path]) -> None:
    for path in paths:
        print(f'review page: {path} ({path.stat().st_size / 1e6:.1f} MB)')


STEPS = dict(
    masks=make_masks, review=make_review, compare=compare, export=export, build=build
)


def main() -> None:
    args = parse_args()
    with user_errors():
        run(args)


if __name__ == '__main__':
    main()
