# SPDX-License-Identifier: Apache-2.0
"""FIANet's text decoupling: the whole expression, its object, its position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.registry import MODELS
from tokenizers import Tokenizer
from torch import Tensor

from ...language.phrases import find_objects, find_positions, group_word_pieces
from ...language.released_phrases import (
    check_tagger,
    find_released_objects,
    find_released_positions,
    tag_words,
)
from ...utils.text import check_choice
from .bert import BertTextEncoder
from .word_pieces import as_word_pieces, piece_style

_PADDING = '[PAD]'


@MODELS.register_module()
class PhraseBertTextEncoder(BertTextEncoder):
    """BERT run three times on an expression, each time seeing other words of it.

    The three masks are the whole expression, the words that name an object of a
    known category, and the words of prepositional phrases about a position
    (:mod:`mmcadformer.language.phrases`). An expression without a category has an
    empty object mask; one without such a phrase has the whole expression as its
    position.

    FIANet's masks come from NLTK's tagger and count words; these are found by rules
    and count the tokenizer's word pieces, so they don't drift after a split word.

    Args:
        categories: Names of the dataset's categories.
        phrases: 'rules', or 'released' for the marks of FIANet's authors
            (:mod:`mmcadformer.language.released_phrases`; extra ``nltk``), which
            their weights were trained on. Those are found in the sentence, not in its
            tokens.
        **kwargs: Keys of :class:`BertTextEncoder`.

    Raises:
        ImportError, FileNotFoundError: NLTK or its data isn't there, which 'released'
            needs.
    """

    def __init__(
        self, categories: Sequence[str], phrases: str = 'rules', **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_choice('text_encoder.phrases', phrases, ('rules', 'released'))
        if phrases == 'released':
            check_tagger()
        self.phrases = phrases
        if not categories:
            raise ValueError(
                "text_encoder.categories is empty: name the dataset's categories, "
                'which the object words are looked up in'
            )
        self.categories = tuple(categories)
        self._known_marks: tuple[Tokenizer, set[str], str] | None = None

    def mask_expressions(
        self, expressions: list[str], input_ids: Tensor, text_mask: Tensor
    ) -> Tensor:
        if self.phrases == 'rules':
            return super().mask_expressions(expressions, input_ids, text_mask)
        rows = zip(expressions, text_mask, strict=True)
        return torch.stack([self._released_masks(*row) for row in rows])

    def complete_mask(self, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Bool masks (B, 3, N) of the whole expression, its object and its position.

        A ``text_mask`` (B, 3, N) is returned as it is: a tracer needs it, since
        phrases are looked up outside of the graph, and so does ``phrases='released'``.
        """
        if text_mask.dim() == 3:
            return text_mask
        if self.phrases == 'released':
            raise ValueError(
                "text_encoder.phrases='released' finds phrases in sentences, not in "
                'tokens: give the text_mask (B, 3, N) of tokenize(expressions)'
            )
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            raise RuntimeError(
                'PhraseBertTextEncoder cannot be traced from a text_mask (B, N): give '
                'the (B, 3, N) that complete_mask(input_ids, text_mask) returns'
            )
        rows = zip(input_ids.tolist(), text_mask.bool().cpu(), strict=True)
        masks = [self._masks(ids, mask) for ids, mask in rows]
        return torch.stack(masks).to(text_mask.device)

    def forward(self, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Encode token ids (B, N) under each mask to features (B, 3, N, C_t).

        A ``text_mask`` (B, N) in place of (B, 3, N) finds the phrases first.
        """
        masks = self.complete_mask(input_ids, text_mask).bool()
        # Attention to nothing is undefined; nobody reads what an empty mask gives.
        attended = torch.where(masks.any(dim=2, keepdim=True), masks, masks[:, :1])
        ids = input_ids.unsqueeze(1).expand(masks.shape)
        text = super().forward(ids.flatten(0, 1), attended.flatten(0, 1))
        return text.unflatten(0, tuple(masks.shape[:2]))

    def whole_text(self, text: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
        return text[:, 0], text_mask[:, 0]

    def _masks(self, ids: list[int], mask: Tensor) -> Tensor:
        """The three masks (3, N) of one sequence."""
        tokens = [
            self.tokenizer.id_to_token(i) if real else _PADDING
            for i, real in zip(ids, mask.tolist(), strict=True)
        ]
        special, style = self._marks()
        pieces = as_word_pieces(tokens, special, style)
        words, members = group_word_pieces(pieces, special)
        objects, positions = (
            [piece for word in found for piece in members[word]]
            for found in (find_objects(words, self.categories), find_positions(words))
        )
        return _stack_masks(mask, objects, positions)

    def _marks(self) -> tuple[set[str], str]:
        """Tokens that are no words, and how the tokenizer marks pieces of words."""
        tokenizer = self.tokenizer
        if self._known_marks is None or self._known_marks[0] is not tokenizer:
            added = tokenizer.get_added_tokens_decoder().values()
            special = {token.content for token in added if token.special}
            self._known_marks = tokenizer, special | {_PADDING}, piece_style(tokenizer)
        return self._known_marks[1:]

    def _released_masks(self, expression: str, mask: Tensor) -> Tensor:
        """The three masks (3, N), as FIANet's authors make them.

        They take the number of a word for that of its token behind [CLS], whatever
        the words before it were split into. Their code fails where a mark lies behind
        the last token; here it is left out.
        """
        tagged = tag_words(expression)
        words = [word for word, _ in tagged]
        objects, positions = (
            [word + 1 for word in found if word + 1 < len(mask)]
            for found in (
                find_released_objects(expression, words, self.categories),
                find_released_positions(tagged),
            )
        )
        return _stack_masks(mask, objects, positions)


def _stack_masks(
    whole: Tensor, objects: Sequence[int], positions: Sequence[int]
) -> Tensor:
    """Masks (3, N) from the whole expression's; no position means all of it."""
    parts = torch.zeros(3, len(whole), dtype=torch.bool)
    parts[0] = whole
    parts[1, list(objects)] = True
    parts[2, list(positions)] = True
    if not positions:
        parts[2] = whole
    return parts
