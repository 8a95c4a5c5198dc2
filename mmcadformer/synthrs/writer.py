# SPDX-License-Identifier: Apache-2.0
"""Writes SynthRS to disk in the layout of RefCOCO."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..datasets.formats.refcoco import write_annotations
from ..datasets.formats.references import GREFS_PICKLE, REFS_PICKLE
from ..datasets.masks import compressed_segments, text_rle
from ..datasets.targets import NONE, ONE, SEVERAL, no_target, record_targets
from ..utils.files import read_json, write_json, write_picture, write_text
from ..utils.progress import map_tracked
from .objects import CATEGORIES, SceneObject
from .scene import DIFFICULTIES, Difficulty, facts_of, make_scene
from .semantics import ObjectFacts, SceneSemantics
from .several import AbsentSayings, Saying, draw_numbers, say_several

SPLITS = ('train', 'val', 'test')
RECORD, INCOMPLETE = 'synthrs.json', 'incomplete.json'
FORMAT_VERSION = 2  # raise it when the same arguments give other files


class _Annotated(NamedTuple):
    """What is kept of a scene."""

    split: str
    objects: list[dict[str, Any]]
    # Indices of the objects that sentences are about, and the sentences.
    refs: list[tuple[tuple[int, ...], list[dict[str, Any]]]]
    facts: list[ObjectFacts]
    absent: int = 0  # how many sentences without a target are wanted


def generate_synthrs(
    out_dir: str | Path,
    num_scenes: Mapping[str, int] | None = None,
    image_size: int = 128,
    seed: int = 0,
    difficulty: str | Difficulty = 'easy',
    num_workers: int = 0,
    progress: bool = True,
    max_refs: int = 4,
    max_sentences: int = 3,
    overwrite: bool = False,
    several: float = 0.0,
    none: float = 0.0,
) -> Path:
    """Generates SynthRS, the procedural referring segmentation dataset.

    The same arguments give the same files, whatever ``num_workers`` is; where
    they are there already, nothing is done. Files written below ``out_dir``:

    - ``images/synthrs/JPEGImages/*.jpg``
    - ``synthrs/instances.json``: every object; masks as polygons for about
      half of them and as compressed RLE for the others
    - ``synthrs/refs(unc).p``: the objects with expressions; with ``several`` or
      ``none``, ``grefs(unc).p`` in gRefCOCO's form
    - ``synthrs/synthrs.json``: the arguments, and type and program (see
      :mod:`.semantics`) of every sentence

    Args:
        out_dir: Root folder of the dataset.
        num_scenes: Scenes by split; by default 1200 for 'train', 100 for 'val'
            and 150 for 'test'.
        image_size: Side of the square images in pixels, at least 64.
        seed: Seed; splits and scenes have seeds of their own made from it.
        difficulty: 'starter', 'easy', 'normal', 'hard' or settings of your own.
        num_workers: Processes; 0 generates in this one.
        max_refs: Most objects of a scene that get expressions.
        max_sentences: Most expressions of an object.
        overwrite: Whether to replace a dataset that was generated with other
            arguments.
        several: Share of the referring entries that mean several objects.
        none: Share of those that mean none: nothing of their category is there, none
            of their colour, or none at their place or in their relation, a third each
            where scenes allow it. Each of their sentences is true of another scene of
            the same split, and all kinds of sentences are as often true as false in
            the proportion of the shares, so that texts don't tell.

    Returns:
        Folder of the annotations, ``<out_dir>/synthrs``.

    Raises:
        FileExistsError: If the folders hold something else and ``overwrite``
            doesn't allow to replace it.
    """
    counts = dict(train=1200, val=100, test=150) if num_scenes is None else num_scenes
    unknown = set(counts) - set(SPLITS)
    if unknown:
        raise ValueError(
            f'num_scenes has unknown splits {sorted(unknown)}; use {", ".join(SPLITS)}'
        )
    counts = {split: counts.get(split, 0) for split in SPLITS}
    for split, number in counts.items():
        _check_integer(f'num_scenes[{split!r}]', number, 0)
    arguments = dict(
        version=FORMAT_VERSION,
        num_scenes=counts,
        image_size=image_size,
        seed=seed,
        difficulty=_as_json(difficulty),
        max_refs=max_refs,
        max_sentences=max_sentences,
    )
    if several < 0 or none < 0 or several + none > 1:
        raise ValueError(
            f'several is {several!r} and none {none!r}; both are shares, at most 1 '
            'together'
        )
    if several or none:
        arguments.update(several=several, none=none)
    for name, least in dict(image_size=64, seed=0, max_refs=1, max_sentences=1).items():
        _check_integer(name, arguments[name], least)
    folder = Path(out_dir) / 'synthrs'
    images = Path(out_dir) / 'images' / 'synthrs' / 'JPEGImages'
    if _is_complete(folder, images, arguments, overwrite):
        return folder
    _make_empty(folder, images, arguments)
    jobs = [(split, i) for split in SPLITS for i in range(counts[split])]
    make = partial(_make_and_save, str(images), arguments, difficulty)
    scenes = list(map_tracked(make, jobs, num_workers, progress, file=sys.stdout))
    _write_annotations(folder, arguments, scenes)
    return folder


def _check_integer(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(
            f'{name} is {value!r}; it must be an integer of at least {least}'
        )


def _as_json(difficulty: str | Difficulty) -> Any:
    if isinstance(difficulty, Difficulty):
        stated = {k: v for k, v in asdict(difficulty).items() if v is not False}
        return json.loads(json.dumps(stated))
    if not isinstance(difficulty, str) or difficulty not in DIFFICULTIES:
        raise ValueError(
            f'unknown difficulty {difficulty!r}; choose one of '
            f'{", ".join(DIFFICULTIES)}'
        )
    return difficulty


def _is_complete(
    folder: Path, images: Path, arguments: dict[str, Any], overwrite: bool
) -> bool:
    """Whether a dataset of these arguments is there; raises for another one."""
    record = folder / RECORD
    if not record.is_file():
        return False
    there = read_json(record)['arguments']
    if there != arguments and not overwrite:
        raise FileExistsError(
            f'{record} was generated with other arguments ({there}); '
            'choose another folder or overwrite it (overwrite=True, --overwrite)'
        )
    number = sum(1 for _ in images.glob('*.jpg'))
    return (
        there == arguments
        and number == sum(arguments['num_scenes'].values())
        and (folder / 'instances.json').is_file()
        and any((folder / name).is_file() for name in (REFS_PICKLE, GREFS_PICKLE))
    )


def _make_empty(folder: Path, images: Path, arguments: dict[str, Any]) -> None:
    """Makes empty folders, in place of those that an earlier run made."""
    own = (folder / RECORD).is_file() or (folder / INCOMPLETE).is_file()
    for path in (folder, images.parent):
        if not own and path.exists() and any(path.iterdir()):
            raise FileExistsError(
                f'{path} is not empty and was not made by the SynthRS '
                'generator; choose another folder'
            )
    for path in (folder, images.parent):
        shutil.rmtree(path, ignore_errors=True)
    images.mkdir(parents=True)
    write_json(folder / INCOMPLETE, arguments)


def _make_and_save(
    folder: str,
    arguments: dict[str, Any],
    difficulty: str | Difficulty,
    job: tuple[str, int],
) -> _Annotated:
    """Makes one scene, saves its image."""
    split, number = job
    rng = np.random.default_rng([arguments['seed'], SPLITS.index(split), number])
    numbers = {k: arguments[k] for k in ('image_size', 'max_refs', 'max_sentences')}
    # Drawn apart, so that scenes with one target a sentence stay as they are.
    draws = np.random.default_rng([arguments['seed'], SPLITS.index(split), number, 1])
    shares = {NONE: arguments.get('none', 0.0), SEVERAL: arguments.get('several', 0.0)}
    wanted = draw_numbers(
        draws, numbers['max_refs'], {**shares, ONE: max(1 - sum(shares.values()), 0)}
    )
    numbers['max_refs'] = wanted[ONE]
    scene = make_scene(rng, difficulty=difficulty, **numbers)
    facts = [facts_of(obj, numbers['image_size']) for obj in scene.objects]
    said = say_several(draws, SceneSemantics(facts), wanted[SEVERAL])
    path = Path(folder) / f'synthrs_{split}_{number:06d}.jpg'
    write_picture(path, scene.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    height, width = scene.image.shape[:2]
    about = dict(img_path=str(path), height=height, width=width, split=split)
    objects = [
        dict(about, **annotate(obj, height, width, as_polygon=rng.random() < 0.5))
        for obj in scene.objects
    ]
    refs: list[tuple[tuple[int, ...], list[dict[str, Any]]]] = []
    refs += [((index,), sentences) for index, sentences in scene.refs]
    refs += [(indices, [saying.to_dict()]) for indices, saying in said]
    return _Annotated(split, objects, refs, facts, wanted[NONE] if objects else 0)


def annotate(
    obj: SceneObject, height: int, width: int, as_polygon: bool = True
) -> dict[str, Any]:
    """What annotations tell of an object, but for its ids.

    They are ``category``, ``segmentation`` and ``attributes`` (colour, centroid,
    angle). If not ``as_polygon``, the mask is compressed RLE of the same pixels, in an
    image of ``height`` and ``width``.
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
    absent = draw_absent(scenes, arguments['seed'])
    for image_id, (scene, denied) in enumerate(zip(scenes, absent, strict=True), 1):
        # All objects of the image, then once more those that are referred to.
        objects = [
            dict(obj, image_id=image_id, ann_id=next(ann_ids), expressions=[])
            for obj in scene.objects
        ]
        records += objects
        refs = [
            (_together([objects[i] for i in indices]), said)
            for indices, said in scene.refs
        ]
        refs += [
            (_nothing(objects[0], why, saying), [saying.to_dict()])
            for why, saying in denied
        ]
        for told, said in refs:
            record = dict(told, ref_id=next(ref_ids), sent_ids=[])
            records.append(record)
            for sentence in said:
                sent_id = len(sentences) + 1
                record['sent_ids'].append(sent_id)
                sentences[str(sent_id)] = {k: sentence[k] for k in ('type', 'program')}
            record['expressions'] = [sentence['text'] for sentence in said]
    names = {record['img_path']: Path(record['img_path']).name for record in records}
    info = dict(
        description='SynthRS: procedurally drawn overhead scenes',
        version=str(FORMAT_VERSION),
    )
    write_annotations(records, names, folder, categories=CATEGORIES, info=info)
    content = dict(arguments=arguments, sentences=sentences)
    write_text(folder / RECORD, json.dumps(content, separators=(',', ':')))
    (folder / INCOMPLETE).unlink()


def _together(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Record of a sentence about one object or several."""
    if len(objects) == 1:
        return objects[0]
    shared = {k: v for k, v in objects[0].items() if k != 'attributes'}
    return dict(shared, **record_targets(objects))


def _nothing(obj: dict[str, Any], why: str, saying: Saying) -> dict[str, Any]:
    """Record of a sentence about nothing in the image of an object."""
    shared = {
        k: v for k, v in obj.items() if k not in ('attributes', 'targets', 'kind')
    }
    return dict(shared, **no_target((), saying.category, f'{NONE}/{why}'))


def draw_absent(
    scenes: Sequence[_Annotated], seed: int
) -> list[list[tuple[str, Saying]]]:
    """For each scene the sentences of others that mean nothing in it, and why."""
    drawn: list[list[tuple[str, Saying]]] = [[] for _ in scenes]
    for number, split in enumerate(SPLITS):
        here = [i for i, scene in enumerate(scenes) if scene.split == split]
        wanted = sum(scenes[i].absent for i in here)
        if not wanted:
            continue
        rng = np.random.default_rng([seed, number, 2])
        said = [
            Saying(s['text'], s['type'], s['program'], len(indices) > 1)
            for i in here
            for indices, sentences in scenes[i].refs
            for s in sentences
        ]
        source = AbsentSayings(said, wanted)
        for i in here:
            semantics = SceneSemantics(scenes[i].facts)
            found = [source.draw(rng, semantics) for _ in range(scenes[i].absent)]
            texts = {pair[1].text: pair for pair in found if pair is not None}
            drawn[i] = list(texts.values())
    return drawn
