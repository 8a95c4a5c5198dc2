# SPDX-License-Identifier: Apache-2.0
"""What travels with an exported model: its tokenizer and facts about it."""

from __future__ import annotations

from tokenizers import Tokenizer
from torch import nn

from ..version import __version__


def portable_tokenizer(model: nn.Module) -> Tokenizer:
    """The model's tokenizer, which cuts and pads as the model's text encoder does.

    Args:
        model: A :class:`~mmcadformer.models.ReferringSegmentor`.

    Returns:
        A copy; ``encode_batch(sentences)`` gives ``ids`` and ``attention_mask``.

    Raises:
        RuntimeError: If the checkpoint brought no tokenizer and the one that the
            config names can't be loaded.
        ValueError: If the encoder cuts [SEP] off long sentences, which a tokenizer
            file can't say.
    """
    encoder = model.text_encoder
    if not encoder.keep_end:
        raise ValueError(
            'text_encoder.keep_end=False cannot be exported: a tokenizer keeps the '
            'end mark when it cuts a long sentence'
        )
    tokenizer = Tokenizer.from_str(encoder.tokenizer.to_str())
    tokenizer.enable_truncation(encoder.max_tokens)
    pad_id = encoder.bert.config.pad_token_id or 0
    tokenizer.enable_padding(
        pad_id=pad_id,
        pad_token=tokenizer.id_to_token(pad_id) or '[PAD]',
        length=encoder.max_tokens if encoder.pad_to_max else None,
    )
    return tokenizer


def describe_model(
    model: nn.Module,
    shape: tuple[int, int],
    dynamic_size: bool,
    antialias: bool,
    mask_shape: tuple[int, ...],
) -> dict:
    """Facts that a program without this package needs.

    Args:
        model: A :class:`~mmcadformer.models.ReferringSegmentor`.
        shape: Height and width that the model works at.
        dynamic_size: Whether other sizes are possible, too.
        antialias: Whether images are smoothed when they are made smaller.
        mask_shape: Shape of an example of the text mask.

    Returns:
        Plain values for JSON.
    """
    # Encoders that tell phrases apart take one mask for each kind of them.
    kinds = ''.join(f'{size}, ' for size in mask_shape[1:-1])
    return dict(
        package=f'mmcadformer {__version__}',
        inputs=dict(
            image='float32 (batch, 3, height, width), RGB, 0...255',
            input_ids='int64 (batch, tokens)',
            text_mask=f'bool (batch, {kinds}tokens), true on real tokens',
        ),
        outputs=dict(probability='float32 (batch, height, width), of the target'),
        size=list(shape),
        dynamic_size=dynamic_size,
        antialias=antialias,
        # How its result is enlarged, to equal the package's own.
        align_corners=model.decode_head.align_corners,
        threshold=0.5,
        max_tokens=model.text_encoder.max_tokens,
    )
