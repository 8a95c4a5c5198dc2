# SPDX-License-Identifier: Apache-2.0
"""mIoU, oIoU and Pr@X of referring segmentation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.registry import METRICS
from tabulate import tabulate
from torch import Tensor

from .compared import Compared, compare, grouped, write_lines
from .protocols import (
    EXACT,
    THRESHOLDS,
    find_protocol,
    resample_truth,
    summarize,
)


@METRICS.register_module()
class ReferringIoUMetric(BaseMetric):
    """IoU per expression, summed up as the field reports it.

    - ``mIoU``: mean over expressions (Eq. (14) of the CADFormer paper);
    - ``oIoU``: sum of intersections over sum of unions (Eq. (15));
    - ``Pr@X``: share of expressions whose IoU exceeds X.

    All are percentages. If the samples come from several datasets, each one's
    numbers follow under ``<dataset_name>/<metric>``. Pixels labelled ``ignore_index``
    count for nothing.

    Args:
        protocol: 'exact', the default, compares at the truth's own resolution, to which
            predictions are brought (``pred_sem_seg``); an empty prediction for an empty
            truth is IoU 1. 'released' does as RMSIN's test script, for comparison with
            published tables: it compares at the network's input size
            (``pred_input_seg``), to which Pillow's nearest neighbour brings the truth;
            pixels that two parts of an annotation share (``gt_overlap``) are
            background; an empty union is IoU 0; Pr@X counts IoUs of exactly X.
            Nothing else needs to be set for it.
        eval_size: Old name: 'original' is 'exact', 'input' is 'released'.
        thresholds: The X of Pr@X.
        per_category: Also print a table by category and return its numbers under
            ``category/<category>/<metric>``.
        output_file: Write one line of JSON per expression, in the order of the data:
            dataset_name, image_id, ref_id, sent_id, img_path, category, expression,
            intersection, union, truth_area, pred_area, height, width (pixels of the
            compared masks), iou (0 to 1), protocol; and kind (none, several, ...) where
            an expression isn't about one object.
        save_rle: Also write both masks, as ``pred_rle`` and ``truth_rle`` (COCO's
            compressed RLE), so that they can be drawn later.
        ignore_index: Label of pixels that don't count.
        collect_device, prefix, **kwargs: See :class:`BaseMetric`.
    """

    # Not None, of which BaseMetric warns: keys have no prefix on purpose.
    default_prefix = ''

    def __init__(
        self,
        protocol: str | None = None,
        thresholds: Sequence[float] = THRESHOLDS,
        per_category: bool = False,
        output_file: str | None = None,
        save_rle: bool = False,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        eval_size: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, **kwargs)
        if eval_size is not None:
            if protocol is not None:
                raise ValueError(
                    'ReferringIoUMetric: give protocol and not eval_size, its old name'
                )
            protocol = _from_eval_size(eval_size)
        try:
            self.protocol = EXACT if protocol is None else find_protocol(protocol)
        except ValueError as error:
            raise ValueError(f'ReferringIoUMetric: {error}') from None
        if not all(0 <= x < 1 for x in thresholds):
            raise ValueError(
                f'ReferringIoUMetric: thresholds must be in [0, 1), got {thresholds}'
            )
        if save_rle and output_file is None:
            raise ValueError('ReferringIoUMetric: save_rle needs an output_file')
        self.thresholds = tuple(thresholds)
        self.per_category = per_category
        self.output_file = output_file
        self.save_rle = save_rle
        self.ignore_index = ignore_index

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keeps intersection and union of a batch's samples.

        Args:
            data_batch: Not used.
            data_samples: Model outputs with the truth.
        """
        for sample in data_samples:
            masks = self._masks(sample)
            self.results.append(
                compare(sample, *masks, self.ignore_index, self.save_rle)
            )

    def _masks(self, sample: dict) -> tuple[Tensor, Tensor]:
        """Prediction and truth, (H, W) both, on one device."""
        name = f'{sample.get("img_path", "?")} ({sample.get("expression", "?")!r})'
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f'{name} has no truth: put LoadReferringMask into the test pipeline'
            )
        key = self.protocol.pred_key
        if key not in sample:
            raise ValueError(
                f'{name} has no {key!r}, which protocol={self.protocol.name!r} compares'
            )
        pred = sample[key]['data'].squeeze(0)
        truth = sample['gt_sem_seg']['data'].squeeze(0)
        if self.protocol.drops_overlap and 'gt_overlap' in sample:
            shared = sample['gt_overlap']['data'].squeeze(0) == 1
            truth = truth.masked_fill(shared, 0)
        if self.protocol.input_size:
            _check_unpadded(sample, name)
            labels = truth.to('cpu', torch.uint8).numpy()
            truth = torch.from_numpy(resample_truth(labels, *pred.shape).copy())
        truth = truth.to(pred.device)
        if truth.shape != pred.shape:
            raise ValueError(
                f'{name}: the prediction is {tuple(pred.shape)} px, the truth '
                f'{tuple(truth.shape)}; LoadReferringMask belongs after Resize '
                'in a test pipeline'
            )
        return pred, truth

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sums up, prints tables and writes the file.

        Args:
            results: One per expression, of all processes.

        Returns:
            Percentages.
        """
        if not results:
            raise ValueError('ReferringIoUMetric: no expression was evaluated')
        # A process sends its own as plain tuples.
        results = [Compared(*result) for result in results]
        if self.output_file is not None:
            write_lines(self.output_file, map(self._line, results))
        metrics = self._summarize(results)
        rows = {'all': results}
        by_dataset = grouped(results, lambda result: result.dataset_name)
        if len(by_dataset) > 1:
            rows.update(by_dataset)
            metrics.update(self._summarize_groups(by_dataset))
        self._print('dataset', rows)
        if self.per_category:
            by_category = grouped(results, lambda result: result.category)
            metrics.update(self._summarize_groups(by_category, 'category/'))
            self._print('category', by_category)
        return metrics

    def _line(self, result: Compared) -> dict[str, Any]:
        iou = self.protocol.iou(result.intersection, result.union)
        return result.to_line(iou=round(iou, 6), protocol=self.protocol.name)

    def _summarize(self, results: list[Compared]) -> dict[str, float]:
        return summarize(
            [result.intersection for result in results],
            [result.union for result in results],
            self.thresholds,
            self.protocol,
        )

    def _summarize_groups(
        self, groups: dict[str, list[Compared]], prefix: str = ''
    ) -> dict[str, float]:
        return {
            f'{prefix}{name}/{key}': value
            for name, group in groups.items()
            for key, value in self._summarize(group).items()
        }

    def _print(self, title: str, groups: dict[str, list[Compared]]) -> None:
        summaries = {name: self._summarize(group) for name, group in groups.items()}
        rows = [
            [name, len(groups[name]), *(f'{value:.2f}' for value in metrics.values())]
            for name, metrics in summaries.items()
        ]
        metrics = next(iter(summaries.values()))
        table = tabulate(
            rows,
            headers=[title, 'expressions', *metrics],
            tablefmt='pretty',
            colalign=['left', 'right', *('right' for _ in metrics)],
        )
        print_log(
            f'Referring segmentation by {title}, percent, at '
            f'{self.protocol.place}:\n{table}',
            logger=MMLogger.get_current_instance(),
        )


def _from_eval_size(eval_size: str) -> str:
    """The protocol that the old key meant."""
    names = dict(original='exact', input='released')
    if eval_size not in names:
        raise ValueError(
            "ReferringIoUMetric: eval_size must be 'original' "
            f"or 'input', got {eval_size!r}; better say protocol={list(names.values())}"
        )
    print_log(
        f'ReferringIoUMetric: eval_size={eval_size!r} is now called '
        f'protocol={names[eval_size]!r}',
        logger='current',
        level=logging.WARNING,
    )
    return names[eval_size]


def _check_unpadded(sample: dict, name: str) -> None:
    """Refuses predictions that cover more than the picture, or it in another way."""
    padding = sample.get('img_padding_size', sample.get('padding_size', ()))
    if any(padding) or sample.get('flip'):
        raise ValueError(
            f"{name} is padded or flipped: protocol='released' needs pictures that are "
            'resized to the input size, as Resize(keep_ratio=False) does'
        )
