# SPDX-License-Identifier: Apache-2.0
"""Methods trained, tested and compared: jobs, statistics, tables, pictures."""

from ..language.expression_types import (
    EXPRESSION_TYPES,
    classify_expression,
    find_types,
)
from .breakdown import (
    LENGTH_EDGES,
    SIZE_EDGES,
    Duel,
    breakdown_table,
    duel,
    group_by_category,
    group_by_length,
    group_by_size,
    group_by_type,
    select,
)
from .command_line import add_difference_arguments
from .costs import Cost, measure_costs
from .job import CHECKPOINTS, Job
from .job_config import prepare_config
from .local_launcher import make_slots, run_locally
from .picture_sheet import draw_sheet, has_masks, largest_disagreements
from .report import (
    GROUPINGS,
    choose_pairs,
    describe_machine,
    difference_table,
    score_table,
    write_page,
)
from .results import MethodResults, load_methods, read_results
from .slurm import submit, write_script
from .statistics import Interval, Spread, paired_bootstrap, score
from .tables import Table, to_csv, to_latex, to_markdown, write_tables
from .worker import run_job

__all__ = [
    'CHECKPOINTS',
    'EXPRESSION_TYPES',
    'GROUPINGS',
    'LENGTH_EDGES',
    'SIZE_EDGES',
    'Cost',
    'Duel',
    'Interval',
    'Job',
    'MethodResults',
    'Spread',
    'Table',
    'add_difference_arguments',
    'breakdown_table',
    'choose_pairs',
    'classify_expression',
    'describe_machine',
    'difference_table',
    'draw_sheet',
    'duel',
    'find_types',
    'group_by_category',
    'group_by_length',
    'group_by_size',
    'group_by_type',
    'has_masks',
    'largest_disagreements',
    'load_methods',
    'make_slots',
    'measure_costs',
    'paired_bootstrap',
    'prepare_config',
    'read_results',
    'run_job',
    'run_locally',
    'score',
    'score_table',
    'select',
    'submit',
    'to_csv',
    'to_latex',
    'to_markdown',
    'write_page',
    'write_script',
    'write_tables',
]
