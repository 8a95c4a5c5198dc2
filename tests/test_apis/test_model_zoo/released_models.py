# SPDX-License-Identifier: Apache-2.0
"""The released networks as their descriptions have them, for comparison.

Written from ``projects/cadformer/methods.md``: layers under their released names and
in the released layouts (channels first for 1x1 convolutions, the official Swin
Transformer, reshapes where they are used). A test holds that the names are those of
the lists in ``tests/data/released``.
"""

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn
from transformers import BertConfig, BertModel


class WindowAttention(nn.Module):
    def __init__(self, dim, window, heads):
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(
            torch.randn((2 * window - 1) ** 2, heads)
        )
        axis = torch.arange(window)
        y, x = (g.flatten() for g in torch.meshgrid(axis, axis, indexing='ij'))
        rows = y[:, None] - y[None] + window - 1
        columns = x[:, None] - x[None] + window - 1
        self.register_buffer(
            'relative_position_index', rows * (2 * window - 1) + columns
        )
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x, mask):
        windows, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(windows, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / math.sqrt(dim // self.heads)
        bias = self.relative_position_bias_table[self.relative_position_index]
        scores = scores + bias.permute(2, 0, 1)
        if mask is not None:
            scores = scores.view(-1, len(mask), self.heads, tokens, tokens)
            scores = (scores + mask[None, :, None]).view(-1, self.heads, tokens, tokens)
        out = scores.softmax(dim=-1) @ v
        return self.proj(out.transpose(1, 2).reshape(windows, tokens, dim))


def partition(x, window):
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, window**2, c)


def merge(x, window, h, w):
    x = x.view(-1, h // window, w // window, window, window, x.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).reshape(len(x), h, w, -1)


class SwinTransformerBlock(nn.Module):
    def __init__(self, dim, heads, window, shift):
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, window, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.ModuleDict(
            dict(fc1=nn.Linear(dim, 4 * dim), fc2=nn.Linear(4 * dim, dim))
        )

    def forward(self, x, h, w):
        window, shift = self.window, self.shift
        y = self.norm1(x).view(len(x), h, w, -1)
        y = F.pad(y, (0, 0, 0, -w % window, 0, -h % window))
        height, width = y.shape[1:3]
        mask = None
        if shift:
            y = torch.roll(y, (-shift, -shift), (1, 2))
            regions = torch.zeros(1, height, width, 1)
            cuts = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
            for i, rows in enumerate(cuts):
                for j, columns in enumerate(cuts):
                    regions[:, rows, columns] = 3 * i + j
            parts = partition(regions, window)[..., 0]
            mask = torch.where(parts[:, None] == parts[:, :, None], 0.0, -100.0)
        y = merge(self.attn(partition(y, window), mask), window, height, width)
        if shift:
            y = torch.roll(y, (shift, shift), (1, 2))
        x = x + y[:, :h, :w].reshape(x.shape)
        return x + self.mlp['fc2'](F.gelu(self.mlp['fc1'](self.norm2(x))))


class PatchMerging(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(4 * dim)

    def forward(self, x, h, w):
        x = x.view(len(x), h, w, -1)
        x = F.pad(x, (0, 0, 0, w % 2, 0, h % 2))
        order = ((0, 0), (1, 0), (0, 1), (1, 1))
        x = torch.cat([x[:, i::2, j::2] for i, j in order], dim=-1)
        return self.reduction(self.norm(x.flatten(1, 2)))


class PatchEmbed(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 4, stride=4)
        self.norm = nn.LayerNorm(dim)

    def forward(self, images):
        x = self.proj(images)
        return self.norm(x.flatten(2).transpose(1, 2)), x.shape[2], x.shape[3]


def conv1d(inputs, outputs, norm=False):
    layers = [nn.Conv1d(inputs, outputs, 1)]
    return nn.Sequential(*layers, *([nn.InstanceNorm1d(outputs)] if norm else []))


class SpatialImageLanguageAttention(nn.Module):
    def __init__(self, dim, text):
        super().__init__()
        self.f_key = conv1d(text, dim)
        self.f_query = conv1d(dim, dim, norm=True)
        self.f_value = conv1d(text, dim)
        self.W = conv1d(dim, dim, norm=True)

    def forward(self, x, words, mask):
        """x (B, HW, C), words (B, T, N), mask (B, 1, N)."""
        q = self.f_query(x.transpose(1, 2)).transpose(1, 2)
        k, v = self.f_key(words) * mask, self.f_value(words) * mask
        scores = (q @ k) * q.shape[2] ** -0.5 + (1e4 * mask - 1e4)
        out = scores.softmax(dim=-1) @ v.transpose(1, 2)
        return self.W(out.transpose(1, 2)).transpose(1, 2)


class PWAM(nn.Module):
    def __init__(self, dim, text):
        super().__init__()
        self.vis_project = nn.Sequential(nn.Conv1d(dim, dim, 1), nn.GELU())
        self.image_lang_att = SpatialImageLanguageAttention(dim, text)
        self.project_mm = nn.Sequential(nn.Conv1d(dim, dim, 1), nn.GELU())

    def forward(self, x, words, mask):
        visual = self.vis_project(x.transpose(1, 2))
        attended = self.image_lang_att(x, words, mask).transpose(1, 2)
        return self.project_mm(visual * attended).transpose(1, 2)


def gate(dim):
    layers = (nn.Linear(dim, dim, bias=False), nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(dim, dim, bias=False), nn.Tanh())


def named(**layers):
    """Layers that run one after the other, by name."""
    return nn.Sequential(OrderedDict(layers))


class RepBlock(nn.Module):
    """Two steps of three branches on one channel; those of the second end in _2."""

    def __init__(self):
        super().__init__()
        for step in ('', '_2'):
            large = named(
                conv1=nn.Conv2d(1, 1, 1, bias=False), bn1=nn.BatchNorm2d(1),
                conv2=nn.Conv2d(1, 1, 3, padding=1, bias=False),
                bn2=nn.BatchNorm2d(1),
            )  # fmt: skip
            small = named(conv=nn.Conv2d(1, 1, 1, bias=False), bn=nn.BatchNorm2d(1))
            self.add_module(f'brb_3x3{step}', large)
            self.add_module(f'brb_1x1{step}', small)
            self.add_module(f'brb_identity{step}', nn.BatchNorm2d(1))

    def forward(self, u):
        u = torch.relu(self.brb_1x1(u) + self.brb_3x3(u) + self.brb_identity(u))
        return self.brb_1x1_2(u) + self.brb_3x3_2(u) + self.brb_identity_2(u)


class VisualResidual(nn.Module):
    def __init__(self):
        super().__init__()
        self.repblock = RepBlock()

    def forward(self, x, h, w):
        u = x.mean(dim=2).view(len(x), 1, h, w)
        weight = torch.sigmoid(self.repblock(u))
        return weight.view(len(x), h * w, 1) * x


class LAVTStage(nn.Module):
    """Blocks, fusion, gate and patch merging of one stage."""

    fusion_name, gate_name = 'fusion', 'res_gate'

    def __init__(self, dim, text, depth, heads, window, last):
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinTransformerBlock(dim, heads, window, window // 2 * (i % 2))
            for i in range(depth)
        )
        self.add_module(self.fusion_name, PWAM(dim, text))
        self.add_module(self.gate_name, gate(dim))
        self.build(dim, text)
        self.downsample = None if last else PatchMerging(dim)

    def build(self, dim, text):
        pass

    def forward(self, x, h, w, text):
        for block in self.blocks:
            x = block(x, h, w)
        fused = getattr(self, self.fusion_name)(x, *text['whole'])
        return fused, self.update(x, fused, h, w, text)

    def gated(self, fused):
        return getattr(self, self.gate_name)(fused) * fused

    def update(self, x, fused, h, w, text):
        return x + self.gated(fused)


class RMSINStage(LAVTStage):
    def build(self, dim, text):
        self.visual_residual = VisualResidual()
        self.visual_gate = gate(dim)

    def update(self, x, fused, h, w, text):
        r = self.visual_residual(x, h, w)
        return x + self.gated(fused) + self.visual_gate(r) * r


class ObjectPosition(nn.Module):
    def __init__(self, dim, text):
        super().__init__()
        self.go_cross_attn = SpatialImageLanguageAttention(dim, text)
        self.go_tanh_gating = gate(dim)
        self.go_embedding = nn.Linear(dim, dim, bias=False)  # never run
        self.sp_cross_attn = SpatialImageLanguageAttention(dim, text)
        self.conv1 = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x, h, w, text):
        o = self.go_cross_attn(x, *text['object'])
        o = self.go_tanh_gating(o) * o
        s = self.sp_cross_attn(x, *text['position'])
        maps = torch.stack([s.mean(dim=2), s.max(dim=2).values], dim=1)
        maps = self.conv1(maps.view(len(x), 2, h, w))
        return o * torch.sigmoid(maps).view(len(x), h * w, 1)


class FIANetStage(LAVTStage):
    fusion_name, gate_name = 'context_pixel_attn', 'context_tanh_gate'

    def build(self, dim, text):
        self.object_position_align_blk = ObjectPosition(dim, text)
        self.fc1 = nn.Linear(dim, dim // 8)
        self.fc2 = nn.Linear(dim // 8, dim)

    def update(self, x, fused, h, w, text):
        b = self.object_position_align_blk(x, h, w, text)
        c = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean(dim=1, keepdim=True)))))
        return x + c * (self.gated(fused) + b)


