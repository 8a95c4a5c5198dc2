# SPDX-License-Identifier: Apache-2.0
"""mIoU, oIoU and Pr@X of referring segmentation."""

import json
import os
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.registry import METRICS
from prettytable import PrettyTable
from pycocotools import mask as mask_utils


class _Result(NamedTuple):
    """What is kept of one expression until all have been seen."""

    dataset_name: str
    image_id: int | str
    ref_id: int | str
    sent_id: int | str
    img_path: str
    category: str
    expression: str
    intersection: int
    union: int
    truth_area: int
    height: int
    width: int
    # Counts of compressed RLE; '' where masks aren't kept.
    pred_counts: str = ''
    truth_counts: str = ''

    @property
    def iou(self):
        """float: 1 where both prediction and truth are empty."""
        return self.intersection / self.union if self.union else 1.0

    def to_line(self):
        """dict: What the output file holds of it."""
        line = dict(self._asdict(), iou=round(self.iou, 6))
        for name in ('pred', 'truth'):
            counts = line.pop(f'{name}_counts')
            if counts:
                line[f'{name}_rle'] = dict(
                    size=[self.height, self.width], counts=counts
                )
        return line


@METRICS.register_module()
class ReferringIoUMetric(BaseMetric):
    """IoU per expression, summed up as the field reports it.

    - ``mIoU``: mean over expressions (Eq. (14) of the CADFormer paper);
    - ``oIoU``: sum of intersections over sum of unions (Eq. (15));
    - ``Pr@X``: share of expressions whose IoU exceeds X (the released evaluations
      of the peers count ties, too).

    All are percentages. If the samples come from several datasets, each one's
    numbers follow under ``<dataset_name>/<metric>``.

    An empty prediction for an empty truth counts as IoU 1. Pixels labelled
    ``ignore_index`` count for nothing.

    Args:
        eval_size (str): ``'original'`` compares at the truth's own resolution,
            to which predictions are brought (``pred_sem_seg``). ``'input'``
            compares at the network's (``pred_input_seg``), the truth resized
            by nearest neighbour: the protocol of published tables. Defaults to
            ``'original'``.
        thresholds (Sequence[float]): The X of Pr@X. Defaults to
            (0.5, 0.6, 0.7, 0.8, 0.9).
        per_category (bool): Also print a table by category and return its
            numbers under ``category/<category>/<metric>``. Defaults to False.
        output_file (str, optional): Write one line of JSON per expression, in
            the order of the data: dataset_name, image_id, ref_id, sent_id,
            img_path, category, expression, intersection, union, truth_area,
            height, width (pixels of the compared masks), iou (0 to 1).
        save_rle (bool): Also write both masks, as ``pred_rle`` and
            ``truth_rle`` (COCO's compressed RLE), so that they can be drawn
            later. Defaults to False.
        ignore_index (int): Defaults to 255.
        collect_device (str): See :class:`BaseMetric`.
        prefix (str, optional): See :class:`BaseMetric`.
        **kwargs: Further arguments of :class:`BaseMetric`.
    """

    # Not None, of which BaseMetric warns: keys have no prefix on purpose.
    default_prefix = ''

    def __init__(
        self,
        eval_size='original',
        thresholds=(0.5, 0.6, 0.7, 0.8, 0.9),
        per_category=False,
        output_file=None,
        save_rle=False,
        ignore_index=255,
        collect_device='cpu',
        prefix=None,
        **kwargs,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix, **kwargs)
        if eval_size not in ('original', 'input'):
            raise ValueError(
                "ReferringIoUMetric: eval_size must be 'original' "
                f"or 'input', got {eval_size!r}"
            )
        if not all(0 <= x < 1 for x in thresholds):
            raise ValueError(
                f'ReferringIoUMetric: thresholds must be in [0, 1), got {thresholds}'
            )
        if save_rle and output_file is None:
            raise ValueError('ReferringIoUMetric: save_rle needs an output_file')
        self.eval_size = eval_size
        self.thresholds = tuple(thresholds)
        self.per_category = per_category
        self.output_file = output_file
        self.save_rle = save_rle
        self.ignore_index = ignore_index

    def process(self, data_batch, data_samples):
        """Keep intersection and union of a batch's samples.

        Args:
            data_batch: Not used.
            data_samples (Sequence[dict]): Model outputs with the truth.
        """
        for sample in data_samples:
            pred, truth = self._masks(sample)
            valid = truth != self.ignore_index
            pred = (pred == 1) & valid
            truth = truth == 1
            intersection = int((pred & truth).sum())
            union = int((pred | truth).sum())
            self.results.append(
                _Result(
                    sample.get('dataset_name', ''),
                    sample.get('image_id', ''),
                    sample.get('ref_id', ''),
                    sample.get('sent_id', ''),
                    sample.get('img_path', ''),
                    sample.get('category', ''),
                    sample.get('expression', ''),
                    intersection,
                    union,
                    int(truth.sum()),
                    *truth.shape,
                    *map(_rle_counts, (pred, truth) if self.save_rle else ()),
                )
            )

    def _masks(self, sample):
        """Prediction and truth, (H, W) both, on one device."""
        name = f'{sample.get("img_path", "?")} ({sample.get("expression", "?")!r})'
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f'{name} has no truth: put LoadReferringMask into the test pipeline'
            )
        key = 'pred_input_seg' if self.eval_size == 'input' else 'pred_sem_seg'
        if key not in sample:
            raise ValueError(
                f'{name} has no {key!r}, which eval_size={self.eval_size!r} compares'
            )
        pred = sample[key]['data'].squeeze(0)
        truth = sample['gt_sem_seg']['data'].squeeze(0).to(pred.device)
        if self.eval_size == 'input' and truth.shape != pred.shape:
            truth = F.interpolate(
                truth[None, None].float(), pred.shape, mode='nearest-exact'
            )[0, 0]
        if truth.shape != pred.shape:
            raise ValueError(
                f'{name}: the prediction is {tuple(pred.shape)} px, the truth '
                f'{tuple(truth.shape)}; LoadReferringMask belongs after Resize '
                'in a test pipeline'
            )
        return pred, truth

    def compute_metrics(self, results):
        """Sum up, print tables and write the file.

        Args:
            results (list[_Result]): One per expression, of all processes.

        Returns:
            dict[str, float]: Percentages.
        """
        if not results:
            raise ValueError('ReferringIoUMetric: no expression was evaluated')
        results = [_Result(*result) for result in results]
        if self.output_file is not None:
            self._write(results)
        metrics = self._summarize(results)
        rows = {'all': results}
        by_dataset = _group(results, 'dataset_name')
        if len(by_dataset) > 1:
            rows.update(by_dataset)
            self._add(metrics, by_dataset)
        self._print('dataset', rows)
        if self.per_category:
            by_category = _group(results, 'category')
            self._add(
                metrics,
                {
                    f'category/{category}': group
                    for category, group in by_category.items()
                },
            )
            self._print('category', by_category)
        return metrics

    def _summarize(self, results):
        """Metrics of some expressions, in percent."""
        ious = [result.iou for result in results]
        union = sum(result.union for result in results)
        intersection = sum(result.intersection for result in results)
        metrics = dict(
            mIoU=100 * sum(ious) / len(ious),  # Eq. (14)
            oIoU=100 * intersection / union if union else 100.0,  # Eq. (15)
        )
        for threshold in self.thresholds:
            hits = sum(iou > threshold for iou in ious)
            metrics[f'Pr@{threshold:g}'] = 100 * hits / len(ious)
        return metrics

    def _add(self, metrics, groups):
        for name, group in groups.items():
            for key, value in self._summarize(group).items():
                metrics[f'{name}/{key}'] = value

    def _print(self, title, groups):
        table = PrettyTable()
        for name, group in groups.items():
            metrics = self._summarize(group)
            table.field_names = [title, 'expressions', *metrics]
            table.add_row(
                [name, len(group)] + [f'{value:.2f}' for value in metrics.values()]
            )
        table.align = 'r'
        table.align[title] = 'l'
        where = (
            'the original resolution'
            if self.eval_size == 'original'
            else "the network's input size"
        )
        print_log(
            f'Referring segmentation by {title}, percent, at {where}:\n'
            f'{table.get_string()}',
            logger=MMLogger.get_current_instance(),
        )

    def _write(self, results):
        folder = os.path.dirname(self.output_file)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(self.output_file, 'w', encoding='utf-8') as file:
            for result in results:
                line = json.dumps(result.to_line(), ensure_ascii=False)
                file.write(line + '\n')


def _rle_counts(mask):
    """Compressed RLE counts of a boolean tensor (H, W)."""
    mask = np.asfortranarray(mask.cpu().numpy().astype(np.uint8))
    return mask_utils.encode(mask)['counts'].decode('ascii')


def _group(results, key):
    """Results by a field, in alphabetical order of its values."""
    groups = defaultdict(list)
    for result in results:
        groups[str(getattr(result, key))].append(result)
    return dict(sorted(groups.items()))
