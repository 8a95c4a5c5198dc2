# SPDX-License-Identifier: Apache-2.0
"""Keys of the text encoder that the released code and the ablations need."""

import pytest
import torch
from transformers import BertConfig, BertModel

from mmcadformer.models import BertTextEncoder

SMALL = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
)
LONG = 'the red court near the pool'


def make(**kwargs):
    torch.manual_seed(0)
    args = dict(pretrained=None, vocab='remote_sensing', config=SMALL, max_tokens=5)
    return BertTextEncoder(**{**args, **kwargs}).eval()


def test_the_end_mark_can_be_cut_off():
    encoder = make(keep_end=False)
    ids = encoder.tokenize([LONG])['input_ids'][0].tolist()
    words = [encoder.tokenizer.id_to_token(i) for i in ids]
    assert words == ['[CLS]', 'the', 'red', 'court', 'near']
    assert encoder.num_truncated == 1


def test_padding_to_the_maximum():
    tokens = make(pad_to_max=True, max_tokens=12).tokenize(['a pool'])
    assert tokens['input_ids'].shape == (1, 12)
    assert tokens['text_mask'].sum() == 4


def test_embeddings_alone():
    """No word sees another: a changed neighbour changes nothing."""
    encoder = make(config=dict(SMALL, num_hidden_layers=0), max_tokens=12)
    first, second = encoder(**encoder.tokenize(['red pool', 'red court']))
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[2], second[2])
    embeddings = encoder.bert.embeddings(encoder.tokenize(['red pool'])['input_ids'])
    torch.testing.assert_close(first[None], embeddings)


@pytest.mark.parametrize('depth', [0, 1, 2])
def test_pretrained_weights_of_the_first_layers(depth, tmp_path):
    encoder = make()
    vocab = encoder.tokenizer.get_vocab_size()
    source = BertModel(BertConfig(vocab_size=vocab, **SMALL), add_pooling_layer=False)
    source.save_pretrained(tmp_path)
    encoder = make(
        pretrained=str(tmp_path), config=dict(SMALL, num_hidden_layers=depth)
    )
    encoder.init_weights()
    assert len(encoder.bert.encoder.layer) == depth
    for name, value in encoder.bert.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


def test_more_layers_than_the_pretrained_model_has_are_refused(tmp_path):
    vocab = make().tokenizer.get_vocab_size()
    BertModel(BertConfig(vocab_size=vocab, **SMALL)).save_pretrained(tmp_path)
    encoder = make(pretrained=str(tmp_path), config=dict(SMALL, num_hidden_layers=3))
    with pytest.raises(RuntimeError, match='model.text_encoder.pretrained'):
        encoder.init_weights()
