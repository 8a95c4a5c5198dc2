# SPDX-License-Identifier: Apache-2.0
"""The network as torch.compile sees it: one graph, whatever the sentences' length."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

METHODS = sorted(
    path.stem
    for path in (Path(__file__).parents[2] / 'configs').glob('*_tiny_synthrs.py')
    if 'minilm' not in path.stem  # its tokenizer comes with its weights
)
SENTENCES = ['the red pool at the top', 'a court', 'the field left of the large pool']


@pytest.fixture
def build(repo_root):
    """Builds the tiny model of a method."""

    def build(name):
        init_default_scope('mmseg')
        cfg = Config.fromfile(repo_root / 'configs' / f'{name}.py')
        torch.manual_seed(0)
        torch._dynamo.reset()
        return MODELS.build(cfg.model)

    return build


def inputs_of(model, *sentences):
    tokens = model.text_encoder.tokenize(list(sentences))
    return torch.randn(len(sentences), 3, 64, 64), *tokens.values()


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('name', METHODS)
def test_there_is_no_graph_break(build, name, training):
    model = build(name).train(training)
    with torch.set_grad_enabled(training):
        found = torch._dynamo.explain(model.decode)(*inputs_of(model, *SENTENCES))
    assert found.graph_break_count == 0, found.break_reasons
    assert found.graph_count == 1


# CADFormer reads the text in backbone and head, LGCE in the neck.
@pytest.mark.parametrize('name', ['cadformer_tiny_synthrs', 'lgce_tiny_synthrs'])
def test_lengths_compile_once_more_at_most(build, name):
    model = build(name).eval()
    compiled = []

    def backend(graph, example_inputs):
        compiled.append(graph)
        return graph

    batches = [
        inputs_of(model, *(f'the {"very " * more}red pool' for _ in range(2)))
        for more in (0, 2, 3)
    ]
    expected = [model.decode(*batch) for batch in batches]
    model.compile_network(backend=backend)
    with torch.no_grad():
        for batch, logits in zip(batches, expected, strict=True):
            torch.testing.assert_close(model.decode(*batch), logits)
    assert len(compiled) <= 2
