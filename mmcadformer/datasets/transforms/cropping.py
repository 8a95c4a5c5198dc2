# SPDX-License-Identifier: Apache-2.0
"""Crop images so that the expression stays true."""

import re

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

from ...language import direction_lexicon as lex

_SIDES = '|'.join((*lex.SIDES.values(), *lex.ENDS.values()))
_IMAGE = '|'.join(sorted(lex.IMAGE))
# "the leftmost tank", "the tank closest to the top edge", "the tank on the far right"
_FARTHEST = re.compile(
    r'\b(?:left|right|top|bottom|upper|lower)most\b|\blowest\b|\bhighest\b'
    r'|\b(?:north|south)?(?:north|south|east|west)(?:ern)?most\b'
    r'|\b(?:(?:closest|nearest) (?:to )?|f[au]rthest (?:to |towards? )?'
    rf'|(?:on|at|to) the far |at the (?:very |extreme )?)(?:the )?(?:{_SIDES})'
    r'(?: edge| border| side| margin)?$'
)
# "in the picture" is true of any crop.
_WHERE = re.compile(rf' (?:in|of|within) (?:the|this) (?:{_IMAGE})$')
# Objects that are cut lose size, so the largest stays the largest.
_LARGEST = frozenset('largest biggest longest widest tallest broadest'.split())
# The rest of a sentence may be articles, adjectives and nouns. These words point at
# things that may be cut off, or at places that the crop moves.
_POINTING = (
    lex.FUNCTION_WORDS
    | frozenset(lex.LEXICON)
    | frozenset(lex.UNMAPPED)
    | frozenset(
        'after against among amongst amid around before center central centre closer '
        'corner during edge end faces far farther following further half into least '
        'less lesser like many middle mid more most not off other out outer inner over '
        'part second set side smaller surrounded surrounding together toward two via '
        'whose'.split()
    )
)


def survives_cropping(expression):
    """Whether an expression stays true in every crop that shows the whole object.

    A crop takes other objects away and cuts some, but adds none: what was the
    largest or the leftmost stays so. "The tank on the left" may lie on the right of a
    crop, the smallest may be larger than what is left of another one, and the road
    that the tank is beside may be gone.

    Args:
        expression (str): A referring expression in English.

    Returns:
        bool: False in doubt.
    """
    rest = _FARTHEST.sub('', _WHERE.sub('', expression.lower().strip(' .')))
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", rest)
    return not any(
        word in _POINTING
        or lex.ORDINAL.fullmatch(word)
        or (word.endswith('est') and word not in _LARGEST)
        for word in words
    )


@TRANSFORMS.register_module()
class RandomReferringCrop(BaseTransform):
    """Crop a window around the referred object, where the expression stays true.

    The window shows the whole object, at a random place in it. Where the expression
    might be false in it (:func:`survives_cropping`) or the object leaves no room, the
    sample stays as it is. For training pipelines, after ``LoadReferringMask`` and
    before ``Resize``, which turns windows of different sizes and shapes into objects of
    different scales.

    Required Keys:

    - img
    - expression (str)
    - gt_seg_map
    - the other keys in seg_fields (optional)

    Modified Keys:

    - img
    - img_shape
    - the keys in seg_fields

    Args:
        prob (float): Probability to crop. Defaults to 0.5.
        scale (tuple[float, float]): Least and largest part of the image's height, and
            of its width, that the window has. Defaults to (0.5, 1.0).
        margin (int): Pixels of the image to leave around the object, where there are
            so many, so that its outline is seen. Defaults to 4.

    Raises:
        ValueError: A setting is out of its range.
        KeyError: There is no expression or no mask yet.
    """

    def __init__(self, prob=0.5, scale=(0.5, 1.0), margin=4):
        if not 0 <= prob <= 1:
            raise ValueError(f'RandomReferringCrop: prob must be in [0, 1], got {prob}')
        low, high = scale
        if not 0 < low <= high <= 1:
            raise ValueError(
                'RandomReferringCrop: scale must be (least, largest) in (0, 1], got '
                f'{scale}'
            )
        if margin < 0:
            raise ValueError(
                f'RandomReferringCrop: margin must not be negative, got {margin}'
            )
        self.prob = prob
        self.scale = (low, high)
        self.margin = margin

    @cache_randomness
    def _draw(self):
        """Size and place of the window, both in parts; None for no crop."""
        if np.random.rand() >= self.prob:
            return None
        return np.random.uniform(*self.scale, size=2), np.random.rand(2)

    def _span(self, hit, part, place):
        """First and last+1 row (or column) of the window.

        Args:
            hit: (N,) bool, rows with pixels of the object.
            part: Of N, that the window should have at least.
            place: 0...1, where among the possible places.
        """
        shown = np.flatnonzero(hit)
        first = max(shown[0] - self.margin, 0)
        last = min(shown[-1] + 1 + self.margin, len(hit))
        length = max(round(len(hit) * part), last - first)
        low, high = max(last - length, 0), min(first, len(hit) - length)
        start = low + int(place * (high - low + 1))
        return slice(start, start + length)

    def transform(self, results):
        """Crop ``img`` and masks."""
        for key, before in (
            ('expression', 'ChooseExpression'),
            ('gt_seg_map', 'LoadReferringMask'),
        ):
            if key not in results:
                raise KeyError(
                    f'RandomReferringCrop: no {key!r} in the sample; put {before} '
                    'before it'
                )
        drawn = self._draw()
        target = results['gt_seg_map'] == 1
        if drawn is None or not target.any():
            return results
        if not survives_cropping(results['expression']):
            return results
        parts, places = drawn
        window = tuple(
            self._span(target.any(axis=1 - axis), parts[axis], places[axis])
            for axis in (0, 1)
        )
        for key in ('img', *results.get('seg_fields', ())):
            results[key] = np.ascontiguousarray(results[key][window])
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self):
        return (
            f'{self.__class__.__name__}(prob={self.prob}, scale={self.scale}, '
            f'margin={self.margin})'
        )
