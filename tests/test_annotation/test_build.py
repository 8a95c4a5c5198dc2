# SPDX-License-Identifier: Apache-2.0
"""From boxes to a dataset with the command, interrupted and resumed."""

import json
import os
import pickle
import shutil
import signal

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from mmcadformer.annotation import (
    Decision,
    Review,
    Workspace,
    build_dataset,
    read_corrections,
    settle,
)
from mmcadformer.datasets import ReferringSegDataset, decode_segmentation
from mmcadformer.datasets.targets import kind_of, targets_of
from mmcadformer.utils.lock import FolderInUse, locked


def files_below(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


@pytest.fixture
def many_boxes(tmp_path, scenes):
    """JSON lines about many copies of the scenes' images."""
    images = tmp_path / 'pictures'
    images.mkdir()
    originals = sorted((scenes / 'images' / 'synthrs' / 'JPEGImages').iterdir())
    lines = []
    for number in range(40):
        name = f'{number:03d}.jpg'
        os.link(originals[number % len(originals)], images / name)
        box = [20, 10, 60, 33.5]
        lines.append(dict(image=name, box=box, expression='it', category='tank'))
    path = tmp_path / 'boxes.jsonl'
    path.write_text('\n'.join(map(json.dumps, lines)))
    return path, images


def test_killed_and_resumed_is_the_same(
    tmp_path, many_boxes, tiny_sam, tool, fork_tool
):
    path, images = many_boxes
    arguments = ['--json-lines', path, '--images', images, '--sam', tiny_sam]
    arguments += ['--device', 'cpu', '--quiet']
    killed = tmp_path / 'killed'
    command = ['dataset_converters/build_from_boxes.py', 'masks', killed, *arguments]
    for _attempt in range(10):
        process = fork_tool(*command, cwd=tmp_path)
        process.wait_for(lambda _: len(list(killed.glob('masks/*.json'))) >= 3)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait().returncode in (-signal.SIGKILL, 0), process.output
        done = {p: p.stat().st_mtime_ns for p in (killed / 'masks').glob('*.json')}
        if len(done) < 40:
            break
        shutil.rmtree(killed)  # the signal came too late, on a busy machine
    assert 3 <= len(done) < 40
    with pytest.raises(ValueError, match='not all masks are made yet'):
        Workspace(killed)
    first = min(done)
    (killed / 'masks' / f'{first.name}.unfinished').write_text('{"half": ')
    first.write_text('damaged')

    with pytest.raises(FolderInUse, match='killed is in use by'):
        with locked(tmp_path, 'killed'):
            tool('masks', killed, *arguments)
    tool('masks', killed, *arguments)
    whole = tmp_path / 'whole' / 'killed'  # the page's title is the folder's name
    tool('masks', whole, *arguments)
    assert files_below(killed) == files_below(whole)
    assert len(Workspace(killed).items) == 40
    for record, written in done.items():
        assert (record.stat().st_mtime_ns == written) == (record != first)


@pytest.fixture
def made(tmp_path, scenes, tiny_sam, tool):
    """Folder of masks of the scenes by the tiny SAM."""
    folder = tmp_path / 'made'
    source = scenes / 'synthrs'
    tool('masks', folder, '--refcoco', source, '--sam', tiny_sam, '--quiet')
    return folder


def test_from_boxes_to_a_dataset(tmp_path, made, tool, save_review, capsys):
    assert (made / 'review.html').stat().st_size > 10_000
    workspace = Workspace(made)
    ids = [item.item_id for item in workspace.items]
    quality = json.loads((made / 'quality.json').read_text())['items']
    assert sorted(entry['item_id'] for entry in quality) == sorted(ids)
    scores = [entry['suspicion'] for entry in quality]
    assert scores == sorted(scores, reverse=True)

    # Three annotators, who differ about the third item; the first is rejected,
    # the second is to be corrected.
    said = dict.fromkeys(ids, 'accept') | {ids[0]: 'reject', ids[1]: 'fix'}
    files = []
    for name in ('Ann', 'Bo', 'Cy'):
        own = said | ({ids[2]: 'fix'} if name == 'Cy' else {})
        masks = workspace.masks
        decisions = {item: Decision(d, masks[item].digest) for item, d in own.items()}
        files.append(tmp_path / f'{name}.json')
        save_review(files[-1], Review(name, decisions))
    build = ['build', made, tmp_path / 'data', '--name', 'mine']
    with pytest.raises(ValueError, match='not ready') as error:
        tool(*build, '--apply-review', *files)
    assert '1 items are to fix' in str(error.value)
    assert '1 items are disputed' in str(error.value)

    capsys.readouterr()
    tool('compare', made, *files)
    printed = capsys.readouterr().out
    assert f'{ids[2]}: Ann accept, Bo accept, Cy fix' in printed
    disputed = tmp_path / 'disputed.html'
    shown = ['--show', 'disputed', '--out', disputed, '--quiet']
    tool('review', made, '--apply-review', *files, *shown)
    assert ids[2] in disputed.read_text() and ids[3] not in disputed.read_text()

    flagged = tmp_path / 'flagged'
    tool('export', made, flagged, '--majority', '--apply-review', *files)
    content = json.loads((flagged / 'annotations.json').read_text())
    (annotation,) = content['annotations']
    left, top, right, bottom = workspace.items[[*ids].index(ids[1])].box
    annotation['segmentation'] = [[left, top, right, top, right, bottom]]
    corrected = tmp_path / 'corrected.json'
    corrected.write_text(json.dumps(content))

    decided = ['--majority', '--apply-review', *files, '--corrected', corrected]
    tool(*build, *decided, '--refs-json', '--seed', 5)
    table = capsys.readouterr().out
    assert '| total' in table and '1 masks corrected by hand' in table

    root = tmp_path / 'data'
    about = json.loads((root / 'mine' / 'build.json').read_text())
    assert about['splits']['seed'] == 5 and about['masks']['corrected'] == 1
    assert about['annotators'] == ['Ann', 'Bo', 'Cy']
    assert about['left_out'] == [dict(where=f'item {ids[0]}', reason='reject')]
    drawn = read_corrections(workspace, [corrected])
    expected = {item: workspace.masks[item] for item in ids[1:]} | drawn
    check_dataset(root, 'mine', workspace, expected)


def check_dataset(root, name, workspace, expected):
    """What our dataset and pycocotools read is what was to be written."""
    coco = COCO(str(root / name / 'instances.json'))
    items = {item.item_id: item for item in workspace.items}
    refs = pickle.loads((root / name / 'refs(unc).p').read_bytes())
    if (root / name / 'refs.json').exists():
        assert json.loads((root / name / 'refs.json').read_text()) == refs
    found, images = {}, {}
    for split in {ref['split'] for ref in refs}:
        for record in ReferringSegDataset(str(root), name, split=split):
            annotation = coco.anns[record['ann_id']]
            item = items[annotation['attributes']['item_id']]
            mask = decode_segmentation(
                record['segmentation'], record['height'], record['width']
            )
            (rle,) = annotation['segmentation']
            assert np.array_equal(mask, mask_utils.decode(rle))
            assert np.array_equal(mask, expected[item.item_id].to_array())
            assert tuple(record['expressions']) == item.expressions
            assert record['category'] == item.category
            source = workspace.images / item.image
            with open(record['img_path'], 'rb') as file:
                assert file.read() == source.read_bytes()
            images.setdefault(item.image, set()).add(split)
            found[item.item_id] = split
    assert found.keys() == expected.keys()
    assert all(len(splits) == 1 for splits in images.values())


def test_other_readers_read_what_is_built(tmp_path, workspace, refer):
    build_dataset(workspace, tmp_path, 'mine', settle(workspace), undecided='keep')
    peer = refer.check_as_peer(tmp_path, 'mine')
    assert len(peer.refs) == len(workspace.items)


def test_without_a_review_only_if_asked(tmp_path, workspace, tool):
    build = ['build', workspace.folder, tmp_path, '--name', 'mine']
    with pytest.raises(ValueError, match='items are undecided'):
        tool(*build)
    tool(*build, '--undecided', 'keep', '--splits', 'source')
    check_dataset(tmp_path, 'mine', workspace, workspace.masks)
    refs = pickle.loads((tmp_path / 'mine' / 'refs(unc).p').read_bytes())
    own = [item.split for item in workspace.items]
    assert [ref['split'] for ref in refs] == own
    with pytest.raises(FileExistsError, match='there already'):
        tool(*build, '--undecided', 'keep')
    with pytest.raises(FolderInUse, match='mine is in use by'):
        with locked(tmp_path, 'mine'):
            tool(*build, '--undecided', 'keep', '--overwrite')
    tool(*build, '--undecided', 'keep', '--overwrite', '--image-mode', 'symlink')
    check_dataset(tmp_path, 'mine', workspace, workspace.masks)
    with pytest.raises(ValueError, match='no item is left'):
        tool(*build, '--undecided', 'drop', '--overwrite')


def test_nothing_but_its_own_datasets_is_overwritten(workspace, scenes):
    before = files_below(scenes)
    for _ in range(2):
        with pytest.raises(FileExistsError, match='not written by this tool'):
            build_dataset(
                workspace,
                scenes,
                'synthrs',
                settle(workspace),
                undecided='keep',
                overwrite=True,
            )
    assert files_below(scenes) == before


def test_renamed_categories(tmp_path, workspace, tool):
    old = workspace.items[0].category
    build = ['build', workspace.folder, tmp_path, '--name', 'mine']
    tool(*build, '--undecided', 'keep', '--rename', f'{old}=thing=x')
    coco = COCO(str(tmp_path / 'mine' / 'instances.json'))
    names = {category['name'] for category in coco.cats.values()}
    assert 'thing=x' in names and old not in names


@pytest.fixture
def damaged(many_boxes):
    path, images = many_boxes
    lines = path.read_text().splitlines()[:12]
    lines[6] = lines[6].replace('60', '600')  # a box outside of its image
    lines[7] = lines[7].replace('"it"', '""')
    path.write_text('\n'.join(lines))
    cut = (images / '003.jpg').read_bytes()[:-200]
    for number, content in ((3, cut), (4, b'no image')):
        (images / f'00{number}.jpg').unlink()
        (images / f'00{number}.jpg').write_bytes(content)
    (images / '005.jpg').unlink()
    return path, images


def test_bad_entries_stop_it_or_are_counted(tmp_path, damaged, tiny_sam, tool, capsys):
    path, images = damaged
    folder = tmp_path / 'work'
    command = ['masks', folder, '--json-lines', path, '--images', images]
    command += ['--sam', tiny_sam, '--quiet']
    with pytest.raises(ValueError, match='line 8: expression is empty.*--skip-bad'):
        tool(*command)
    for _ in range(2):  # what was made once is reported again
        tool(*command, '--skip-bad')
        assert '5 entries left out' in capsys.readouterr().out
    reasons = [entry['reason'] for entry in Workspace(folder).skipped]
    wanted = ('is empty', 'missing', 'is cut off', 'is not a picture', 'outside of its')
    assert all(any(text in reason for reason in reasons) for text in wanted)
    images_left = {item.image for item in Workspace(folder).items}
    assert images_left == {f'{number:03d}.jpg' for number in (0, 1, 2, 8, 9, 10, 11)}
    with pytest.raises(ValueError, match='line 8'):
        tool(*command)


def test_masks_of_other_settings_are_not_mixed(made, scenes, tiny_sam, tool):
    again = ['masks', made, '--refcoco', scenes / 'synthrs', '--sam', tiny_sam]
    again += ['--quiet', '--choose', 'single']
    before = files_below(made / 'masks')
    with pytest.raises(ValueError, match='other settings.*--overwrite'):
        tool(*again)
    assert files_below(made / 'masks') == before
    tool(*again, '--overwrite')
    after = files_below(made / 'masks')
    assert all(after[name] != before[name] for name in before)


def test_changed_images_are_segmented_again(made, scenes, tiny_sam, tool, tmp_path):
    images = tmp_path / 'other'
    images.mkdir()
    for path in (scenes / 'images' / 'synthrs' / 'JPEGImages').iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    first = sorted(images.iterdir())[0]
    first.write_bytes(sorted(images.iterdir())[1].read_bytes())
    before = files_below(made / 'masks')
    command = ['--refcoco', scenes / 'synthrs', '--images', images, '--sam', tiny_sam]
    tool('masks', made, *command, '--quiet')
    after = files_below(made / 'masks')
    changed = [name for name in before if before[name] != after[name]]
    assert len(changed) == 1 and changed[0].startswith(first.name)


@pytest.fixture
def sentences(tmp_path, scenes):
    """JSON lines about none, one and several objects, and their images."""
    images = scenes / 'images' / 'synthrs' / 'JPEGImages'
    first, second = sorted(path.name for path in images.iterdir())[:2]
    boxes = [[4, 4, 30, 30], [30, 20, 60, 60]]
    shared = dict(category='tank', split='train')
    said = [
        dict(id='one', image=first, box=boxes[0], expression='the left tank'),
        dict(id='both', image=first, boxes=boxes, expressions=['both tanks', 'tanks']),
        dict(id='none', image=second, boxes=[], expression='the blue tank'),
        dict(id='group', image=second, box=boxes[1], expression='all tanks'),
    ]
    said[2]['kind'], said[3]['kind'] = 'none/attribute', 'several'
    path = tmp_path / 'sentences.jsonl'
    path.write_text('\n'.join(json.dumps(dict(line, **shared)) for line in said))
    return path, images


@pytest.fixture
def of_sentences(tmp_path, sentences, tiny_sam, tool):
    folder = tmp_path / 'of_sentences'
    path, images = sentences
    source = ['--json-lines', path, '--images', images]
    tool('masks', folder, *source, '--sam', tiny_sam, '--quiet')
    return folder


def records_of(root, name):
    data = ReferringSegDataset(str(root), name, split='train')
    return {record['expressions'][0]: record for record in data}


def test_none_and_several_go_through(tmp_path, of_sentences, tiny_sam, tool):
    workspace = Workspace(of_sentences)
    ids = [item.item_id for item in workspace.items]
    assert ids == ['one', 'both/1', 'both/2', 'none', 'group']
    quality = json.loads((of_sentences / 'quality.json').read_text())['items']
    assert {q['item_id']: q['suspicion'] for q in quality}['none'] == 0
    build = ['--undecided', 'keep', '--splits', 'source']
    tool('build', of_sentences, tmp_path, '--name', 'mine', *build)
    found = records_of(tmp_path, 'mine')
    kinds = {text: kind_of(record) for text, record in found.items()}
    assert kinds == {
        'the left tank': 'one',
        'both tanks': 'several',
        'the blue tank': 'none/attribute',
        'all tanks': 'several',
    }
    assert found['the blue tank']['category'] == 'tank'
    assert found['both tanks']['expressions'] == ['both tanks', 'tanks']
    masks = workspace.masks
    for text, own in (
        ('the left tank', ['one']),
        ('both tanks', ['both/1', 'both/2']),
        ('all tanks', ['group']),
    ):
        parts = [target['segmentation'] for target in targets_of(found[text])]
        assert len(parts) == len(own)
        for part, item in zip(parts, own, strict=True):
            drawn = decode_segmentation(part, 64, 64)
            assert np.array_equal(drawn, masks[item].to_array())

    # What was built is a source itself.
    again = tmp_path / 'again'
    tool('masks', again, '--refcoco', tmp_path / 'mine', '--sam', tiny_sam, '--quiet')
    ids = [item.item_id for item in Workspace(again).items]
    assert ids == ['ref-1', 'ref-2/1', 'ref-2/2', 'ref-3', 'ref-4']
    tool('build', again, tmp_path, '--name', 'twice', *build)
    twice = records_of(tmp_path, 'twice')
    assert {text: kind_of(record) for text, record in twice.items()} == kinds


def test_a_sentence_stays_or_goes_with_all_its_objects(
    tmp_path, of_sentences, tool, save_review
):
    workspace = Workspace(of_sentences)
    said = {item: 'accept' for item in workspace.masks} | {'both/2': 'reject'}
    decisions = {i: Decision(d, workspace.masks[i].digest) for i, d in said.items()}
    review = tmp_path / 'Ann.json'
    save_review(review, Review('Ann', decisions))
    build = ['build', of_sentences, tmp_path, '--name', 'mine', '--splits', 'source']
    tool(*build, '--apply-review', review)
    assert set(records_of(tmp_path, 'mine')) == {
        'the left tank',
        'the blue tank',
        'all tanks',
    }
    about = json.loads((tmp_path / 'mine' / 'build.json').read_text())
    assert {entry['where']: entry['reason'] for entry in about['left_out']} == {
        'item both/2': 'reject',
        'item both/1': 'another object of its sentence is left out',
    }
    assert about['masks'] == dict(sam=2, corrected=0)


def test_a_sentence_with_a_bad_box_is_left_out(
    tmp_path, sentences, tiny_sam, tool, capsys
):
    path, images = sentences
    path.write_text(path.read_text().replace('60, 60]], "exp', '60, 600]], "exp'))
    work = ['masks', tmp_path / 'bad', '--json-lines', path, '--images', images]
    work += ['--sam', tiny_sam, '--quiet']
    with pytest.raises(ValueError, match='outside of its image'):
        tool(*work)
    tool(*work, '--skip-bad')
    assert '2 entries left out' in capsys.readouterr().out
    left = [item.item_id for item in Workspace(tmp_path / 'bad').items]
    assert left == ['one', 'none', 'group']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(boxes=[], kind='one'), "kind 'one' does not fit 0 masks"),
        (dict(boxes={}), "'boxes' must be a list"),
        (dict(boxes=[], box=[1, 2, 3, 4]), 'exactly one of'),
        (dict(boxes=[[1, 2, 3]]), 'must be four numbers'),
    ],
)
def test_bad_lines_are_named(tmp_path, scenes, tiny_sam, tool, change, message):
    path = tmp_path / 'line.jsonl'
    path.write_text(json.dumps(dict(image='a.jpg', expression='it', **change)))
    images = scenes / 'images' / 'synthrs' / 'JPEGImages'
    source = ['--json-lines', path, '--images', images]
    with pytest.raises(ValueError, match=f'line 1: .*{message}'):
        tool('masks', tmp_path / 'work', *source, '--sam', tiny_sam, '--quiet')
