"""Text encoders, backbones, necks, decode heads and segmentors."""

from .backbones import CADFormerSwin, ReferringSwin
from .decode_heads import ReferringDecodeHead, TCMDHead
from .layers import SMGAM
from .necks import CrossScaleInteractionNeck
from .segmentors import ReferringSegmentor
from .text_encoders import BertTextEncoder

__all__ = [
    'SMGAM',
    'BertTextEncoder',
    'CADFormerSwin',
    'CrossScaleInteractionNeck',
    'ReferringDecodeHead',
    'ReferringSegmentor',
    'ReferringSwin',
    'TCMDHead',
]
