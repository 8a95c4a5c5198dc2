# SPDX-License-Identifier: Apache-2.0
"""What a run needs beyond MMEngine: hooks, an optimizer wrapper, its setup."""

from .errors import TrainingError, TrainingStopped
from .hooks.checkpoint_hook import CheckpointHook, last_good
from .hooks.epoch_seed_hook import EpochSeedHook, SeededDataset
from .hooks.finite_hook import FiniteStepsHook
from .hooks.presence_hook import PresenceThresholdHook
from .hooks.runtime_info_hook import RuntimeInfoHook
from .hooks.truncation_hook import TruncationReportHook
from .hooks.visualization_hook import ReferringVisualizationHook
from .layer_decay import LayerDecayConstructor
from .optim_wrapper import AmpOptimWrapper, BFloat16OptimWrapper, OptimWrapper
from .resuming import find_resume_checkpoint
from .run_setup import (
    add_tensorboard,
    check_data_roots,
    check_loaders,
    check_seed,
    enable_amp,
    end_processes,
    find_metric,
    is_first_process,
    override_data,
    prepare_cpu_processes,
    read_run_config,
)
from .stopping import StopHook
from .train_loop import EpochBasedTrainLoop
from .wrapping import unwrapped

__all__ = [
    'AmpOptimWrapper',
    'BFloat16OptimWrapper',
    'CheckpointHook',
    'EpochBasedTrainLoop',
    'EpochSeedHook',
    'FiniteStepsHook',
    'LayerDecayConstructor',
    'OptimWrapper',
    'PresenceThresholdHook',
    'ReferringVisualizationHook',
    'RuntimeInfoHook',
    'SeededDataset',
    'StopHook',
    'TrainingError',
    'TrainingStopped',
    'TruncationReportHook',
    'add_tensorboard',
    'check_data_roots',
    'check_loaders',
    'check_seed',
    'enable_amp',
    'end_processes',
    'find_metric',
    'find_resume_checkpoint',
    'is_first_process',
    'last_good',
    'override_data',
    'prepare_cpu_processes',
    'read_run_config',
    'unwrapped',
]
