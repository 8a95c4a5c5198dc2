# SPDX-License-Identifier: Apache-2.0
"""Changes to a config, and checks of it, that the command line tools share."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader

from ..utils.config import building, find_loader, leaf_datasets, read_config
from ..utils.pretrained_config import resolve_sizes

# First NVIDIA architecture that computes in bfloat16: Ampere.
_BFLOAT16_CAPABILITY = (8, 0)
# Sizes of images that are looked into before a run, of those that differ.
_SIZES_TRIED = 50


def read_run_config(args: argparse.Namespace) -> Config:
    """Reads the config of a run, and puts the common options into it.

    Args:
        args: What ``add_runner_options``, ``add_data_options`` and
            ``add_cfg_options`` of :mod:`mmcadformer.utils.command_line` read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a config.
        RuntimeError: The sizes of pretrained parts, which the run's config and
            checkpoints carry from then on, can't be had.
    """
    # Launchers that set the variable don't pass the option.
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    check_seed((cfg.get('randomness') or {}).get('seed'), 'randomness.seed')
    resolve_sizes(cfg.get('model') or {})
    cfg.launcher = args.launcher
    override_data(cfg, args.data_root, args.data_name)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    for split in ('train', 'val', 'test'):
        loader = find_loader(cfg, split)
        if loader and not loader.get('num_workers'):
            loader['persistent_workers'] = False  # there are none
            loader.pop('prefetch_factor', None)
        if loader and torch.cuda.is_available():  # elsewhere PyTorch warns
            loader.setdefault('pin_memory', True)
    return cfg


def check_seed(seed: object, name: str) -> None:
    """Checks that a seed is one for all generators of random numbers.

    Args:
        seed: None is drawn later.
        name: Of the key or the option.

    Raises:
        ValueError: It isn't.
    """
    if seed is None:
        return
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ValueError(
            f'{name} must be a whole number from 0 to 2^32 - 1, not {seed!r}'
        )


def is_first_process() -> bool:
    """Whether this is the one process of a run that writes its files.

    For before the processes know of each other: the launcher's word is taken.
    """
    names = ('RANK', 'SLURM_PROCID')
    return not int(next((os.environ[n] for n in names if n in os.environ), 0))


def enable_amp(cfg: Config) -> None:
    """Switches a config to mixed precision training.

    bfloat16 where the device has it (any CPU, NVIDIA since Ampere, AMD), which needs
    no loss scaling; float16 with dynamic loss scaling on older GPUs.

    Args:
        cfg: Changed in place.

    Raises:
        ValueError: If the config has an optimizer wrapper of its own kind.
    """
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind in ('AmpOptimWrapper', 'BFloat16OptimWrapper'):
        return
    if kind != 'OptimWrapper':
        raise ValueError(
            f"--amp replaces optim_wrapper.type='OptimWrapper', but the config has "
            f'{kind!r}: leave --amp out or change the type'
        )
    if _has_bfloat16():
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    else:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'


def _has_bfloat16() -> bool:
    """Whether the device computes in it.

    ``torch.cuda.is_bf16_supported`` counts emulation, which is slower than float32.
    """
    if not torch.cuda.is_available() or torch.version.hip is not None:
        return True
    return torch.cuda.get_device_capability() >= _BFLOAT16_CAPABILITY


def add_tensorboard(cfg: Config) -> None:
    """Sends scalars and pictures to TensorBoard too.

    Args:
        cfg: Changed in place.

    Raises:
        ModuleNotFoundError: If TensorBoard isn't installed.
    """
    if importlib.util.find_spec('tensorboard') is None:
        raise ModuleNotFoundError(
            '--tensorboard needs the package: pip install tensorboard'
        )
    backends = list(cfg.visualizer.get('vis_backends') or [])
    if all(backend['type'] != 'TensorboardVisBackend' for backend in backends):
        backends.append(dict(type='TensorboardVisBackend'))
    cfg.visualizer.vis_backends = backends


def check_data_roots(cfg: Config, splits: Iterable[str]) -> None:
    """Checks that the data folders exist, before a model is built.

    Args:
        cfg: The config.
        splits: Of 'train', 'val', 'test'; those without a loader are skipped.

    Raises:
        FileNotFoundError: Names the folder and the config key.
    """
    for key, dataset in _datasets(cfg, splits):
        root = dataset.get('data_root')
        if root and '://' not in root and not Path(root).is_dir():
            raise FileNotFoundError(
                f'{key}.data_root: there is no folder {root!r} (seen from '
                f'{Path.cwd()}). Make it, or give another one by '
                f'--cfg-options {key}.data_root=FOLDER'
            )


def check_loaders(runner: Runner, splits: Iterable[str]) -> None:
    """Checks what a run would find out after minutes or hours.

    Args:
        runner: Its data sets are read here, if they weren't.
        splits: Of 'train', 'val', 'test'; those that the run has no loop for are
            skipped.

    Raises:
        ValueError: The data can't be read as the config says, a batch can't be filled,
            or holds images of different sizes; the message names the config keys.
    """
    for split in splits:
        if runner.cfg.get(f'{split}_cfg') is None:
            continue
        with building(f'{split}_dataloader', runner.cfg.filename):
            loader = getattr(runner, f'{split}_loop').dataloader
        if len(loader) == 0:
            raise ValueError(
                f'{split}_dataloader.batch_size={loader.batch_size}: its data set has '
                f'{len(loader.sampler)} samples, less than one batch for each process, '
                f'and drop_last leaves incomplete ones out. Lower batch_size, or set '
                f'{split}_dataloader.drop_last=False'
            )
        if split != 'train' and loader.batch_size and loader.batch_size > 1:
            _check_sizes(split, loader)


def _check_sizes(split: str, loader: DataLoader) -> None:
    """Compares the inputs of images that differ in size, which a batch can't hold."""
    dataset: Any = loader.dataset
    if not hasattr(dataset, 'get_data_info'):
        return
    seen: dict[tuple, tuple] = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        size = info.get('height'), info.get('width')
        if None in size:
            with Image.open(info['img_path']) as image:  # its header only
                size = image.size
        if size in seen:
            continue
        seen[size] = tuple(dataset[index]['inputs'].shape[-2:])
        if len(set(seen.values())) > 1:
            (height, width), (other, wide) = set(seen.values())
            raise ValueError(
                f'{split}_dataloader.batch_size={loader.batch_size}: its images come '
                f'in different sizes ({height}x{width} and {other}x{wide}), which one '
                f'batch cannot hold. Set {split}_dataloader.batch_size=1, or '
                "keep_ratio=False in the pipeline's Resize"
            )
        if len(seen) == _SIZES_TRIED:
            return


