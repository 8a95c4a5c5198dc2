# SPDX-License-Identifier: Apache-2.0
"""The review page in a real browser, and what comes of its file."""

import json
import re
from dataclasses import replace

import pytest

from mmcadformer.annotation import read_review, settle, write_review
from mmcadformer.annotation.reviews import find_consensus
from mmcadformer.annotation.workspace import ITEMS, by_image
from mmcadformer.datasets.formats import write_items


@pytest.fixture
def page_file(workspace, tmp_path):
    (path,) = write_review(
        workspace, tmp_path / 'page.html', settle(workspace), progress=False
    )
    return path


def open_page(context, path):
    """The page, and what went wrong or over the network while it is open."""
    page = context.new_page()
    trouble = []
    page.on('pageerror', lambda error: trouble.append(str(error)))
    page.on('console', lambda message: trouble.append(message.text))
    page.on('dialog', lambda dialog: (trouble.append('dialog'), dialog.dismiss()))
    page.on(
        'request',
        lambda request: (
            request.url.startswith(('file:', 'data:', 'blob:'))
            or trouble.append(request.url)
        ),
    )
    page.goto(path.as_uri())
    return page, trouble


def shown_ids(page):
    return page.eval_on_selector_all(
        '.card', 'cards => cards.map(card => card.dataset.id)'
    )


def count(page, state):
    return int(page.inner_text(f'#states [data-state={state}] b'))


def wait_for_count(page, state, number):
    """Waits for a number that follows an answer to a question of the page."""
    shown = page.locator(f'#states [data-state={state}] b')
    shown.filter(has_text=re.compile(f'^{number}$')).wait_for()


def card(page, item_id):
    return page.locator(f'.card[data-id="{item_id}"]')


def save(page, path):
    with page.expect_download() as download:
        page.click('#save')
    download.value.save_as(path)
    return download.value.suggested_filename


def test_accept_reject_fix_save_and_reload(chromium, workspace, page_file, tmp_path):
    page, trouble = open_page(chromium(), page_file)
    ids = shown_ids(page)
    assert sorted(ids) == sorted(item.item_id for item in workspace.items)
    assert page.locator('.card svg path.line').count() == len(ids)
    scores = [float(text) for text in page.locator('.card .score').all_inner_texts()]
    assert scores == sorted(scores, reverse=True)

    # By mouse, then by keys, which go on to the next mask.
    card(page, ids[0]).locator('[data-decision=reject]').click()
    card(page, ids[1]).locator('.meta').click()
    page.keyboard.press('a')
    page.keyboard.press('f')
    page.keyboard.press('a')
    page.keyboard.press('Control+z')
    assert [count(page, s) for s in ('accept', 'fix', 'reject')] == [1, 1, 1]
    assert card(page, ids[2]).locator('.state').inner_text() == '✎ to fix'
    page.keyboard.press('ArrowLeft')
    page.keyboard.press('n')
    page.keyboard.type('the left half is missing, "quoted"')
    page.keyboard.press('Escape')
    page.keyboard.press('Escape')
    assert not page.locator('#large').is_visible()

    # Nothing is saved without a name.
    page.click('#save')
    assert 'enter your name' in page.inner_text('#toast')
    page.keyboard.type('Ann Ä')
    name = save(page, tmp_path / 'ann.json')
    assert name == 'review-Ann_Ä.json'
    review = read_review(tmp_path / 'ann.json')
    assert review.annotator == 'Ann Ä'
    assert {item: d.decision for item, d in review.decisions.items()} == {
        ids[0]: 'reject',
        ids[1]: 'accept',
        ids[2]: 'fix',
    }
    assert review.decisions[ids[2]].note == 'the left half is missing, "quoted"'
    outcome = settle(workspace, [review])  # the masks' fingerprints are right
    assert outcome.items('fix', ids) == [ids[2]]

    # The browser keeps it.
    page.reload()
    assert [count(page, s) for s in ('accept', 'fix', 'reject')] == [1, 1, 1]
    assert page.input_value('#annotator') == 'Ann Ä'
    assert 'left half' in card(page, ids[2]).inner_text()
    assert 'unsaved' not in page.get_attribute('#save', 'class')
    card(page, ids[2]).locator('[data-decision=fix]').click()  # again: taken back
    assert count(page, 'undecided') == len(ids) - 2
    assert 'unsaved' in page.get_attribute('#save', 'class')
    assert trouble == []


