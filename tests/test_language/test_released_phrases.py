# SPDX-License-Identifier: Apache-2.0
"""The words that FIANet's authors mark: the grammar on tagged words, and its oddities.

The tags are those that NLTK's own tagger gives such sentences.
"""

import sys

import pytest

from mmcadformer.language.released_phrases import (
    check_tagger,
    find_released_objects,
    find_released_positions,
)

CATEGORIES = ('ship', 'storage tank', 'vehicle', 'ground track field', 'dam', 'car')


def marked(sentence: str) -> str:
    """The marked words of 'word/TAG word/TAG ...'; '*' behind the last one."""
    tagged = [tuple(word.split('/')) for word in sentence.split()]
    found = find_released_positions(tagged)
    return ' '.join(tagged[i][0] if i < len(tagged) else '*' for i in found)


@pytest.mark.parametrize(
    ('sentence', 'expected'),
    [
        # a noun at the end, with and without determiner and adjective
        ('a/DT ship/NN near/IN land/NN', 'near land'),
        ('a/DT ship/NN on/IN the/DT right/NN', 'on the right'),
        ('a/DT ship/NN in/IN the/DT lower/JJ left/NN corner/NN', 'in the lower left'),
        ('a/DT ship/NN in/IN the/DT calm/JJ blue/JJ sea/NN', 'in the calm blue'),
        # an adjective at the end
        ('a/DT ship/NN on/IN the/DT left/JJ', 'on the left'),
        ('a/DT ship/NN in/IN the/DT upper/JJ left/JJ', 'in the upper left'),
        # a past tense is never reached: the pattern before takes its adjective
        ('a/DT ship/NN on/IN the/DT upper/JJ left/VBD', 'on the upper'),
        ('a/DT ship/NN on/IN the/DT left/VBD', ''),
        # plurals, "to", and two determiners are in no phrase
        ('a/DT ship/NN near/IN the/DT bridges/NNS', ''),
        ('a/DT ship/NN next/JJ to/TO the/DT bridge/NN', ''),
        ('a/DT ship/NN near/IN all/PDT the/DT land/NN', ''),
        # phrases with the letters "of", also within a word
        ('a/DT part/NN of/IN the/DT ship/NN', ''),
        ('a/DT ship/NN near/IN the/DT roof/NN by/IN land/NN', 'by land'),
        # two phrases
        ('a/DT car/NN on/IN the/DT left/NN near/IN a/DT dam/NN',
         'on the left near a dam'),
        # a noun comes before an adjective, wherever it stands
        ('it/PRP by/IN the/DT red/JJ in/IN the/DT sea/NN', 'by the red in the sea'),
        ('the/DT ship/NN', ''),
    ],
)  # fmt: skip
def test_phrases(sentence, expected):
    pytest.importorskip('nltk', reason="needs the extra 'nltk'")
    assert marked(sentence) == expected


def test_a_repeated_preposition_marks_its_first_occurrence():
    """Three words from the first "on", twice; the second place has none."""
    pytest.importorskip('nltk', reason="needs the extra 'nltk'")
    sentence = 'a/DT car/NN on/IN red/JJ soil/NN on/IN the/DT left/NN'
    assert marked(sentence) == 'on red soil'
    # The longer of the two goes on into what lies behind the first.
    sentence = 'it/PRP on/IN soil/NN and/CC on/IN the/DT far/JJ left/NN'
    assert marked(sentence) == 'on soil and on'


@pytest.mark.parametrize(
    ('sentence', 'expected'),
    [
        ('the ship near the other ship', 'ship'),
        ('two storage tanks and a vehicle', 'storage tanks vehicle'),
        ('the red roof', ''),
        ('the shipyard', 'shipyard'),  # a name within a word
        ('the damaged cargo hall', 'damaged cargo'),
        # from the first word with the name's first word in it
        ('the underground hall by the ground track field', 'underground hall by'),
        ('the tank for storage', ''),
        ('The Ship', ''),
    ],
)
def test_objects(sentence, expected):
    words = sentence.split()
    found = find_released_objects(sentence, words, CATEGORIES)
    assert ' '.join(words[i] for i in found) == expected


def test_objects_may_reach_beyond_the_last_word():
    """'storage-tank storage tank' ends in a name that is looked up in one word."""
    words = ['a', 'storage', 'tank', 'by', 'a', 'storage']
    assert find_released_objects(' '.join(words), words, CATEGORIES) == [1, 2]
    words = ['a', 'multistorage storage tank']
    assert find_released_objects(' '.join(words), words, CATEGORIES) == [1, 2]


def test_what_is_missing_is_told(monkeypatch, tmp_path):
    nltk = pytest.importorskip('nltk', reason="needs the extra 'nltk'")
    monkeypatch.setattr(nltk.data, 'path', [str(tmp_path)])
    told = 'NLTK.s data punkt_tab: python -m nltk.downloader punkt_tab averaged_'
    with pytest.raises(FileNotFoundError, match=told):
        check_tagger()
    monkeypatch.setattr(sys, 'meta_path', [])
    for name in [n for n in sys.modules if n.split('.')[0] == 'nltk']:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=r"pip install -e '.\[nltk\]'"):
        check_tagger()
