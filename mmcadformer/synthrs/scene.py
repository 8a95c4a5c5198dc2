# SPDX-License-Identifier: Apache-2.0
"""One SynthRS scene: image, objects and expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from mmengine import load

from .expressions import describe, realize
from .ground import Ground
from .objects import (
    CATEGORIES,
    KINDS,
    OBJECT_COLORS,
    SceneObject,
    draw_objects,
    random_object,
)
from .semantics import ObjectFacts, Program, SceneSemantics


@dataclass(frozen=True)
class Difficulty:
    """What makes scenes and expressions hard; ranges are the least and the most."""

    main: Sequence[int]  # objects of the category that the scene is about
    others: Sequence[int]  # objects of other categories
    other_categories: int  # how many there may be
    size: Sequence[float]  # extent by image side, before the category's factor
    clutter: Sequence[int]  # houses, trees and cars
    complexity: int  # see expressions.describe
    weights: Mapping[str, float]  # shares of the expression types
    redundant: bool = False  # see expressions.describe


DIFFICULTIES = {
    name: Difficulty(**settings)
    for name, settings in load(Path(__file__).with_name('difficulties.yml')).items()
}


@dataclass
class Scene:
    """A scene and what is said about it.

    ``refs`` are indices of objects with their sentences, each with ``text``, ``type``
    and ``program``.
    """

    image: np.ndarray  # (size, size, 3), uint8 RGB
    objects: list[SceneObject]  # in pixel coordinates
    refs: list[tuple[int, list[dict]]]


def make_scene(
    rng: np.random.Generator,
    image_size: int = 128,
    difficulty: str | Difficulty = 'easy',
    max_refs: int = 4,
    max_sentences: int = 3,
) -> Scene:
    """Draws a scene, ``image_size`` pixels square, and describes its objects.

    ``max_refs`` objects get expressions at most, each at most ``max_sentences``.
    """
    level = DIFFICULTIES[difficulty] if isinstance(difficulty, str) else difficulty
    ground = Ground(rng, image_size)
    objects = _place_objects(rng, level, ground)
    draw_objects(ground.image, objects, ground.light)
    ground.draw_clutter(*level.clutter)
    image = ground.photograph()
    facts = [facts_of(obj, image_size) for obj in objects]
    return Scene(
        image, objects, _describe_all(rng, facts, level, max_refs, max_sentences)
    )


def _choose_categories(rng: np.random.Generator, difficulty: Difficulty) -> list[str]:
    """Categories of a scene's objects, in an order that carries no meaning."""
    order = [str(c) for c in rng.permutation(CATEGORIES)]
    count = rng.integers(difficulty.main[0], difficulty.main[1] + 1)
    chosen = [order[0]] * int(count)
    for _ in range(rng.integers(difficulty.others[0], difficulty.others[1] + 1)):
        chosen.append(order[1 + rng.integers(difficulty.other_categories)])
    return [str(c) for c in rng.permutation(chosen)]


def _choose_colors(rng: np.random.Generator) -> dict[str, Iterator[str]]:
    """Endless colours by category: all at random, or in turn."""
    colors: dict[str, Iterator[str]] = {}
    in_turn = rng.random() < 0.5  # makes more objects the only red one
    for category, options in OBJECT_COLORS.items():
        order = [str(c) for c in rng.permutation(options)]
        if not in_turn:
            order = [str(c) for c in rng.choice(options, 24)]
        colors[category] = cycle(order)
    return colors


def _place_objects(
    rng: np.random.Generator, difficulty: Difficulty, ground: Ground
) -> list[SceneObject]:
    """Puts objects on free ground, which they take, so that none touches another."""
    aligned = rng.random() < 0.4
    common = float(rng.uniform(0, 360))
    colors = _choose_colors(rng)
    placed = []
    low, high = difficulty.size
    for category in _choose_categories(rng, difficulty):
        size = rng.uniform(low, high) * KINDS[category].size * ground.size
        angle = common + 90.0 * rng.integers(4) if aligned else None
        color = next(colors[category]) if category in colors else None
        obj = random_object(rng, category, (0, 0), size, angle, color)
        for _ in range(4):
            if _find_place(rng, obj, ground):
                placed.append(obj)
                break
            obj.size *= 0.88
    return placed


def _find_place(rng: np.random.Generator, obj: SceneObject, ground: Ground) -> bool:
    """Moves an object to free ground; False if none was found."""
    outline = obj.clearance() - np.asarray(obj.center)
    half = obj.size * 0.3
    for place in rng.uniform(half, ground.size - half, (20, 2)):
        if ground.is_free(outline + place):
            ground.take(outline + place)
            obj.center = (float(place[0]), float(place[1]))
            return True
    return False


def facts_of(obj: SceneObject, image_size: int) -> ObjectFacts:
    """What programs may ask about an object of a square image."""
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
        found = describe(semantics, int(index), level.complexity, level.redundant)
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
