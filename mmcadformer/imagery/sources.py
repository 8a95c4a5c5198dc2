# SPDX-License-Identifier: Apache-2.0
"""Which files a VRT is made of, and which of them have gone."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

# A mosaic's list of sources may be long; what is longer is not a list of sources.
_MAX_BYTES = 2**28
_TAGS = ('SourceFilename', 'SourceDataset')


def missing_sources(path: str | os.PathLike) -> list[str]:
    """Files that a VRT, or a VRT that it names, needs and that are not there.

    Args:
        path: Of any file; those that are no VRTs need nothing.

    Returns:
        Paths; addresses and parts of files are not looked for.
    """
    missing, seen, waiting = [], set(), [Path(path)]
    while waiting:
        file = waiting.pop(0)
        if file in seen or not _is_vrt(file):
            continue
        seen.add(file)
        for source in _sources(file):
            if source.exists():
                waiting.append(source)
            elif str(source) not in missing:
                missing.append(str(source))
    return missing


def _is_vrt(file: Path) -> bool:
    if not file.is_file() or file.stat().st_size > _MAX_BYTES:
        return False
    with file.open('rb') as stream:
        return stream.read(64).lstrip().startswith(b'<VRTDataset')


def _sources(file: Path) -> list[Path]:
    try:
        root = ElementTree.parse(file).getroot()
    except ElementTree.ParseError:
        return []  # GDAL says what is wrong with it
    sources = []
    for tag in _TAGS:
        for element in root.iter(tag):
            name = (element.text or '').strip()
            relative = {'relativeToVRT', 'relativetoVRT'} & set(element.attrib)
            inside = any(element.get(key) == '1' for key in relative)
            # /vsizip/..., http://..., NETCDF:"file":variable
            if name and not name.startswith('/vsi') and ':' not in name[2:]:
                sources.append(file.parent / name if inside else Path(name))
    return sources
