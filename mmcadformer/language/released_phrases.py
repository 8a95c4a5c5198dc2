# SPDX-License-Identifier: Apache-2.0
"""The object and the position words of an expression as FIANet's authors mark them.

Words and their parts of speech come from NLTK (extra ``nltk``). What its authors'
code makes of them is followed with its oddities, since their weights were trained on
it; :mod:`.phrases` is what this package does by itself.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

GRAMMAR = """
PHRASE:
    {<IN><DT>?<JJ>?<NN>}
    {<IN><DT>?<JJ>?<JJ>}
    {<IN><DT>?<JJ><VBD>}
"""
"""Prepositional phrases that end in a noun, an adjective or a past tense, in this
order: one after the other, each on what those before have left. So the last never gets
a word, as the second has taken its preposition and adjective. Plurals (NNS) and "to"
(TO) are in none."""
_DATA = {
    'punkt_tab': 'tokenizers/punkt_tab/english',
    'averaged_perceptron_tagger_eng': 'taggers/averaged_perceptron_tagger_eng',
}

_INSTEAD = ' (or take our own: model.text_encoder.phrases=rules)'

TaggedWord = tuple[str, str]


def check_tagger() -> None:
    """Checks that words can be tagged.

    Raises:
        ImportError: NLTK isn't installed.
        FileNotFoundError: Its tokenizer or tagger has no data.
    """
    if importlib.util.find_spec('nltk') is None:
        raise ImportError(
            "phrases in the manner of FIANet's authors need NLTK: pip install -e "
            f"'.[nltk]'{_INSTEAD}"
        )
    import nltk

    for name, path in _DATA.items():
        try:
            nltk.data.find(path)
        except LookupError:
            raise FileNotFoundError(
                f"phrases in the manner of FIANet's authors need NLTK's data {name}: "
                f'python -m nltk.downloader {" ".join(_DATA)}{_INSTEAD}'
            ) from None


def tag_words(expression: str) -> list[TaggedWord]:
    """Words and punctuation marks of an expression, each with its part of speech.

    Raises:
        ImportError, FileNotFoundError: See :func:`check_tagger`.
    """
    tagger = _tagger()
    import nltk

    return tagger.tag(nltk.word_tokenize(expression))


def find_released_positions(tagged: Sequence[TaggedWord]) -> list[int]:
    """Indices of the words that are marked as a position; there may be none.

    A phrase of :data:`GRAMMAR` that has the letters "of" in it doesn't count. It is
    marked from the first word that equals its preposition, so that a repeated
    preposition marks the words behind its first occurrence once more.

    Args:
        tagged: Words with their tags of the Penn Treebank.

    Returns:
        Ascending; those of a marked phrase may reach beyond the last word.
    """
    words = [word for word, _ in tagged]
    found: set[int] = set()
    for phrase in _parser().parse(list(tagged)).subtrees(_is_phrase):
        inside = [word for word, _ in phrase.leaves()]
        if 'of' not in ' '.join(inside):
            start = words.index(inside[0])
            found.update(range(start, start + len(inside)))
    return sorted(found)


def find_released_objects(
    expression: str, words: Sequence[str], categories: Iterable[str]
) -> list[int]:
    """Indices of the words that are marked as an object; there may be none.

    A category counts if its name stands anywhere in the sentence, in a longer word,
    too. As many words as the name has are marked, from the first that contains the
    name's first word.

    Args:
        expression: The sentence.
        words: Its words.
        categories: Names to look for.

    Returns:
        Ascending; may reach beyond the last word.
    """
    found: set[int] = set()
    for category in categories:
        first, *others = category.split()
        starts = (i for i, word in enumerate(words) if first in word)
        start = next(starts, None) if category in expression else None
        if start is not None:
            found.update(range(start, start + 1 + len(others)))
    return sorted(found)


@cache
def _tagger() -> Any:
    """What ``nltk.pos_tag`` reads anew from its files for every sentence."""
    check_tagger()
    from nltk.tag.perceptron import PerceptronTagger

    return PerceptronTagger()


@cache
def _parser() -> Any:
    import nltk

    return nltk.RegexpParser(GRAMMAR)


def _is_phrase(tree: Any) -> bool:
    return tree.label() == 'PHRASE'
