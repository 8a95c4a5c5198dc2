# SPDX-License-Identifier: Apache-2.0
"""The decoder's Transformer layer against PyTorch's own."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmcadformer.models.layers import TextDecoderLayer


class Operators(TorchDispatchMode):
    """Collects the names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('training', [False, True])
def test_result_is_that_of_pytorchs_layer(training):
    torch.manual_seed(0)
    args = (16, 4, 24, 0.0)
    layer = TextDecoderLayer(*args, batch_first=True).train(training)
    reference = nn.TransformerDecoderLayer(*args, batch_first=True).train(training)
    reference.load_state_dict(layer.state_dict())
    pixels, words = torch.randn(2, 30, 16), torch.randn(2, 6, 16)
    padding = torch.zeros(2, 6, dtype=torch.bool)
    padding[1, 3:] = True
    with torch.set_grad_enabled(training):
        result = layer(pixels, words, memory_key_padding_mask=padding)
        expected = reference(pixels, words, memory_key_padding_mask=padding)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)


def test_attention_matrix_is_never_stored():
    layer = TextDecoderLayer(16, 4, 24, batch_first=True).eval()
    with torch.no_grad(), Operators() as operators:
        layer(torch.randn(1, 30, 16), torch.randn(1, 6, 16))
    fused = {name for name in operators.names if 'scaled_dot_product' in name}
    assert fused
    assert '_native_multi_head_attention' not in operators.names
    assert '_softmax' not in operators.names
