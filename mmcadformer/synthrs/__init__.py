# SPDX-License-Identifier: Apache-2.0
"""SynthRS: procedurally drawn overhead scenes with referring expressions."""

from .expressions import EXPRESSION_TYPES, SYNTHRS_VOCABULARY
from .objects import CATEGORIES, OBJECT_COLORS, SceneObject, draw_objects, random_object
from .scene import DIFFICULTIES, Difficulty, Scene, make_scene
from .semantics import ObjectFacts, SceneSemantics
from .writer import annotate, generate_synthrs

__all__ = [
    'CATEGORIES',
    'DIFFICULTIES',
    'EXPRESSION_TYPES',
    'OBJECT_COLORS',
    'SYNTHRS_VOCABULARY',
    'Difficulty',
    'ObjectFacts',
    'Scene',
    'SceneObject',
    'SceneSemantics',
    'annotate',
    'draw_objects',
    'generate_synthrs',
    'make_scene',
    'random_object',
]
