# SPDX-License-Identifier: Apache-2.0
"""The model in a form that PyTorch's exporters can write down.

Everything that differs from the model as it is trained is in this file. Each class
below computes the same numbers as the one it stands in for, from operations whose
sizes may stay open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.utils.embed import AdaptivePadding, PatchMerging
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..apis.runtimes import pad_tokens
from ..models import ReferringSegmentor
from ..models.backbones import ReferringSwin
from ..models.layers import AdaptiveRotatedConv2d, FusedShiftWindowMSA, FusedWindowMSA
from ..models.layers.adapters import merge_adapters
from ..models.layers.window_attention import shifted_window_mask
from ..models.necks.pooled_interaction import PooledInteractionNeck

# Dimensions of positions in sequences (B, N, C) and in maps (B, H, W, C).
_POSITIONS = (1, (1, 2))
_PART = 64


class ExportableSegmentor(nn.Module):
    """From RGB pixels and token ids to the probability of each pixel.

    A copy of the model, with normalisation and the upsampling to the image's size. With
    a presence head it says, too, how probable it is that there is a target at all;
    ``outputs`` names what it gives.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: ReferringSegmentor) -> None:
        super().__init__()
        copied = deepcopy(model)
        merge_adapters(copied)
        self.model = _replace_parts(copied)
        preprocessor = model.data_preprocessor
        has_head = model.decode_head.presence is not None
        self.outputs = ('probability', 'presence') if has_head else ('probability',)
        self.takes_bgr = not _swaps_channels(preprocessor)
        mean = getattr(preprocessor, 'mean', torch.zeros(3, 1, 1))
        std = getattr(preprocessor, 'std', torch.ones(3, 1, 1))
        self.register_buffer('mean', mean.detach().clone())
        self.register_buffer('std', std.detach().clone())
        self.eval().requires_grad_(False)

    def forward(
        self, image: Tensor, input_ids: Tensor, text_mask: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Probability of the target, float32 (B, H, W); with a head its presence (B,).

        Args:
            image: RGB, 0...255, float32 (B, 3, H, W).
            input_ids: Int64 (B, N).
            text_mask: Bool (B, N), True on real tokens; (B, 3, N) for encoders that
                tell phrases apart, as their ``complete_mask`` returns it.
        """
        if self.takes_bgr:
            image = image.flip(1)
        inputs = ((image - self.mean) / self.std, input_ids, text_mask)
        with PortableOperations():
            logits, presence = self.model.decode_with_presence(*inputs)
        logits = F.interpolate(
            logits,
            size=(image.shape[2], image.shape[3]),
            mode='bilinear',
            align_corners=self.model.decode_head.align_corners,
        )
        probability = logits.softmax(dim=1)[:, 1]
        return probability if presence is None else (probability, presence.sigmoid())


def read_sentences(
    model: ReferringSegmentor, sentences: Sequence[str], fill_up: bool
) -> tuple[Tensor, Tensor]:
    """Token ids (B, N) and their mask, on the processor.

    Args:
        model: The original.
        sentences: One for each sample.
        fill_up: Have as many tokens as a sentence may have.
    """
    encoder = model.text_encoder
    tokens = encoder.tokenize(list(sentences))
    ids, mask = tokens['input_ids'].cpu(), tokens['text_mask'].cpu()
    if not fill_up:
        return ids, mask
    return pad_tokens(ids, mask, encoder.max_tokens, encoder.pad_id)


def _swaps_channels(preprocessor: nn.Module) -> bool:
    """Whether a model works on RGB, though its preprocessor is given BGR.

    The preprocessor is tried out: OpenMMLab's and OneDL's name the attribute that says
    so differently.
    """
    device = next(preprocessor.buffers(), torch.zeros(())).device
    black = torch.zeros(3, 1, 1, device=device)
    blue = torch.tensor([255.0, 0, 0], device=device)[:, None, None]
    data = dict(inputs=[black, blue], data_samples=[SegDataSample(), SegDataSample()])
    last_of_black, last_of_blue = preprocessor(data)['inputs'][:, 2, 0, 0]
    return bool(last_of_black != last_of_blue)


class PortableOperations(TorchFunctionMode):
    """Runs operations that don't export well as others, while active.

    The ONNX exporter makes constants of the sizes that follow an ``unflatten``, so
    that a graph with open sizes would fit one size only. onnxruntime has no
    ``where`` for truth values, and adds the numbers of a mean one after the other,
    whose rounding errors become visible over the pixels of an image.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.unflatten:
            func = _reshape_one
        elif func is torch.where and args[1].dtype == torch.bool:
            func = _choose_truth
        elif func is torch.Tensor.mean and kwargs.get('dim') in _POSITIONS:
            func = _mean_in_parts
        return func(*args, **kwargs)


def _reshape_one(x: Tensor, dim: int, sizes: tuple[int, ...]) -> Tensor:
    dim %= x.dim()
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def _mean_in_parts(
    x: Tensor, dim: int | tuple[int, int], keepdim: bool = False
) -> Tensor:
    """The mean over positions, from sums of few numbers and the sum of those."""
    kept = x.dim() if keepdim else 0
    if dim == (1, 2):
        x = x.flatten(1, 2)
    count = x.shape[1]
    # Python's remainder of a negative number isn't ONNX's.
    missing = (_PART - count % _PART) % _PART
    rest = (0, 0) * (x.dim() - 2)
    parts = F.pad(x, (*rest, 0, missing)).unflatten(1, (-1, _PART))
    mean = parts.sum(dim=2).sum(dim=1) / count
    while mean.dim() < kept:
        mean = mean.unsqueeze(1)
    return mean


def _choose_truth(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return (condition & x) | (~condition & y)


class _PerTapRotatedConv2d(AdaptiveRotatedConv2d):
    """The kernels of a batch as nine matrix products, one for each tap.

    As one grouped convolution the number of groups would be the batch size, which a
    graph can't leave open.
    """

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2], x.shape[3]
        kernels = self.kernels(*self.routing(x))  # (B, out, in, 3, 3)
        kernels = kernels.permute(3, 4, 0, 1, 2).contiguous()
        padded = F.pad(x, (1, 1, 1, 1))
        out = torch.zeros((), dtype=x.dtype, device=x.device)
        for row in range(3):
            for column in range(3):
                shifted = padded[:, :, row : row + height, column : column + width]
                out = out + kernels[row, column] @ shifted.flatten(2)
        return out.unflatten(2, (height, width))


class _UncachedWindowAttention(FusedShiftWindowMSA):
    """The mask is part of the graph: a kept one would fit one size only."""

    def _mask(self, size: tuple[int, int], device: torch.device) -> Tensor:
        return shifted_window_mask(*size, self.window_size, self.shift_size, device)


class _SamplesAtOnce(FusedWindowMSA):
    """A loop over samples would write the batch size down."""

    @staticmethod
    def _goes_by_sample(x: Tensor) -> bool:
        return False


class _UnconditionalPadding(AdaptivePadding):
    """Pads by a computed amount, where the host asks whether to pad at all."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.stride
        # Python's remainder of a negative number isn't ONNX's.
        bottom = (rows - x.shape[2] % rows) % rows
        right = (columns - x.shape[3] % columns) % columns
        return F.pad(x, (0, right, 0, bottom))


class _ResizedPositions(ReferringSwin):
    """Resizes the absolute position embedding even where its size is right."""

    def _position_embedding(self, hw_shape: tuple[int, int]) -> Tensor:
        embedding = self.absolute_pos_embed.transpose(1, 2)
        embedding = F.interpolate(
            embedding.unflatten(2, self._position_grid),
            size=hw_shape,
            mode='bicubic',
            align_corners=False,
        )
        return embedding.flatten(2).transpose(1, 2)


class _ReshapedPatchMerging(PatchMerging):
    """2x2 patches by reshaping, in the channel order of the host's ``nn.Unfold``."""

    def forward(
        self, x: Tensor, input_size: tuple[int, int]
    ) -> tuple[Tensor, tuple[int, int]]:
        x = x.unflatten(1, tuple(input_size))  # (B, H, W, C)
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        x = x.unflatten(1, (-1, 2)).unflatten(3, (-1, 2))  # (B, h, 2, w, 2, C)
        x = x.permute(0, 1, 3, 5, 2, 4).flatten(3)
        size = (x.shape[1], x.shape[2])
        return self.reduction(self.norm(x.flatten(1, 2))), size


class _MatrixPooling(PooledInteractionNeck):
    """Adaptive pooling as a product with two matrices.

    ONNX has adaptive pooling only to a divisor of the map's size.
    """

    def pool(self, x: Tensor, grid: int | tuple[int, int]) -> Tensor:
        rows, columns = (grid, grid) if isinstance(grid, int) else grid
        left = self._weights(x.shape[2], rows, x)
        right = self._weights(x.shape[3], columns, x)
        return left @ x @ right.t()

    @staticmethod
    def _weights(size: int, cells: int, like: Tensor) -> Tensor:
        """(cells, size): row i averages from floor(i s / c) to ceil((i + 1) s / c)."""
        cell = torch.arange(cells, device=like.device).unsqueeze(1)
        position = torch.arange(size, device=like.device)
        start = cell * size // cells
        end = ((cell + 1) * size + (cells - 1)) // cells
        inside = (position >= start) & (position < end)
        return inside.to(like.dtype) / (end - start).to(like.dtype)


_REPLACEMENTS: dict[type[nn.Module], type] = {
    AdaptiveRotatedConv2d: _PerTapRotatedConv2d,
    FusedShiftWindowMSA: _UncachedWindowAttention,
    FusedWindowMSA: _SamplesAtOnce,
    AdaptivePadding: _UnconditionalPadding,
    ReferringSwin: _ResizedPositions,
    PatchMerging: _ReshapedPatchMerging,
    PooledInteractionNeck: _MatrixPooling,
}


def _replace_parts(model: ReferringSegmentor) -> ReferringSegmentor:
    """Changes the classes of a model's modules in place; weights stay."""
    for module in model.modules():
        for original, stand_in in _REPLACEMENTS.items():
            if isinstance(module, original):
                name = f'Exportable{type(module).__name__}'
                module.__class__ = type(name, (stand_in, type(module)), {})
    return model
