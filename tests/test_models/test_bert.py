# SPDX-License-Identifier: Apache-2.0
"""BertTextEncoder: tokens, padding, truncation, weights and where they come from."""

import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from mmcadformer.models import BertTextEncoder
from mmcadformer.models.text_encoders.expression_tokens import read_word_pieces

SMALL = dict(
    hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24
)


def make(**kwargs):
    torch.manual_seed(0)
    args = dict(pretrained=None, vocab='remote_sensing', config=SMALL)
    return BertTextEncoder(**{**args, **kwargs}).eval()


@pytest.fixture
def saved_bert(tmp_path):
    """A folder as `save_pretrained` writes it, pooler included."""
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'the', 'red', 'roof', '##s']
    (tmp_path / 'vocab.txt').write_text('\n'.join(words))
    tokenizer = read_word_pieces(tmp_path / 'vocab.txt')
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path)
    BertModel(BertConfig(vocab_size=len(words), **SMALL)).save_pretrained(tmp_path)
    return tmp_path


def test_tokens_are_padded_to_the_longest_of_the_batch():
    encoder = make(max_tokens=20)
    tokens = encoder.tokenize(['The upper-left tennis court', 'a pool'])
    ids, mask = tokens['input_ids'], tokens['text_mask']
    assert ids.shape == mask.shape == (2, 8)
    words = [encoder.tokenizer.id_to_token(i) for i in ids[0].tolist()]
    assert words == [
        '[CLS]', 'the', 'upper', '-', 'left', 'tennis', 'court', '[SEP]'
    ]  # fmt: skip
    assert mask.sum(dim=1).tolist() == [8, 4]
    assert (ids[1, 4:] == encoder.bert.config.pad_token_id).all()


def test_the_vocabulary_spells_any_word():
    encoder = make()
    tokens = encoder.tokenize(['the zeppelin hangar, 2nd from the left!'])
    unknown = encoder.tokenizer.token_to_id('[UNK]')
    assert unknown not in tokens['input_ids'][0].tolist()


def test_truncation_keeps_the_end_mark_and_is_counted():
    encoder = make(max_tokens=5)
    tokens = encoder.tokenize(['the red court near the pool', 'a pool'])
    words = [encoder.tokenizer.id_to_token(i) for i in tokens['input_ids'][0]]
    assert words == ['[CLS]', 'the', 'red', 'court', '[SEP]']
    assert (encoder.num_truncated, encoder.num_expressions) == (1, 2)


def test_padding_changes_nothing():
    encoder = make()
    alone = encoder(**encoder.tokenize(['a pool']))
    batch = encoder(**encoder.tokenize(['a pool', 'the largest red tennis court']))
    torch.testing.assert_close(batch[:1, : alone.shape[1]], alone)


@pytest.mark.parametrize('bad', ['', '   ', '\u200b'])
def test_empty_expression_is_refused(bad):
    with pytest.raises(ValueError, match='expression 1 of the batch is empty'):
        make().tokenize(['a pool', bad])


@pytest.mark.parametrize(
    ('trainable', 'expected'),
    [('all', {'embeddings', '0', '1', '2'}), ('none', set()), (2, {'0', '1'})],
)
def test_trainable_part(trainable, expected):
    encoder = make(trainable=trainable)
    parts = {
        name.split('.')[3] if 'layer' in name.split('.')[:3] else name.split('.')[1]
        for name, p in encoder.named_parameters()
        if p.requires_grad
    }
    assert parts == expected


def test_frozen_bert_has_no_dropout_in_training():
    encoder = make(trainable='none').train()
    tokens = encoder.tokenize(['a pool'])
    assert torch.equal(encoder(**tokens), encoder(**tokens))


def test_local_weights_and_tokenizer(saved_bert):
    config = dict(SMALL, vocab_size=9)
    encoder = BertTextEncoder(pretrained=str(saved_bert), config=config)
    encoder.init_weights()
    encoder.eval()
    tokens = encoder.tokenize(['the red roofs'])
    assert tokens['input_ids'].tolist() == [[2, 5, 6, 7, 8, 3]]
    source = BertModel.from_pretrained(saved_bert).eval()
    expected = source(tokens['input_ids']).last_hidden_state
    torch.testing.assert_close(encoder(**tokens), expected)


def test_checkpoint_brings_its_tokenizer(saved_bert, tmp_path):
    config = dict(SMALL, vocab_size=9)
    trained = BertTextEncoder(pretrained=str(saved_bert), config=config)
    trained.init_weights()
    torch.save(trained.state_dict(), tmp_path / 'weights.pth')
    fresh = BertTextEncoder(pretrained='nowhere/to-be-found', config=config)
    fresh.load_state_dict(torch.load(tmp_path / 'weights.pth', weights_only=True))
    assert fresh.tokenize(['the red roofs'])['input_ids'].tolist() == [
        [2, 5, 6, 7, 8, 3]
    ]


def test_weights_without_a_tokenizer_still_load():
    encoder = make()
    state = encoder.state_dict()
    del state['tokenizer_state']
    assert not encoder.load_state_dict(state).missing_keys


def test_weights_that_cannot_be_had_name_the_key(tmp_path):
    missing = str(tmp_path / 'none')
    with pytest.raises(RuntimeError, match='model.text_encoder.pretrained: cannot'):
        BertTextEncoder(pretrained=missing, config=SMALL)
    encoder = BertTextEncoder(pretrained=missing, config=dict(SMALL, vocab_size=9))
    with pytest.raises(RuntimeError, match='model.text_encoder.pretrained: cannot'):
        encoder.init_weights()


def test_weights_of_another_size_name_the_key(saved_bert):
    encoder = BertTextEncoder(
        pretrained=str(saved_bert), config=dict(SMALL, vocab_size=12)
    )
    with pytest.raises(RuntimeError, match='model.text_encoder.pretrained'):
        encoder.init_weights()


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(vocab=None), 'needs text_encoder.vocab'),
        (dict(vocab='no_such_file.txt'), 'no file'),
        (dict(max_tokens=2), 'max_tokens=2'),
        (dict(trainable='some'), "trainable='some'"),
    ],
)
def test_bad_settings_are_refused(kwargs, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make(**kwargs)
