# SPDX-License-Identifier: Apache-2.0
"""The contract between a staged backbone and the fusion that it runs per stage."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from mmseg.utils import ConfigType
from torch import Tensor, nn

HW = tuple[int, int]
"""Height and width of a stage's features."""


class FusionOutput(NamedTuple):
    """What a fusion hands on."""

    to_decoder: Tensor  # for neck and decode head (B, H*W, C_i)
    to_next_stage: Tensor  # for patch merging and the next stage (B, H*W, C_i)
    text: Tensor  # for the next stage (B, N, C_t)


class WordAttention(NamedTuple):
    """Who attends to whom at one stage; None where a fusion has no such part.

    Each row sums to 1.
    """

    pixels_to_words: Tensor | None = None  # (B, H*W, N)
    words_to_pixels: Tensor | None = None  # (B, N, H*W)


class StageFusion(BaseModule):
    """Base class of the vision-language fusion after each backbone stage.

    The backbone builds one for each stage, from its ``fusion`` config. That config
    holds a subclass's own keys; the arguments below are the same for all fusions,
    come from the backbone, and are documented here only.

    Args:
        visual_channels: C_i, channels of the stage.
        text_channels: C_t, channels of the token features.
        text_used_later: Whether a later part reads the language features that this
            stage returns. If not, build no parameters that only feed them: they would
            never get a gradient.
        visual_used_later: The same for ``to_next_stage``; False on the last stage.
    """

    # Whether `forward` takes what entered the stage's blocks, too, as `stage_input`
    # (B, H*W, C_i).
    needs_stage_input = False
    # Whether a fusion that refines the language features reads them at unit scale.
    steady_language = False

    def init_weights(self) -> None:
        """Keep the variance from layer to layer (normal, 1 / fan-in).

        Swin's own initialisation would set all linear layers of the backbone to
        truncated normal 0.02. A feature that passes projections, a product and a
        gate then arrives a thousand times too small, and a decoder that reads gated
        features starts with next to nothing.
        """
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
                nn.init.kaiming_normal_(module.weight, nonlinearity='linear')
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @abstractmethod
    def forward(
        self, visual: Tensor, hw_shape: HW, text: Tensor, text_mask: Tensor
    ) -> FusionOutput:
        """Fuse one stage.

        At the first stage ``visual`` may have a batch of one, one image for all B
        expressions: combine it with the text in ways that broadcast, and what
        depends on the image alone is computed once.

        Args:
            visual: V_i, the output of the stage's blocks (B, H*W, C_i).
            hw_shape: H and W.
            text: L_i, language features (B, N, C_t).
            text_mask: Bool (B, N), True on real tokens.
        """

    def word_attention(
        self, visual: Tensor, text: Tensor, text_mask: Tensor
    ) -> WordAttention:
        """The attention inside :meth:`forward`, averaged over heads, if any."""
        return WordAttention()


def build_fusions(
    fusion: ConfigType, channels: Sequence[int], text_channels: int, text_output: bool
) -> ModuleList:
    """One fusion for each stage, without what nothing reads after the last.

    Args:
        fusion: Config of a :class:`StageFusion`.
        channels: C_i of each stage.
        text_channels: C_t.
        text_output: Whether a later part reads the text that the last stage returns.
    """
    last = len(channels) - 1
    fusions = ModuleList()
    for i, visual_channels in enumerate(channels):
        stage_args = dict(
            visual_channels=visual_channels,
            text_channels=text_channels,
            text_used_later=text_output or i < last,
            visual_used_later=i < last,
        )
        fusions.append(MODELS.build({**fusion, **stage_args}))
    return fusions
