# SPDX-License-Identifier: Apache-2.0
"""One SynthRS scene: image, objects and expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .expressions import describe, realize
from .ground import Ground
from .layout import DIFFICULTIES, Difficulty, place_objects
from .objects import SceneObject, draw_objects
from .semantics import ObjectFacts, Program, SceneSemantics


@dataclass
class Scene:
    """A scene and what is said about it.

    Attributes:
        image: ``(size, size, 3)``, uint8 RGB.
        objects: Objects in pixel coordinates.
        refs: Index of an object and its sentences, each with ``text``, ``type``
            and ``program``.
    """

    image: np.ndarray
    objects: list[SceneObject]
    refs: list[tuple[int, list[dict]]]


def make_scene(
    rng: np.random.Generator,
    image_size: int = 128,
    difficulty: str | Difficulty = 'easy',
    max_refs: int = 4,
    max_sentences: int = 3,
) -> Scene:
    """Draws a scene and describes its objects.

    Args:
        rng: Source of randomness.
        image_size: Side of the square image in pixels.
        difficulty: One of :data:`.layout.DIFFICULTIES` or settings of your own.
        max_refs: Most objects that get expressions.
        max_sentences: Most expressions of an object.
    """
    level = DIFFICULTIES[difficulty] if isinstance(difficulty, str) else difficulty
    ground = Ground(rng, image_size)
    objects = place_objects(rng, level, ground)
    draw_objects(ground.image, objects, ground.light)
    ground.draw_clutter(*level.clutter)
    image = ground.photograph()
    facts = [_facts(obj, image_size) for obj in objects]
    return Scene(
        image, objects, _describe_all(rng, facts, level, max_refs, max_sentences)
    )


def _facts(obj: SceneObject, image_size: int) -> ObjectFacts:
    x, y = np.asarray(obj.centroid()) / image_size
    left, top, width, height = np.asarray(obj.bbox()) / image_size
    box = (left, top, left + width, top + height)
    return ObjectFacts(obj.category, obj.color, x, y, obj.area(), box)


def _describe_all(
    rng: np.random.Generator,
    facts: Sequence[ObjectFacts],
    level: Difficulty,
    max_refs: int,
    max_sentences: int,
) -> list[tuple[int, list[dict]]]:
    semantics = SceneSemantics(facts)
    refs: list[tuple[int, list[dict]]] = []
    for index in rng.permutation(len(facts)):
        if len(refs) == max_refs:
            break
        found = describe(semantics, int(index), level.complexity)
        sentences = _sentences(rng, found, level.weights, max_sentences)
        if sentences:
            refs.append((int(index), sentences))
    return refs


def _sentences(
    rng: np.random.Generator,
    found: Mapping[str, list[Program]],
    weights: Mapping[str, float],
    count: int,
) -> list[dict]:
    """Chooses programs by type, and puts them into words."""
    sentences: dict[str, dict] = {}
    for kind in _draw_kinds(rng, found, weights, 4 * count):
        programs = found[kind]
        if programs and len(sentences) < count:
            program = programs[int(rng.integers(len(programs)))]
            text = realize(program, rng)
            sentences[text] = dict(text=text, type=kind, program=program)
    return list(sentences.values())


def _draw_kinds(
    rng: np.random.Generator,
    found: Mapping[str, list[Program]],
    weights: Mapping[str, float],
    draws: int,
) -> list[str]:
    """Types of expressions, drawn by weight.

    Types that an object lacks are drawn in vain, so that the others don't
    become more frequent than wanted; the last draw is one that it has.
    """
    share = np.array([weights[kind] for kind in found], float)
    kinds = list(rng.choice(list(found), draws, p=share / share.sum()))
    there = share * [bool(programs) for programs in found.values()]
    if there.any() and not any(found[kind] for kind in kinds):
        kinds.append(rng.choice(list(found), p=there / there.sum()))
    return [str(kind) for kind in kinds]
