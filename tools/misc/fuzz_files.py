# SPDX-License-Identifier: Apache-2.0
"""Small good files of every kind that the package reads, and what reads them."""

import contextlib
import functools
import importlib.util
import json
import pickle
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from safetensors.torch import save_file

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.annotation import (
    Workspace,
    read_corrections,
    read_review,
    settle,
)
from mmcadformer.annotation import read_rules as read_flags
from mmcadformer.annotation.workspace import ImageRecord, ItemMask, MaskStore
from mmcadformer.apis.model_zoo.released import read_released, read_rules
from mmcadformer.comparison import Job, load_methods, measure_costs
from mmcadformer.datasets.formats import (
    BadEntries,
    load_json_lines_boxes,
    load_refcoco_boxes,
    load_voc_boxes,
    read_items,
    write_items,
)
from mmcadformer.datasets.inspection import check_dataset
from mmcadformer.datasets.inspection.sources import datasets_of_config, open_layout
from mmcadformer.datasets.records import read_id_list
from mmcadformer.imagery import read_picture
from mmcadformer.utils.checkpoint import check_run_state, read_checkpoint
from mmcadformer.utils.command_line import USER_ERRORS
from mmcadformer.utils.config import inference_pipeline, input_shape, read_config
from mmcadformer.utils.files import digest, write_json

_HAS_SCENES = importlib.util.find_spec('rasterio') is not None
_HAS_ONNX = None not in map(importlib.util.find_spec, ('onnx', 'onnxruntime'))
ROOT = Path(__file__).resolve().parents[2]
_SIZE = 24  # of the pictures, in pixels
_RLE = dict(size=[_SIZE, _SIZE], counts=[100, 50, _SIZE * _SIZE - 150])


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
        'voc/1.xml': '<annotation><filename>1.png</filename><object><name>pond</name>'
        '<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>'
        '<description>the pond</description></object></annotation>',
        'results.jsonl': '\n'.join(
            json.dumps(dict(result, sent_id=number)) for number in range(3)
        ),
        'ids.txt': '3 # bad\n4\n',
        'ids.json': '["3", "4"]',
        'pairs.txt': '1.png\tthe pond\n',
        'pairs.jsonl': json.dumps(dict(box, image='images/x/JPEGImages/1.png')),
        'flags.json': '{"thin": null, "off_box": {"fine": 0.7}}',
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
    _write_annotation(root)
    _write_runs(root)
    state = {f'layer.{i}.weight': torch.rand(8, 8) for i in range(3)}
    content = dict(state_dict=state, meta=dict(epoch=3), message_hub={})
    torch.save(content, root / 'weights.pth')
    torch.save(state, root / 'old.pth', _use_new_zipfile_serialization=False)
    save_file(state, root / 'weights.safetensors')


def _write_annotation(root: Path) -> None:
    """A folder of masks to review, a review of it, and masks corrected by hand."""
    folder, images, sam = root / 'work', root / 'images/x/JPEGImages', dict(weights='a')
    (item,) = load_json_lines_boxes(root / 'boxes.jsonl')
    mask = np.zeros((_SIZE, _SIZE), bool)
    mask[3:8, 2:8] = True
    found = ItemMask.from_array(mask)
    entry = dict(item_id=item.item_id, box=item.box, predicted_iou=0.9)
    entry['counts'] = found.rle['counts']
    content = digest((images / '1.png').read_bytes())
    store = MaskStore(folder / 'masks', digest(sam))
    store.write(ImageRecord('1.png', (_SIZE, _SIZE), content, digest(sam), [entry]))
    store.path('1.png').rename(folder / 'masks/image.json')
    about = dict(images=str(images), source='a', sam=sam, complete=True)
    write_items(folder / 'items.json', [item], **about)
    decision = dict(decision='accept', mask=found.digest)
    review = dict(annotator='ann', decisions={item.item_id: decision})
    write_json(
        folder / 'review.json', dict(format='mmcadformer-review', version=1, **review)
    )
    polygon = [2, 3, 8, 3, 8, 8, 2, 8]
    drawn = dict(
        images=[dict(id=1, file_name='1.png', height=_SIZE, width=_SIZE)],
        categories=[dict(id=1, name='pond')],
        annotations=[dict(id=1, image_id=1, category_id=1, segmentation=[polygon])],
    )
    write_json(folder / 'corrected.json', drawn)


def _write_runs(root: Path) -> None:
    """What scenes, comparisons and exports keep."""
    job = Job('lavt', 0, root / 'job', 'ab')
    for name in ('job.json', 'trained.json', 'done.json'):
        job.mark(name, config={})
    job.result_file.write_text('')
    measure_costs({}, (32, 32), 8, 'cpu', 0, root / 'costs.json')
    if _HAS_SCENES:
        from mmcadformer.scene.presence import DEFINITION
        from mmcadformer.scene.run import RunFiles

        run = RunFiles(root / 'scene.work', dict(network='a', scene=dict(path='a')))
        run.save('strip', 0, np.zeros((1, _SIZE, _SIZE), np.uint16))
        (root / 'scenes.txt').write_text('images/7.tif\n# more\nimages/x/*/1.png\n')
        asset = dict(href='images/7.tif', type='image/tiff', roles=['data'])
        write_json(root / 'stac.json', dict(id='a', assets=dict(data=asset)))
        ring = [[1, 1], [20, 1], [20, -20], [1, 1]]
        area = dict(type='Polygon', coordinates=[ring])
        feature = dict(type='Feature', properties={}, geometry=area)
        features = dict(type='FeatureCollection', features=[feature])
        write_json(root / 'area.geojson', features)
        write_json(
            root / 'presence.json',
            dict(threshold=0.5, score=DEFINITION),
        )
    if _HAS_ONNX:
        _write_onnx(root / 'model.onnx')