class LanguageImageAttention(nn.Module):
    """Words attend to pixels, with the mask's defect."""

    def __init__(self, dim, text):
        super().__init__()
        self.f_query = conv1d(text, text)
        self.f_key = conv1d(dim, text, norm=True)
        self.f_value = conv1d(dim, text, norm=True)
        self.W = conv1d(text, text, norm=True)

    def forward(self, words, x, additive):
        q = (self.f_query(words) * additive).transpose(1, 2)
        scores = (q @ self.f_key(x)) * words.shape[1] ** -0.5
        scores = scores + (1e4 * additive - 1e4).transpose(1, 2)
        out = scores.softmax(dim=-1) @ self.f_value(x).transpose(1, 2)
        return self.W(out.transpose(1, 2))


class VGLVA(nn.Module):
    def __init__(self, dim, text):
        super().__init__()
        self.vis_project = nn.Sequential(nn.Linear(text, text), nn.GELU())
        self.lang_image_att = LanguageImageAttention(dim, text)
        self.project_mm = nn.Sequential(nn.Conv1d(text, text, 1), nn.GELU())

    def forward(self, words, x, additive):
        """words (B, T, N), x (B, HW, C), additive mask (B, 1, N)."""
        out = self.lang_image_att(words, x.transpose(1, 2), additive)
        projected = self.vis_project(words.transpose(1, 2)).transpose(1, 2)
        return self.project_mm(out * projected)


