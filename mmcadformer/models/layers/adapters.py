# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters (LoRA) in a pretrained part, by ``peft``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

_KEYS = {'rank', 'alpha', 'dropout', 'target_modules'}


def add_adapters(part: nn.Module, lora: Mapping[str, Any], key: str) -> None:
    """Puts adapters beside linear layers, and freezes all else of a part.

    W x becomes W x + (alpha / rank) B A x with B = 0 at first (Hu et al. 2022, "LoRA",
    Sec. 4.1). Weights without adapters load as before.

    Args:
        part: Changed in place.
        lora: ``rank``, ``target_modules`` (ends of names, or one regular expression),
            and ``alpha`` (default: ``rank``) and ``dropout`` (default: 0).
        key: Of the config, for messages.

    Raises:
        ImportError: peft isn't installed.
        ValueError: A key is unknown or missing, or no layer has such a name.
    """
    unknown = lora.keys() - _KEYS
    missing = {'rank', 'target_modules'} - lora.keys()
    if unknown or missing:
        raise ValueError(
            f'{key} takes {sorted(_KEYS)}; unknown: {sorted(unknown)}, missing: '
            f'{sorted(missing)}'
        )
    peft = _import_peft(key)
    targets = lora['target_modules']
    config = peft.LoraConfig(
        r=lora['rank'],
        lora_alpha=lora.get('alpha', lora['rank']),
        lora_dropout=lora.get('dropout', 0.0),
        target_modules=targets if isinstance(targets, str) else list(targets),
    )
    try:
        peft.inject_adapter_in_model(config, part)
    except ValueError as error:
        raise ValueError(f'{key}: {str(error).splitlines()[0]}') from None
    for name, parameter in part.named_parameters():
        parameter.requires_grad_('lora_' in name)
    for module in part.modules():
        if _is_adapted(module):
            module.register_load_state_dict_pre_hook(_take_plain_weights)


def merge_adapters(model: nn.Module) -> int:
    """Adds adapters to the weights that they stand beside, and takes them out.

    Args:
        model: Changed in place.

    Returns:
        How many layers had some.
    """
    adapted = [(n, m) for n, m in model.named_modules() if _is_adapted(m)]
    for name, module in adapted:
        module.merge(safe_merge=True)
        owner, _, leaf = name.rpartition('.')
        setattr(model.get_submodule(owner), leaf, module.get_base_layer())
    return len(adapted)


def _is_adapted(module: nn.Module) -> bool:
    """Whether a module is one of peft's, told without importing it."""
    return hasattr(module, 'lora_A') and hasattr(module, 'get_base_layer')


def _take_plain_weights(
    module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any
) -> None:
    """Lets weights of a layer without adapters into one that has some."""
    for name in ('weight', 'bias'):
        if f'{prefix}{name}' in state_dict:
            state_dict[f'{prefix}base_layer.{name}'] = state_dict.pop(f'{prefix}{name}')


def _import_peft(key: str) -> Any:
    try:
        return importlib.import_module('peft')
    except ImportError as error:
        raise ImportError(
            f"{key} needs peft ({error}): pip install -e '.[lora]'"
        ) from error
