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

from ..evaluation.presence import presence_score
from .geometry import Georeference
from .many import (
    SceneSet,
    ScenesResult,
    SetOptions,
    prepare_scenes,
    segment_scenes,
)
from .network import ModelNetwork, TileNetwork
from .objects import FoundObject, ObjectFilter, trace_objects
from .presence import read_presence
from .rasters import MASK_NO_DATA, RasterWriter
from .reader import Reading, SceneReader
from .results import SceneResult, Writing
from .segmentor import SceneSegmentor, check_expressions
from .sharing import Share
from .sources import SET_NAME, SceneSource, find_scenes, is_picture_name
from .tiling import Tiling, quantise
from .vectors import write_vectors

__all__ = [
    'MASK_NO_DATA',
    'SET_NAME',
    'FoundObject',
    'Georeference',
    'ModelNetwork',
    'ObjectFilter',
    'RasterWriter',
    'Reading',
    'SceneReader',
    'SceneResult',
    'SceneSegmentor',
    'SceneSet',
    'SceneSource',
    'ScenesResult',
    'SetOptions',
    'Share',
    'TileNetwork',
    'Tiling',
    'Writing',
    'check_expressions',
    'find_scenes',
    'is_picture_name',
    'prepare_scenes',
    'presence_score',
    'quantise',
    'read_presence',
    'segment_scenes',
    'trace_objects',
    'write_vectors',
]
