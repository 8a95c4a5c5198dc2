# SPDX-License-Identifier: Apache-2.0
"""Sizes of a Transformers model: from a config, a folder, or a hub.

A folder or a hub is only asked where the config doesn't say all, so that a resolved
config builds the model anywhere, without a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, PretrainedConfig

from .log import warn

# Of the machine that wrote the file, not of the model.
_NOT_SIZES = (
    *('transformers_version', '_name_or_path', 'architectures', 'dtype'),
    *('torch_dtype', 'return_dict', 'auto_map'),
)


# Whose sizes are the defaults of their type.
_KNOWN = ('bert-base-uncased', 'google-bert/bert-base-uncased')
# Registered text encoders -> the model type where their config names none.
_ENCODERS = {
    'TransformersTextEncoder': None,
    'BertTextEncoder': 'bert',
    'PhraseBertTextEncoder': 'bert',
}
# Not among those that transformers knows by name.
_TEXT_HALVES = {
    'siglip_text_model': 'SiglipTextConfig',
    'siglip2_text_model': 'Siglip2TextConfig',
}


def read_config(
    pretrained: str | None,
    own: Mapping[str, Any] | None,
    key: str,
    part: str,
    default_type: str | None = None,
) -> PretrainedConfig:
    """The config of a model, completed by what its weights say.

    Args:
        pretrained: Folder or hub name of the weights; None for none.
        own: Keys of the config; they win. With ``model_type`` they are the whole
            config where ``pretrained`` is no folder.
        key: Where ``own`` stands, for messages, e.g. 'model.text_encoder'.
        part: Of a model of image and text, 'text_config' or 'vision_config'.
        default_type: The model type where nothing names one.

    Raises:
        RuntimeError: The hub can't be asked, or the folder has no config.
        ValueError: The model type is unknown, or none is named.
    """
    settings = _plain(own or {})
    if pretrained is not None and Path(pretrained).expanduser().is_dir():
        found = _ask(str(Path(pretrained).expanduser()), key)
        settings = {**_part(found, part), **settings}
    elif (
        pretrained is not None
        and pretrained not in _KNOWN
        and not _is_whole(settings, default_type)
    ):
        settings = {**_part(_ask(pretrained, key), part), **settings}
    kind = settings.pop('model_type', None) or default_type
    if kind is None and pretrained in _KNOWN:
        kind = 'bert'
    if kind is None:
        raise ValueError(
            f'{key}.config names no model_type: give it, or name weights by '
            f'{key}.pretrained'
        )
    try:
        config = _config_class(kind)(**settings)
    except (ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise ValueError(f'{key}.config.model_type={kind!r}: {reason}') from None
    _warn_unknown(config, own or {}, key)
    return config


def resolve_sizes(model: dict[str, Any]) -> None:
    """Writes into a model's config what the weights that it names say of their sizes.

    Args:
        model: With ``text_encoder`` and ``backbone``; changed in place. Parts that
            know their sizes, or take none from a folder or hub, stay as they are.

    Raises:
        RuntimeError, ValueError: See :func:`read_config`.
    """
    encoder = model.get('text_encoder') or {}
    kind = str(encoder.get('type'))
    name = encoder.get('pretrained')
    if kind in _ENCODERS and name is not None and name not in _KNOWN:
        found = read_config(
            name,
            encoder.get('config'),
            'model.text_encoder',
            'text_config',
            _ENCODERS[kind],
        )
        encoder['config'] = sizes(found)
    host = (model.get('backbone') or {}).get('host') or {}
    if host.get('type') == 'TransformersBackbone' and host.get('pretrained'):
        found = read_config(
            host['pretrained'],
            host.get('config'),
            'model.backbone.host',
            'vision_config',
        )
        host['config'] = sizes(found)


def sizes(config: PretrainedConfig) -> dict[str, Any]:
    """Everything that builds the model anew, as plain values."""
    values = config.to_diff_dict()
    return {k: v for k, v in values.items() if k not in _NOT_SIZES}


def _config_class(kind: str) -> type[PretrainedConfig]:
    if kind in _TEXT_HALVES:
        return getattr(transformers, _TEXT_HALVES[kind])
    if kind not in CONFIG_MAPPING:
        raise ValueError(f'transformers {transformers.__version__} has no such model')
    return CONFIG_MAPPING[kind]


def _is_whole(settings: Mapping[str, Any], default_type: str | None) -> bool:
    if 'model_type' in settings:
        return True
    return default_type is not None and 'vocab_size' in settings


def _ask(source: str, key: str) -> dict[str, Any]:
    try:
        found, _ = PretrainedConfig.get_config_dict(source)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RuntimeError(
            f'{key}.pretrained: cannot load the config of {source!r} ({reason}). Give '
            f'a local folder by --cfg-options {key}.pretrained=PATH'
        ) from error
    if not found.get('model_type'):
        raise RuntimeError(
            f'{key}.pretrained: {source!r} has no config.json that names a model_type: '
            'give a folder as save_pretrained writes it'
        )
    return found


def _part(found: dict[str, Any], part: str) -> dict[str, Any]:
    """The part of a model of two that is wanted; all of any other."""
    if part not in found:
        return found
    values = dict(found[part])
    if found['model_type'] in ('clip', 'siglip', 'siglip2'):
        half = part.removesuffix('_config')
        values['model_type'] = f'{found["model_type"]}_{half}_model'
    return values


def _plain(value: Any) -> Any:
    """Containers of MMEngine's configs as Python's own."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _warn_unknown(config: PretrainedConfig, own: Mapping[str, Any], key: str) -> None:
    known = type(config)()
    unknown = sorted(name for name in own if not hasattr(known, name))
    if unknown:
        warn(
            f'{key}.config: {config.model_type} has no {", ".join(unknown)}; without '
            'effect'
        )