class CADFormerStage(LAVTStage):
    """Builds a VGLVA for each stage's width and uses its own."""

    widths = None
    index = None

    def build(self, dim, text):
        self.visual_residual = VisualResidual()
        self.visual_gate = gate(dim)
        self.vglva = nn.ModuleList(VGLVA(c, text) for c in self.widths)
        self.res_gates2 = nn.ModuleList(gate(text) for _ in self.widths)
        self.norms = nn.ModuleList(nn.LayerNorm(text) for _ in self.widths)

    def forward(self, x, h, w, text):
        words, mask = text['whole']
        before = x
        fused, onward = super().forward(x, h, w, text)
        refined = self.vglva[self.index](words, before, (1 - mask) * -10000.0)
        refined = refined.transpose(1, 2)
        refined = self.res_gates2[self.index](refined) * refined
        text['whole'] = (words + refined.transpose(1, 2), mask)
        return fused, onward


class LinearBN(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.c = nn.Linear(inputs, outputs, bias=False)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x):
        x = self.c(x)
        return self.bn(x.flatten(0, 1)).reshape_as(x)


class TokenAttention(nn.Module):
    """Attention of all tokens, mixed down to those of the full resolution."""

    def __init__(self, dim, tokens, every):
        super().__init__()
        self.qkv = LinearBN(dim, 1024)
        self.parallel_conv = nn.Sequential(
            nn.Hardswish(), nn.Conv2d(512, 512, 3, padding=1, groups=512)
        )
        self.to_out = nn.Linear(512, dim)
        self.proj = nn.Linear(every, tokens)

    def forward(self, tokens, grid):
        b, every = tokens.shape[:2]
        q, k, v = self.qkv(tokens).view(b, every, 8, 128).split([32, 32, 64], dim=3)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        weights = (q @ k.transpose(2, 3) * 32**-0.5).softmax(dim=-1)
        out = (weights @ v).transpose(1, 2).reshape(b, every, 512)
        out = out.reshape(b, 512, every)  # no transpose: the defect
        values = v[:, :, : grid**2].reshape(b, 512, grid, grid)  # likewise
        out = self.proj(out) + self.parallel_conv(values).flatten(2)
        return self.to_out(out.transpose(1, 2))


