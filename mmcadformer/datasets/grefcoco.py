# SPDX-License-Identifier: Apache-2.0
"""gRefCOCO."""

from mmseg.registry import DATASETS

from .referring_seg import ReferringSegDataset


@DATASETS.register_module()
class GRefCOCODataset(ReferringSegDataset):
    """gRefCOCO: sentences with no, one or several targets on COCO's pictures.

    From Liu et al., *GRES: Generalized Referring Expression Segmentation* (CVPR 2023).

    .. code-block:: none

        <data_root>
        ├── grefcoco
        │   ├── grefs(unc).json     (or grefs(unc).p)
        │   └── instances.json
        └── images/train2014/<the images>

    The splits are ``train``, ``val``, ``testA`` and ``testB``.
    """

    NAME = 'grefcoco'

    def default_prefix(self) -> dict[str, str]:
        return dict(img_path='images/train2014')

    def expected_tree(self) -> str:
        return (
            f'Expected below {self.data_root}:\n'
            f'  {self.name}/grefs(unc).json  (or grefs(unc).p)\n'
            f'  {self.name}/instances.json\n'
            f'  {self.data_prefix["img_path"]}/<the images>'
        )
