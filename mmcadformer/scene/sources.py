# SPDX-License-Identifier: Apache-2.0
"""Which scenes are meant: files, folders, patterns, lists, STAC items."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rasterio.errors import RasterioError

from ..imagery import open_raster
from ..utils.files import read_json
from ..utils.log import warn
from .reader import result_stem, safe_name

SET_NAME = 'all_scenes'
"""What the files about a set of scenes are called: no scene's results are."""

PICTURE_SUFFIXES = tuple(
    '.tif .tiff .gtiff .jp2 .j2k .png .jpg .jpeg .webp .bmp .img .ntf'.split()
)
"""What is taken from folders. VRTs may read any other file: name them yourself."""

_BESIDE_PICTURES = ('.aux.xml', '.ovr', '.msk')
_RESULT = re.compile(r'_\d\d+_(mask|probability)\.tif$')
# An asset of a STAC item that only shows what is in the others.
_PREVIEWS = {'thumbnail', 'overview'}


@dataclass(frozen=True)
class SceneSource:
    """A scene that is to be segmented.

    Args:
        path: What GDAL opens.
        name: What its results are called. Scenes of a set have different ones.
        problem: Why it can't be used; empty if nothing is known against it.
        found: Whether it was searched for, rather than named by the user.
    """

    path: str
    name: str = ''
    problem: str = ''
    found: bool = True


def find_scenes(
    inputs: str | os.PathLike | Sequence[str | os.PathLike],
    asset: str | None = None,
    out_dir: str | os.PathLike | None = None,
) -> list[SceneSource]:
    """The scenes that a user means, each once.

    Args:
        inputs: Any of: a raster; a folder, whose pictures are taken, but not those
            of folders in it; a pattern such as ``'tiles/**/*.tif'``; ``'@FILE'``, a
            text file with one of these a line; a STAC item or item collection
            (JSON), whose local assets are taken.
        asset: Name of the asset of STAC items; by default the only picture.
        out_dir: Folder of results, which aren't scenes where there are several.

    Returns:
        Scenes, named after their files; those of one stem have the names of their
        folders before it. Files that don't exist and items without such an asset
        are among them, with the reason.

    Raises:
        FileNotFoundError: If a pattern matches nothing, or there is no such list.
        ValueError: If a folder has no pictures, or a JSON or text file isn't such.
    """
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    once: dict[str, SceneSource] = {}
    for entry in inputs:
        for source in _expanded(os.fspath(entry), asset):
            once.setdefault(os.path.realpath(source.path), source)
    sources = list(once.values())
    if len(sources) > 1 and out_dir is not None:
        sources = _without_results(sources, os.path.realpath(out_dir))
    if not sources:
        raise ValueError('no scene is given')
    names = _names([source.path for source in sources])
    return [replace(s, name=name) for s, name in zip(sources, names, strict=True)]


def is_picture_name(text: str) -> bool:
    """Whether a text can only be meant as the name of a scene."""
    return text.lower().endswith((*PICTURE_SUFFIXES, '.vrt')) and ' ' not in text


def _expanded(entry: str, asset: str | None) -> list[SceneSource]:
    if os.path.isdir(entry):
        return _in_folder(entry)
    if os.path.isfile(entry):
        if entry.lower().endswith(('.json', '.geojson')):
            return [_of_item(item, entry, asset) for item in _read_items(entry)]
        return [SceneSource(entry, found=False)]
    if entry.startswith('@'):
        return list(_in_list(entry[1:], asset))
    if glob.has_magic(entry):
        files = sorted(glob.glob(entry, recursive=True))
        files = [file for file in files if _is_scene(file)]
        if not files:
            raise FileNotFoundError(f'no file matches {entry}')
        return [SceneSource(file) for file in files]
    # Names may also be addresses or parts of files, as in GPKG:FILE:TABLE.
    is_address = ':' in entry or entry.startswith('/vsi')
    return [
        SceneSource(
            entry, problem='' if is_address else f'{entry} does not exist', found=False
        )
    ]


def _without_results(sources: list[SceneSource], folder: str) -> list[SceneSource]:
    """Leaves out what earlier runs have written into a folder, and says so."""
    kept = []
    for source in sources:
        place, name = os.path.split(os.path.realpath(source.path))
        work = os.path.dirname(place)  # of an unfinished run
        is_work = work.endswith('.work') and os.path.dirname(work) == folder
        if not (_RESULT.search(name) and (place == folder or is_work)):
            kept.append(source)
    if len(kept) < len(sources):
        warn(
            f'{len(sources) - len(kept)} files in the output folder {folder} are '
            'results of earlier runs, not scenes'
        )
    return kept


def _is_scene(file: str) -> bool:
    return os.path.isfile(file) and not file.endswith(_BESIDE_PICTURES)


def _in_folder(folder: str) -> list[SceneSource]:
    files = [
        str(file)
        for file in sorted(Path(folder).iterdir())
        if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file()
    ]
    if files:
        return [SceneSource(file) for file in files]
    try:  # some formats of rasters are folders
        open_raster(folder).close()
    except RasterioError:
        raise ValueError(
            f'the folder {folder} has no pictures ({" ".join(PICTURE_SUFFIXES)}); for '
            f"those of folders in it give a pattern: '{folder}/**/*.tif'"
        ) from None
    return [SceneSource(folder, found=False)]