class CrossScaleAttention(nn.Module):
    def __init__(self, dim, grid):
        super().__init__()
        self.grid = grid
        tokens = grid**2
        every = tokens + math.ceil(grid / 2) ** 2 + math.ceil(grid / 3) ** 2
        self.bn1 = nn.BatchNorm2d(dim)
        self.DWConv1 = nn.Sequential(
            nn.Conv2d(dim, dim, 3, 2, 1, groups=dim), nn.BatchNorm2d(dim)
        )
        self.DWConv2 = nn.Sequential(
            nn.Conv2d(dim, dim, 5, 3, 2, groups=dim), nn.BatchNorm2d(dim)
        )
        self.attention = TokenAttention(dim, tokens, every)
        self.bn4 = nn.BatchNorm2d(dim)
        self.conv = nn.Conv2d(dim, dim, 1)

    def forward(self, x):
        b, grid = len(x), self.grid
        x0 = self.bn1(x)
        scales = (x0, self.DWConv1(x0), self.DWConv2(x0))
        tokens = torch.cat([s.flatten(2) for s in scales], dim=2).transpose(1, 2)
        out = self.attention(tokens, grid)
        out = out.transpose(1, 2).reshape(b, -1, grid, grid)
        return self.conv(F.hardswish(self.bn4(out)))


