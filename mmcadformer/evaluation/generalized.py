# SPDX-License-Identifier: Apache-2.0
"""gIoU, cIoU, N-acc and T-acc: sentences that mean none, one or several objects."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.registry import METRICS
from tabulate import tabulate

from .compared import Compared, compare, grouped, write_lines
from .presence import THRESHOLD, Decision, auroc, choose_threshold, decide
from .protocols import EXACT, THRESHOLDS, summarize


def generalized_iou(case: Compared) -> float:
    """As gIoU counts it: a rejected target is 0, a rightly denied one 1."""
    if not case.truth_area:
        return float(not case.found)
    return case.intersection / case.union if case.found else 0.0


def summarize_generalized(
    cases: Sequence[Compared], thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, float]:
    """All scores that some expressions allow, in percent.

    gIoU and cIoU of all; N-acc of those without a target; T-acc and Pr@X of those with
    one, and their mIoU and oIoU as if nothing had been rejected; AUROC of both.
    """
    metrics = dict(gIoU=100 * sum(generalized_iou(case) for case in cases) / len(cases))
    shared = sum(case.intersection for case in cases if case.found)
    unions = sum(case.union for case in cases if case.truth_area or case.found)
    metrics['cIoU'] = 100 * shared / unions if unions else 100.0
    with_target = [case for case in cases if case.truth_area]
    without = [case for case in cases if not case.truth_area]
    if without:
        denied = sum(not case.found for case in without)
        metrics['N-acc'] = 100 * denied / len(without)
    if with_target:
        kept = sum(case.found for case in with_target)
        metrics['T-acc'] = 100 * kept / len(with_target)
        for x in thresholds:
            hits = sum(generalized_iou(case) >= x for case in with_target)
            metrics[f'Pr@{x:g}'] = 100 * hits / len(with_target)
        masks = summarize(
            [case.intersection for case in with_target],
            [case.union for case in with_target],
            (),
            EXACT,
        )
        metrics.update({f'target/{name}': value for name, value in masks.items()})
    if with_target and without:
        metrics['AUROC'] = _auroc(with_target, without)
    return metrics


def _auroc(with_target: Sequence[Compared], without: Sequence[Compared]) -> float:
    """Of presence scores, in percent."""
    return 100 * auroc([c.score for c in with_target], [c.score for c in without])


@METRICS.register_module()
class GeneralizedReferringMetric(BaseMetric):
    """Scores of generalised referring segmentation (Liu et al., *GRES*, CVPR 2023).

    - ``gIoU``: mean over expressions of the IoU, where one without a target counts 1 if
      it is denied and else 0, and one with a target that is denied counts 0;
    - ``cIoU``: sum of intersections over sum of unions; a false alarm adds its pixels
      to the unions, a denied target the union of truth and mask before the denial;
    - ``N-acc``: share of those without a target that are denied;
    - ``T-acc``: share of those with one that aren't;
    - ``Pr@X``: share of those with one whose IoU is at least X;
    - ``target/mIoU``, ``target/oIoU``: of those with one, by the masks alone;
    - ``AUROC`` of the presence score.

    All are percentages, at the truth's own resolution. What is denied a presence head
    decides; without one, an empty mask does. (ReLA's evaluator prints TP / (TP + FP +
    1) under the name of T-acc; this is the paper's.) By kind of expression they follow
    under ``kind/<kind>/<metric>``; a kind of absence has its AUROC against all
    expressions with a target. By data set, if there are several, they follow under
    ``<dataset_name>/<metric>``.

    Args:
        choose_threshold: Decide by the threshold that is best on these very data, by
            the mean of N-acc and T-acc, and return it as ``presence_threshold``, which
            ``PresenceThresholdHook`` stores with the weights: for validation alone.
            Does nothing without a presence head.
        thresholds: The X of Pr@X.
        output_file: Write one line of JSON per expression.
        save_rle: Also write both masks (COCO's compressed RLE), that of the prediction
            as it was before any rejection, like intersection and union.
        ignore_index: Label of pixels that don't count.
        collect_device, prefix, **kwargs: See :class:`BaseMetric`.
    """

    default_prefix = ''

    def __init__(
        self,
        choose_threshold: bool = False,
        thresholds: Sequence[float] = THRESHOLDS,
        output_file: str | None = None,
        save_rle: bool = False,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, **kwargs)
        self.choose_threshold = choose_threshold
        self.thresholds = tuple(thresholds)
        if save_rle and output_file is None:
            raise ValueError(
                'GeneralizedReferringMetric: save_rle needs an output_file'
            )
        self.output_file = output_file
        self.save_rle = save_rle
        self.ignore_index = ignore_index

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keeps areas and decisions of a batch's samples, which have the truth."""
        for sample in data_samples:
            if 'gt_sem_seg' not in sample:
                raise ValueError(
                    f'{sample.get("img_path", "?")} has no truth: put '
                    'LoadReferringMask into the test pipeline'
                )
            pred = sample['pred_sem_seg']['data'].squeeze(0)
            truth = sample['gt_sem_seg']['data'].squeeze(0).to(pred.device)
            case = compare(sample, pred, truth, self.ignore_index, self.save_rle)
            kind = case.kind or ('one' if case.truth_area else 'none')
            decision = decide(sample)._asdict()
            self.results.append(case._replace(kind=kind, **decision))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Percentages from the results of all processes."""
        if not results:
            raise ValueError('GeneralizedReferringMetric: no expression was evaluated')
        cases = [Compared(*result) for result in results]
        metrics: dict[str, float] = {}
        has_head = cases[0].threshold is not None
        if self.choose_threshold and has_head and _are_mixed(cases):
            cases, metrics[THRESHOLD] = _decided_anew(cases)
        elif self.choose_threshold and has_head:
            print_log(
                'GeneralizedReferringMetric: no threshold is chosen, which needs '
                'expressions with and without a target',
                logger='current',
                level=logging.WARNING,
            )
        if self.output_file is not None:
            write_lines(self.output_file, map(_line, cases))
        metrics.update(summarize_generalized(cases, self.thresholds))
        rows = {'all': metrics}
        datasets = grouped(cases, lambda case: case.dataset_name)
        if len(datasets) > 1:
            for name, group in datasets.items():
                rows[name] = summarize_generalized(group, self.thresholds)
                metrics.update({f'{name}/{k}': v for k, v in rows[name].items()})
        targets = [case for case in cases if case.truth_area]
        for kind, group in grouped(cases, lambda case: case.kind).items():
            rows[kind] = summarize_generalized(group, self.thresholds)
            if targets and not group[0].truth_area:
                rows[kind]['AUROC'] = _auroc(targets, group)
            metrics.update({f'kind/{kind}/{k}': v for k, v in rows[kind].items()})
        self._print(rows)
        return metrics

    def _print(self, rows: dict[str, dict[str, float]]) -> None:
        names = [n for n in rows['all'] if '/' not in n or n.startswith('target/')]
        table = tabulate(
            [
                [row, *(f'{m[name]:.2f}' if name in m else '' for name in names)]
                for row, m in rows.items()
            ],
            headers=['expressions', *names],
            tablefmt='pretty',
            colalign=['left', *('right' for _ in names)],
        )
        print_log(
            f'Generalised referring segmentation, percent:\n{table}',
            logger=MMLogger.get_current_instance(),
        )


def _line(case: Compared) -> dict[str, Any]:
    decision = Decision(case.found, case.score, case.threshold)
    return case.to_line(**decision._asdict(), iou=round(generalized_iou(case), 6))


def _are_mixed(cases: Sequence[Compared]) -> bool:
    """Whether there are both, expressions with and without a target."""
    return len({case.truth_area > 0 for case in cases}) > 1


def _decided_anew(cases: list[Compared]) -> tuple[list[Compared], float]:
    """Cases decided by the best threshold of their own scores, and that threshold."""
    limit = choose_threshold(
        [case.score for case in cases if case.truth_area],
        [case.score for case in cases if not case.truth_area],
    ).threshold
    decided = [
        case._replace(found=case.score >= limit, threshold=limit) for case in cases
    ]
    return decided, limit
