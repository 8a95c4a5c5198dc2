# SPDX-License-Identifier: Apache-2.0
"""Pack a sample for the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

from .transform import Sample

META_KEYS = (
    'expression',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'image_id',
    'ref_id',
    'sent_id',
    'ann_id',
    'category',
    'dataset_name',
    'flip',
    'flip_direction',
    'rotation',
)


@TRANSFORMS.register_module()
class PackReferringInputs(PackSegInputs):
    """Pack image, mask and expression.

    Returns ``inputs``, a tensor (3, H, W) of the image's type, and ``data_samples``,
    a ``SegDataSample`` with ``gt_sem_seg``, int64 (1, H, W), if there is a mask.

    Args:
        meta_keys: Keys to keep as metainfo; those that a sample lacks are skipped.

    Raises:
        KeyError: There is no expression.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        super().__init__(meta_keys=meta_keys)

    def transform(self, results: Sample) -> Sample:
        """Returns ``inputs`` and ``data_samples``."""
        if 'expression' not in results:
            raise KeyError(
                "PackReferringInputs: no 'expression' in the sample;"
                ' put ChooseExpression into the pipeline'
            )
        packed = super().transform({k: v for k, v in results.items() if k != 'img'})
        if 'img' in results:
            # By NumPy: PyTorch's copy takes ten times as long on one thread.
            image = np.atleast_3d(results['img']).transpose(2, 0, 1)
            packed['inputs'] = torch.from_numpy(np.ascontiguousarray(image))
        return packed
