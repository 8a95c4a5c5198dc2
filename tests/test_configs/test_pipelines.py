# SPDX-License-Identifier: Apache-2.0
"""Every config reads pictures by the guarded reader, and has one test pipeline."""

from mmengine.config import Config

from mmcadformer.utils.config import leaf_datasets

SPLITS = ('train', 'val', 'test')


def pipelines(cfg):
    """Key and pipeline of each data set of each loader."""
    for split in SPLITS:
        key = f'{split}_dataloader.dataset'
        for leaf_key, leaf in leaf_datasets(cfg[f'{split}_dataloader'].dataset, key):
            yield leaf_key, leaf.pipeline


def test_pictures_that_are_cut_off_are_refused(repo_root, config_name):
    cfg = Config.fromfile(repo_root / config_name)
    every = dict(pipelines(cfg), train=cfg.train_pipeline, test=cfg.test_pipeline)
    assert len(every) >= 5
    for key, pipeline in every.items():
        assert pipeline[0].type == 'WholeLoadImageFromFile', key


def test_top_level_pipelines_are_those_of_the_loaders(repo_root, config_name):
    """Tools of MMSegmentation build the top-level ``test_pipeline``."""
    cfg = Config.fromfile(repo_root / config_name)
    for key, pipeline in pipelines(cfg):
        name = 'train_pipeline' if key.startswith('train') else 'test_pipeline'
        assert pipeline == cfg[name], key
    resize = next(step for step in cfg.test_pipeline if step.type == 'Resize')
    assert tuple(resize.scale) == tuple(cfg.image_size)
