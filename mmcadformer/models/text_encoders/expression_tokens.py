# SPDX-License-Identifier: Apache-2.0
"""Sentences to token ids: a text encoder owns its tokenizer."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import torch
import transformers
from mmengine.model import BaseModule
from tokenizers import Encoding, Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from tokenizers.models import WordPiece
from torch import Tensor

from ...utils.text import visible_text

VOCAB_FILES = {'remote_sensing': Path(__file__).with_name('remote_sensing_vocab.txt')}
"""WordPiece vocabularies that come with the package, for training from scratch."""


class ExpressionTokens(BaseModule):
    """Base of text encoders: tokenizes, cuts and pads, and stores its tokenizer.

    The tokenizer's definition is stored with the weights (buffer ``tokenizer_state``),
    so a checkpoint needs no vocabulary file and can't be used with another one.

    Args:
        pretrained, vocab, max_tokens, keep_end, pad_to_max: See
            :class:`TransformersTextEncoder`.

    Raises:
        ValueError: ``max_tokens`` leaves no room, or nothing names a tokenizer.
    """

    tokenizer_state: Tensor

    def __init__(
        self,
        pretrained: str | None,
        vocab: str | None,
        max_tokens: int,
        keep_end: bool,
        pad_to_max: bool,
    ) -> None:
        super().__init__()
        if max_tokens < 3:
            raise ValueError(
                f'text_encoder.max_tokens={max_tokens} leaves no room for a word '
                'between the marks of begin and end: use 3 or more'
            )
        if pretrained is None and vocab is None:
            raise ValueError(
                'text_encoder.pretrained=None needs text_encoder.vocab: a WordPiece '
                'vocabulary file, a tokenizer.json, or one of '
                f'{sorted(VOCAB_FILES)}'
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

    @property
    def pad_id(self) -> int:
        """The token that fills shorter sentences up."""
        raise NotImplementedError

    @property
    def vocab_size(self) -> int:
        """How many tokens the network knows."""
        raise NotImplementedError

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, loaded at first use unless a checkpoint brought it."""
        if self._tokenizer is None:
            self._set_tokenizer(self._load_tokenizer())
        return self._tokenizer

    def tokenize(self, expressions: list[str]) -> dict[str, Tensor]:
        """Turn B sentences into token ids, padded to the longest.

        They are ``input_ids`` int64 (B, N) and ``text_mask`` bool (B, N), True on real
        tokens, as :meth:`complete_mask` returns it. An empty one is a ValueError.
        """
        for i, expression in enumerate(expressions):
            if not visible_text(expression):
                raise ValueError(f'expression {i} of the batch is empty')
        whole = self.tokenizer.encode_batch(expressions)
        self.num_expressions += len(whole)
        self.num_truncated += sum(len(e.ids) > self.max_tokens for e in whole)
        sequences = [[e.ids[i] for i in self._kept(e)] for e in whole]
        length = self.max_tokens if self.pad_to_max else max(map(len, sequences))
        ids = torch.full((len(sequences), length), self.pad_id)
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
        marks = _end_marks(encoding) if self.keep_end else 0
        kept = encoding.offsets[: self.max_tokens - marks]
        return expression[: max(end for _, end in kept)]

    def split_words(self, expression: str) -> list[tuple[str, list[int]]]:
        """Which tokens each word of an expression became.

        Words as they stand in the sentence, and the special tokens, each with its
        positions among those of :meth:`tokenize`; what is cut off is left out.
        """
        encoding = self.tokenizer.encode(expression)
        kept = self._kept(encoding)
        groups: dict[object, list[int]] = {}
        for position, source in enumerate(kept):
            word = encoding.word_ids[source]
            special = encoding.special_tokens_mask[source] or word is None
            key = encoding.tokens[source] if special else word
            groups.setdefault(key, []).append(position)
        words = []
        for key, positions in groups.items():
            start, _ = encoding.offsets[kept[positions[0]]]
            _, end = encoding.offsets[kept[positions[-1]]]
            text = key if isinstance(key, str) else expression[start:end].strip()
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

    def _kept(self, encoding: Encoding) -> list[int]:
        """Positions of the tokens that are left of a sentence that is too long."""
        count = len(encoding.ids)
        if count <= self.max_tokens:
            return list(range(count))
        marks = _end_marks(encoding) if self.keep_end else 0
        return [*range(self.max_tokens - marks), *range(count - marks, count)]

    def _load_tokenizer(self) -> Tokenizer:
        if self.vocab is not None:
            return _read_vocabulary(self.vocab)
        try:
            # Left open, transformers may ask whether to run Python files beside the
            # weights.
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                self.pretrained, use_fast=True, trust_remote_code=False
            )
        except (OSError, ValueError, ImportError) as error:
            raise RuntimeError(self._unavailable('tokenizer', error)) from error
        backend = getattr(tokenizer, 'backend_tokenizer', None)
        if backend is None:
            lacking = ValueError('it has no tokenizer.json')
            raise RuntimeError(self._unavailable('tokenizer', lacking))
        return backend

    def _set_tokenizer(self, tokenizer: Tokenizer) -> None:
        largest = max(tokenizer.get_vocab().values(), default=0)
        if largest >= self.vocab_size:
            raise ValueError(
                f'text_encoder: its tokenizer has ids up to {largest}, but the network '
                f'knows {self.vocab_size} tokens: leave '
                'text_encoder.config.vocab_size out, or give the vocabulary of the '
                'weights'
            )
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
        raise NotImplementedError


def read_word_pieces(file: Path) -> Tokenizer:
    """BERT's uncased tokenizer on a vocabulary, one entry a line.

    Transformers 5 takes no vocabulary file any more, and says nothing of it.
    """
    vocabulary = WordPiece.read_file(str(file))
    return Tokenizer.from_str(BertWordPieceTokenizer(vocab=vocabulary).to_str())


def _read_vocabulary(vocab: str) -> Tokenizer:
    file = Path(VOCAB_FILES.get(vocab, vocab))
    if not file.is_file():
        raise FileNotFoundError(
            f'text_encoder.vocab: no file {vocab!r}; give a WordPiece vocabulary (one '
            f'entry a line), a tokenizer.json, or one of {sorted(VOCAB_FILES)}'
        )
    return (
        Tokenizer.from_file(str(file))
        if file.suffix == '.json'
        else (read_word_pieces(file))
    )


def _end_marks(encoding: Encoding) -> int:
    """How many special tokens end a sentence."""
    return len(list(takewhile(bool, reversed(encoding.special_tokens_mask))))
