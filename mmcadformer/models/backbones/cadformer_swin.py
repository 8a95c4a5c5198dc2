# SPDX-License-Identifier: Apache-2.0
"""The encoder of CADFormer (Sec. IV-A and IV-B)."""

from __future__ import annotations

from typing import Any

from mmseg.registry import MODELS
from mmseg.utils import ConfigType

from .referring_swin import ReferringSwin


@MODELS.register_module()
class CADFormerSwin(ReferringSwin):
    """Swin Transformer with SMGAM after each stage, Eqs. (1)-(9).

    Each refined map V_i' passes a LayerNorm on its way to the decoder, as in the
    released code of CADFormer and its relatives (the paper doesn't mention it).

    Args:
        lgvla: Language-guided vision alignment (Table V).
        vglva: Vision-guided language alignment (Table V).
        num_heads_fusion: Attention heads in both. The released code uses one.
        fusion_norm: Keep the family's instance norms over pixels and the extra 1x1
            convolution, see :class:`~mmcadformer.models.fusions.LGVLA`.
        fusion_gate: Gate the refined features, Eqs. (4) and (8).
        gated_to_decoder: Give the decoder V_i' after the gate, as the paper has it.
        fusion: Another fusion in SMGAM's place, see :class:`ReferringSwin`. The keys
            above are SMGAM's and can't be set beside it.
        text_output, **kwargs: Keys of :class:`ReferringSwin` and of mmseg's
            ``SwinTransformer``.
    """

    def __init__(
        self,
        lgvla: bool = True,
        vglva: bool = True,
        num_heads_fusion: int = 1,
        fusion_norm: bool = True,
        fusion_gate: bool = True,
        gated_to_decoder: bool = True,
        fusion: ConfigType | None = None,
        text_output: bool = True,
        **kwargs: Any,
    ) -> None:
        smgam = dict(
            lgvla=lgvla,
            vglva=vglva,
            num_heads=num_heads_fusion,
            norm=fusion_norm,
            gate=fusion_gate,
            gated_to_decoder=gated_to_decoder,
        )
        if fusion is None:
            if vglva and not lgvla and not text_output:
                raise ValueError(
                    'backbone.vglva=True refines text that neither LGVLA '
                    '(lgvla=False) nor a decoder (text_output=False) reads: turn one '
                    'of them on, or vglva off'
                )
            fusion = dict(smgam, type='SMGAM')
        elif any(value != 1 for value in smgam.values()):
            raise ValueError(
                f'backbone.fusion={dict(fusion)} takes the place of SMGAM, whose keys '
                '(lgvla, vglva, num_heads_fusion, fusion_norm, fusion_gate, '
                'gated_to_decoder) have no effect then: put settings of a fusion '
                'into backbone.fusion itself'
            )
        super().__init__(fusion=fusion, text_output=text_output, **kwargs)
