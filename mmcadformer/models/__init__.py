# SPDX-License-Identifier: Apache-2.0
"""Text encoders, backbones, necks, decode heads and segmentors."""

from .backbones import (
    CADFormerSwin,
    ReferringBackbone,
    ReferringSwin,
    ReferringViT,
    TimmBackbone,
    TransformersBackbone,
)
from .decode_heads import ReferringDecodeHead, TCMDHead
from .fusions import FIAM, PWAM, SMGAM, ReleasedSMGAM, RMSINFusion
from .losses import MaskedCrossEntropyLoss, MaskedDiceLoss, SummedDiceLoss
from .necks import (
    CrossScaleInteractionNeck,
    GuidedMultiScaleNeck,
    TextAwareMultiScaleNeck,
)
from .segmentors import ReferringSegmentor
from .text_encoders import (
    BertTextEncoder,
    PhraseBertTextEncoder,
    TransformersTextEncoder,
)

__all__ = [
    'FIAM',
    'PWAM',
    'SMGAM',
    'BertTextEncoder',
    'CADFormerSwin',
    'CrossScaleInteractionNeck',
    'GuidedMultiScaleNeck',
    'PhraseBertTextEncoder',
    'RMSINFusion',
    'ReferringBackbone',
    'ReferringDecodeHead',
    'ReferringSegmentor',
    'ReferringSwin',
    'ReferringViT',
    'ReleasedSMGAM',
    'MaskedCrossEntropyLoss',
    'MaskedDiceLoss',
    'SummedDiceLoss',
    'TCMDHead',
    'TextAwareMultiScaleNeck',
    'TimmBackbone',
    'TransformersBackbone',
    'TransformersTextEncoder',
]
