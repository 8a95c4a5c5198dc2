# SPDX-License-Identifier: Apache-2.0
"""Models built for measurements, for which their weights don't matter."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from ..models import ReferringSegmentor

_BERT_VOCABULARY = 30522


def without_weights(cfg: Config, tokens: int) -> Config:
    """A config whose model is built with random weights; nothing is downloaded.

    A text encoder with a vocabulary from a hub cuts words by the one in this package,
    and keeps the size of its embedding.

    Args:
        cfg: Config of a run; it stays as it is.
        tokens: Longest expression that the model has to take.

    Returns:
        The config, with another ``model.text_encoder``.
    """
    cfg = Config(cfg.to_dict())
    text_encoder = cfg.model.text_encoder
    if text_encoder.get('vocab') is None:
        options = dict(text_encoder.get('config') or {})
        options.setdefault('vocab_size', _BERT_VOCABULARY)
        text_encoder.update(vocab='remote_sensing', pretrained=None, config=options)
    text_encoder.max_tokens = max(tokens, text_encoder.get('max_tokens', 20))
    return cfg


def build_without_weights(
    cfg: Config, tokens: int, device: str = 'cpu'
) -> ReferringSegmentor:
    """Builds :func:`without_weights` a model in evaluation mode, on a device."""
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    torch.manual_seed(0)
    with warnings.catch_warnings():
        # mmseg's about losses, which don't matter here.
        warnings.simplefilter('ignore', UserWarning)
        model = MODELS.build(without_weights(cfg, tokens).model)
    return model.to(device).eval()


def random_inputs(
    shape: tuple[int, int], tokens: int, batch_size: int = 1, device: str = 'cpu'
) -> dict[str, Any]:
    """Keyword arguments of a referring segmentor that takes tensors.

    Args:
        shape: Height and width of the images in pixels.
        tokens: Tokens of each expression, none of them padding.
        batch_size: Images, each with one expression.
        device: Where to put them.
    """
    size = (batch_size, tokens)
    return dict(
        inputs=torch.randn(batch_size, 3, *shape, device=device),
        mode='tensor',
        input_ids=torch.zeros(size, dtype=torch.long, device=device),
        text_mask=torch.ones(size, dtype=torch.bool, device=device),
    )
