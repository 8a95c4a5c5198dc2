# SPDX-License-Identifier: Apache-2.0
"""Check of a whole data set."""

from collections import Counter, defaultdict

from ...utils.parallel import map_tracked
from ..errors import AnnotationError
from ..records import files_of
from .image_checks import ImageJob, check_image
from .report import CheckReport
from .suspicion import ambiguous_expressions
from .whole import read_whole


def check_dataset(dataset, excluded=frozenset(), images=True, workers=0, progress=True):
    """Look at everything in a data set: all splits, every image, every mask.

    Args:
        dataset (BaseReferringDataset): The data set; it may be lazy.
        excluded (Collection[str]): Ids that are left out.
        images (bool): Open images and draw masks. Without, only annotations
            are read, which takes seconds, and images are told apart by their
            names. Defaults to True.
        workers (int): Processes that open images; 0 for none. Defaults to 0.
        progress (bool): Show a bar. Defaults to True.

    Returns:
        CheckReport: All findings.
    """
    report = CheckReport(dataset.name)
    try:
        objects = read_whole(dataset, report.add, excluded)
    except (OSError, ValueError) as error:
        # Nothing can be said about entries of a file that can't be read.
        report.add(AnnotationError('file', str(error)))
        return report
    report.counts = _count(objects)
    digests, masks = {}, {}
    if images:
        jobs = _jobs(objects, dataset.backend_args)
        results = map_tracked(check_image, list(jobs.values()), workers, progress)
        for group, result in zip(_by_image(objects).values(), results, strict=True):
            digests[group[0]['img_path']] = result.digest
            _report_image(group, result, masks, report)
    else:
        _report_missing(dataset, objects, report)

    def image_key(obj):
        return digests.get(obj['img_path']) or obj['img_path']

    def mask_key(obj):
        return masks.get(id(obj)) or obj['ann_id']

    for error in leaks(objects, image_key):
        report.add(error)
    for error in ambiguous_expressions(objects, image_key, mask_key):
        report.add(error)
    return report


def leaks(objects, image_key):
    """Objects whose image is in another split too, which should keep it.

    Test keeps an image before validation, validation before training.

    Args:
        objects (list[dict]): Records of all splits.
        image_key (Callable): What tells images apart.

    Returns:
        list[AnnotationError]: Of the kind ``'leakage'``.
    """
    groups = defaultdict(list)
    for obj in objects:
        groups[image_key(obj)].append(obj)
    found = []
    for group in groups.values():
        keeper = max(group, key=lambda obj: _protection(obj['split']))
        for obj in group:
            if obj['split'] != keeper['split']:
                found.append(
                    AnnotationError(
                        'leakage',
                        f'{obj["img_path"]} (ref_id {obj["ref_id"]!r}, split '
                        f'{obj["split"]!r}) is the same image as '
                        f'{keeper["img_path"]} of the split {keeper["split"]!r}',
                        obj['ref_id'],
                    )
                )
    return found


def _protection(split):
    ranks = [rank for rank, part in enumerate(('val', 'test'), 1) if part in split]
    return (max(ranks, default=0), split)


def _count(objects):
    splits = Counter(obj['split'] for obj in objects)
    return dict(
        objects=len(objects),
        expressions=sum(len(obj['expressions']) for obj in objects),
        images=len({obj['img_path'] for obj in objects}),
        **{f'objects in {split}': count for split, count in sorted(splits.items())},
    )


def _by_image(objects):
    groups = defaultdict(list)
    for obj in objects:
        groups[obj['img_path']].append(obj)
    return groups


def _jobs(objects, backend_args):
    return {
        path: ImageJob(
            path,
            tuple((obj['height'], obj['width'], obj['segmentation']) for obj in group),
            backend_args,
        )
        for path, group in _by_image(objects).items()
    }


def _report_image(group, result, masks, report):
    for obj, (kind, text) in zip(group, result.masks, strict=True):
        where = f'{obj["img_path"]} (ref_id {obj["ref_id"]!r})'
        if result.error:
            report.add(
                AnnotationError('image', f'{where}: {result.error}', obj['ref_id'])
            )
        if kind:
            report.add(AnnotationError(kind, f'{where}: {text}', obj['ref_id']))
        elif text:
            masks[id(obj)] = text


def _report_missing(dataset, objects, report):
    missing = set(dataset.missing_files(objects))
    for obj in objects:
        for kind, path in files_of(obj):
            if path in missing:
                report.add(
                    AnnotationError(
                        kind,
                        f'{path} (ref_id {obj["ref_id"]!r}) does not exist',
                        obj['ref_id'],
                    )
                )
