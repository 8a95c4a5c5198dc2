# SPDX-License-Identifier: Apache-2.0
"""Choose a record's expression and load the mask it refers to."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

from ..masks import decode_segmentation


@TRANSFORMS.register_module()
class ChooseExpression(BaseTransform):
    """Choose one of an object's expressions.

    Required Keys:

    - expressions (list[str])
    - sent_ids (list)

    Added Keys:

    - expression (str)
    - sent_id

    Args:
        mode (str): ``'random'`` or ``'first'``. Defaults to ``'random'``;
            test records have one expression, so it doesn't matter there.
    """

    def __init__(self, mode='random'):
        if mode not in ('random', 'first'):
            raise ValueError(
                f"ChooseExpression: mode must be 'random' or 'first', got {mode!r}"
            )
        self.mode = mode

    @cache_randomness
    def _draw(self, count):
        return np.random.randint(count)

    def transform(self, results):
        """Set ``expression`` and ``sent_id``."""
        index = self._draw(len(results['expressions'])) if self.mode == 'random' else 0
        results['expression'] = results['expressions'][index]
        results['sent_id'] = results['sent_ids'][index]
        return results

    def __repr__(self):
        return f'{self.__class__.__name__}(mode={self.mode!r})'


@TRANSFORMS.register_module()
class LoadReferringMask(BaseTransform):
    """Decode the mask of the referred object.

    Put it before ``Resize`` to resize the mask with the image (training), and
    after it to keep the truth at the original resolution (testing).

    Required Keys:

    - segmentation (list of polygons | list of RLE dicts | RLE dict)
    - height (int)
    - width (int)
    - img_path (str)
    - ori_shape (optional): size of the image as loaded, compared with the size
      that the annotations state

    Modified Keys:

    - seg_fields (list[str])

    Added Keys:

    - gt_seg_map (np.ndarray): uint8 (H, W), 0 background, 1 target

    Raises:
        ValueError: The image has another size than the annotations say, or the
            segmentation is damaged.
    """

    def transform(self, results):
        """Set ``gt_seg_map``."""
        size = (results['height'], results['width'])
        loaded = tuple(results.get('ori_shape', size)[:2])
        if loaded != size:
            raise ValueError(
                f'{results["img_path"]} is {loaded[0]} x {loaded[1]} px '
                f'(height x width), but the annotations of ref_id '
                f'{results.get("ref_id")!r} say {size[0]} x {size[1]}'
            )
        try:
            mask = decode_segmentation(results['segmentation'], *size)
        except ValueError as error:
            raise ValueError(
                f'{results["img_path"]}, ref_id {results.get("ref_id")!r}: {error}'
            ) from None
        results['gt_seg_map'] = mask
        results['seg_fields'].append('gt_seg_map')
        return results

    def __repr__(self):
        return f'{self.__class__.__name__}()'
