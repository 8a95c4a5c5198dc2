# SPDX-License-Identifier: Apache-2.0
"""Whose pictures a data set shows, and which others show the same ones."""

from __future__ import annotations

from pathlib import Path

from mmengine import load

_KNOWN = load(Path(__file__).with_name('provenance.yml'))
PICTURES: dict[str, list[str]] = _KNOWN['pictures']
LICENCES: dict[str, str] = _KNOWN['licences']


def provenance_notes(name: str) -> list[str]:
    """What to know of a published data set's pictures; nothing of unknown names."""
    sources = PICTURES.get(name, [])
    if not sources:
        return []
    notes = [f'pictures of {" and ".join(sources)}']
    notes += [
        f'licence of {source}: {LICENCES[source]}'
        for source in sources
        if source in LICENCES
    ]
    shared = {
        other: [source for source in theirs if source in sources]
        for other, theirs in PICTURES.items()
        if other != name
    }
    same = [f'{other} ({", ".join(both)})' for other, both in shared.items() if both]
    if same:
        notes.append(
            f'same pictures in {" and ".join(same)}: before training on one and '
            'testing on another, leave out of training what is in the test'
        )
    return notes
