# SPDX-License-Identifier: Apache-2.0
"""The methods' own parts against their descriptions, in float64 and by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmcadformer.models import (
    FIAM,
    PWAM,
    SMGAM,
    GuidedMultiScaleNeck,
    ReferringDecodeHead,
    ReferringSwin,
    ReleasedSMGAM,
    RMSINFusion,
    SummedDiceLoss,
    TextAwareMultiScaleNeck,
)
from mmcadformer.models.necks.cross_scale_interaction import CrossScaleAttention

VISUAL, TEXT = 8, 6
SIZE = (3, 5)


@pytest.fixture(autouse=True)
def float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def features():
    """Pixels (2, 15, 8), words (2, 7, 6) and their mask: 4 and 7 real words."""
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[0, 4:] = False
    return torch.randn(2, 15, VISUAL), torch.randn(2, 7, TEXT), mask


def conv(layer, x):
    """A 1x1 convolution along the sequence, the form of the description."""
    weight = layer.weight.unsqueeze(2)
    return F.conv1d(x.transpose(1, 2), weight, layer.bias).transpose(1, 2)


def norm(x):
    """Instance norm over the sequence."""
    return F.instance_norm(x.transpose(1, 2)).transpose(1, 2)


def word_attention(module, visual, text, mask):
    """Steps 2-4 of PWAM, with the additive mask of the released code."""
    m = mask.to(visual.dtype).unsqueeze(2)
    q = norm(conv(module.query, visual))
    k, v = conv(module.key, text) * m, conv(module.value, text) * m
    logits = torch.einsum('bpc,bnc->bpn', q, k) / math.sqrt(q.shape[2])
    weights = (logits + 1e4 * m.transpose(1, 2) - 1e4).softmax(dim=2)
    return norm(conv(module.out, torch.einsum('bpn,bnc->bpc', weights, v)))


def align(module, visual, text, mask):
    """All of PWAM."""
    projected = F.gelu(conv(module.visual_proj[0], visual))
    attended = word_attention(module.attention, visual, text, mask)
    return F.gelu(conv(module.out_proj[0], projected * attended))


def gate(module, x):
    first, second = module.mlp[0], module.mlp[2]
    assert first.bias is None and second.bias is None
    return torch.tanh(conv(second, conv(first, x).clamp(min=0))) * x


def test_pwam_sends_the_feature_before_its_gate_to_the_decoder(features):
    visual, text, mask = features
    fusion = PWAM(VISUAL, TEXT)
    out = fusion(visual, SIZE, text, mask)
    aligned = align(fusion.align, visual, text, mask)
    torch.testing.assert_close(out.to_decoder, aligned)
    torch.testing.assert_close(out.to_next_stage, visual + gate(fusion.gate, aligned))
    assert torch.equal(out.text, text)


def test_pwam_with_the_gated_feature_to_the_decoder(features):
    visual, text, mask = features
    fusion = PWAM(VISUAL, TEXT, gated_to_decoder=True, visual_used_later=False)
    out = fusion(visual, SIZE, text, mask)
    aligned = align(fusion.align, visual, text, mask)
    torch.testing.assert_close(out.to_decoder, gate(fusion.gate, aligned))


def test_smgam_with_its_gate_behind_the_decoder(features):
    visual, text, mask = features
    fusion = SMGAM(VISUAL, TEXT, gated_to_decoder=False)
    out = fusion(visual, SIZE, text, mask)
    _, aligned = fusion.lgvla(visual, text, mask, with_ungated=True)
    torch.testing.assert_close(out.to_decoder, aligned)
    onward = visual + gate(fusion.lgvla.gate, aligned)
    torch.testing.assert_close(out.to_next_stage, onward)
    last = SMGAM(VISUAL, TEXT, gated_to_decoder=False, visual_used_later=False)
    names = [name for name, _ in last.named_parameters()]
    assert any('vglva.gate' in name for name in names)
    assert not any('lgvla.gate' in name for name in names)


def test_smgam_without_gates(features):
    visual, text, mask = features
    fusion = SMGAM(VISUAL, TEXT, gate=False)
    out = fusion(visual, SIZE, text, mask)
    assert not any('gate' in name for name, _ in fusion.named_parameters())
    _, aligned = fusion.lgvla(visual, text, mask, with_ungated=True)
    torch.testing.assert_close(out.to_decoder, aligned)
    torch.testing.assert_close(out.to_next_stage, visual + aligned)
    words = fusion.vglva.text_proj(text)
    words = words * fusion.vglva.attention(words, visual)
    words = fusion.vglva.out_proj(words) * mask.unsqueeze(2)
    torch.testing.assert_close(out.text, text + words)


@pytest.mark.parametrize('heads', [2, 4])
def test_the_scale_is_the_full_width_with_several_heads(features, heads):
    visual, text, mask = features
    attention = PWAM(VISUAL, TEXT, num_heads=heads).align.attention
    parts = []
    q, k, v = norm(attention.query(visual)), attention.key(text), attention.value(text)
    for q_h, k_h, v_h in zip(*(x.chunk(heads, dim=2) for x in (q, k, v)), strict=True):
        logits = torch.einsum('bpc,bnc->bpn', q_h, k_h) / math.sqrt(VISUAL)
        weights = logits.masked_fill(~mask[:, None], -math.inf).softmax(dim=2)
        parts.append(weights @ v_h)
    expected = norm(attention.out(torch.cat(parts, dim=2)))
    torch.testing.assert_close(attention(visual, text, mask), expected)


@pytest.mark.parametrize('fusion', [PWAM, RMSINFusion, FIAM])
def test_the_last_stage_builds_only_what_the_decoder_reads(fusion):
    last = fusion(VISUAL, TEXT, visual_used_later=False)
    assert {name.split('.')[0] for name, _ in last.named_parameters()} == {'align'}


def batch_norm(layer, x):
    shape = (1, -1, 1, 1)
    x = (x - layer.running_mean.view(shape)) / torch.sqrt(
        layer.running_var.view(shape) + 1e-5
    )
    return x * layer.weight.view(shape) + layer.bias.view(shape)


def randomise_norms(module):
    for layer in module.modules():
        if isinstance(layer, (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
            for tensor in (layer.weight, layer.bias, layer.running_mean):
                tensor.data.normal_()
            layer.running_var.uniform_(0.5, 2)


def test_rmsin_adds_the_receptive_branch(features):
    visual, text, mask = features
    fusion = RMSINFusion(VISUAL, TEXT).eval()
    randomise_norms(fusion)
    out = fusion(visual, SIZE, text, mask)

    def step(s, u):
        point = batch_norm(s.point[1], u * s.point[0].weight.item())
        inner = batch_norm(s.area[0][1], u * s.area[0][0].weight.item())
        area = F.conv2d(inner, s.area[1][0].weight, padding=1)
        return point + batch_norm(s.area[1][1], area) + batch_norm(s.identity, u)

    branch = fusion.receptive
    mean = visual.mean(dim=2).reshape(2, 1, *SIZE)
    weight = torch.sigmoid(step(branch.step2, step(branch.step1, mean).clamp(min=0)))
    weighed = weight.reshape(2, 15, 1) * visual
    aligned = align(fusion.align, visual, text, mask)
    torch.testing.assert_close(out.to_decoder, aligned)
    torch.testing.assert_close(
        out.to_next_stage,
        visual + gate(fusion.gate, aligned) + gate(fusion.visual_gate, weighed),
    )


@pytest.fixture
def phrase_features(features):
    """Words under three masks; the second expression names no object."""
    visual, _, mask = features
    masks = torch.stack([mask, mask, mask], dim=1)
    masks[0, 1, 2:] = False
    masks[1, 1] = False
    masks[0, 2, :2] = False
    return visual, torch.randn(2, 3, 7, TEXT), masks


def test_fiam_follows_its_description(phrase_features):
    visual, text, masks = phrase_features
    fusion = FIAM(VISUAL, TEXT, reduction=4)
    out = fusion(visual, SIZE, text, masks)
    block = fusion.object_position
    aligned = align(fusion.align, visual, text[:, 0], masks[:, 0])
    found = word_attention(block.object_attention, visual, text[:, 1], masks[:, 1])
    torch.testing.assert_close(found[1], torch.zeros_like(found[1]))
    found = gate(block.object_gate, found)
    where = word_attention(block.position_attention, visual, text[:, 2], masks[:, 2])
    maps = torch.stack([where.mean(dim=2), where.amax(dim=2)], dim=1)
    maps = F.conv2d(maps.view(2, 2, *SIZE), block.position_conv.weight, padding=1)
    first, second = fusion.modulation[0], fusion.modulation[2]
    channels = torch.sigmoid(second(first(visual.mean(dim=1)).clamp(min=0)))
    fine = found * torch.sigmoid(maps).view(2, 15, 1)
    expected = visual + channels[:, None] * (gate(fusion.gate, aligned) + fine)
    torch.testing.assert_close(out.to_decoder, aligned)
    torch.testing.assert_close(out.to_next_stage, expected)


def test_fiam_without_object_words_has_finite_gradients(phrase_features):
    visual, text, masks = phrase_features
    fusion = FIAM(VISUAL, TEXT)
    fusion(visual, SIZE, text, masks).to_next_stage.sum().backward()
    assert all(p.grad.isfinite().all() for p in fusion.object_position.parameters())


def test_fiam_without_position_words_weighs_all_pixels_alike(phrase_features):
    """Only some versions of PyTorch define attention to nothing."""
    visual, text, masks = phrase_features
    masks[0, 2] = False
    fusion = FIAM(VISUAL, TEXT, reduction=4)
    out = fusion(visual, SIZE, text, masks).to_next_stage
    aligned = align(fusion.align, visual, text[:, 0], masks[:, 0])
    block = fusion.object_position
    found = word_attention(block.object_attention, visual, text[:, 1], masks[:, 1])
    fine = gate(block.object_gate, found) / 2
    channels = fusion.modulation(visual.mean(dim=1, keepdim=True))
    expected = visual + channels * (gate(fusion.gate, aligned) + fine)
    torch.testing.assert_close(out[0], expected[0])
    out.sum().backward()
    assert all(p.grad.isfinite().all() for p in block.parameters())


def test_fiam_asks_for_the_encoder_that_splits_phrases(features):
    visual, text, mask = features
    with pytest.raises(ValueError, match='PhraseBertTextEncoder'):
        FIAM(VISUAL, TEXT)(visual, SIZE, text, mask)


def released_vglva(module, visual, text, mask):
    additive = (1.0 - mask.to(text.dtype)).unsqueeze(2) * -10000.0
    attention = module.attention
    q = conv(attention.query, text) * additive
    k, v = norm(conv(attention.key, visual)), norm(conv(attention.value, visual))
    logits = torch.einsum('bnc,bpc->bnp', q, k) / math.sqrt(TEXT)
    weights = (logits + 1e4 * additive - 1e4).softmax(dim=2)
    attended = norm(conv(attention.out, torch.einsum('bnp,bpc->bnc', weights, v)))
    projected = F.gelu(conv(module.text_proj[0], text))
    refined = F.gelu(conv(module.out_proj[0], attended * projected))
    return gate(module.gate, refined)


def test_released_smgam_reads_the_stage_input(features):
    visual, text, mask = features
    before = torch.randn_like(visual)
    fusion = ReleasedSMGAM(VISUAL, TEXT)
    out = fusion(visual, SIZE, text, mask, stage_input=before)
    aligned = align(fusion.align, visual, text, mask)
    torch.testing.assert_close(out.to_decoder, aligned)
    torch.testing.assert_close(out.to_next_stage, visual + gate(fusion.gate, aligned))
    expected = text + released_vglva(fusion.vglva, before, text, mask)
    torch.testing.assert_close(out.text, expected)


def test_released_vglva_is_constant_without_padding(features):
    """Section 5.3 of the facts: neither image nor sentence reach the result."""
    visual, text, _ = features
    vglva = ReleasedSMGAM(VISUAL, TEXT).vglva
    full = torch.ones(2, 7, dtype=torch.bool)
    constant = vglva.gate(F.gelu(vglva.out_proj[0].bias)[None, None])
    out = vglva(visual, text, full)
    torch.testing.assert_close(out, constant.expand_as(out), rtol=0, atol=1e-9)


def test_stage_input_is_what_enters_the_blocks(features):
    """The first stage's is the patch embedding, one for all expressions."""
    args = dict(
        embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4,
        drop_path_rate=0.0, text_channels=TEXT, fusion=dict(type='ReleasedSMGAM'),
    )  # fmt: skip
    model = ReferringSwin(**args).eval()
    _, text, mask = features
    images = torch.randn(1, 3, 32, 32)
    first = model.forward_first_stage(images)
    torch.testing.assert_close(first.stage_input, model.patch_embed(images)[0])
    visual, size = first.visual, first.hw_shape
    refined = text
    stage_input = first.stage_input.expand(2, -1, -1)
    visual = visual.expand(2, -1, -1)
    for i, fusion in enumerate(model.fusions):
        if i:
            stage_input = visual
            visual = model.stages[i].blocks[0](visual, size)
        fused = fusion(visual, size, refined, mask, stage_input=stage_input)
        refined = fused.text
        if model.stages[i].downsample is not None:
            visual, size = model.stages[i].downsample(fused.to_next_stage, size)
    torch.testing.assert_close(model(first, text, mask)[1], refined)


