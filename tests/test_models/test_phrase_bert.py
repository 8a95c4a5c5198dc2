# SPDX-License-Identifier: Apache-2.0
"""FIANet's phrase split: which word pieces, and what BERT sees of them."""

import pytest
import torch

from mmcadformer.models import PhraseBertTextEncoder

CATEGORIES = ('ship', 'storage tank', 'vehicle', 'ground track field', 'factory')
SMALL = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
)


def make(**kwargs):
    torch.manual_seed(0)
    args = dict(pretrained=None, vocab='remote_sensing', config=SMALL, max_tokens=30)
    return PhraseBertTextEncoder(categories=CATEGORIES, **{**args, **kwargs}).eval()


def marked(encoder, tokens, part, row=0):
    ids = tokens['input_ids'][row][tokens['text_mask'][row, part]]
    return [encoder.tokenizer.id_to_token(i) for i in ids.tolist()]


def test_masks_follow_split_words():
    """A word in many pieces before the phrase must not shift its marks."""
    encoder = make()
    tokens = encoder.tokenize(
        ['the zeppelin above a storage tank near the dam', 'a red ship']
    )
    assert tokens['text_mask'].shape == (2, 3, tokens['input_ids'].shape[1])
    pieces = marked(encoder, tokens, 0)
    assert len(pieces) > 11  # 'zeppelin' is spelt out
    assert ''.join(marked(encoder, tokens, 1)).replace('##', '') == 'storagetank'
    where = ''.join(marked(encoder, tokens, 2)).replace('##', '')
    assert where == 'aboveastoragetanknearthedam'
    assert marked(encoder, tokens, 1, row=1)[-1].replace('##', '')[-1] == 'p'
    # Without a phrase the whole expression is the position.
    assert torch.equal(tokens['text_mask'][1, 2], tokens['text_mask'][1, 0])


def test_no_category_gives_an_empty_object_mask():
    tokens = make().tokenize(['the red roof'])
    assert not tokens['text_mask'][0, 1].any()


def test_marks_beyond_the_cut_are_dropped():
    encoder = make(max_tokens=6)
    tokens = encoder.tokenize(['the red red red red red red ship on the left'])
    assert tokens['text_mask'].shape == (1, 3, 6)
    assert not tokens['text_mask'][0, 1].any()


def test_each_run_sees_only_its_words():
    encoder = make()
    tokens = encoder.tokenize(['the red ship on the left'])
    base = encoder(**tokens)
    assert base.shape == (1, 3, tokens['input_ids'].shape[1], 16)
    for part in range(3):
        alone = encoder.bert(
            tokens['input_ids'], attention_mask=tokens['text_mask'][:, part].long()
        ).last_hidden_state
        torch.testing.assert_close(base[:, part], alone)
    changed = dict(tokens, input_ids=tokens['input_ids'].clone())
    changed['input_ids'][0, 2] += 1  # 'red' is in no phrase
    difference = (encoder(**changed) - base).abs()
    assert difference[0, 0].max() > 1e-4
    for part in (1, 2):
        words = tokens['text_mask'][0, part]
        assert difference[0, part][words].max() < 1e-6


def test_an_empty_mask_gives_finite_features():
    encoder = make()
    assert encoder(**encoder.tokenize(['the red roof'])).isfinite().all()


def test_whole_text_and_plain_mask():
    encoder = make()
    tokens = encoder.tokenize(['the red ship on the left', 'a ship'])
    plain = tokens['text_mask'][:, 0]
    text = encoder(tokens['input_ids'], plain)
    torch.testing.assert_close(text, encoder(**tokens))
    whole, mask = encoder.whole_text(text, tokens['text_mask'])
    assert torch.equal(whole, text[:, 0]) and torch.equal(mask, plain)


def test_missing_categories_are_refused():
    with pytest.raises(ValueError, match='text_encoder.categories is empty'):
        PhraseBertTextEncoder(categories=(), pretrained=None, vocab='remote_sensing')
