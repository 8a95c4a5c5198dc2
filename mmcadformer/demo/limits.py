# SPDX-License-Identifier: Apache-2.0
"""How much the page takes from a visitor, so that memory stays bounded."""

from __future__ import annotations

from dataclasses import dataclass

# What a picture of the largest size takes with three bands of 32 bits.
_BYTES_PER_PIXEL, _LEAST_BLOCK = 12, 2**24


@dataclass(frozen=True)
class Limits:
    """Limits of what visitors may send.

    Args:
        max_pixels: Of a picture.
        max_upload_mb: Size of a file, 1 MB is 2**20 bytes.
        max_characters: Of a sentence.
        queue: Jobs that may wait; one runs at a time.
        keep_minutes: Age at which uploads and results are deleted.

    Raises:
        ValueError: If a limit is not positive.
    """

    max_pixels: int = 16_000_000
    max_upload_mb: float = 100
    max_characters: int = 300
    queue: int = 16
    keep_minutes: float = 120

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                option = '--' + name.replace('_', '-')
                raise ValueError(f'{option} must be more than 0, not {value}')

    @property
    def max_bytes(self) -> int:
        """The largest file in bytes."""
        return int(self.max_upload_mb * 2**20)

    def check_pixels(self, name: str, height: int, width: int) -> None:
        """Refuses a picture that is too large.

        Raises:
            ValueError: It is; the message says what else can be done.
        """
        if height * width > self.max_pixels:
            raise ValueError(
                f'{name} is too large for this page: {width} × {height} px, the '
                f'limit is {self.max_pixels / 1e6:g} million pixels. Cut out a '
                'part, or run tools/infer_scene.py, which takes scenes of any size'
            )

    def check_block(self, name: str, size: int) -> None:
        """Refuses a raster that can only be decoded in too large parts.

        Args:
            name: Of the file.
            size: Bytes of a part with all bands, decoded.

        Raises:
            ValueError: They are; the message says what else can be done.
        """
        limit = max(_LEAST_BLOCK, _BYTES_PER_PIXEL * self.max_pixels)
        if size > limit:
            raise ValueError(
                f'{name} has blocks of {size / 2**20:.0f} MB when decoded, the limit '
                f'is {limit / 2**20:.0f} MB. Store it in tiles, or with fewer bands '
                '(gdal_translate -co TILED=YES -b 1 -b 2 -b 3)'
            )

    def check_bytes(self, name: str, size: int) -> None:
        """Refuses a file that is empty or too large.

        Raises:
            ValueError: It is.
        """
        if not size:
            raise ValueError(f'{name} is empty')
        if size > self.max_bytes:
            raise ValueError(
                f'{name} is too large for this page: {size / 2**20:.1f} MB, the limit '
                f'is {self.max_upload_mb:g} MB. Run tools/infer_scene.py, which takes '
                'scenes of any size'
            )
