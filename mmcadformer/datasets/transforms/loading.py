# SPDX-License-Identifier: Apache-2.0
"""Load an image, choose its expression, load the mask, pack all for the model.

And the base of all transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.image import imresize
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmcv.transforms.utils import cache_randomness
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

from ...imagery import READING_KEYS, read_picture, turn
from ..masks import load_mask_and_overlap

Sample = dict[str, Any]


class ReferringTransform(BaseTransform):
    """A transform that names itself in errors and shows its settings."""

    def require(self, good: bool, message: str) -> None:
        """Raises ValueError for a setting that can't be used."""
        if not good:
            raise ValueError(f'{type(self).__name__}: {message}')

    def require_prob(self, prob: float) -> None:
        """Raises ValueError for what isn't a probability."""
        self.require(0 <= prob <= 1, f'prob must be in [0, 1], got {prob}')

    def require_key(self, results: Sample, key: str, before: str) -> None:
        """Raises KeyError if the transform ``before`` has not set ``key``."""
        if key not in results:
            raise KeyError(
                f'{type(self).__name__}: no {key!r} in the sample; put {before} '
                'before it'
            )

    def __repr__(self) -> str:
        settings = ', '.join(f'{key}={value!r}' for key, value in vars(self).items())
        return f'{type(self).__name__}({settings})'


def move_pixels(results: Sample, move: Callable[[np.ndarray], np.ndarray]) -> None:
    """Applies a function of arrays (H, W, ...) to ``img`` and the masks."""
    for key in ('img', *results.get('seg_fields', ())):
        results[key] = np.ascontiguousarray(move(results[key]))
    results['img_shape'] = results['img'].shape[:2]


@TRANSFORMS.register_module()
class WholeLoadImageFromFile(LoadImageFromFile):
    """Load a picture of any depth and number of bands, as scenes are read.

    Adds ``img``, BGR (H, W, 3), ``img_shape``, ``ori_shape``, the file's,
    ``img_valid``, bool (H, W) or None where all pixels have data, ``img_orientation``,
    the tag by which the picture was turned, ``img_reading``, how it was read,
    ``img_notes``, what a user should know of that, and ``img_reduced``, whether
    ``reduce_to`` made it smaller.

    Args:
        to_float32: Give float32 rather than uint8.
        reduce_to: Width and height that are enough, for training pipelines: JPEGs are
            decoded at a half, a quarter or an eighth of their size where that has
            them. It is faster, and pixels differ from those of the whole picture made
            smaller. What follows counts in the smaller picture's pixels.
        bands, value_range, nodata, percentiles, alpha, orientation, subdataset: See
            :class:`mmcadformer.imagery.Reading`. State ``value_range`` for pictures of
            more than 8 bits: without, each is stretched by itself, so that equal
            values look different from picture to picture.
        fill: RGB of pixels without data; the default is the mean that the
            preprocessors of this package subtract.
        max_pixels: Larger pictures are refused.
        backend_args: Of MMEngine's file backend.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It can't be read; file and entry are named.
    """

    def __init__(
        self,
        to_float32: bool = False,
        reduce_to: tuple[int, int] | None = None,
        backend_args: dict | None = None,
        **reading: Any,
    ) -> None:
        super().__init__(to_float32=to_float32, backend_args=backend_args)
        unknown = reading.keys() - READING_KEYS
        if unknown:
            raise TypeError(
                f'WholeLoadImageFromFile: unknown keys {sorted(unknown)}; known are '
                f'{sorted(READING_KEYS)}'
            )
        if reduce_to is not None and (len(reduce_to) != 2 or min(reduce_to) < 1):
            raise ValueError(
                'WholeLoadImageFromFile: reduce_to must be width and height, got '
                f'{reduce_to}'
            )
        self.reduce_to = reduce_to
        self.reading = reading

    def transform(self, results: Sample) -> Sample:
        """Sets ``img``, its shapes, validity and orientation."""
        path = results['img_path']
        try:
            picture = read_picture(
                path,
                name='it',
                reduce_to=self.reduce_to,
                backend_args=self.backend_args,
                **self.reading,
            )
        except FileNotFoundError:
            raise
        except Exception as error:
            ref_id = results.get('ref_id')
            entry = '' if ref_id is None else f' (ref_id {ref_id!r})'
            raise ValueError(
                f'{path}{entry} is not a readable image: {error}'
            ) from error
        image = picture.rgb[..., ::-1]
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = image.shape[:2]
        results['ori_shape'] = picture.full_size or image.shape[:2]
        results['img_reduced'] = picture.full_size is not None
        results['img_valid'] = picture.valid
        results['img_reading'] = self.reading
        results['img_notes'] = picture.notes
        results['img_orientation'] = picture.orientation
        return results

    def __repr__(self) -> str:
        shown = self.reading
        if self.reduce_to is not None:
            shown = dict(shown, reduce_to=self.reduce_to)
        return f'{self.__class__.__name__}({shown})'