class ConvFeedForward(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(dim)
        self.conv1 = nn.Conv2d(dim, 2 * dim, 1)
        self.bn2 = nn.BatchNorm2d(2 * dim)
        self.conv2 = nn.Conv2d(2 * dim, 2 * dim, 3, padding=1, groups=dim)
        self.conv3 = nn.Conv2d(2 * dim, dim, 1)

    def forward(self, x):
        return self.conv3(F.relu6(self.conv2(self.bn2(self.conv1(self.bn1(x))))))


class Residual(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, x):
        return x + self.m(x)


class IntraFeedForward(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.parts = [dim // 15 * share for share in (1, 2, 4, 8)]
        for i, part in enumerate(self.parts):
            self.add_module(f'ff{i + 1}', Residual(ConvFeedForward(part)))

    def forward(self, x):
        parts = enumerate(x.split(self.parts, dim=1))
        return torch.cat([getattr(self, f'ff{i + 1}')(p) for i, p in parts], dim=1)


class CIMBlock(nn.Module):
    def __init__(self, dim, grid):
        super().__init__()
        self.csa1 = Residual(CrossScaleAttention(dim, grid))
        self.intra_ff = Residual(IntraFeedForward(dim))
        self.csa2 = Residual(CrossScaleAttention(dim, grid))
        self.ff = Residual(ConvFeedForward(dim))

    def forward(self, x, text):
        return self.ff(self.csa2(self.intra_ff(self.csa1(x))))


class FeedForward(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(0),
            nn.Linear(2 * dim, dim), nn.Dropout(0),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)


class TMEMBlock(nn.Module):
    def __init__(self, dim, text):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.tma = SpatialImageLanguageAttention(dim, text)
        self.norm2 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim)

    def forward(self, x, text):
        b, dim, h, w = x.shape
        x = x.flatten(2).transpose(1, 2)
        x = x + self.tma(self.norm1(x), *text)
        x = x + self.ff(self.norm2(x))
        return x.transpose(1, 2).reshape(b, dim, h, w)


class ScaleAwareGate(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.local_embedding = nn.Conv2d(dim, dim, 1)
        self.bn1 = nn.BatchNorm2d(dim)
        self.global_embedding = nn.Conv2d(dim, dim, 1)
        self.bn2 = nn.BatchNorm2d(dim)
        self.global_act = nn.Conv2d(dim, dim, 1)
        self.bn3 = nn.BatchNorm2d(dim)

    def forward(self, x, s):
        def up(z):
            size = x.shape[2:]
            return F.interpolate(z, size=size, mode='bilinear', align_corners=False)

        switch = up(F.relu6(self.bn3(self.global_act(s)) + 3) / 6)
        local = self.bn1(self.local_embedding(x))
        return local * switch + up(self.bn2(self.global_embedding(s)))


class Neck(nn.Module):
    def __init__(self, widths, blocks):
        super().__init__()
        total, dim = sum(widths), sum(widths) // 4
        self.widths = widths
        self.down_channel = nn.Conv2d(total, dim, 1)
        self.up_channel = nn.Conv2d(dim, total, 1)
        self.block = nn.ModuleList(blocks)
        self.bn = nn.BatchNorm2d(dim)
        self.fusion = nn.ModuleList(ScaleAwareGate(c) for c in widths)

    def forward(self, levels, text):
        size = levels[-1].shape[2:]
        x = torch.cat([F.adaptive_avg_pool2d(v, size) for v in levels], dim=1)
        x = self.down_channel(x)
        for block in self.block:
            x = block(x, text)
        parts = self.up_channel(self.bn(x)).split(self.widths, dim=1)
        pairs = zip(self.fusion, levels, parts, strict=True)
        return [unit(level, part) for unit, level, part in pairs]


class LayerNormProxy(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class RountingFunction(nn.Module):  # spelt so in ARC's code
    def __init__(self, dim):
        super().__init__()
        self.dwc = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False)
        self.norm = LayerNormProxy(dim)
        self.fc_alpha = nn.Linear(dim, 1)
        self.fc_theta = nn.Linear(dim, 1, bias=False)

    def forward(self, x):
        z = torch.relu(self.norm(self.dwc(x))).mean(dim=(2, 3))
        angle = F.softsign(self.fc_theta(z)) * (40.0 / 180.0 * math.pi)
        return torch.sigmoid(self.fc_alpha(z)), angle


class AdaptiveRotatedConv2d(nn.Module):
    """Rotation by grid_sample, one sample after the other."""

    def __init__(self, dim):
        super().__init__()
        self.rounting_func = RountingFunction(dim)
        self.weight = nn.Parameter(torch.randn(1, dim, dim, 3, 3) * 0.1)

    def forward(self, x):
        alphas, angles = self.rounting_func(x)
        outs = []
        for image, alpha, angle in zip(x, alphas, angles, strict=True):
            c, s = torch.cos(angle), torch.sin(angle)
            zero = torch.zeros_like(c)
            turn = torch.stack([torch.cat([c, -s, zero]), torch.cat([s, c, zero])])
            kernel = self.weight[0]
            grid = F.affine_grid(turn[None], (1, 1, 3, 3), align_corners=True)
            kernel = F.grid_sample(
                kernel.flatten(0, 1)[None], grid, padding_mode='border',
                align_corners=True,
            ).view_as(kernel)  # fmt: skip
            outs.append(F.conv2d(image[None], kernel * alpha, padding=1))
        return torch.cat(outs)


class TextDecoder(nn.Module):
    """A Transformer decoder that keeps its template beside the copy that runs."""

    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.decoder_layer = nn.TransformerDecoderLayer(dim, heads, hidden)
        self.transformer_model = nn.TransformerDecoder(self.decoder_layer, 1)

    def forward(self, y, words):
        sequence = y.flatten(2).permute(2, 0, 1)
        out = self.transformer_model(sequence, words.permute(2, 0, 1))
        return out.permute(1, 2, 0).reshape(y.shape)


class TokenAttentionBlock(nn.Module):
    """CrossViT's block; queries come from all tokens, or from the first alone."""

    def __init__(self, dim, heads, across=False):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        names = ('wq', 'wk', 'wv') if across else ('qkv',)
        layers = {name: nn.Linear(dim, 3 * dim // len(names), False) for name in names}
        self.attn = nn.ModuleDict(dict(layers, proj=nn.Linear(dim, dim)))
        self.across = across
        if not across:
            self.norm2 = nn.LayerNorm(dim)
            layers = dict(fc1=nn.Linear(dim, 2 * dim), fc2=nn.Linear(2 * dim, dim))
            self.mlp = nn.ModuleDict(layers)

    def forward(self, x):
        y = self.norm1(x)
        if self.across:
            q, k, v = self.attn['wq'](y[:, :1]), self.attn['wk'](y), self.attn['wv'](y)
        else:
            q, k, v = self.attn['qkv'](y).chunk(3, dim=2)
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        scores = q @ k.transpose(2, 3) * q.shape[3] ** -0.5
        out = self.attn['proj']((scores.softmax(dim=3) @ v).transpose(1, 2).flatten(2))
        if self.across:
            return x[:, :1] + out
        x = x + out
        return x + self.mlp['fc2'](F.gelu(self.mlp['fc1'](self.norm2(x))))


class MultiScaleBlock(nn.Module):
    """CrossViT's: attention within two scales, then an exchange by their tokens."""

    def __init__(self, dims, heads, depths=(1, 3)):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(*(TokenAttentionBlock(d, h) for _ in range(depth)))
            for d, h, depth in zip(dims, heads, depths, strict=True)
        )
        pairs = (dims, dims[::-1])
        self.projs = nn.ModuleList(self.change_width(a, b) for a, b in pairs)
        self.fusion = nn.ModuleList(
            nn.Sequential(TokenAttentionBlock(d, h, across=True))
            for d, h in zip(dims[::-1], heads[::-1], strict=True)
        )
        self.revert_projs = nn.ModuleList(self.change_width(b, a) for a, b in pairs)

    @staticmethod
    def change_width(a, b):
        return nn.Sequential(nn.LayerNorm(a), nn.GELU(), nn.Linear(a, b))

    def forward(self, scales):
        scales = [block(x) for block, x in zip(self.blocks, scales, strict=True)]
        outs = []
        for i, x in enumerate(scales):
            token = self.projs[i](x[:, :1])
            token = self.fusion[i](torch.cat([token, scales[1 - i][:, 1:]], dim=1))
            outs.append(torch.cat([self.revert_projs[i](token), x[:, 1:]], dim=1))
        return outs


class CrossViT(nn.Module):
    """With embeddings of patches that never run."""

    def __init__(self, dims, heads):
        super().__init__()
        self.patch_embed = nn.ModuleList(
            nn.ModuleDict(dict(proj=nn.Conv2d(3, d, size, size)))
            for d, size in zip(dims, (8, 16), strict=True)
        )
        self.msb = MultiScaleBlock(dims, heads)


class SimpleDecoding(nn.Module):
    def __init__(
        self, widths, hidden, rotated, heads=0, feed_forward=0, guided=(), text=0
    ):
        super().__init__()
        below = widths[3]
        for name, width in ((4, widths[2]), (3, widths[1]), (2, widths[0])):
            first = nn.Conv2d(below + width, hidden, 3, padding=1, bias=False)
            second = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)
            self.add_module(f'conv1_{name}', first)
            self.add_module(f'bn1_{name}', nn.BatchNorm2d(hidden))
            second = AdaptiveRotatedConv2d(hidden) if rotated else second
            self.add_module(f'conv2_{name}', second)
            self.add_module(f'bn2_{name}', nn.BatchNorm2d(hidden))
            below = hidden
        self.readers = {}
        if heads:
            self.transformer_fusion1 = TextDecoder(hidden, heads, feed_forward)
            self.transformer_fusion2 = TextDecoder(hidden, heads, feed_forward)
            self.readers = {4: self.transformer_fusion1, 3: self.transformer_fusion2}
        self.conv1_1 = nn.Conv2d(hidden, 2, 1)
        self.guided = guided
        if guided:
            for i, first in enumerate((2, 1, 0)):
                dims = widths[first : first + 2]
                self.add_module(f'msb{i + 1}', CrossViT(dims, guided))
            for i, width in enumerate(widths):
                self.add_module(f'lg_layer{i + 1}', nn.Linear(text, width))

    def guide(self, levels, words):
        """Only the two deepest levels; the mean takes padding, too."""
        mean = words.mean(dim=2)[:, None]
        tokens = (self.lg_layer3(mean), self.lg_layer4(mean))
        maps = [x.flatten(2).transpose(1, 2) for x in levels[2:]]
        outs = self.msb1.msb(
            [torch.cat(p, dim=1) for p in zip(tokens, maps, strict=True)]
        )
        outs = [out[:, 1:].transpose(1, 2) for out in outs]
        return [o.reshape(x.shape) for o, x in zip(outs, levels[2:], strict=True)]

    def forward(self, levels, words):
        if self.guided:
            levels = [*levels[:2], *self.guide(levels, words)]
        x = levels[3]
        for name in (4, 3, 2):
            finer = levels[name - 2]
            size = finer.shape[2:]
            x = F.interpolate(x, size=size, mode='bilinear', align_corners=True)
            x = torch.cat([x, finer], dim=1)
            for i in (1, 2):
                conv, norm = (getattr(self, f'{k}{i}_{name}') for k in ('conv', 'bn'))
                x = torch.relu(norm(conv(x)))
            if name in self.readers:
                x = self.readers[name](x, words)
        return self.conv1_1(x)


class Backbone(nn.Module):
    def __init__(self, stage, dim, text, depths, heads, window, neck):
        super().__init__()
        widths = [dim * 2**i for i in range(4)]
        self.patch_embed = PatchEmbed(dim)
        self.layers = nn.ModuleList()
        for i, width in enumerate(widths):
            stage.widths, stage.index = widths, i
            layer = stage(width, text, depths[i], heads[i], window, last=i == 3)
            layer.index = i
            self.layers.append(layer)
        for i, width in enumerate(widths):
            self.add_module(f'norm{i}', nn.LayerNorm(width))
        self.neck_name, neck = neck
        if neck is not None:
            self.add_module(self.neck_name, neck)

    def forward(self, images, text):
        x, h, w = self.patch_embed(images)
        levels = []
        for i, layer in enumerate(self.layers):
            fused, x = layer(x, h, w, text)
            fused = getattr(self, f'norm{i}')(fused)
            levels.append(fused.transpose(1, 2).reshape(len(x), -1, h, w))
            if layer.downsample is not None:
                x = layer.downsample(x, h, w)
                h, w = (h + 1) // 2, (w + 1) // 2
        if self.neck_name:
            levels = getattr(self, self.neck_name)(levels, text['whole'])
        return levels


class Released(nn.Module):
    """Backbone, classifier and text encoder of one method.

    Args:
        method (str): 'lavt', 'lgce', 'rmsin', 'fianet' or 'cadformer'.
        dim, depths, heads, window: Of the Swin Transformer.
        bert (dict): BERT's sizes.
        hidden (int): Width of the decoder.
        grid (int): Side of the coarsest map, which RMSIN's neck fixes.
        blocks (int): Of FIANet's neck.
        reader (tuple): Heads and hidden width of CADFormer's decoder layers.
        guided (tuple): Heads of LGCE's two levels.
    """

    def __init__(
        self, method, dim, depths, heads, window, bert, hidden, grid=15, blocks=3,
        reader=(8, 2048), guided=(8, 16),
    ):  # fmt: skip
        super().__init__()
        self.method = method
        config = BertConfig(**bert)
        text, widths = config.hidden_size, [dim * 2**i for i in range(4)]
        width = sum(widths) // 4
        necks = {
            'lavt': lambda: ('', None),
            'lgce': lambda: ('', None),
            'rmsin': lambda: ('cim', Neck(widths, [CIMBlock(width, grid)])),
            'fianet': lambda: (
                'tmem', Neck(widths, [TMEMBlock(width, text) for _ in range(blocks)])
            ),
        }  # fmt: skip
        necks['cadformer'] = necks['rmsin']
        stages = dict(
            lavt=LAVTStage, lgce=LAVTStage, rmsin=RMSINStage, fianet=FIANetStage,
            cadformer=CADFormerStage,
        )  # fmt: skip
        self.backbone = Backbone(
            stages[method], dim, text, depths, heads, window, necks[method]()
        )
        extra = {
            'cadformer': dict(heads=reader[0], feed_forward=reader[1]),
            'lgce': dict(guided=guided, text=text),
        }
        self.classifier = SimpleDecoding(
            widths, hidden, method in ('rmsin', 'cadformer'), **extra.get(method, {})
        )
        self.text_encoder = BertModel(config, add_pooling_layer=False)

    def forward(self, images, ids, masks):
        """Logits; masks (B, 3, N): whole expression, object, position."""
        words = {}
        for i, part in enumerate(('whole', 'object', 'position')):
            mask = masks[:, i]
            if self.method == 'cadformer':
                features = self.text_encoder.embeddings(ids)
            else:
                features = self.text_encoder(ids, attention_mask=mask.long())[0]
            words[part] = (features.transpose(1, 2), mask[:, None].to(features.dtype))
        levels = self.backbone(images, words)
        return self.classifier(levels, words['whole'][0])
