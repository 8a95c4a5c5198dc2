# SPDX-License-Identifier: Apache-2.0
"""Finds the object words and the position words of a referring expression.

Rules and word lists instead of a part-of-speech tagger: nothing to download, and the
language of referring expressions is small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .lexicon import BOUNDARIES, DETERMINERS, PREPOSITIONS

MAX_CONTENT_WORDS = 4
"""Words after the determiner at which a phrase ends in any case."""


def find_positions(words: Sequence[str]) -> list[int]:
    """Indices of the words in prepositional phrases that say where the target is.

    A phrase is one or more prepositions, optional determiners and the words up to
    the next preposition, verb, conjunction or punctuation mark. Phrases with 'of'
    name parts and owners more often than places and don't count, as in FIANet.

    Args:
        words: Lower-case words, punctuation marks separate.
    """
    found: list[int] = []
    i = 0
    while i < len(words):
        if words[i] not in PREPOSITIONS:
            i += 1
            continue
        end = _phrase_end(words, i)
        found.extend(range(i, end))
        i = end
    return found


def _phrase_end(words: Sequence[str], start: int) -> int:
    end = start
    while end < len(words) and words[end] in PREPOSITIONS:
        end += 1  # 'next to', 'close to'
    while end < len(words) and words[end] in DETERMINERS:
        end += 1
    limit = min(len(words), end + MAX_CONTENT_WORDS)
    while end < limit and words[end] not in PREPOSITIONS | DETERMINERS | BOUNDARIES:
        end += 1
    return end


def find_objects(words: Sequence[str], categories: Iterable[str]) -> list[int]:
    """Indices of the lower-case words that name a category, singular or plural.

    Only the first occurrence of each counts; a name may have several words.
    """
    found: set[int] = set()
    for category in categories:
        name = category.lower().replace('-', ' ').split()
        for start in range(len(words) - len(name) + 1):
            if _same_name(words[start : start + len(name)], name):
                found.update(range(start, start + len(name)))
                break
    return sorted(found)


def _same_name(words: Sequence[str], name: Sequence[str]) -> bool:
    last = name[-1]
    return list(words[:-1]) == list(name[:-1]) and words[-1] in {last, *plurals(last)}


def plurals(noun: str) -> tuple[str, ...]:
    """Words that may be the plural of a noun."""
    endings = (f'{noun}s', f'{noun}es')
    return (*endings, f'{noun[:-1]}ies') if noun.endswith('y') else endings


def group_word_pieces(
    tokens: Sequence[str], special: Iterable[str] = (), prefix: str = '##'
) -> tuple[list[str], list[list[int]]]:
    """Puts WordPiece tokens together into words.

    Args:
        tokens: Tokens in order.
        special: Tokens that are not words, such as [CLS].
        prefix: Mark of a piece that continues a word.

    Returns:
        Words, and for each the indices of its tokens. A hyphen counts to the
        word before it, so that 'ground-track-field' is three words.
    """
    special = set(special)
    words: list[str] = []
    members: list[list[int]] = []
    for i, token in enumerate(tokens):
        if token in special:
            continue
        if words and token.startswith(prefix):
            words[-1] += token[len(prefix) :]
            members[-1].append(i)
        elif words and token == '-':
            members[-1].append(i)
        else:
            words.append(token)
            members.append([i])
    return words, members
