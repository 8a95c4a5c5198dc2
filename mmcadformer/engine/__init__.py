# SPDX-License-Identifier: Apache-2.0
"""What a run needs beyond MMEngine: hooks, an optimizer wrapper, its setup."""

from .hooks.epoch_seed_hook import EpochSeedHook, SeededDataset
from .hooks.truncation_hook import TruncationReportHook
from .hooks.visualization_hook import ReferringVisualizationHook
from .optim_wrapper import BFloat16OptimWrapper
from .run_setup import (
    add_tensorboard,
    check_data_roots,
    enable_amp,
    end_processes,
    find_resume_checkpoint,
    override_data,
    prepare_cpu_processes,
    read_run_config,
)

__all__ = [
    'BFloat16OptimWrapper',
    'EpochSeedHook',
    'ReferringVisualizationHook',
    'SeededDataset',
    'TruncationReportHook',
    'add_tensorboard',
    'check_data_roots',
    'enable_amp',
    'end_processes',
    'find_resume_checkpoint',
    'override_data',
    'prepare_cpu_processes',
    'read_run_config',
]