def test_released_layout_of_the_cross_scale_attention():
    """Tokens and channels change places as the released reshapes have it."""
    grid, channels = 4, 15
    module = CrossScaleAttention(channels, grid, released_layout=True).eval()
    randomise_norms(module)
    x = torch.randn(2, channels, grid, grid)
    x0 = batch_norm(module.norm, x)
    small = [batch_norm(s[1], s[0](x0)) for s in (module.subsample2, module.subsample3)]
    tokens = torch.cat([s.flatten(2) for s in (x0, *small)], dim=2).transpose(1, 2)
    total = tokens.shape[1]
    assert total == 16 + 4 + 4
    qkv = tokens @ module.qkv.weight.T
    qkv = batch_norm(module.qkv_norm, qkv.transpose(1, 2).unsqueeze(3))[..., 0]
    qkv = qkv.transpose(1, 2).reshape(2, total, 8, 128)
    q, k, v = qkv[..., :32], qkv[..., 32:64], qkv[..., 64:]
    weights = torch.einsum('bthc,bshc->bhts', q, k) / math.sqrt(32)
    attended = torch.einsum('bhts,bshc->bthc', weights.softmax(dim=3), v)
    memory = attended.contiguous().view(-1)  # (B, T, 512) in memory ...
    attended = memory.view(2, 512, total)  # ... read as (B, 512, T)
    values = v.permute(0, 2, 1, 3)[:, :, :16].contiguous().view(-1)
    local = F.hardswish(values.view(2, 512, grid, grid))
    local = F.conv2d(
        local, module.local[1].weight, module.local[1].bias, padding=1, groups=512
    )
    mixed = module.mix_tokens(attended) + local.flatten(2)
    out = module.project(mixed.transpose(1, 2)).transpose(1, 2).reshape(x.shape)
    out = module.out[2](F.hardswish(batch_norm(module.out[0], out)))
    torch.testing.assert_close(module(x), out)
    module.released_layout = False
    assert (module(x) - out).abs().max() > 1e-3


