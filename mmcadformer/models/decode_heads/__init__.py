# SPDX-License-Identifier: Apache-2.0
"""Decoders from multi-scale features (and text) to mask logits."""

from .presence_head import PresenceHead
from .referring_head import ReferringDecodeHead
from .tcmd_head import TCMDHead

__all__ = ['PresenceHead', 'ReferringDecodeHead', 'TCMDHead']
