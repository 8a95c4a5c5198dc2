# SPDX-License-Identifier: Apache-2.0
"""Expressions to token features with any text encoder of ``transformers``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import transformers
from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...utils.checkpoint import check_finite
from ...utils.pretrained_config import read_config
from ..layers.adapters import add_adapters, load_plain_weights
from ..layers.checkpointing import checkpoint_blocks
from .expression_tokens import ExpressionTokens

# Where AutoModel would build more than the text encoder, or nothing.
_CLASSES = {
    't5': 'T5EncoderModel',
    'mt5': 'MT5EncoderModel',
    'umt5': 'UMT5EncoderModel',
    'clip_text_model': 'CLIPTextModel',
    'siglip_text_model': 'SiglipTextModel',
    'siglip2_text_model': 'Siglip2TextModel',
}
# These take masks (B, queries, N), or (B, heads, queries, N) from transformers 5 on.
_TAKE_QUERY_MASKS = ('bert', 'roberta', 'xlm-roberta')
_MASKS_OF_HEADS = int(transformers.__version__.split('.')[0]) >= 5
# Their positions start behind the id of padding.
_SHIFTED_POSITIONS = ('roberta', 'xlm-roberta', 'camembert', 'mpnet')
_RELATIVE_POSITIONS = ('t5', 'mt5', 'umt5')
_LAYERS = (
    *('encoder.layer', 'transformer.layer', 'text_model.encoder.layers'),
    *('encoder.layers', 'encoder.block', 'layers'),
)
# What reads one pooled token, which nothing here does.
_POOLED_HEADS = ('text_model.head', 'head')


@MODELS.register_module()
class TransformersTextEncoder(ExpressionTokens):
    """Any encoder of ``transformers`` that gives a feature per token.

    BERT, RoBERTa, XLM-R, DeBERTa-v3, MPNet, ELECTRA, DistilBERT, ModernBERT, T5's
    encoder, and the text halves of CLIP, SigLIP and SigLIP 2. L_1 of the paper is the
    last hidden state. Poolers, which one token's feature goes through, are left out.

    Args:
        pretrained: Hub name or folder of the weights, read when training starts. None
            trains from scratch and needs ``config`` and ``vocab``.
        config: Keys of the model's ``transformers`` config. They win over those of
            ``pretrained``; with ``model_type`` among them neither folder nor network
            is needed to build the model.
        vocab: Another tokenizer than that of ``pretrained``: a ``tokenizer.json``, a
            WordPiece vocabulary file, or 'remote_sensing' for the one in the package.
        max_tokens: Longest sequence, marks of begin and end included. Longer ones are
            cut before the end mark and counted in ``num_truncated``.
        trainable: 'all', 'none', or a number k: only encoder layers 0..k-1 train, as
            the related methods do with k=10.
        trainable_last: A number k: only the last k encoder layers train.
        lora: Train low-rank adapters in place of the encoder's weights: keys of
            :func:`~mmcadformer.models.layers.adapters.add_adapters`. Needs
            ``trainable='all'``.
        with_cp: Trade time for memory: keep the input of each layer only.
        keep_end: Keep the mark of the end when a sequence is cut. The related methods'
            released code cuts it off too.
        pad_to_max: Pad every batch to ``max_tokens``. Only matters to models whose
            result depends on the padding, as some released code's does.

    ``config=dict(num_hidden_layers=0)`` leaves the embedding layer alone.

    Raises:
        ValueError, RuntimeError: A key is wrong, or the sizes of ``pretrained`` can't
            be had; the message names the key.
    """

    # The name of the network in the names of its weights.
    network_name = 'model'
    default_type: str | None = None

    def __init__(
        self,
        pretrained: str | None = None,
        config: Mapping[str, Any] | None = None,
        vocab: str | None = None,
        max_tokens: int = 20,
        trainable: str | int = 'all',
        trainable_last: int | None = None,
        lora: Mapping[str, Any] | None = None,
        with_cp: bool = False,
        keep_end: bool = True,
        pad_to_max: bool = False,
    ) -> None:
        super().__init__(pretrained, vocab, max_tokens, keep_end, pad_to_max)
        settings = dict(config or {})
        if pretrained is None and vocab is not None and 'vocab_size' not in settings:
            self._tokenizer = self._load_tokenizer()
            settings['vocab_size'] = self._tokenizer.get_vocab_size()
        self.config = read_config(
            pretrained, settings, 'model.text_encoder', 'text_config', self.default_type
        )
        self.add_module(self.network_name, self._build())
        if vocab is not None:
            self._set_tokenizer(self._tokenizer or self._load_tokenizer())
        self._check_positions()
        self.trainable = trainable
        self.trainable_last = trainable_last
        self._freeze()
        if with_cp:
            checkpoint_blocks(self._layers(self.network)[1])
        if lora is not None:
            if trainable != 'all' or trainable_last is not None:
                raise ValueError(
                    'text_encoder.lora says by itself what trains: leave trainable and '
                    'trainable_last out'
                )
            base = 'model.text_encoder.pretrained', pretrained
            add_adapters(self.network, lora, 'text_encoder.lora', base)

    @property
    def network(self) -> nn.Module:
        """The model of ``transformers``."""
        return getattr(self, self.network_name)

    @property
    def out_channels(self) -> int:
        """C_t, the width of the token features."""
        return self.config.hidden_size

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def pad_id(self) -> int:
        padding = getattr(self.config, 'pad_token_id', None) or 0
        return padding if padding < self.vocab_size else 0

    def init_weights(self) -> None:
        """Load the pretrained weights and tokenizer, if any are named.

        Raises:
            RuntimeError: They can't be had, or don't fit.
        """
        if self.pretrained is None:
            return
        try:
            cls: Any = type(self.network)
            source, report = cls.from_pretrained(
                self.pretrained, output_loading_info=True, **self._no_pooler()
            )
            check_finite(source.state_dict(), self.pretrained)
            if report['missing_keys']:
                missing = sorted(report['missing_keys'])
                raise ValueError(
                    f'they are not of a {self.config.model_type} model: '
                    f'{len(missing)} are missing, such as {missing[0]}'
                )
            load_plain_weights(self.network, self._wanted(source))
        except (OSError, ValueError, RuntimeError) as error:
            raise RuntimeError(self._unavailable('weights', error)) from error
        if self.vocab is None:
            self._set_tokenizer(self._load_tokenizer())

    def forward(self, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Encode token ids, int64 (B, N), to features L_1 (B, N, C_t)."""
        mask = text_mask.long()
        if self.config.model_type in _TAKE_QUERY_MASKS:
            # One for all queries. Of a mask (B, N), transformers asks whether all of
            # it is set, and so makes the program wait for the GPU.
            mask = mask.bool()[:, None, None] if _MASKS_OF_HEADS else mask[:, None]
        return self.network(input_ids=input_ids, attention_mask=mask).last_hidden_state

    def train(self, mode: bool = True) -> TransformersTextEncoder:
        """Switch mode; a frozen encoder stays in evaluation mode (no dropout)."""
        super().train(mode)
        if self.trainable == 'none':
            self.network.eval()
        return self

    def _build(self) -> nn.Module:
        name = _CLASSES.get(self.config.model_type)
        if name is None:
            network = transformers.AutoModel.from_config(
                self.config, **self._no_pooler()
            )
        else:
            network = getattr(transformers, name)(self.config)
        for path in _POOLED_HEADS:
            owner, _, head = path.rpartition('.')
            module = _find(network, owner) if owner else network
            if isinstance(getattr(module, head, None), nn.Module):
                setattr(module, head, nn.Identity())
        return network

    def _no_pooler(self) -> dict[str, bool]:
        """The key that leaves a pooler out, for models that have both."""
        if self.config.model_type in _CLASSES:
            return {}
        cls: Any = transformers.MODEL_MAPPING[type(self.config)]
        takes = inspect.signature(cls).parameters
        return dict(add_pooling_layer=False) if 'add_pooling_layer' in takes else {}

    def _layers(self, network: nn.Module) -> tuple[str, nn.ModuleList]:
        for path in _LAYERS:
            found = _find(network, path)
            if isinstance(found, nn.ModuleList):
                return path, found
        raise ValueError(
            f'text_encoder: where the layers of {self.config.model_type} are is not '
            "known: use trainable='all' or 'none'"
        )

    def _wanted(self, source: nn.Module) -> dict[str, Tensor]:
        """Weights of another model without the layers and heads that aren't here."""
        state = source.state_dict()
        path, layers = self._layers(source)
        depth = len(self._layers(self.network)[1])
        gone = (
            *(f'{path}.{i}.' for i in range(depth, len(layers))),
            *(f'{head}.' for head in _POOLED_HEADS),
        )
        return {k: v for k, v in state.items() if not k.startswith(gone)}

    def _check_positions(self) -> None:
        kind = self.config.model_type
        positions = getattr(self.config, 'max_position_embeddings', None)
        if positions is None or kind in _RELATIVE_POSITIONS:
            return
        if kind in _SHIFTED_POSITIONS:
            positions -= self.pad_id + 1
        if self.max_tokens > positions:
            raise ValueError(
                f'text_encoder.max_tokens={self.max_tokens}: the encoder has '
                f'{positions} positions (text_encoder.config.max_position_embeddings)'
            )

    def _freeze(self) -> None:
        if self.trainable != 'all' and self.trainable_last is not None:
            raise ValueError(
                f'text_encoder: trainable={self.trainable!r} and trainable_last='
                f'{self.trainable_last} contradict each other: give one of them'
            )
        if self.trainable not in ('all', 'none') and not isinstance(
            self.trainable, int
        ):
            raise ValueError(
                f"text_encoder.trainable={self.trainable!r} must be 'all', 'none' or "
                'a number of encoder layers'
            )
        if self.trainable == 'all' and self.trainable_last is None:
            return
        self.network.requires_grad_(False)
        if self.trainable == 'none':
            return
        _, layers = self._layers(self.network)
        if self.trainable_last is None:
            chosen = layers[: self.trainable]
        else:
            chosen = layers[max(len(layers) - self.trainable_last, 0) :]
        chosen.requires_grad_(True)

    def _unavailable(self, what: str, error: Exception) -> str:
        reason = ' '.join(str(error).split())[:300]
        message = (
            f'model.text_encoder.pretrained: cannot load the {what} of '
            f'{self.pretrained!r} ({reason}). Give a local folder by --cfg-options '
            'model.text_encoder.pretrained=PATH'
        )
        print_log(message, logger='current', level=40)
        return message


def _find(root: nn.Module, path: str) -> nn.Module | None:
    found: Any = root
    for part in path.split('.'):
        found = getattr(found, part, None)
    return found
