# SPDX-License-Identifier: Apache-2.0
"""Expressions to token features with a Transformer from ``transformers``."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertTokenizerFast

from ...utils.checkpoint import check_finite
from ...utils.text import visible_text

VOCAB_FILES = {'remote_sensing': Path(__file__).with_name('remote_sensing_vocab.txt')}
"""WordPiece vocabularies that come with the package, for training from scratch."""
# Kinds of encoders of transformers that take masks (B, queries, N).
_TAKE_QUERY_MASKS = ('bert', 'roberta', 'xlm-roberta')


@MODELS.register_module()
class BertTextEncoder(BaseModule):
    """BERT without its pooler; L_1 of the paper is its last hidden state.

    The encoder owns the tokenizer, and its definition is stored with the weights
    (buffer ``tokenizer_state``), so a checkpoint needs no vocabulary file and can't
    be used with another one.

    Args:
        pretrained: Hub name or folder of the weights, read when training starts. None
            trains from scratch and needs ``vocab``.
        config: Keys of the model's ``transformers`` config; ``model_type`` defaults
            to 'bert', whose own defaults are BERT-base.
        vocab: WordPiece vocabulary file, or 'remote_sensing' for the one in the
            package. None takes the tokenizer of ``pretrained``.
        max_tokens: Longest sequence, [CLS] and [SEP] included. Longer ones are cut
            before [SEP] and counted in ``num_truncated``.
        trainable: 'all', 'none', or a number k: only encoder layers 0..k-1 train, as
            the related methods do with k=10.
        keep_end: Keep [SEP] when a sequence is cut. The related methods' released code
            cuts it off too.
        pad_to_max: Pad every batch to ``max_tokens``. Only matters to models whose
            result depends on the padding, as some released code's does.

    ``config=dict(num_hidden_layers=0)`` leaves BERT's embedding layer alone.
    """

    tokenizer_state: Tensor

    def __init__(
        self,
        pretrained: str | None = 'bert-base-uncased',
        config: dict | None = None,
        vocab: str | None = None,
        max_tokens: int = 20,
        trainable: str | int = 'all',
        keep_end: bool = True,
        pad_to_max: bool = False,
    ) -> None:
        super().__init__()
        if max_tokens < 3:
            raise ValueError(
                f'text_encoder.max_tokens={max_tokens} leaves no room for a word '
                'between [CLS] and [SEP]: use 3 or more'
            )
        if pretrained is None and vocab is None:
            raise ValueError(
                'text_encoder.pretrained=None needs text_encoder.vocab: a WordPiece '
                f'vocabulary file or one of {sorted(VOCAB_FILES)}'
            )
        self.pretrained = pretrained
        self.vocab = vocab
        self.max_tokens = max_tokens
        self.keep_end = keep_end
        self.pad_to_max = pad_to_max
        self.num_truncated = 0
        self.num_expressions = 0
        self._tokenizer: Tokenizer | None = None
        self.register_buffer('tokenizer_state', torch.empty(0, dtype=torch.uint8))
        settings = dict(config or {})
        if vocab is not None:
            settings.setdefault('vocab_size', self.tokenizer.get_vocab_size())
        self.bert = AutoModel.from_config(
            AutoConfig.for_model(settings.pop('model_type', 'bert'), **settings),
            add_pooling_layer=False,
        )
        positions = getattr(self.bert.config, 'max_position_embeddings', max_tokens)
        if max_tokens > positions:
            raise ValueError(
                f'text_encoder.max_tokens={max_tokens}: the encoder has {positions} '
                'positions (text_encoder.config.max_position_embeddings)'
            )
        self.trainable = trainable
        self._freeze()

    @property
    def out_channels(self) -> int:
        """C_t, the width of the token features."""
        return self.bert.config.hidden_size

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, loaded at first use unless a checkpoint brought it."""
        if self._tokenizer is None:
            self._set_tokenizer(self._load_tokenizer())
        return self._tokenizer

    def init_weights(self) -> None:
        """Load the pretrained weights and tokenizer, if any are named."""
        if self.pretrained is None:
            return
        try:
            # Left open, transformers may ask whether to run Python files beside the
            # weights. Weights it reads by PyTorch's list of types.
            source = AutoModel.from_pretrained(
                self.pretrained, add_pooling_layer=False, trust_remote_code=False
            )
            check_finite(source.state_dict(), self.pretrained)
            depth = self.bert.config.num_hidden_layers
            source.encoder.layer = source.encoder.layer[:depth]
            self.bert.load_state_dict(source.state_dict())
        except (OSError, ValueError, RuntimeError) as error:
            raise RuntimeError(self._unavailable('weights', error)) from error
        self._set_tokenizer(self._load_tokenizer())

    def tokenize(self, expressions: list[str]) -> dict[str, Tensor]:
        """Turn B sentences into token ids, padded to the longest.

        They are ``input_ids`` int64 (B, N) and ``text_mask`` bool (B, N), True on real
        tokens, as :meth:`complete_mask` returns it. An empty one is a ValueError.
        """
        for i, expression in enumerate(expressions):
            if not visible_text(expression):
                raise ValueError(f'expression {i} of the batch is empty')
        whole = [e.ids for e in self.tokenizer.encode_batch(expressions)]
        self.num_expressions += len(whole)
        self.num_truncated += sum(len(ids) > self.max_tokens for ids in whole)
        sequences = [self._cut(ids) for ids in whole]
        length = self.max_tokens if self.pad_to_max else max(map(len, sequences))
        padding = self.bert.config.pad_token_id or 0
        ids = torch.full((len(sequences), length), padding)
        mask = torch.zeros(len(sequences), length, dtype=torch.bool)
        for i, sequence in enumerate(sequences):
            ids[i, : len(sequence)] = torch.tensor(sequence)
            mask[i, : len(sequence)] = True
        mask = self.mask_expressions(expressions, ids, mask)
        device = self.tokenizer_state.device
        return dict(input_ids=ids.to(device), text_mask=mask.to(device))

    def read_part(self, expression: str) -> str | None:
        """The part of an expression that is read; None if all of it is."""
        encoding = self.tokenizer.encode(expression)
        if len(encoding.ids) <= self.max_tokens:
            return None
        # The mark of the end takes the last place.
        kept = encoding.offsets[: self.max_tokens - bool(self.keep_end)]
        return expression[: max(end for _, end in kept)]

    def split_words(self, expression: str) -> list[tuple[str, list[int]]]:
        """Which tokens each word of an expression became.

        Words as they stand in the sentence, and the special tokens, each with its
        positions among those of :meth:`tokenize`; what is cut off is left out.
        """
        encoding = self.tokenizer.encode(expression)
        kept = self._cut(list(range(len(encoding.ids))))
        groups: dict[object, list[int]] = {}
        for position, source in enumerate(kept):
            word = encoding.word_ids[source]
            key = word if word is not None else encoding.tokens[source]
            groups.setdefault(key, []).append(position)
        words = []
        for key, positions in groups.items():
            start, _ = encoding.offsets[kept[positions[0]]]
            _, end = encoding.offsets[kept[positions[-1]]]
            text = key if isinstance(key, str) else expression[start:end]
            words.append((text, positions))
        return words

    def mask_expressions(
        self, expressions: list[str], input_ids: Tensor, text_mask: Tensor
    ) -> Tensor:
        """As :meth:`complete_mask`, for encoders that need the sentences, too."""
        return self.complete_mask(input_ids, text_mask)

    def complete_mask(self, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        """The mask that the model works with: here the one of real tokens, (B, N).

        Encoders that tell parts of the expression apart add one mask per part.
        """
        return text_mask

    def whole_text(self, text: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, N, C_t) and mask (B, N) of the whole expression.

        Neck and head read them. They come from what the backbone returns and
        :meth:`complete_mask`; here they are the same.
        """
        return text, text_mask

    def forward(self, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Encode token ids, int64 (B, N), to features L_1 (B, N, C_t)."""
        mask = text_mask.long()
        if self.bert.config.model_type in _TAKE_QUERY_MASKS:
            # One for all queries. Of a mask (B, N), transformers asks whether all of
            # it is set, and so makes the program wait for the GPU.
            mask = mask.unsqueeze(1)
        return self.bert(input_ids, attention_mask=mask).last_hidden_state

    def train(self, mode: bool = True) -> BertTextEncoder:
        """Switch mode; a frozen BERT stays in evaluation mode (no dropout)."""
        super().train(mode)
        if self.trainable == 'none':
            self.bert.eval()
        return self

    def _freeze(self) -> None:
        if self.trainable == 'all':
            return
        if self.trainable != 'none' and not isinstance(self.trainable, int):
            raise ValueError(
                f"text_encoder.trainable={self.trainable!r} must be 'all', 'none' or "
                'a number of encoder layers'
            )
        self.bert.requires_grad_(False)
        if self.trainable != 'none':
            self.bert.encoder.layer[: self.trainable].requires_grad_(True)

    def _cut(self, ids: list[int]) -> list[int]:
        if len(ids) <= self.max_tokens:
            return ids
        if not self.keep_end:
            return ids[: self.max_tokens]
        return ids[: self.max_tokens - 1] + ids[-1:]

    def _load_tokenizer(self) -> Tokenizer:
        if self.vocab is not None:
            file = Path(VOCAB_FILES.get(self.vocab, self.vocab))
            if not file.is_file():
                raise FileNotFoundError(
                    f'text_encoder.vocab: no file {self.vocab!r}; give a WordPiece '
                    f'vocabulary (one entry a line) or one of {sorted(VOCAB_FILES)}'
                )
            return BertTokenizerFast(vocab_file=str(file)).backend_tokenizer
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                self.pretrained, use_fast=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise RuntimeError(self._unavailable('tokenizer', error)) from error
        return tokenizer.backend_tokenizer

    def _set_tokenizer(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        text = bytearray(tokenizer.to_str().encode())
        state = torch.frombuffer(text, dtype=torch.uint8)
        self.tokenizer_state = state.to(self.tokenizer_state.device)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Tensor],
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        *args: list[str],
    ) -> None:
        """Take over the tokenizer that a checkpoint was trained with."""
        key = f'{prefix}tokenizer_state'
        state = state_dict.get(key)
        if state is not None and state.numel():
            try:
                text = bytes(state.tolist()).decode()
                self._set_tokenizer(Tokenizer.from_str(text))
            except Exception as error:  # tokenizers raises no other
                reason = str(error)[:200]
                args[-1].append(f'{key} holds no tokenizer ({reason})')
                return
        elif state is not None:
            self.tokenizer_state = torch.empty_like(state)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, *args
        )
        if key in missing_keys:  # converted weights of other projects
            missing_keys.remove(key)

    def _unavailable(self, what: str, error: Exception) -> str:
        reason = str(error).strip().splitlines()[0]
        message = (
            f'model.text_encoder.pretrained: cannot load the {what} of '
            f'{self.pretrained!r} ({reason}). Give a local folder by --cfg-options '
            'model.text_encoder.pretrained=PATH, or train from scratch with '
            'model.text_encoder.pretrained=None '
            'model.text_encoder.vocab=remote_sensing'
        )
        print_log(message, logger='current', level=40)
        return message
