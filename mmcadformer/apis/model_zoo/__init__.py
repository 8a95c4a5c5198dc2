# SPDX-License-Identifier: Apache-2.0
"""Models that others have released, by name and in the form of this package."""

from .zoo import (
    ReleasedModel,
    find_model,
    is_model_name,
    list_models,
    open_model,
    released_config,
)

__all__ = [
    'ReleasedModel',
    'find_model',
    'is_model_name',
    'list_models',
    'open_model',
    'released_config',
]