def make_levels(channels=(4, 8, 16, 32), size=(16, 8)):
    return [
        torch.randn(2, c, size[0] >> i, size[1] >> i) for i, c in enumerate(channels)
    ]


def test_text_aware_neck_follows_its_description(features):
    _, text, mask = features
    levels = make_levels()
    neck = TextAwareMultiScaleNeck((4, 8, 16, 32), 12, TEXT, num_blocks=2).eval()
    randomise_norms(neck)
    pooled = [
        F.avg_pool2d(level, 8 >> i) if i < 3 else level
        for i, level in enumerate(levels)
    ]
    x = neck.reduce(torch.cat(pooled, dim=1)).flatten(2).transpose(1, 2)
    for block in neck.blocks:
        normed = F.layer_norm(
            x, (12,), block.attention_norm.weight, block.attention_norm.bias
        )
        x = x + word_attention(block.attention, normed, text, mask)
        first, second = block.feed_forward[1], block.feed_forward[3]
        assert first.weight.shape == (24, 12)
        x = x + second(F.gelu(first(F.layer_norm(x, (12,)))))
    x = x.transpose(1, 2).reshape(2, 12, 2, 1)
    mixed = neck.expand[1](batch_norm(neck.expand[0], x)).split((4, 8, 16, 32), dim=1)
    outs = neck(levels, text, mask)
    for level, part, unit, out in zip(levels, mixed, neck.gates, outs, strict=True):

        def up(z, size=level.shape[2:]):
            return F.interpolate(z, size, mode='bilinear', align_corners=False)

        switch = batch_norm(unit.gate[1], unit.gate[0](part))
        switch = up((switch + 3).clamp(0, 6) / 6)
        local = batch_norm(unit.local[1], unit.local[0](level))
        inject = batch_norm(unit.inject[1], unit.inject[0](part))
        torch.testing.assert_close(out, local * switch + up(inject))


