#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Damages files of every kind that the package reads, and sees what it says.

    fuzz_inputs.py --inputs 1000

Good files are written, one of them is damaged, and what reads it is called. Right is
that it reads the file, or ends by an error for the user that names the file, within
seconds and without much memory. The seed fixes everything; what is found is listed
with the number of the input, which --only repeats. The exit code is 1 if any is.
"""

import argparse
import contextlib
import io
import json
import logging
import multiprocessing
import pickle
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from mmengine.logging import MMLogger
from safetensors.torch import save_file

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.apis.model_zoo.released import read_released, read_rules
from mmcadformer.comparison import load_methods
from mmcadformer.datasets.formats import (
    BadEntries,
    load_json_lines_boxes,
    load_refcoco_boxes,
    load_voc_boxes,
    read_items,
)
from mmcadformer.datasets.inspection import check_dataset
from mmcadformer.datasets.inspection.sources import datasets_of_config, open_layout
from mmcadformer.datasets.records import read_id_list
from mmcadformer.imagery import read_picture
from mmcadformer.utils.checkpoint import check_run_state, read_checkpoint
from mmcadformer.utils.command_line import USER_ERRORS
from mmcadformer.utils.config import inference_pipeline, input_shape, read_config
from mmcadformer.utils.plain_data import read_lines

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20  # after which an input is said to hang
GIGABYTES = 3.0
PER_PROCESS = 100
_SIZE = 24  # of the pictures, in pixels
_RLE = dict(size=[_SIZE, _SIZE], counts=[100, 50, _SIZE * _SIZE - 150])
_TOKENS = (
    *(b'null', b'NaN', b'-1', b'1e999', b'[]', b'{}', b'""', b'true', b'\x00', b'\n'),
    *(b'99999999999999999999', b'\xff\xfe', b'[' * 2000, b'"' + b'x' * 3000 + b'"'),
    *('\u2028'.encode(), b'\xef\xbb\xbf', b'!!python/name:os.system', b'/dev/zero'),
)


def write_files(root: Path) -> None:
    """Writes a good file of every kind."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (_SIZE, _SIZE, 3), dtype=np.uint8)
    mask = np.zeros((_SIZE, _SIZE), np.uint8)
    mask[4:9, 5:15] = 255
    pictures = root / 'images/x/JPEGImages'
    for folder in (pictures, root / 'x', root / 'images', root / 'masks', root / 'voc'):
        folder.mkdir(parents=True, exist_ok=True)
    for file in ('1.png', '1.jpg', '1.tif', '1.webp', '1.bmp'):
        cv2.imwrite(str(pictures / file), image)
    cv2.imwrite(str(root / 'images/7.tif'), image)
    cv2.imwrite(str(root / 'masks/7.tif'), mask)
    cv2.imwrite(str(root / 'masks/1.png'), mask)
    refs = [
        dict(
            ref_id=number, ann_id=7, image_id=1, category_id=1, split='train',
            sent_ids=[number],
            sentences=[dict(raw=f'the pond {number}', sent_id=number)],
        )
        for number in (3, 4)
    ]  # fmt: skip
    instances = dict(
        images=[dict(id=1, file_name='1.png', height=_SIZE, width=_SIZE)],
        categories=[dict(id=1, name='pond')],
        annotations=[
            dict(
                id=7, image_id=1, category_id=1, segmentation=[_RLE], bbox=[1, 2, 9, 9]
            )
        ],
    )
    line = dict(
        id='a', image='images/x/JPEGImages/1.png', expression='the pond', split='train',
        mask=_RLE, category='pond', height=_SIZE, width=_SIZE,
    )  # fmt: skip
    box = dict(image='1.png', box=[1, 2, 9, 9], expression='a pond', category='pond')
    result = dict(
        dataset_name='x', image_id=1, ref_id=3, sent_id=3, category='pond',
        expression='the pond', intersection=5, union=9, truth_area=7,
    )  # fmt: skip
    texts = {
        'x/instances.json': json.dumps(instances),
        'x/refs.json': json.dumps(refs),
        'annotations.jsonl': f'{json.dumps(line)}\n'
        + json.dumps(dict(line, id='b', mask='masks/1.png')),
        'output_phrase_train.txt': '7 the pond on the left\n7 a pond\n',
        'boxes.jsonl': json.dumps(box),
        'items.json': json.dumps(
            dict(
                format='mmcadformer-boxes',
                version=1,
                items=[
                    dict(
                        item_id='a',
                        image='1.png',
                        box=[1, 2, 9, 9],
                        category='pond',
                        expressions=['a pond'],
                        split=None,
                    )  # fmt: skip
                ],
            )
        ),
        'voc/1.xml': '<annotation><filename>1.png</filename><object><name>pond</name>'
        '<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>'
        '<description>the pond</description></object></annotation>',
        'results.jsonl': '\n'.join(
            json.dumps(dict(result, sent_id=number)) for number in range(3)
        ),
        'ids.txt': '3 # bad\n4\n',
        'ids.json': '["3", "4"]',
        'pairs.txt': '1.png\tthe pond\n',
        'names.yml': yaml.dump(dict(names={'a.<i>': 'b.<i>'}, zeros=['c'])),
    }
    for file, text in texts.items():
        (root / file).write_text(text, encoding='utf-8')
    config = read_config(ROOT / 'configs/cadformer_tiny_synthrs.py')
    for suffix in ('json', 'yaml', 'py'):
        config.dump(root / f'config.{suffix}')
    (root / 'pickled/x').mkdir(parents=True)
    (root / 'pickled/images').symlink_to(root / 'images')
    (root / 'pickled/x/instances.json').write_text(json.dumps(instances))
    (root / 'pickled/x/refs(unc).p').write_bytes(pickle.dumps(refs, 2))
    state = {f'layer.{i}.weight': torch.rand(8, 8) for i in range(3)}
    content = dict(state_dict=state, meta=dict(epoch=3), message_hub={})
    torch.save(content, root / 'weights.pth')
    torch.save(state, root / 'old.pth', _use_new_zipfile_serialization=False)
    save_file(state, root / 'weights.safetensors')