def _in_list(file: str, asset: str | None) -> Iterator[SceneSource]:
    """Scenes of a text file; paths are as seen from here, else from its folder."""
    try:
        lines = Path(file).read_text(encoding='utf-8-sig').splitlines()
    except FileNotFoundError:
        raise FileNotFoundError(f'the list of scenes {file} does not exist') from None
    except (OSError, ValueError) as error:
        raise ValueError(f'{file} is not a list of scenes: {error}') from None
    if any('\0' in line for line in lines):
        raise ValueError(f'{file} is not a list of scenes: it is no text')
    entries = [line.strip() for line in lines]
    entries = [entry for entry in entries if entry and not entry.startswith('#')]
    if not entries:
        raise ValueError(f'the list of scenes {file} is empty')
    for entry in entries:
        if entry.startswith('@'):
            raise ValueError(f'{file}: a list names scenes, not other lists: {entry}')
        beside = os.path.join(os.path.dirname(file), entry)
        here = glob.glob(entry) if glob.has_magic(entry) else os.path.exists(entry)
        is_there = glob.has_magic(entry) or os.path.exists(beside)
        try:
            found = list(_expanded(beside if is_there and not here else entry, asset))
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f'{file}: {str(error)[:300]}') from None
        yield from (replace(source, found=True) for source in found)


def _read_items(file: str) -> list[dict]:
    """Items of a STAC item collection, or the only one."""
    content = read_json(file)
    content = content if isinstance(content, dict) else {}
    is_many = content.get('type') == 'FeatureCollection'
    items = content.get('features') if is_many else [content]
    if not isinstance(items, list) or not items:
        raise ValueError(f'{file} has no STAC items')
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get('assets'), dict):
            raise ValueError(
                f'{file} is not a STAC item or item collection: assets are missing'
            )
    return items


def _of_item(item: dict, file: str, wanted: str | None) -> SceneSource:
    name = f'{file}: item {item.get("id")}'
    assets = {
        key: asset
        for key, asset in item['assets'].items()
        if isinstance(asset, dict) and isinstance(asset.get('href'), str)
    }
    pictures = [key for key, asset in assets.items() if _is_picture(asset)]
    if wanted is None and len(pictures) == 1:
        wanted = pictures[0]
    if wanted not in assets:
        has = ', '.join(pictures or assets) or 'none'
        reason = f'choose one of its assets by --asset: {has}'
        if wanted is not None:
            reason = f'has no asset {wanted!r}, only: {has}'
        return SceneSource(name, problem=f'{name}: {reason}')
    href = assets[wanted]['href']
    path = _local_path(href, os.path.dirname(file))
    if path is None:
        problem = f'{name}: {href} is not on this machine: download it first'
        return SceneSource(name, problem=problem)
    problem = '' if os.path.isfile(path) else f'{name}: {path} does not exist'
    return SceneSource(path, problem=problem)


def _is_picture(asset: dict) -> bool:
    if _PREVIEWS & set(asset.get('roles') or ()):
        return False
    kind = asset.get('type') or ''
    return kind.startswith('image/') or asset['href'].lower().endswith(PICTURE_SUFFIXES)


def _local_path(href: str, folder: str) -> str | None:
    """Path of an address; None if it leads elsewhere."""
    if os.path.isabs(href):
        return None if href.startswith('/vsi') else href
    parts = urlsplit(href)
    if parts.scheme == 'file':
        path = unquote(parts.path)
        return path[1:] if re.match(r'/[A-Za-z]:', path) else path
    if len(parts.scheme) > 1:
        return None
    path = os.path.normpath(os.path.join(folder, href))
    return path if os.path.exists(path) else unquote(path)


def _names(paths: Sequence[str]) -> list[str]:
    """Different names for scenes, as short as possible."""
    full = [Path(os.path.abspath(path)) for path in paths]
    # Files of one folder may differ in their suffix only.
    beside = Counter(str(path.with_suffix('')).casefold() for path in full)
    stems = [
        result_stem(path)
        if beside[str(whole.with_suffix('')).casefold()] == 1
        else safe_name(whole.name.replace('.', '_'))
        for path, whole in zip(paths, full, strict=True)
    ]
    folders = [path.parent.parts[1:] for path in full]
    depths = [0] * len(full)
    while True:
        names = [
            safe_name('_'.join([*parts[len(parts) - depth :], stem]))
            for stem, parts, depth in zip(stems, folders, depths, strict=True)
        ]
        counts = Counter(name.casefold() for name in [*names, SET_NAME])
        same = [
            index
            for index, name in enumerate(names)
            if counts[name.casefold()] > 1 and depths[index] < len(folders[index])
        ]
        if not same:
            break
        for index in same:
            depths[index] += 1
    for name, count in counts.items():  # as on disks that know no capitals
        twins = [index for index, other in enumerate(names) if other.casefold() == name]
        for number, index in enumerate(twins if count > 1 else [], start=1):
            names[index] = f'{names[index]}_{number}'
    return names