def test_two_tabs_of_one_annotator_keep_both(chromium, page_file, tmp_path):
    context = chromium()
    one, trouble = open_page(context, page_file)
    one.fill('#annotator', 'Ann')
    one.keyboard.press('Enter')
    two, more = open_page(context, page_file)
    assert two.input_value('#annotator') == 'Ann'
    ids = shown_ids(one)

    def decide(page, item_id, decision):
        card(page, item_id).locator(f'[data-decision={decision}]').click()

    def states(page):
        return [card(page, item_id).locator('.state').inner_text() for item_id in ids]

    decide(one, ids[0], 'accept')
    decide(two, ids[1], 'reject')
    decide(one, ids[2], 'fix')
    decide(two, ids[0], 'reject')  # of the same item, the later one counts
    decide(one, ids[1], 'reject')  # taken back
    expected = ['✕ rejected', '', '✎ to fix', *[''] * (len(ids) - 3)]
    for page in (one, two):
        page.wait_for_function(
            'document.querySelector("#done").textContent.startsWith("2 of")'
        )
        assert states(page) == expected
        save(page, tmp_path / 'ann.json')
        review = read_review(tmp_path / 'ann.json')
        assert {item: d.decision for item, d in review.decisions.items()} == {
            ids[0]: 'reject',
            ids[2]: 'fix',
        }
        page.reload()
        assert states(page) == expected
    assert trouble == more == []


def test_a_tab_that_hears_nothing_of_the_other_keeps_its_decisions(chromium, page_file):
    context = chromium()
    context.add_init_script(
        "addEventListener('storage', event => event.stopImmediatePropagation())"
    )
    one, _ = open_page(context, page_file)
    two, _ = open_page(context, page_file)
    ids = shown_ids(one)
    card(two, ids[0]).locator('[data-decision=accept]').click()
    card(one, ids[1]).locator('[data-decision=fix]').click()
    two.reload()
    assert [count(two, s) for s in ('accept', 'fix')] == [1, 1]


def test_a_file_is_loaded_into_another_browser(
    chromium, workspace, page_file, tmp_path
):
    page, _ = open_page(chromium('ann'), page_file)
    ids = shown_ids(page)
    page.fill('#annotator', 'Ann')
    for key in 'arf':
        page.keyboard.press('Escape')
        page.keyboard.press(key)
    save(page, tmp_path / 'ann.json')
    content = json.loads((tmp_path / 'ann.json').read_text())
    content['decisions'][ids[0]]['mask'] = 'changed'
    content['decisions']['unknown'] = dict(decision='fix', mask='', note='')
    changed = tmp_path / 'changed.json'
    changed.write_text(json.dumps(content))

    page, trouble = open_page(chromium('bo'), page_file)
    assert count(page, 'undecided') == len(ids)
    page.set_input_files('#file', changed)
    page.wait_for_function('document.querySelector("#toast").textContent')
    message = page.inner_text('#toast')
    assert 'Loaded 2 decisions' in message
    assert '1 left out: their masks have changed' in message
    assert '1 are not on this page' in message
    assert count(page, 'undecided') == len(ids) - 2
    assert page.input_value('#annotator') == 'Ann'

    for name, text, text_shown in (
        ('x.json', '{', 'not valid JSON'),
        ('y.json', '{"format": "other"}', 'not a review that this page saved'),
    ):
        (tmp_path / name).write_text(text)
        page.set_input_files('#file', tmp_path / name)
        page.get_by_text(f'{name} is {text_shown}').wait_for()
    assert count(page, 'undecided') == len(ids) - 2
    assert trouble == []


def test_annotators_at_one_computer_are_kept_apart(chromium, page_file, tmp_path):
    page, trouble = open_page(chromium(), page_file)
    ids = shown_ids(page)

    def enter(name):
        page.fill('#annotator', name)
        page.press('#annotator', 'Enter')

    enter('Ann')
    page.keyboard.press('a')
    enter('Bo')
    page.get_by_role('button', name='Start a review by Bo').click()
    wait_for_count(page, 'accept', 0)
    page.keyboard.press('r')
    save(page, tmp_path / 'bo.json')
    enter('Ann')
    wait_for_count(page, 'accept', 1)
    assert count(page, 'reject') == 0
    save(page, tmp_path / 'ann.json')
    reviews = [read_review(tmp_path / f'{name}.json') for name in ('ann', 'bo')]
    assert find_consensus(reviews).disputed == [ids[0]]
    enter('Anna')
    page.get_by_role('button', name='Rename Ann').click()
    page.wait_for_function("document.querySelector('#annotator').value === 'Anna'")
    assert count(page, 'accept') == 1
    page.reload()
    assert page.input_value('#annotator') == 'Anna' and count(page, 'accept') == 1
    assert trouble == []