def _check(layout: str, folder: str = '', *names: str) -> Callable[[Path, Path], None]:
    def check(root: Path, file: Path) -> None:
        dataset = open_layout(layout, str(root / folder), *names)
        for finding in check_dataset(dataset, progress=False).findings:
            if str(root) not in str(finding):
                raise RuntimeError(f'a finding does not name the file: {finding}')

    return check


def _config(root: Path, file: Path) -> None:
    config = read_config(file)
    for use in (inference_pipeline, input_shape, datasets_of_config):
        with contextlib.suppress(*USER_ERRORS):  # which name the key, not the file
            use(config)


_refcoco, _json, _segrs = _check('refcoco', '', 'x'), _check('json'), _check('refsegrs')
READERS: dict[str, Sequence[Callable[[Path, Path], object]]] = {
    'x/instances.json': (
        _refcoco,
        lambda root, file: load_refcoco_boxes(root, 'x', BadEntries(skip=True)),
    ),
    'x/refs.json': (_refcoco,),
    'pickled/x/refs(unc).p': (_check('refcoco', 'pickled', 'x'),),
    'annotations.jsonl': (_json,),
    'masks/1.png': (_json,),
    'output_phrase_train.txt': (_segrs,),
    'masks/7.tif': (_segrs,),
    'images/7.tif': (_segrs,),
    'images/x/JPEGImages/1.png': (_refcoco,),
    **{
        f'images/x/JPEGImages/1.{kind}': (lambda root, file: read_picture(file),)
        for kind in ('jpg', 'tif', 'webp', 'bmp')
    },
    'boxes.jsonl': (lambda root, file: load_json_lines_boxes(file),),
    'items.json': (lambda root, file: read_items(file),),
    'voc/1.xml': (
        lambda root, file: load_voc_boxes(file.parent, root / 'images/x/JPEGImages'),
    ),
    'results.jsonl': (lambda root, file: load_methods({'a': [file], 'b': [file]}),),
    'ids.txt': (lambda root, file: read_id_list(file),),
    'ids.json': (lambda root, file: read_id_list(file),),
    'pairs.txt': (lambda root, file: list(read_lines(file)),),
    'names.yml': (lambda root, file: read_rules('lavt', file),),
    'config.json': (_config,),
    'config.yaml': (_config,),
    'config.py': (_config,),
    'weights.pth': (
        lambda root, file: read_checkpoint(file),
        lambda root, file: check_run_state(file),
        lambda root, file: read_released(file),
    ),
    'old.pth': (lambda root, file: read_checkpoint(file),),
    'weights.safetensors': (lambda root, file: read_checkpoint(file),),
}