def override_data(cfg: Config, data_root: str | None, name: str | None) -> None:
    """Points the training, validation and test sets to other data.

    Args:
        cfg: Changed in place.
        data_root: Root folder of the data; None keeps the config's.
        name: Name of the dataset below the root; None keeps the config's.
    """
    given = dict(data_root=data_root, name=name)
    changes = {key: value for key, value in given.items() if value is not None}
    for _, dataset in _datasets(cfg, ('train', 'val', 'test')):
        dataset.update(changes)


def find_metric(
    cfg: Config, asker: str, names: Sequence[str] = ('ReferringIoUMetric',)
) -> dict:
    """The config of the test's metric, which can be changed in place.

    Args:
        asker: Option or command that needs it, for the message.
        names: Types of the metrics that will do.

    Raises:
        ValueError: There is none.
    """
    evaluator = cfg.get('test_evaluator') or []
    for metric in evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]:
        if metric['type'].split('.')[-1] in names:
            return metric
    raise ValueError(
        f'{asker} needs a test_evaluator of type {" or ".join(map(repr, names))} in '
        'the config'
    )


def _datasets(cfg: Config, splits: Iterable[str]) -> Iterator[tuple[str, dict]]:
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader is not None:
            yield from leaf_datasets(loader['dataset'], f'{split}_dataloader.dataset')


def prepare_cpu_processes(cfg: Config) -> None:
    """Lets several processes train or test without a GPU.

    MMEngine would choose a CUDA device, NCCL and GPU-only layers. Does nothing
    where there is a GPU or a single process.

    Args:
        cfg: Changed in place; ``cfg.launcher`` is set.

    Raises:
        ValueError: If the launcher can't start processes without GPUs.
    """
    if cfg.get('launcher', 'none') == 'none' or torch.cuda.is_available():
        return
    if cfg.launcher != 'pytorch':
        raise ValueError(
            f'--launcher {cfg.launcher} needs GPUs, but PyTorch sees none; '
            'tools/dist_train.sh and tools/dist_test.sh run without'
        )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    cfg.env_cfg.dist_cfg = dict(backend='gloo')
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel',
        find_unused_parameters=cfg.get('find_unused_parameters', False),
        broadcast_buffers=False,
    )
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)
    cfg.sync_bn = None
    _replace_sync_batch_norm(cfg.model)


def end_processes() -> None:
    """Lets the processes of a run end together; call it last.

    Gloo's threads abort a process that exits while another is still talking to it.
    Does nothing where a process runs alone.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _replace_sync_batch_norm(config: object) -> None:
    if isinstance(config, dict):
        if config.get('type') == 'SyncBN':
            config['type'] = 'BN'
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for part in config:
            _replace_sync_batch_norm(part)
