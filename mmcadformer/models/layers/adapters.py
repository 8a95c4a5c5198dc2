# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters (LoRA) in a pretrained part, by ``peft``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ...utils.checkpoint import weights_digest

_KEYS = {'rank', 'alpha', 'dropout', 'target_modules'}
# In the name of every weight of an adapter.
_MARK = 'lora_'


def add_adapters(
    part: nn.Module, lora: Mapping[str, Any], key: str, base: tuple[str, str | None]
) -> None:
    """Puts adapters beside linear layers, and freezes all else of a part.

    W x becomes W x + (alpha / rank) B A x with B = 0 at first (Hu et al. 2022, "LoRA",
    Sec. 4.1). Weights without adapters load as before.

    Args:
        part: Changed in place.
        lora: ``rank``, ``target_modules`` (ends of names, or one regular expression),
            and ``alpha`` (default: ``rank``) and ``dropout`` (default: 0).
        key: Of the config, for messages.
        base: Key of the config that names the weights of the part, and its value.

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
        parameter.requires_grad_(is_adapter(name))
    vars(part)['adapter_base'] = base
    for module in part.modules():
        if _is_adapted(module):
            module.register_load_state_dict_pre_hook(_take_plain_weights)


def load_plain_weights(part: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads all weights of a part but its adapters, which stay.

    Raises:
        RuntimeError: Some are missing, unknown or of another shape.
    """
    own = {name: v for name, v in part.state_dict().items() if is_adapter(name)}
    part.load_state_dict({**own, **state})


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
    for _, part in adapted_parts(model):
        del vars(part)['adapter_base']
    return len(adapted)


def adapted_parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Names and modules of the parts that :func:`add_adapters` was called for."""
    return [(n, m) for n, m in model.named_modules() if 'adapter_base' in vars(m)]


def is_adapter(name: str) -> bool:
    """Whether a weight of this name belongs to an adapter."""
    return _MARK in name


def base_weights(model: nn.Module) -> dict[str, Tensor]:
    """What adapters stand beside: the frozen weights of their parts, by full name."""
    return {
        f'{name}.{key}': value.detach()
        for name, part in adapted_parts(model)
        for key, value in part.named_parameters()
        if not value.requires_grad
    }


def describe_base(model: nn.Module) -> dict[str, dict[str, str | None]]:
    """What tells a base from any other, for each part with adapters.

    Returns:
        Part -> ``sha256`` of the names that the weights have without adapters, and of
        their values; ``source`` and ``key``, their file or hub name and where the
        config has it.
    """
    own = getattr(model, 'init_cfg', None)
    whole = own.get('checkpoint') if isinstance(own, Mapping) else None
    found = {}
    for name, part in adapted_parts(model):
        key, source = vars(part)['adapter_base']
        if whole is not None:
            key, source = 'model.init_cfg.checkpoint', whole
        plain = {
            key.replace('.base_layer.', '.'): value
            for key, value in sorted(base_weights(part).items())
        }
        digest = weights_digest(plain).hexdigest()
        found[name] = dict(sha256=digest, source=source, key=key)
    return found


def add_base(model: Any, checkpoint: dict[str, Any], path: object) -> bool:
    """Completes a file of adapters alone by their base; leaves any other as it is.

    The base is that of the model. A model that has only random weights yet is
    initialised as its config says.

    Args:
        model: The one that the file is for.
        checkpoint: Content of the file, changed in place: ``state_dict`` and ``meta``.
        path: What messages call the file.

    Returns:
        Whether it is a file of adapters alone.

    Raises:
        ValueError: The model has another base, or no adapters.
        RuntimeError: The base that the config names can't be had.
    """
    wanted = checkpoint.get('meta', {}).get('adapter_base')
    if not isinstance(wanted, dict):
        return False
    found = describe_base(model)
    if not _is_same(found, wanted) and not getattr(model, 'is_init', True):
        model.init_weights()
        found = describe_base(model)
    if not _is_same(found, wanted):
        raise ValueError(_other_base(path, wanted, found))
    checkpoint['state_dict'] = {**base_weights(model), **checkpoint['state_dict']}
    return True


def _is_same(found: dict[str, dict], wanted: dict[str, dict]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[part]['sha256'] == wanted[part].get('sha256') for part in wanted
    )


def _other_base(path: object, wanted: dict[str, dict], found: dict[str, dict]) -> str:
    """Names the base that a file is for, and the one that is there."""
    if found.keys() != wanted.keys():
        return (
            f'{path} holds the adapters of {", ".join(wanted)} alone, but lora in the '
            f'config puts them in {", ".join(found) or "no part"}: use the config that '
            'it was trained with'
        )
    part = next(p for p in wanted if wanted[p].get('sha256') != found[p]['sha256'])
    base, other = wanted[part], found[part]
    return (
        f'{path} holds adapters alone. Those of {part} belong to the weights of '
        f'{base.get("source")!r} with SHA-256 {str(base.get("sha256"))[:16]}..., but '
        f'{other["source"]!r} gives {other["sha256"][:16]}...: name the right ones by '
        f'--cfg-options {other["key"]}=PATH'
    )


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