def damage(data: bytes, rng: random.Random, gently: bool) -> bytes:
    """One file in another form: cut, with bytes changed, moved, repeated or put in."""
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.choice((1, 4, 40, 400)))
    ways = [
        lambda: data[:start],
        lambda: data[:start] + data[end:],
        lambda: b'',
        lambda: data[:start] + data[start:end] * 3 + data[end:],
    ]
    if not gently:  # what is left is no other program
        other = bytes(rng.randrange(256) for _ in range(end - start))
        token = rng.choice(_TOKENS)
        ways += [
            lambda: data[:start] + other + data[end:],
            lambda: data[:start] + token + data[start:],
            lambda: data[:start] + token + data[end:],
            lambda: bytes(rng.randrange(256) for _ in range(200)),
        ]
    return rng.choice(ways)()


class Hangs(BaseException):
    """An input took too long."""


def _alarm(*_: object) -> None:
    raise Hangs


def try_input(number: int, seed: int, root: Path) -> tuple[str, list[str]]:
    """The file that an input damages, and what is wrong with what was said."""
    rng = random.Random(f'{seed} {number}')
    name = sorted(READERS)[number % len(READERS)]
    file = root / name
    good = file.read_bytes()
    found = []
    try:
        file.write_bytes(damage(good, rng, name.endswith('.py')))
        for reader in READERS[name]:
            signal.alarm(SECONDS)
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    reader(root, file)
            except USER_ERRORS as error:
                if str(root) not in str(error):
                    found.append(f'no file in: {str(error)[:300]}')
                elif len(str(error)) > 1500:
                    found.append(f'{len(str(error))} letters: {str(error)[:300]}')
            except Hangs:
                found.append(f'hangs: {traceback.format_exc(limit=-2)[-400:]}')
            except BaseException:
                found.append(traceback.format_exc(limit=-3)[-900:])
            finally:
                signal.alarm(0)
    finally:
        file.write_bytes(good)
    return name, found


def run(numbers: Sequence[int], seed: int, now: Any, results: Any) -> None:
    """Tries inputs in a process of their own, which may die of one."""
    signal.signal(signal.SIGALRM, _alarm)
    torch.set_num_threads(1)
    MMLogger.get_instance('fuzz', log_level=logging.CRITICAL)
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        write_files(root)
        for name, readers in READERS.items():
            for reader in readers:
                reader(root, root / name)  # which good files pass
        for number in numbers:
            now.value = number
            results.put((number, *try_input(number, seed, root)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    results.put((None, '', [f'{peak:.1f} GB of memory'] if peak > GIGABYTES else []))


def fuzz(numbers: Sequence[int], seed: int) -> list[str]:
    """Tries inputs; what was found, with the number and the file of each."""
    context = multiprocessing.get_context('fork')
    found: list[str] = []
    counts: Counter[str] = Counter()
    for start in range(0, len(numbers), PER_PROCESS):
        part = numbers[start : start + PER_PROCESS]
        while part:
            now, results = context.Value('q', -1), context.SimpleQueue()
            process = context.Process(target=run, args=(part, seed, now, results))
            process.start()
            done = -1
            while process.is_alive() or not results.empty():
                if results.empty():
                    process.join(0.05)
                    continue
                number, name, problems = results.get()
                done = done if number is None else number
                counts[name] += number is not None
                found += [f'input {number}, {name}: {text}' for text in problems]
            if process.exitcode == 0:
                break
            found.append(f'input {now.value}: the process died ({process.exitcode})')
            part = [number for number in part if number > now.value]
    print(f'{sum(counts.values())} inputs of {len(READERS)} kinds of files')
    return found


def main() -> None:
    """Tries inputs and lists what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--inputs', type=int, default=1000, metavar='N')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--only', type=int, nargs='+', metavar='NUMBER', help='only these inputs'
    )
    args = parser.parse_args()
    found = fuzz(args.only or list(range(args.inputs)), args.seed)
    for text in found:
        print(f'\n{text}')
    print(f'{len(found)} found')
    sys.exit(1 if found else 0)


if __name__ == '__main__':
    main()
