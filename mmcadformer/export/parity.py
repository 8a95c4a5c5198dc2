# SPDX-License-Identifier: Apache-2.0
"""Does an exported file give what the model gives?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor

from ..models import ReferringSegmentor

TOLERANCE = 1e-3
EXPRESSIONS = (
    ('bridge',),
    ('a swimming pool', 'the white vehicle to the right of the baseball field'),
    ('the large storage tank', 'the second ship from the top', 'an airplane'),
)

Runner = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass
class Parity:
    """One comparison.

    Attributes:
        batch: Images and expressions.
        size: Height and width.
        tokens: Length of the longest expression.
        difference: Largest absolute difference of two probabilities.
    """

    batch: int
    size: tuple[int, int]
    tokens: int
    difference: float


@torch.no_grad()
def check_parity(
    model: ReferringSegmentor,
    runner: Runner,
    sizes: Sequence[tuple[int, int]],
    expressions: Sequence[Sequence[str]] = EXPRESSIONS,
) -> list[Parity]:
    """Compares a runner with the model on random images, of large and small shapes.

    Args:
        model: The :class:`~mmcadformer.models.ReferringSegmentor`.
        runner: From image (B, 3, H, W), token ids (B, N) and mask (B, N) to
            probabilities (B, H, W), as
            :class:`~mmcadformer.export.ExportableSegmentor`; on the CPU.
        sizes: Heights and widths; every batch of expressions is tried at each.
        expressions: Batches of sentences.

    Returns:
        One entry per size and batch.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    results = []
    for size in sizes:
        for batch in expressions:
            tokens = model.text_encoder.tokenize(list(batch))
            image = _random_image(len(batch), size, generator)
            expected = _probability(model, image.to(device), tokens).cpu()
            found = runner(image, tokens['input_ids'].cpu(), tokens['text_mask'].cpu())
            difference = (found - expected).abs().max().item()
            length = tokens['input_ids'].shape[1]
            results.append(Parity(len(batch), size, length, difference))
    return results


def _random_image(
    count: int, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Areas of some colours under noise, (B, 3, H, W) in 0...255.

    Noise alone averages out over a window, and all positions would look the same.
    """
    cells = [max(2, length // 24) for length in size]
    areas = torch.rand(count, 3, *cells, generator=generator)
    areas = resize(areas, size=size, mode='bilinear', warning=False)
    noise = torch.rand(count, 3, *size, generator=generator)
    return (255 * (0.8 * areas + 0.2 * noise)).round()


def _probability(
    model: ReferringSegmentor, images: Tensor, tokens: dict[str, Tensor]
) -> Tensor:
    """What the model itself says, one image after the other, which takes less room."""
    found = []
    for i, image in enumerate(images):
        # From its own preprocessing on, which takes BGR, as files are loaded.
        data = dict(inputs=[image.flip(0)], data_samples=[SegDataSample()])
        inputs = model.data_preprocessor(data)['inputs']
        logits = resize(
            model.decode(inputs, **{name: v[i : i + 1] for name, v in tokens.items()}),
            size=image.shape[1:],
            mode='bilinear',
            align_corners=model.decode_head.align_corners,
            warning=False,
        )
        found.append(logits.softmax(dim=1)[:, 1])
    return torch.cat(found)
