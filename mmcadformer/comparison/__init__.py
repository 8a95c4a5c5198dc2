# SPDX-License-Identifier: Apache-2.0
"""Methods trained, tested and compared: jobs, statistics, tables, pictures."""

from .breakdown import (
    LENGTH_EDGES,
    SIZE_EDGES,
    add_breakdown_options,
    breakdown_table,
    group_expressions,
)
from .costs import measure_costs
from .job import CHECKPOINTS, Job, prepare_config, run_job
from .launchers import make_slots, run_locally, submit, write_script
from .mask_evaluation import MaskEvaluation, evaluate_masks
from .picture_sheet import draw_sheet, has_masks, largest_disagreements
from .predicted_masks import PATTERN, find_masks
from .report import (
    add_bootstrap_options,
    add_difference_options,
    choose_pairs,
    difference_table,
    estimate_table,
    score_table,
    write_page,
)
from .results import MethodResults, load_methods
from .statistics import bootstrap, paired_bootstrap, score
from .tables import Table, write_tables

__all__ = [
    'CHECKPOINTS',
    'LENGTH_EDGES',
    'PATTERN',
    'SIZE_EDGES',
    'Job',
    'MaskEvaluation',
    'MethodResults',
    'Table',
    'add_bootstrap_options',
    'add_breakdown_options',
    'add_difference_options',
    'bootstrap',
    'breakdown_table',
    'choose_pairs',
    'difference_table',
    'draw_sheet',
    'estimate_table',
    'evaluate_masks',
    'find_masks',
    'group_expressions',
    'has_masks',
    'largest_disagreements',
    'load_methods',
    'make_slots',
    'measure_costs',
    'paired_bootstrap',
    'prepare_config',
    'run_job',
    'run_locally',
    'score',
    'score_table',
    'submit',
    'write_page',
    'write_script',
    'write_tables',
]
