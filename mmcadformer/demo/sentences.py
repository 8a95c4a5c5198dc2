# SPDX-License-Identifier: Apache-2.0
"""What a visitor may ask."""

from __future__ import annotations

from ..utils.text import visible_text
from .limits import Limits


def check_sentences(first: str | None, second: str | None, limits: Limits) -> list[str]:
    """The sentences to look for.

    Args:
        first: Must say something.
        second: May be empty.
        limits: The longest sentence.

    Returns:
        One or two sentences without spaces around them.

    Raises:
        ValueError: If the first is empty, or one is too long.
    """
    sentences = [visible_text(text) for text in (first, second)]
    if not sentences[0]:
        raise ValueError(
            'Type a sentence that names one object in the picture, such as '
            '“the large storage tank on the left”'
        )
    for sentence in sentences:
        if len(sentence) > limits.max_characters:
            raise ValueError(
                f'The sentence “{sentence[:30]}…” is too long: {len(sentence)} '
                f'characters, the limit is {limits.max_characters}'
            )
    # The same sentence twice would be one result.
    return list(dict.fromkeys(filter(None, sentences)))
