# SPDX-License-Identifier: Apache-2.0
"""BERT, the text encoder of the paper and of the methods around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmseg.registry import MODELS
from torch import nn

from .expression_tokens import VOCAB_FILES
from .transformers_encoder import TransformersTextEncoder

__all__ = ['VOCAB_FILES', 'BertTextEncoder']


@MODELS.register_module()
class BertTextEncoder(TransformersTextEncoder):
    """BERT without its pooler; L_1 of the paper is its last hidden state.

    Args:
        pretrained: Hub name or folder of the weights, read when training starts. None
            trains from scratch and needs ``vocab``. The sizes of a folder are its
            own; without one they are BERT-base's, unless ``config`` says otherwise.
        config: Keys of the model's ``transformers`` config.
        **kwargs: Keys of :class:`TransformersTextEncoder`.
    """

    network_name = 'bert'
    default_type = 'bert'
    bert: nn.Module

    def __init__(
        self,
        pretrained: str | None = 'bert-base-uncased',
        config: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pretrained, config, **kwargs)

    def _unavailable(self, what: str, error: Exception) -> str:
        return (
            f'{super()._unavailable(what, error)}, or train from scratch with '
            'model.text_encoder.pretrained=None '
            'model.text_encoder.vocab=remote_sensing'
        )
