# SPDX-License-Identifier: Apache-2.0
"""A tiny SAM and boxes to use it on."""

import importlib.util

import pytest


@pytest.fixture(scope='session')
def tiny_sam(tmp_path_factory):
    """Folder of a SAM with random weights, made as the real ones are."""
    import torch
    from transformers import (
        SamConfig,
        SamImageProcessor,
        SamModel,
        SamProcessor,
    )

    folder = tmp_path_factory.mktemp('sam')
    torch.manual_seed(0)
    config = SamConfig(
        vision_config=dict(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=64,
            patch_size=8,
            output_channels=16,
            window_size=4,
            global_attn_indexes=[1],
            mlp_dim=32,
            num_pos_feats=8,
            # Random weights of the usual size would give nearly the same mask
            # for every image and box.
            initializer_range=0.5,
        ),
        prompt_encoder_config=dict(
            hidden_size=16, image_size=64, patch_size=8, mask_input_channels=4
        ),
        mask_decoder_config=dict(
            hidden_size=16,
            mlp_dim=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            attention_downsample_rate=1,
            iou_head_depth=1,
            iou_head_hidden_dim=16,
        ),
        initializer_range=0.5,
    )
    SamModel(config).save_pretrained(folder)
    side = dict(height=64, width=64)
    processor = SamImageProcessor(size=dict(longest_edge=64), pad_size=side)
    SamProcessor(processor).save_pretrained(folder)
    return folder


@pytest.fixture(scope='session')
def scenes(tmp_path_factory):
    """Root of a few SynthRS scenes in the RefCOCO layout."""
    from mmcadformer.synthrs import generate_synthrs

    root = tmp_path_factory.mktemp('scenes')
    counts = dict(train=4, val=1, test=1)
    generate_synthrs(root, num_scenes=counts, image_size=64, progress=False)
    return root


@pytest.fixture(scope='session')
def truth(scenes):
    """True mask of each item of the scenes."""
    from mmcadformer.datasets import SynthRSDataset, decode_segmentation

    masks = {}
    for split in ('train', 'val', 'test'):
        for record in SynthRSDataset(str(scenes), split=split):
            size = record['height'], record['width']
            mask = decode_segmentation(record['segmentation'], *size)
            masks[f'ref-{record["ref_id"]}'] = mask.astype(bool)
    return masks


@pytest.fixture
def workspace(tmp_path, scenes, truth):
    """Workspace with the true masks of the scenes, as if SAM were perfect."""
    from mmcadformer.annotation import Workspace
    from mmcadformer.annotation.workspace import (
        ImageRecord,
        ItemMask,
        MaskStore,
        by_image,
    )
    from mmcadformer.datasets.formats import load_refcoco_boxes, write_items
    from mmcadformer.utils.files import digest, write_json

    items, images = load_refcoco_boxes(scenes, 'synthrs')
    folder = tmp_path / 'work'
    sam = dict(weights='truth')
    store = MaskStore(folder / 'masks', digest(sam))
    for image, group in by_image(items).items():
        entries = []
        for item in group:
            counts = ItemMask.from_array(truth[item.item_id]).rle['counts']
            entries.append(
                dict(
                    item_id=item.item_id,
                    box=list(item.box),
                    counts=counts,
                    predicted_iou=0.95,
                )
            )
        content = digest((images / image).read_bytes())
        store.write(ImageRecord(image, (64, 64), content, digest(sam), entries))
    about = dict(images=str(images), source='truth', sam=sam, complete=True)
    write_items(folder / 'items.json', items, **about)
    write_json(folder / 'skipped.json', [])
    return Workspace(folder)


@pytest.fixture(scope='session')
def tool(repo_root):
    """The command, called in this process: ``tool('build', 'work', ...)``."""
    path = repo_root / 'tools' / 'dataset_converters' / 'build_from_boxes.py'
    spec = importlib.util.spec_from_file_location('build_from_boxes', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(step, *arguments):
        module.run(module.parse_args([step, *map(str, arguments)]))

    return run


@pytest.fixture(scope='session')
def save_review():
    """Writes a file as the review page saves it."""
    from mmcadformer.annotation.reviews import FORMAT, VERSION
    from mmcadformer.utils.files import write_json

    def save(path, review):
        decisions = {key: vars(value) for key, value in review.decisions.items()}
        content = dict(annotator=review.annotator, decisions=decisions)
        write_json(path, dict(format=FORMAT, version=VERSION, **content))

    return save