def test_filters_and_large_view(chromium, workspace, page_file):
    page, trouble = open_page(chromium(), page_file)
    ids = shown_ids(page)
    category = workspace.items[0].category
    of_category = {i.item_id for i in workspace.items if i.category == category}
    page.select_option('#category', category)
    assert set(shown_ids(page)) == of_category
    page.select_option('#category', '')
    words = workspace.items[0].expressions[0]
    page.fill('#search', words)
    assert workspace.items[0].item_id in shown_ids(page)
    page.fill('#search', 'no such words')
    assert shown_ids(page) == []
    assert 'No mask matches' in page.inner_text('#grid')
    page.fill('#search', '')
    page.press('#search', 'Escape')
    page.keyboard.press('a')
    page.click('#states [data-state=undecided]')
    assert shown_ids(page) == ids[1:]
    page.keyboard.press('Enter')  # of the button: nothing else happens
    assert not page.locator('#large').is_visible()

    card(page, ids[1]).locator('.picture').click()
    large = page.locator('#large')
    assert ids[1] in large.inner_text()
    page.keyboard.press('r')
    assert ids[2] in large.inner_text()
    assert large.locator('.steps output').inner_text() == f'2 of {len(ids) - 1}'
    page.keyboard.press('m')
    assert not large.locator('path.mask').is_visible()
    assert large.locator('path.line').is_visible()
    page.keyboard.press('Escape')
    assert count(page, 'reject') == 1
    page.select_option('#order', 'trust')
    scores = [float(text) for text in page.locator('.card .score').all_inner_texts()]
    assert scores == sorted(scores)
    assert trouble == []


def test_sentences_that_mean_none_or_several(chromium, workspace, tmp_path):
    groups = by_image(workspace.items).values()
    first, second, third = next(group for group in groups if len(group) > 2)[:3]
    changed = {item.item_id: replace(item, sentence='both') for item in (first, second)}
    changed[third.item_id] = replace(third, box=None)
    items = [changed.get(item.item_id, item) for item in workspace.items]
    write_items(workspace.folder / ITEMS, items, **workspace.about)
    other = type(workspace)(workspace.folder)
    (path,) = write_review(other, tmp_path / 'page.html', settle(other), progress=False)
    page, trouble = open_page(chromium(), path)
    both, nothing = card(page, first.item_id), card(page, third.item_id)
    assert 'one of 2' in both.inner_text()
    assert both.locator('.picture > svg rect.other').count() == 1
    assert 'means nothing here' in nothing.inner_text()
    assert nothing.locator('[data-decision]').count() == 2
    assert nothing.locator('.score').inner_text() == '0.00'
    nothing.locator('.picture').click()
    page.keyboard.press('f')
    assert count(page, 'fix') == 0
    page.keyboard.press('a')
    assert count(page, 'accept') == 1
    page.keyboard.press('Escape')
    page.select_option('#order', 'image')
    assert len(shown_ids(page)) == len(items)
    assert trouble == []


NASTY = '</script><img src=x onerror=alert(1)> %%js%% <b>&amp; "it"'


def test_text_is_text(chromium, workspace, tmp_path):
    items = [replace(item, expressions=(NASTY,)) for item in workspace.items]
    items = [replace(items[0], category='<i>x</i>'), *items[1:]]
    write_items(workspace.folder / ITEMS, items, **workspace.about)
    nasty = type(workspace)(workspace.folder)
    (path,) = write_review(
        nasty, tmp_path / 'page.html', settle(nasty), title=NASTY, progress=False
    )
    page, trouble = open_page(chromium(), path)
    assert len(shown_ids(page)) == len(items)
    assert page.inner_text('.card .said') == NASTY
    assert page.title() == page.inner_text('h1') == NASTY
    assert '<i>x</i>' in page.inner_text(f'.card[data-id="{items[0].item_id}"] .meta')
    assert trouble == []


def test_the_file_names_nothing_outside(page_file):
    text = page_file.read_text()
    assert not re.search(r'(?:src|href)\s*=\s*["\']?(?!data:)(?:https?:)?//', text)
    assert "default-src 'none'" in text
    assert '@import' not in text and 'url(' not in text


def test_long_lists_become_several_files(workspace, tmp_path):
    count = len(workspace.items)
    paths = write_review(
        workspace,
        tmp_path / 'page.html',
        settle(workspace),
        items_per_file=count // 2,
        progress=False,
    )
    assert [path.name for path in paths[:2]] == ['page-1.html', 'page-2.html']
    text = [path.read_text() for path in paths]
    for item in workspace.items:
        assert sum(f'"id":"{item.item_id}"' in part for part in text) == 1


def test_nothing_to_show(workspace, tmp_path):
    with pytest.raises(ValueError, match="none is 'disputed'"):
        write_review(workspace, tmp_path / 'p.html', settle(workspace), 'disputed')
    with pytest.raises(ValueError, match='show must be one of'):
        write_review(workspace, tmp_path / 'p.html', settle(workspace), 'some')
