# SPDX-License-Identifier: Apache-2.0
"""The contract between a staged backbone and the fusion that it runs per stage."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

from mmengine.model import BaseModule
from torch import Tensor, nn


class FusionOutput(NamedTuple):
    """What a fusion hands on.

    Attributes:
        to_decoder (Tensor): Features for neck and decode head (B, H*W, C).
        to_next_stage (Tensor): Features for patch merging and the next stage
            (B, H*W, C).
        text (Tensor): Language features for the next stage (B, N, C_t).
    """

    to_decoder: Tensor
    to_next_stage: Tensor
    text: Tensor


class WordAttention(NamedTuple):
    """Who attends to whom at one stage; None where a fusion has no such part.

    Attributes:
        pixels_to_words (Tensor, optional): (B, H*W, N); each row sums to 1.
        words_to_pixels (Tensor, optional): (B, N, H*W); each row sums to 1.
    """

    pixels_to_words: Tensor | None = None
    words_to_pixels: Tensor | None = None


class StageFusion(BaseModule):
    """Base class of the vision-language fusion after each backbone stage.

    A subclass is built with ``visual_channels``, ``text_channels``,
    ``text_used_later`` and ``visual_used_later`` (False on the last stage, whose
    ``to_next_stage`` nobody reads: build no parameters that only feed it) plus its
    own keys from the config.

    Attributes:
        needs_stage_input (bool): Whether :meth:`forward` takes the features that
            entered the stage's blocks, too, as ``stage_input`` (B, H*W, C).
    """

    needs_stage_input = False

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
        self,
        visual: Tensor,
        hw_shape: tuple[int, int],
        text: Tensor,
        text_mask: Tensor,
    ) -> FusionOutput:
        """Fuse one stage.

        At the first stage ``visual`` may have a batch of one, one image for all B
        expressions: combine it with the text in ways that broadcast, and what
        depends on the image alone is computed once.

        Args:
            visual (Tensor): Output of the stage's blocks (B, H*W, C).
            hw_shape (tuple[int, int]): H and W.
            text (Tensor): Language features (B, N, C_t).
            text_mask (Tensor): Bool (B, N), True on real tokens.

        Returns:
            FusionOutput: Features for decoder, next stage, and the language side.
        """

    def word_attention(
        self, visual: Tensor, text: Tensor, text_mask: Tensor
    ) -> WordAttention:
        """The attention inside :meth:`forward`, averaged over heads, to look at.

        Args:
            visual, text, text_mask: As in :meth:`forward`.

        Returns:
            WordAttention: Empty unless a subclass has something to show.
        """
        return WordAttention()
