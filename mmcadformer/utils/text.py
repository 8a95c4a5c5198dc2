# SPDX-License-Identifier: Apache-2.0
"""Text that people or files give."""

from __future__ import annotations

from collections.abc import Sequence


def visible_text(text: object) -> str:
    """What a text says, without blanks around it; empty if it isn't text.

    Also empty if it has nothing but blanks and letters that can't be seen, such as the
    zero-width space that comes with text copied from pages.
    """
    if not isinstance(text, str):
        return ''
    if not any(letter.isprintable() and not letter.isspace() for letter in text):
        return ''
    return text.strip()


def normalize(text: str) -> str:
    """A sentence as it is compared: case, spaces and a final stop don't count."""
    return ' '.join(text.lower().split()).rstrip('. ')


def shortened(text: str, max_bytes: int = 150) -> str:
    """The beginning of a text that is part of a file's name; systems count bytes."""
    return text.encode()[:max_bytes].decode(errors='ignore')


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError for an argument that is none of its choices."""
    if value not in choices:
        raise ValueError(f'{name} must be one of {tuple(choices)}, got {value!r}')
