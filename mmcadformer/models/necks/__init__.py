# SPDX-License-Identifier: Apache-2.0
"""Parts between backbone and decode head."""

from .cross_scale_interaction import CrossScaleInteractionNeck
from .guided_multiscale import GuidedMultiScaleNeck
from .text_aware_multiscale import TextAwareMultiScaleNeck

__all__ = [
    'CrossScaleInteractionNeck',
    'GuidedMultiScaleNeck',
    'TextAwareMultiScaleNeck',
]
