# SPDX-License-Identifier: Apache-2.0
"""Text that people or files give."""

from __future__ import annotations


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
