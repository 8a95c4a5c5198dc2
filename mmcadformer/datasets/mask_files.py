# SPDX-License-Identifier: Apache-2.0
"""Masks that are files of their own: which of their pixels are the target."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmengine.fileio import get
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from ..imagery import check_size, jpeg_is_whole, limited_cache, read_header

IGNORED = 255
"""Label of pixels that count neither in losses nor in metrics."""
CHANNELS = ('color', 'alpha')
_JPEG, _PNG = b'\xff\xd8\xff', b'\x89PNG'
_SHOWN = 8  # values that a message lists
_INDEXED_PNG = 3


@dataclass(frozen=True)
class MaskFiles:
    """How the mask files of a data set are understood.

    Args:
        mask_threshold: Pixels above this value are the target. The default, 0, is for
            masks of two values, 0 and 1 or 0 and white; any others are refused, since
            a wrong truth would train and test without a word. State a threshold for
            masks of grey values and for JPEGs, whose values aren't exact.
        mask_values: These values are the target, in place of a threshold. In a palette
            picture, values are the numbers of the colours, not the colours.
        mask_channel: Where a file with an opacity channel has its mask: ``'color'`` or
            ``'alpha'``.
        ignore_value: Pixels of this value are neither target nor background: no loss
            and no metric counts them.

    Raises:
        ValueError: An option is out of range, or two contradict each other.
    """

    mask_threshold: float = 0
    mask_values: Sequence[int] | None = None
    mask_channel: str | None = None
    ignore_value: int | None = None

    def __post_init__(self) -> None:
        if self.mask_threshold < 0:
            raise ValueError(
                f'mask_threshold must not be negative, got {self.mask_threshold}'
            )
        values = self.mask_values
        if values is not None and (isinstance(values, str) or not len(values)):
            raise ValueError(
                f'mask_values must be a list of numbers such as [1], got {values!r}'
            )
        if values is not None and self.mask_threshold:
            raise ValueError('give mask_values or mask_threshold, not both')
        if values is not None and self.ignore_value in values:
            raise ValueError(
                f'ignore_value {self.ignore_value} is one of the mask_values, too'
            )
        if self.mask_channel not in (None, *CHANNELS):
            raise ValueError(
                f'mask_channel must be one of {CHANNELS}, got {self.mask_channel!r}'
            )

    def segmentation(self, path: str) -> dict[str, Any]:
        """What a record says of a mask file."""
        options = dict(
            values=self.mask_values and list(self.mask_values),
            channel=self.mask_channel,
            ignore=self.ignore_value,
        )
        stated = {key: value for key, value in options.items() if value is not None}
        return dict(file=path, above=self.mask_threshold, **stated)


def read_mask_file(
    segmentation: dict[str, Any], backend_args: dict | None = None
) -> np.ndarray:
    """Labels of a mask file, uint8 (H, W): 0, 1 on the target, 255 where ignored.

    Args:
        segmentation: What :meth:`MaskFiles.segmentation` makes.
        backend_args: Of MMEngine's file backend.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or doesn't say clearly what the target is.
    """
    path, above = segmentation['file'], segmentation['above']
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f'{path} is not a file but a folder, pipe or device')
    data = get(path, backend_args=backend_args)
    if not data:
        raise ValueError(f'{path} is empty')
    if not above and data.startswith(_JPEG):
        raise ValueError(
            f'{path} is a JPEG, in which the edges of a mask are blurred: save masks '
            'as PNG, or state mask_threshold of the data set, such as 127'
        )
    pixels = _decode(data, path)
    grey = _one_channel(pixels, segmentation, path)
    if grey.dtype.kind == 'f' and np.isnan(grey).any():
        raise ValueError(
            f'{path} holds NaN, which is neither target nor background: save the mask '
            'as whole numbers, and state ignore_value if some pixels should not count'
        )
    ignored = None
    if (value := segmentation.get('ignore')) is not None:
        ignored = grey == value
        grey = np.where(ignored, grey.dtype.type(0), grey)
    if (values := segmentation.get('values')) is not None:
        target = np.isin(grey, values)
        if ignored is not None:
            target &= ~ignored
    else:
        if not above:
            _check_two_values(grey, pixels.white, path)
        target = grey > above
    labels = target.astype(np.uint8)
    if ignored is not None:
        labels[ignored] = IGNORED
    return labels


class _Pixels(NamedTuple):
    values: np.ndarray  # (H, W) or (H, W, channels), as stored
    alpha: np.ndarray | None  # (H, W)
    white: int = 255  # the largest value that the file can hold


def _decode(data: bytes, path: str) -> _Pixels:
    """A picture's own numbers: those of a palette rather than its colours."""
    header = read_header(data)
    check_size(path, header.size)
    if header.driver == 'GTiff':
        return _decode_tiff(data, path)
    if _may_be_indexed(data):
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.mode == 'P':
                    return _Pixels(np.asarray(image), None)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
            raise ValueError(f'{path} is not a mask that can be read: {e}') from None
    pixels = _decode_plain(data, path)
    white = int(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in 'iu' else 255
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        return _Pixels(pixels[..., :-1], pixels[..., -1], white)
    return _Pixels(pixels, None, white)


def _decode_plain(data: bytes, path: str) -> np.ndarray:
    if data.startswith(_JPEG) and not jpeg_is_whole(data):
        raise ValueError(f'{path} is cut off: the JPEG has no end')
    try:
        # Unchanged: reducing 16 bits to 8 would turn a mask of 0 and 1 to zeros.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(f'{path} is not a readable image ({error})') from None
    if pixels is None:
        raise ValueError(f'{path} is cut off, damaged or not an image')
    return pixels


def _may_be_indexed(data: bytes) -> bool:
    if data.startswith(_PNG):
        return data[25:26] == bytes([_INDEXED_PNG])
    return data.startswith((b'BM', b'GIF8'))


def _decode_tiff(data: bytes, path: str) -> _Pixels:
    try:
        with warnings.catch_warnings(), limited_cache(neighbours=False):
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            with MemoryFile(data) as memory, memory.open(driver='GTiff') as file:
                check_size(path, file.shape)
                if file.count > 4:
                    raise ValueError(f'{path} has {file.count} bands: a mask has one')
                if len(file.subdatasets) > 1:
                    pages = len(file.subdatasets)
                    raise ValueError(f'{path} has {pages} pages: a mask has one')
                if any('complex' in name for name in file.dtypes):
                    raise ValueError(f'{path} has complex numbers, not a mask')
                bands = file.read()
                alpha = ColorInterp.alpha in file.colorinterp[-1:]
                structure = file.tags(ns='IMAGE_STRUCTURE')
                bits = int(file.tags(1, ns='IMAGE_STRUCTURE').get('NBITS', 0))
    except RasterioError as error:
        reason = str(error).split(': ', 1)[-1]  # without the name in memory
        raise ValueError(f'{path} is not a mask that can be read: {reason}') from None
    white = 255 if bands.dtype.kind == 'f' else int(np.iinfo(bands.dtype).max)
    if bits and bands.dtype.kind == 'u':
        white = 2**bits - 1
    if structure.get('MINISWHITE') == 'YES':
        bands = (white - bands.astype(np.int64)).astype(bands.dtype)
    opacity = bands[-1] if alpha and len(bands) > 1 else None
    colors = bands if opacity is None else bands[:-1]
    return _Pixels(np.ascontiguousarray(colors.transpose(1, 2, 0)), opacity, white)


def _one_channel(pixels: _Pixels, segmentation: dict, path: str) -> np.ndarray:
    """The numbers (H, W) that say what the target is."""
    values, alpha = pixels.values, pixels.alpha
    channel = segmentation.get('channel')
    if channel == 'alpha':
        if alpha is None:
            raise ValueError(
                f"{path} has no opacity channel, which mask_channel='alpha' names"
            )
        return alpha
    opaque = alpha is None or (alpha.any() and (alpha == alpha.max()).all())
    if channel is None and not opaque:
        raise ValueError(
            f"{path} has an opacity channel: state the data set's mask_channel, "
            "'alpha' if the mask is in it, 'color' if it isn't"
        )
    if values.ndim == 2:
        return values
    if values.shape[2] > 3:
        raise ValueError(f'{path} has {values.shape[2]} bands: a mask has one')
    first = values[..., 0]
    if all(np.array_equal(first, values[..., i]) for i in range(1, values.shape[2])):
        return first
    if not segmentation['above']:
        _check_one_color(values, path)
    if segmentation.get('values') is not None:
        raise ValueError(
            f'{path} is a picture of colours, of which mask_values can say nothing: '
            'save it as grey values or with a palette'
        )
    return values.max(axis=2)


def _check_one_color(values: np.ndarray, path: str) -> None:
    colored = values[values.any(axis=2)]
    if (colored != colored[0]).any():
        count = len(np.unique(values.reshape(-1, values.shape[2]), axis=0))
        raise ValueError(
            f'{path} has {count} colours: a mask has two, of which one is black; save '
            'it as grey values or with a palette and state mask_values'
        )


def _check_two_values(grey: np.ndarray, white: int, path: str) -> None:
    """Raises ValueError for other values than 0 and 1, or 0 and white."""
    top = grey.max()
    if top in (0, 1, 255, white):
        if ((grey == 0) | (grey == top)).all():
            return
    found = np.unique(grey)
    shown = ', '.join(f'{value:g}' for value in found[:_SHOWN].tolist())
    more = f' and {len(found) - _SHOWN} more' if len(found) > _SHOWN else ''
    hint = ''
    if found.tolist() == [0, 1, 255]:
        hint = '; if 255 marks pixels that should not count, state ignore_value=255'
    raise ValueError(
        f'{path} holds the values {shown}{more}, not just 0 and 1 or 0 and 255: state '
        "the data set's mask_values, such as [1], or its mask_threshold (0.5 for all "
        f'that is not 0){hint}'
    )
