# SPDX-License-Identifier: Apache-2.0
"""Counts against sums by hand."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from mmcadformer.analysis import analyse, build_tree, count_flops, explain


class Known(nn.Module):
    """A model whose work is easily counted."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.part = nn.Sequential(nn.Linear(8, 6), nn.LayerNorm(6))
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, image, mask):
        x = self.part(self.conv(image).flatten(2).transpose(1, 2))
        x = x + self.attention(x, x, x, need_weights=False)[0]
        heads = x.unflatten(-1, (2, 3)).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads, heads, attn_mask=mask)


@pytest.mark.parametrize('masked', [False, True])
def test_every_kind_of_product_is_counted(masked):
    mask = torch.ones(1, 1, 20, 20, dtype=torch.bool) if masked else None
    image = torch.rand(1, 4, 4, 5)
    flops = count_flops(Known().eval(), image=image, mask=mask)
    conv = 2 * 20 * 8 * (4 // 2) * 9
    linear = 2 * 20 * 8 * 6
    products = 2 * (2 * 20 * 20 * 6)  # Q K^T and its product with V, all heads
    projections = 4 * (2 * 20 * 6 * 6)
    assert flops['conv'] == conv and flops['part.0'] == flops['part'] == linear
    assert flops['attention'] == projections + products
    assert flops[''] == conv + linear + projections + 2 * products


@pytest.fixture(scope='module')
def report(tiny_config):
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(tiny_config).model).eval()
    return model, analyse(model, (64, 96), 12)


def test_parts_add_up(report):
    model, numbers = report
    names = ['text_encoder', 'backbone', 'fusion', 'neck', 'decode_head']
    assert list(numbers['parts']) == names
    total = sum(parameter.numel() for parameter in model.parameters())
    parts = numbers['parts'].values()
    assert sum(part['params'] for part in parts) == total
    assert sum(part['flops'] for part in parts) == numbers['flops'] > 0
    fusion = sum(p.numel() for p in model.backbone.fusions.parameters())
    assert numbers['parts']['fusion']['params'] == fusion
    text = sum(p.numel() for p in model.text_encoder.parameters())
    assert numbers['parameters'] == dict(
        total=total,
        trained=total,
        without_text_encoder=total - text,
        with_bert_pooler=total + 32 * 32 + 32,
    )


def test_rows_of_the_table_add_up(report):
    _, numbers = report
    rows = explain(numbers['tree'], least=500, depth=6)
    assert len(rows) > 20 and any('equal)' in row[1] for row in rows)
    for position, (level, name, params, flops) in enumerate(rows):
        below = []
        for row in rows[position + 1 :]:
            if row[0] <= level:
                break
            if row[0] == level + 1:
                below.append(row)
        if below:
            assert sum(row[2] for row in below) == params, name
            assert sum(row[3] for row in below) == flops, name


def test_equal_layers_share_a_row():
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(5)), nn.Linear(8, 2))
    flops = {str(i): 10 for i in range(5)} | {'5': 3, '': 53}
    rows = explain(build_tree('', model, flops), 1, 3)
    assert rows == [
        (0, 'model', 5 * 72 + 18, 53),
        (1, '0 to 4 (5 equal)', 5 * 72, 50),
        (1, '5', 18, 3),
    ]


def test_attention_grows_with_tokens_and_image(report):
    model, numbers = report
    longer = analyse(model, (64, 96), 24)
    assert longer['parts']['text_encoder']['flops'] > (
        2 * numbers['parts']['text_encoder']['flops']
    )
    larger = analyse(model, (128, 96), 12)
    assert (
        larger['flops']
        > 1.9 * numbers['flops'] - 2 * (numbers['parts']['text_encoder']['flops'])
    )
