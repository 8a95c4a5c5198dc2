# SPDX-License-Identifier: Apache-2.0
"""Writes SynthRS to disk in the layout of RefCOCO."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..datasets.formats.refcoco import write_annotations
from ..datasets.masks import compressed_segments, text_rle
from ..utils.files import write_text
from ..utils.parallel import map_tracked
from .layout import DIFFICULTIES, Difficulty
from .objects import CATEGORIES, SceneObject
from .scene import make_scene

SPLITS = ('train', 'val', 'test')
FORMAT_VERSION = 2  # raise it when the same arguments give other files

# Objects of a scene; the index and the sentences of those that are referred to.
_Annotated = tuple[list[dict[str, Any]], list[tuple[int, list[dict[str, Any]]]]]


def generate_synthrs(
    out_dir,
    num_scenes=None,
    image_size=128,
    seed=0,
    difficulty='easy',
    num_workers=0,
    progress=True,
    max_refs=4,
    max_sentences=3,
    overwrite=False,
):
    """Generate SynthRS, the procedural referring segmentation dataset.

    The same arguments give the same files, whatever ``num_workers`` is; where
    they are there already, nothing is done. Files written below ``out_dir``:

    - ``images/synthrs/JPEGImages/*.jpg``
    - ``synthrs/instances.json``: every object; masks as polygons for about
      half of them and as compressed RLE for the others
    - ``synthrs/refs(unc).p``: the objects with expressions
    - ``synthrs/synthrs.json``: the arguments, and type and program (see
      :mod:`.semantics`) of every sentence

    Args:
        out_dir (str | Path): Root folder of the dataset.
        num_scenes (dict[str, int], optional): Scenes by split; by default
            1200 for 'train', 100 for 'val' and 150 for 'test'.
        image_size (int): Side of the square images in pixels, at least 64.
        seed (int): Seed; splits and scenes have seeds of their own made
            from it.
        difficulty (str | Difficulty): 'starter', 'easy', 'normal', 'hard' or
            settings of your own.
        num_workers (int): Processes; 0 generates in this one.
        progress (bool): Whether to show a progress bar.
        max_refs (int): Most objects of a scene that get expressions.
        max_sentences (int): Most expressions of an object.
        overwrite (bool): Whether to replace a dataset that was generated
            with other arguments.

    Returns:
        Path: Folder of the annotations, ``<out_dir>/synthrs``.

    Raises:
        ValueError: If an argument is out of range.
        FileExistsError: If the folders hold something else and ``overwrite``
            doesn't allow to replace it.
    """
    if num_scenes is None:
        num_scenes = dict(train=1200, val=100, test=150)
    arguments = dict(
        version=FORMAT_VERSION,
        num_scenes=_all_splits(num_scenes),
        image_size=image_size,
        seed=seed,
        difficulty=_plain(difficulty),
        max_refs=max_refs,
        max_sentences=max_sentences,
    )
    _check_arguments(arguments)
    root = Path(out_dir)
    if not _prepare(root, arguments, overwrite):
        return root / 'synthrs'
    jobs = [
        (split, number)
        for split in SPLITS
        for number in range(arguments['num_scenes'][split])
    ]
    make = partial(_make_and_save, str(_image_folder(root)), arguments, difficulty)
    scenes = list(map_tracked(make, jobs, num_workers, progress, file=sys.stdout))
    _write_annotations(root / 'synthrs', arguments, scenes)
    return root / 'synthrs'


def _all_splits(num_scenes):
    """Scenes by split in a fixed order, none left out."""
    unknown = set(num_scenes) - set(SPLITS)
    if unknown:
        raise ValueError(
            f'num_scenes has unknown splits {sorted(unknown)}; use {", ".join(SPLITS)}'
        )
    for split, number in num_scenes.items():
        if not isinstance(number, int) or number < 0:
            raise ValueError(
                f'num_scenes[{split!r}] is {number!r}; it must be '
                'an integer of at least 0'
            )
    return {split: num_scenes.get(split, 0) for split in SPLITS}


def _plain(difficulty):
    """A difficulty as the record of the arguments keeps it."""
    if isinstance(difficulty, Difficulty):
        return json.loads(json.dumps(asdict(difficulty)))
    if not isinstance(difficulty, str) or difficulty not in DIFFICULTIES:
        raise ValueError(
            f'unknown difficulty {difficulty!r}; choose one of '
            f'{", ".join(DIFFICULTIES)}'
        )
    return difficulty


def _check_arguments(arguments):
    for name, least in (
        ('image_size', 64),
        ('seed', 0),
        ('max_refs', 1),
        ('max_sentences', 1),
    ):
        value = arguments[name]
        if not isinstance(value, int) or value < least:
            raise ValueError(
                f'{name} is {value!r}; it must be an integer of at least {least}'
            )


def _image_folder(root):
    return root / 'images' / 'synthrs' / 'JPEGImages'


def _complete(root, arguments):
    """Whether no file of a finished dataset has been lost since."""
    count = sum(1 for _ in _image_folder(root).glob('*.jpg'))
    return (
        count == sum(arguments['num_scenes'].values())
        and (root / 'synthrs' / 'instances.json').is_file()
        and (root / 'synthrs' / 'refs(unc).p').is_file()
    )


def _prepare(root, arguments, overwrite):
    """Make empty folders; False if the dataset is there already."""
    folders = root / 'synthrs', root / 'images' / 'synthrs'
    record = folders[0] / 'synthrs.json'
    marker = folders[0] / 'incomplete.json'
    if record.is_file():
        there = json.loads(record.read_text())['arguments']
        if there == arguments and _complete(root, arguments):
            return False
        if there != arguments and not overwrite:
            raise FileExistsError(
                f'{record} was generated with other arguments ({there}); '
                'choose another folder or overwrite it (overwrite=True, --overwrite)'
            )
    elif not marker.is_file():
        for folder in folders:
            if folder.exists() and any(folder.iterdir()):
                raise FileExistsError(
                    f'{folder} is not empty and was not made by the SynthRS '
                    'generator; choose another folder'
                )
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    folders[0].mkdir(parents=True)
    _image_folder(root).mkdir(parents=True)
    marker.write_text(json.dumps(arguments))
    return True


def _make_and_save(
    folder: str,
    arguments: dict[str, Any],
    difficulty: str | Difficulty,
    job: tuple[str, int],
) -> _Annotated:
    """Make one scene, save its image."""
    split, number = job
    rng = np.random.default_rng([arguments['seed'], SPLITS.index(split), number])
    scene = make_scene(
        rng,
        arguments['image_size'],
        difficulty,
        arguments['max_refs'],
        arguments['max_sentences'],
    )
    path = Path(folder) / f'synthrs_{split}_{number:06d}.jpg'
    done = cv2.imwrite(
        str(path), scene.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95]
    )
    if not done:
        raise OSError(f'cannot write {path}')
    height, width = scene.image.shape[:2]
    about = dict(img_path=str(path), height=height, width=width, split=split)
    objects = [
        dict(about, **annotate(obj, height, width, as_polygon=rng.random() < 0.5))
        for obj in scene.objects
    ]
    return objects, scene.refs


def annotate(
    obj: SceneObject, height: int, width: int, as_polygon: bool = True
) -> dict[str, Any]:
    """What annotations tell of an object, but for its ids.

    Args:
        obj: The object.
        height, width: Size of the image in pixels.
        as_polygon: Whether the mask is a polygon; otherwise it is compressed RLE of
            the same pixels.

    Returns:
        ``category``, ``segmentation`` and ``attributes`` (colour, centroid, angle).
    """
    segmentation: list = [[round(float(v), 2) for v in obj.polygon().ravel()]]
    if not as_polygon:
        (rle,) = compressed_segments(segmentation, height, width)
        segmentation = [text_rle(rle)]
    return dict(
        category=obj.category,
        segmentation=segmentation,
        attributes=dict(
            color=obj.color,
            angle=round(obj.angle % 360, 2),
            centroid=[round(v, 2) for v in obj.centroid()],
        ),
    )


def _write_annotations(
    folder: Path, arguments: dict[str, Any], scenes: list[_Annotated]
) -> None:
    records: list[dict[str, Any]] = []
    sentences: dict[str, dict[str, Any]] = {}
    ann_ids, ref_ids = count(1), count(1)
    for image_id, (objects, refs) in enumerate(scenes, 1):
        # All objects of the image, then once more those that are referred to.
        objects = [
            dict(obj, image_id=image_id, ann_id=next(ann_ids), expressions=[])
            for obj in objects
        ]
        records += objects
        for index, said in refs:
            first = len(sentences) + 1
            sent_ids = list(range(first, first + len(said)))
            records.append(
                dict(
                    objects[index],
                    ref_id=next(ref_ids),
                    expressions=[sentence['text'] for sentence in said],
                    sent_ids=sent_ids,
                )
            )
            for sent_id, sentence in zip(sent_ids, said, strict=True):
                sentences[str(sent_id)] = dict(
                    type=sentence['type'], program=sentence['program']
                )
    names = {record['img_path']: Path(record['img_path']).name for record in records}
    info = dict(
        description='SynthRS: procedurally drawn overhead scenes',
        version=str(FORMAT_VERSION),
    )
    write_annotations(records, names, folder, categories=CATEGORIES, info=info)
    content = dict(arguments=arguments, sentences=sentences)
    write_text(folder / 'synthrs.json', json.dumps(content, separators=(',', ':')))
    (folder / 'incomplete.json').unlink()
