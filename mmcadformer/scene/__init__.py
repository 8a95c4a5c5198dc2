# SPDX-License-Identifier: Apache-2.0
"""Scenes of any size: read by windows, looked at in tiles, written for maps."""

try:
    import pyogrio  # noqa: F401
    import pyproj  # noqa: F401
    import rasterio  # noqa: F401
    import shapely  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'scenes need {error.name}: install the geo extra with '
        "pip install 'mmcadformer[geo]'"
    ) from error

from .network import ModelNetwork, TileNetwork
from .objects import FoundObject, ObjectFilter
from .presence import presence_score, read_presence
from .reader import Reading, SceneReader
from .results import SceneResult, Writing
from .segmentor import SceneSegmentor
from .tiling import Tiling

__all__ = [
    'FoundObject',
    'ModelNetwork',
    'ObjectFilter',
    'Reading',
    'SceneReader',
    'SceneResult',
    'SceneSegmentor',
    'TileNetwork',
    'Tiling',
    'Writing',
    'presence_score',
    'read_presence',
]
