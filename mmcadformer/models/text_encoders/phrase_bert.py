# SPDX-License-Identifier: Apache-2.0
"""FIANet's text decoupling: the whole expression, its object, its position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...language.phrases import find_objects, find_positions, group_word_pieces
from .bert import BertTextEncoder

_SPECIAL_TOKENS = ('[PAD]', '[CLS]', '[SEP]', '[MASK]')


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
        **kwargs: Keys of :class:`BertTextEncoder`.
    """

    def __init__(self, categories: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not categories:
            raise ValueError(
                "text_encoder.categories is empty: name the dataset's categories, "
                'which the object words are looked up in'
            )
        self.categories = tuple(categories)

    def complete_mask(self, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Bool masks (B, 3, N) of the whole expression, its object and its position.

        A ``text_mask`` (B, 3, N) is returned as it is: a tracer needs it, since
        phrases are looked up outside of the graph.
        """
        if text_mask.dim() == 3:
            return text_mask
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
            self.tokenizer.id_to_token(i) if real else '[PAD]'
            for i, real in zip(ids, mask.tolist(), strict=True)
        ]
        words, members = group_word_pieces(tokens, _SPECIAL_TOKENS)
        parts = [mask]
        for found in (find_objects(words, self.categories), find_positions(words)):
            part = torch.zeros_like(mask)
            for word in found:
                part[members[word]] = True
            parts.append(part)
        if not parts[2].any():
            parts[2] = mask
        return torch.stack(parts)
