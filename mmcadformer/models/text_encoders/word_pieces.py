# SPDX-License-Identifier: Apache-2.0
"""Pieces of words as any fast tokenizer writes them, in WordPiece's way."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

# Marks of a piece that begins a word: byte-level BPE, and SentencePiece.
_BEGINS = ('\u0120', '\u2581')
# The mark of a piece that ends one: CLIP.
_ENDS = '</w>'
_CONTINUES = '##'


def piece_style(tokenizer: Tokenizer) -> str:
    """Where a tokenizer marks its pieces: 'continue', 'begin' or 'end'."""
    counts = dict.fromkeys(('continue', 'begin', 'end'), 0)
    for token in tokenizer.get_vocab():
        counts['continue'] += token.startswith(_CONTINUES)
        counts['begin'] += token.startswith(_BEGINS)
        counts['end'] += token.endswith(_ENDS)
    return max(counts, key=lambda style: counts[style])


def as_word_pieces(tokens: Sequence[str], special: set[str], style: str) -> list[str]:
    """Tokens with '##' on those that continue a word, and no other mark.

    A sign that is no letter or digit is a word of its own, as BERT has it.

    Args:
        tokens: In the order of the sentence.
        special: Tokens that are not words, left as they are.
        style: Of :func:`piece_style`.
    """
    if style == 'continue':
        return list(tokens)
    pieces: list[str] = []
    before = ''  # the last letters of the word so far
    for token in tokens:
        if token in special:
            pieces.append(token)
            before = ''
            continue
        text = token.lstrip(''.join(_BEGINS)).removesuffix(_ENDS).lower()
        if not text and pieces and pieces[-1] not in special:
            # A mark alone, before a word that is spelt out.
            pieces.append(_CONTINUES)
            before = ''
            continue
        begins = style == 'begin' and token.startswith(_BEGINS)
        joined = before[-1:].isalnum() and text[:1].isalnum() and not begins
        pieces.append(f'{_CONTINUES}{text}' if joined else text)
        ended = style == 'end' and token.endswith(_ENDS)
        before = '' if ended else text
    return pieces
