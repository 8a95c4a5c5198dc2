# SPDX-License-Identifier: Apache-2.0
"""What the numbers of a file mean: as the user says it, and as it was understood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .stretch import Stretch

ORIENTATIONS = ('stored', 'applied')


@dataclass(frozen=True)
class Reading:
    """How the pixels of a picture are understood.

    Args:
        bands: Numbers, from 1, of the bands for red, green and blue; one number for
            a gray picture. By default the bands that the file calls red, green and
            blue, else the first three, else the first.
        value_range: What becomes 0 and 255: two numbers, or two per band. By default
            8-bit bands are left alone and others are stretched by ``percentiles``.
            State it for a set of pictures: each stretched by itself is lit in
            another way.
        percentiles: Shares of the values, in percent, that bound the stretch.
        nodata: Value that stands for missing pixels, where the file doesn't say so
            or is wrong. A mask or alpha band of the file counts, too.
        alpha: Whether a band that the file calls alpha (or, with True, the last of
            two or four) is the opacity. By default it is, but in a GeoTIFF of four
            or more bands only if it holds nothing but 0 and the type's largest
            value: GDAL tags any fourth band, near infrared too.
        orientation: ``'stored'`` takes pixels as they are stored, on which
            annotations are made; ``'applied'`` turns the picture by its Orientation
            tag (EXIF or TIFF).
        subdataset: Number, from 1, of a page of a TIFF or of a part of a container.

    Raises:
        ValueError: If an option is out of range.
    """

    bands: tuple[int, ...] | None = None
    value_range: tuple[float, ...] | None = None
    percentiles: tuple[float, float] = (2.0, 98.0)
    nodata: float | None = None
    alpha: bool | None = None
    orientation: str = 'stored'
    subdataset: int | None = None

    def __post_init__(self) -> None:
        if self.bands is not None and len(self.bands) not in (1, 3):
            raise ValueError(
                f'bands {list(self.bands)}: give three (red, green, blue) or one'
            )
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(
                f'percentiles {low} and {high} must rise and lie in 0...100'
            )
        if self.orientation not in ORIENTATIONS:
            raise ValueError(
                f'orientation {self.orientation!r}: use one of {list(ORIENTATIONS)}'
            )
        if self.subdataset is not None and self.subdataset < 1:
            raise ValueError(f'subdataset {self.subdataset}: they count from 1')


@dataclass(frozen=True)
class Picture:
    """A picture and how it was understood.

    Attributes:
        rgb: uint8 (H, W, 3); may be a view of other memory.
        valid: Bool (H, W), False where there is no data; None if all is valid.
        count: Bands of the file.
        bands: Which of them were taken, from 1.
        depth: Type of the stored values, such as ``'uint16'``.
        value_range: The lowest and highest stored value that is valid, over the bands
            taken; None if nothing is.
        stretch: What became 0 and 255; None if the values were taken as they are.
        orientation: The Orientation tag that was applied; 1 if none was.
        full_size: Height and width before the picture was reduced; None if it wasn't.
        notes: What a user should know about the above.
    """

    rgb: np.ndarray
    valid: np.ndarray | None = None
    count: int = 3
    bands: tuple[int, ...] = (1, 2, 3)
    depth: str = 'uint8'
    value_range: tuple[float, float] | None = None
    stretch: Stretch | None = None
    orientation: int = 1
    full_size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
