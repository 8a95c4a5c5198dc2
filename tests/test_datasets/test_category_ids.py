# SPDX-License-Identifier: Apache-2.0
"""Data sets that MMEngine balances by category."""

from mmengine.config import Config
from mmengine.dataset import ClassBalancedDataset
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS


def test_rare_categories_are_repeated(tiny_config):
    init_default_scope('mmseg')
    data = DATASETS.build(Config.fromfile(tiny_config).train_dataloader.dataset)
    names = data.metainfo['categories']
    ids = [data.get_cat_ids(index) for index in range(len(data))]
    wanted = [data.get_data_info(index)['category'] for index in range(len(data))]
    assert [names[found] for (found,) in ids] == wanted
    balanced = ClassBalancedDataset(data, oversample_thr=0.9)
    assert len(balanced) > len(data)