def test_guided_neck_lets_each_deep_level_see_the_other(features):
    _, text, mask = features
    neck = GuidedMultiScaleNeck((4, 8, 16, 32), TEXT, depths=(1, 2), num_heads=2).eval()
    levels = make_levels()
    base = neck(levels, text, mask)
    assert base[0] is levels[0] and base[1] is levels[1]
    for changed, other in ((2, 3), (3, 2)):
        inputs = list(levels)
        inputs[changed] = torch.randn_like(inputs[changed])
        assert (neck(inputs, text, mask)[other] - base[other]).abs().max() > 1e-5
    assert (neck(levels, text + 1, mask)[2] - base[2]).abs().max() > 1e-5


def test_guided_neck_exchanges_before_it_attends(features):
    _, text, mask = features
    neck = GuidedMultiScaleNeck((4, 8, 16, 32), TEXT, depths=(1, 1), num_heads=2).eval()
    levels = make_levels()
    mean = torch.stack([text[i, mask[i]].mean(dim=0) for i in range(2)]).unsqueeze(1)
    own = levels[2].flatten(2).transpose(1, 2)
    other = levels[3].flatten(2).transpose(1, 2)
    exchange, block = neck.exchanges[0], neck.blocks[0][0]
    token = exchange.outward[2](F.gelu(F.layer_norm(neck.guides[0](mean), (16,))))
    sequence = F.layer_norm(torch.cat([token, other], dim=1), (32,))

    def attend(module, query, memory):
        width = query.shape[2]
        weights = module.in_proj_weight.split(width)
        biases = module.in_proj_bias.split(width)
        q, k, v = (
            (x @ w.T + b).unflatten(2, (2, -1)).transpose(1, 2)
            for x, w, b in zip((query, memory, memory), weights, biases, strict=True)
        )
        scores = (q @ k.transpose(2, 3) / math.sqrt(width // 2)).softmax(dim=3)
        return module.out_proj((scores @ v).transpose(1, 2).flatten(2))

    token = token + attend(exchange.attention, sequence[:, :1], sequence)
    token = exchange.homeward[2](F.gelu(F.layer_norm(token, (32,))))
    x = torch.cat([token, own], dim=1)
    normed = F.layer_norm(x, (16,))
    x = x + attend(block.self_attn, normed, normed)
    x = x + block.linear2(F.gelu(block.linear1(F.layer_norm(x, (16,)))))
    expected = x[:, 1:].transpose(1, 2).reshape(levels[2].shape)
    torch.testing.assert_close(neck(levels, text, mask)[2], expected)


def test_guided_neck_mean_over_padding_is_a_key(features):
    _, text, mask = features
    args = ((4, 8, 16, 32), TEXT)
    neck = GuidedMultiScaleNeck(*args, depths=(1, 1), num_heads=2)
    noise = text + torch.randn_like(text) * ~mask.unsqueeze(2)
    levels = make_levels()
    a, b = neck(levels, text, mask)[3], neck(levels, noise, mask)[3]
    torch.testing.assert_close(a, b)
    neck.mean_over_padding = True
    assert (neck(levels, noise, mask)[3] - neck(levels, text, mask)[3]).abs().max() > 0


def test_guided_neck_without_attention_is_refused():
    with pytest.raises(ValueError, match=r'neck.depths=\(0, 1\)'):
        GuidedMultiScaleNeck(depths=(0, 1))


def make_head(**kwargs):
    args = dict(in_channels=(4, 8, 16, 32), channels=6, text_channels=6, num_heads=2)
    args.update(text_levels=(3, 2), feedforward_channels=8, **kwargs)
    return ReferringDecodeHead(**args).eval()


def test_head_without_text_projection(features):
    _, text, mask = features
    head = make_head(project_text=False)
    assert not any('text_proj' in name for name, _ in head.named_parameters())
    assert head(make_levels(), text, mask).shape == (2, 2, 16, 8)
    with pytest.raises(ValueError, match='text_channels=5 to equal channels=6'):
        make_head(project_text=False, **{'text_channels': 5})


@pytest.mark.parametrize('attend', [False, True])
def test_head_attends_to_padding_only_on_request(features, attend):
    _, text, mask = features
    head = make_head(attend_to_padding=attend)
    levels = make_levels()
    noise = text + torch.randn_like(text) * ~mask.unsqueeze(2)
    same = torch.allclose(head(levels, text, mask), head(levels, noise, mask))
    assert same != attend


def test_summed_dice_by_hand():
    logits = torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]]], [[[1.0, 3.0]], [[1.0, 0.0]]]])
    target = torch.tensor([[[0, 1]], [[1, 0]]])
    expected = 0.0
    for b in range(2):
        scores = [[math.exp(logits[b, c, 0, p]) for c in range(2)] for p in range(2)]
        p = [[s / sum(row) for s in row] for row in scores]
        for c in range(2):
            y = [float(target[b, 0, i] == c) for i in range(2)]
            overlap = sum(p[i][c] * y[i] for i in range(2))
            total = sum(p[i][c] + y[i] for i in range(2))
            expected += 1 - (2 * overlap + 1e-6) / (total + 1e-6)
    loss = SummedDiceLoss(loss_weight=0.1)(logits, target)
    assert loss.item() == pytest.approx(0.1 * expected, rel=1e-5)


def test_summed_dice_ignores_ignored_pixels():
    logits = torch.randn(1, 2, 3, 4)
    target = torch.randint(0, 2, (1, 3, 4))
    padded = F.pad(target, (0, 2), value=255)
    loss = SummedDiceLoss()
    noise = torch.cat([logits, torch.randn(1, 2, 3, 2)], dim=3)
    torch.testing.assert_close(loss(noise, padded), loss(logits, target))