def _write_onnx(file: Path) -> None:
    """A model with the inputs, the output and the facts of an exported one."""
    import onnx
    from onnx import TensorProto, helper
    from tokenizers import Tokenizer, models

    shapes: dict[str, Any] = dict(
        image=[1, 3, 32, 32], input_ids=[1, 'N'], text_mask=[1, 'N']
    )
    kinds = (TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL)
    inputs = [
        helper.make_tensor_value_info(name, kind, shape)
        for kind, (name, shape) in zip(kinds, shapes.items(), strict=True)
    ]
    output = helper.make_tensor_value_info('probability', kinds[0], [1, 32, 32])
    nodes = [
        helper.make_node('ReduceMean', ['image'], ['mean'], axes=[1], keepdims=0),
        helper.make_node('Sigmoid', ['mean'], ['probability']),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, 'a', inputs, [output]),
        opset_imports=[helper.make_opsetid('', 17)],
        ir_version=8,
    )
    words = Tokenizer(models.WordLevel({'pond': 0, '[UNK]': 1}, unk_token='[UNK]'))
    facts = dict(
        size=[32, 32],
        max_tokens=20,
        antialias=False,
        align_corners=False,
        threshold=0.5,
    )
    texts = {'metadata.json': json.dumps(facts), 'tokenizer.json': words.to_str()}
    helper.set_model_props(model, texts)
    onnx.save(model, str(file))


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


@functools.cache
def _tool(path: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / path))


def _workspace(root: Path, file: Path) -> None:
    folder = root / 'work'
    named = MaskStore(folder / 'masks', '').path('1.png')
    named.write_bytes((folder / 'masks/image.json').read_bytes())
    workspace = Workspace(folder)
    reviews = [read_review(folder / 'review.json')]
    corrected = read_corrections(workspace, [folder / 'corrected.json'])
    workspace.rate(settle(workspace, reviews, (), corrected).masks)


def _job(root: Path, file: Path) -> None:
    job = Job.load(root / 'job')
    if job.is_trained and job.is_done:
        job.prepare(read_config(root / 'config.json'), overwrite=False)


def _scene_run(root: Path, file: Path) -> None:
    from mmcadformer.scene.run import RunFiles

    run = RunFiles(root / 'scene.work', dict(network='a', scene=dict(path='a')))
    run.load('strip', 0).sum()


def _scene(root: Path, file: Path) -> None:
    from mmcadformer.scene import SceneReader, find_scenes, read_presence
    from mmcadformer.scene.aoi import read_aoi

    if file.name == 'presence.json':
        read_presence(file)
        return
    given = f'@{file}' if file.suffix == '.txt' else file
    if file.suffix != '.geojson':
        find_scenes(given)
        given = root / 'images/7.tif'
    with SceneReader(str(root / 'images/7.tif')) as reader:
        if file.suffix == '.geojson':
            read_aoi(file, reader.place(), _SIZE, _SIZE)


def _onnx_example(root: Path, file: Path) -> None:
    picture, out = root / 'images/x/JPEGImages/1.png', root / 'mask.png'
    run = _tool('projects/cadformer/onnx_runtime_example.py')['main']
    run(str(file), str(picture), 'pond', str(out))


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
    'work/items.json': (lambda root, file: read_items(file), _workspace),
    **{
        f'work/{name}.json': (_workspace,)
        for name in ('masks/image', 'review', 'corrected')
    },
    'flags.json': (lambda root, file: read_flags(file),),
    **{f'job/{name}.json': (_job,) for name in ('job', 'trained', 'done')},
    'costs.json': (lambda root, file: measure_costs({}, (32, 32), 8, 'cpu', 0, file),),
    'voc/1.xml': (
        lambda root, file: load_voc_boxes(file.parent, root / 'images/x/JPEGImages'),
    ),
    'results.jsonl': (lambda root, file: load_methods({'a': [file], 'b': [file]}),),
    'ids.txt': (lambda root, file: read_id_list(file),),
    'ids.json': (lambda root, file: read_id_list(file),),
    **{
        f'pairs.{kind}': (
            lambda root, file: _tool('tools/infer.py')['read_list'](file),
        )
        for kind in ('txt', 'jsonl')
    },
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

if _HAS_SCENES:
    READERS['scene.work/plan.json'] = READERS['scene.work/strip_000000.npy'] = (
        _scene_run,
    )
    for _name in ('scenes.txt', 'stac.json', 'area.geojson', 'presence.json'):
        READERS[_name] = (_scene,)
if _HAS_ONNX:
    READERS['model.onnx'] = (_onnx_example,)
