# SPDX-License-Identifier: Apache-2.0
"""Where results come from, told in every file that can say it."""

from __future__ import annotations

import json
import math
import os
from datetime import datetime, timezone

from ..version import __version__
from .reader import SceneReader


def now() -> str:
    """The time in UTC, such as '2026-05-01T12:00:00Z'.

    ``SOURCE_DATE_EPOCH``, seconds since 1970, takes its place where runs at different
    times are to write equal files (https://reproducible-builds.org).
    """
    given = os.environ.get('SOURCE_DATE_EPOCH', '')
    if given and not given.isdecimal():
        raise ValueError(f'SOURCE_DATE_EPOCH {given!r} is not a number of seconds')
    zone = timezone.utc
    moment = datetime.fromtimestamp(int(given), zone) if given else datetime.now(zone)
    return moment.strftime('%Y-%m-%dT%H:%M:%SZ')


def provenance(reader: SceneReader, origin: dict, network: str, started: str) -> dict:
    """What made the results of a scene, for the summary.

    Args:
        reader: The scene.
        origin: What is known of the network: config, checkpoint, hash of the weights.
        network: Its fingerprint.
        started: When the run began, even if it was interrupted since.
    """
    read = how_read(reader)
    return dict(
        software=f'mmcadformer {__version__}',
        started=started,
        **origin,
        network=network,
        **{key: read[key] for key in ('bands', 'depth', 'stretch')},
    )


def how_read(reader: SceneReader) -> dict:
    """How the pixels of a scene were understood, for the summary."""
    stretch, reading = reader.stretch, reader.reading
    nodata = reading.nodata
    return dict(
        count=reader.count,
        bands=list(reader.colors.bands),
        alpha=list(reader.colors.alpha),
        depth=reader.depth,
        stretch=None
        if stretch is None
        else dict(low=list(stretch.low), high=list(stretch.high)),
        # JSON has no NaN.
        nodata=nodata if nodata is None or math.isfinite(nodata) else str(nodata),
        orientation=reading.orientation,
        subdataset=reading.subdataset,
        notes=list(reader.notes),
    )


def raster_tags(facts: dict, scene: str) -> dict[str, str]:
    """The same as tags of a GeoTIFF."""
    date, time = facts['started'].rstrip('Z').split('T')
    tags = dict(
        TIFFTAG_SOFTWARE=facts['software'],
        TIFFTAG_DATETIME=f'{date.replace("-", ":")} {time}',
        SCENE=scene,
    )
    others = {k: v for k, v in facts.items() if k != 'software'}
    for name, value in others.items():
        text = value if isinstance(value, str) else json.dumps(value)
        tags[name.upper()] = text
    return tags