@TRANSFORMS.register_module()
class ChooseExpression(ReferringTransform):
    """Choose one of an object's ``expressions``: sets ``expression`` and ``sent_id``.

    Args:
        mode: ``'random'`` or ``'first'``; test records have one expression, so it
            doesn't matter there.
    """

    def __init__(self, mode: str = 'random') -> None:
        self.require(
            mode in ('random', 'first'),
            f"mode must be 'random' or 'first', got {mode!r}",
        )
        self.mode = mode

    @cache_randomness
    def _draw(self, count: int) -> int:
        return np.random.randint(count)

    def transform(self, results: Sample) -> Sample:
        self.require(
            bool(results.get('expressions')),
            f'no expression for {results.get("img_path", "the image")}. '
            'inference_model and MMSegInferencer of MMSegmentation give none: use '
            'mmcadformer.apis.ReferringInferencer',
        )
        index = self._draw(len(results['expressions'])) if self.mode == 'random' else 0
        results['expression'] = results['expressions'][index]
        results['sent_id'] = results['sent_ids'][index]
        return results


@TRANSFORMS.register_module()
class LoadReferringMask(ReferringTransform):
    """Load the mask of the referred object.

    Put it before ``Resize`` to resize the mask with the image (training), and
    after it to keep the truth at the original resolution (testing).

    Adds ``gt_seg_map``, uint8 (H, W), 0 background, 1 target, to ``seg_fields``, and,
    only where two parts of an annotation overlap, ``gt_overlap``, uint8 (H, W), 1 on
    the pixels that they share, which published readers leave out of the target.
    (Those know no sentences with several targets, whose overlaps aren't told.)
    ``segmentation`` in the record may be whatever
    :func:`~mmcadformer.datasets.masks.load_mask` takes; ``ori_shape``, the size of
    the image in its file, is compared with the size that the annotations state. Where
    the image was decoded at a smaller size, and not resized since, so is the mask.
    ValueError where they differ, or the segmentation is damaged or empty.
    """

    def __init__(self, backend_args: dict | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: Sample) -> Sample:
        ref_id, stated = results.get('ref_id'), (results['height'], results['width'])
        height, width = results.get('ori_shape', stated)[:2]
        tag = results.get('img_orientation', 1)
        if tag > 4:  # annotations are made on pixels as they are stored
            height, width = width, height
        if None not in stated and (height, width) != stated:
            raise ValueError(
                f'{results["img_path"]} is {height} x {width} px (height x width), but '
                f'the annotations of ref_id {ref_id!r} say {stated[0]} x {stated[1]}'
            )
        try:
            mask, overlap = load_mask_and_overlap(
                results['segmentation'], height, width, self.backend_args
            )
        except ValueError as error:
            raise ValueError(
                f'{results["img_path"]}, ref_id {ref_id!r}: {error}'
            ) from None
        if 'targets' in results:  # of several objects, which may well overlap
            overlap = None
        reduced = results.get('img_reduced', False) and 'scale_factor' not in results
        for key, array in (('gt_seg_map', mask), ('gt_overlap', overlap)):
            if array is not None:
                array = _by_rows(turn(array, tag))
                if reduced:
                    size = results['img_shape'][::-1]
                    array = imresize(array, size, False, 'nearest', backend='pillow')
                results[key] = array
                results['seg_fields'].append(key)
        return results


def _by_rows(mask: np.ndarray) -> np.ndarray:
    """The mask in NumPy's own order, by OpenCV where it is in that of COCO, columns."""
    if mask.flags.f_contiguous:
        return cv2.transpose(mask.T)
    return np.ascontiguousarray(mask)


META_KEYS = (
    'expression',
    'img_path',
    'img_reading',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'image_id',
    'ref_id',
    'sent_id',
    'ann_id',
    'category',
    'kind',
    'dataset_name',
    'flip',
    'flip_direction',
    'rotation',
)


@TRANSFORMS.register_module()
class PackReferringInputs(PackSegInputs):
    """Pack image, mask and expression.

    Returns ``inputs``, a tensor (3, H, W) of the image's type, and ``data_samples``,
    a ``SegDataSample`` with ``gt_sem_seg``, int64 (1, H, W), if there is a mask.
    Its metainfo are those of ``meta_keys`` that a sample has.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        super().__init__(meta_keys=meta_keys)

    def transform(self, results: Sample) -> Sample:
        if 'expression' not in results:
            raise KeyError(
                "PackReferringInputs: no 'expression' in the sample;"
                ' put ChooseExpression into the pipeline'
            )
        packed = super().transform({k: v for k, v in results.items() if k != 'img'})
        if 'img' in results:
            # By NumPy: PyTorch's copy takes ten times as long on one thread.
            image = np.atleast_3d(results['img']).transpose(2, 0, 1)
            packed['inputs'] = torch.from_numpy(np.ascontiguousarray(image))
        if 'gt_overlap' in results:
            overlap = np.ascontiguousarray(results['gt_overlap'][None])
            packed['data_samples'].gt_overlap = PixelData(
                data=torch.from_numpy(overlap)
            )
        return packed
