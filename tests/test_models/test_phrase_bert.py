# SPDX-License-Identifier: Apache-2.0
"""FIANet's phrase split: which word pieces, and what BERT sees of them."""

import pytest
import torch

from mmcadformer.language import released_phrases
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


TAGGED = (
    ('the', 'DT'), ('a', 'DT'), ('zeppelin', 'NN'), ('ship', 'NN'), ('on', 'IN'),
    ('left', 'NN'), ('near', 'IN'), ('dams', 'NNS'), ('red', 'JJ'), ('roof', 'NN'),
)  # fmt: skip
"""Words that the tagger of the tests knows."""


@pytest.fixture
def tagger_data(tmp_path, monkeypatch):
    """NLTK's data for a tokenizer and a tagger, of a few words, as it is installed."""
    nltk = pytest.importorskip('nltk', reason="needs the extra 'nltk'")
    from nltk.tag.perceptron import PerceptronTagger
    from nltk.tokenize.punkt import PunktParameters, save_punkt_params

    # First: NLTK reads and writes there only.
    monkeypatch.setattr(nltk.data, 'path', [str(tmp_path)])
    punkt = tmp_path / 'tokenizers/punkt_tab/english'
    punkt.mkdir(parents=True)
    save_punkt_params(PunktParameters(), str(punkt))
    name = 'averaged_perceptron_tagger_eng'
    tagger = PerceptronTagger(load=False)
    tagger.train([[word] for word in TAGGED] * 30, nr_iter=2)
    tagger.save_to_json('eng', str(tmp_path / 'taggers' / name))
    released_phrases._tagger.cache_clear()
    yield
    released_phrases._tagger.cache_clear()


def test_the_authors_marks_count_words(tagger_data):
    """Behind a word in many pieces they are on the wrong ones, as at the authors'."""
    encoder = make(phrases='released')
    sentences = ['the zeppelin on the left near dams', 'a ship on the left', 'the roof']
    tokens = encoder.tokenize(sentences)
    masks = tokens['text_mask']
    pieces = len(encoder.tokenizer.encode('zeppelin').ids) - 2
    assert pieces > 3
    # [CLS], then words: 'on the left' are words 2 to 4.
    assert masks[0].nonzero().tolist() == [
        *([0, i] for i in range(masks.shape[2])),
        *([2, i] for i in (3, 4, 5)),
    ]
    assert encoder.tokenizer.id_to_token(tokens['input_ids'][0, 4]) != 'the'
    assert masks[1, 1].nonzero().flatten().tolist() == [2]
    assert masks[1, 2].nonzero().flatten().tolist() == [3, 4, 5]
    # No object: nothing. No phrase: everything.
    assert not masks[2, 1].any() and torch.equal(masks[2, 2], masks[2, 0])
    # The ids are those of our own manner.
    assert torch.equal(make().tokenize(sentences)['input_ids'], tokens['input_ids'])
    assert encoder(**tokens).isfinite().all()


def test_the_authors_phrases_are_of_the_whole_sentence(tagger_data):
    """Also of the part that is cut off; marks behind the cut are left out."""
    sentence = 'the ' + 'red ' * 20 + 'ship on the left'
    cut = make(phrases='released', max_tokens=24, keep_end=False)
    assert marked(cut, cut.tokenize([sentence]), 2) == ['on']
    assert marked(cut, cut.tokenize([sentence]), 1)[0].endswith('p')


def test_the_authors_phrases_need_data_from_the_start(monkeypatch, tmp_path):
    nltk = pytest.importorskip('nltk', reason="needs the extra 'nltk'")
    monkeypatch.setattr(nltk.data, 'path', [str(tmp_path)])
    with pytest.raises(FileNotFoundError, match='python -m nltk.downloader'):
        make(phrases='released')
    make()


def test_the_authors_phrases_need_the_sentence(tagger_data):
    encoder = make(phrases='released')
    tokens = encoder.tokenize(['a ship on the left'])
    with pytest.raises(ValueError, match='give the text_mask .B, 3, N. of tokenize'):
        encoder.complete_mask(tokens['input_ids'], tokens['text_mask'][:, 0])
    with pytest.raises(ValueError, match='text_encoder.phrases must be one of'):
        make(phrases='nltk')
