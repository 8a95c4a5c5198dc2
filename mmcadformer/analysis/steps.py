# SPDX-License-Identifier: Apache-2.0
"""Steps of inference and training whose speed is measured, each in one setting."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from ..apis import init_model
from ..engine import BFloat16OptimWrapper
from ..utils.precision import autocast
from .cost import build_without_weights, random_inputs
from .latency import measure


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    name: str
    batch_size: int
    tokens: int
    amp: bool = False
    compile: bool = False
    channels_last: bool = False
    tf32: bool = False
    cfg_options: tuple = ()


@dataclass(frozen=True)
class Conditions:
    """What it is measured with.

    Args:
        mode: 'infer' or 'train'.
        shape: Height and width of images.
        device: Where the model is.
        checkpoint: Weights; None for random ones.
        warmup: Steps that don't count.
        iters: Steps that do.
    """

    mode: str
    shape: tuple[int, int]
    device: str
    checkpoint: str | None = None
    warmup: int = 10
    iters: int = 50


def build_model(cfg: Config, setting: Setting, conditions: Conditions) -> BaseModel:
    """Builds a model with random weights, or those of the checkpoint."""
    cfg = Config(cfg.to_dict())
    cfg.merge_from_dict(dict(setting.cfg_options))
    if conditions.checkpoint is None:
        model = build_without_weights(cfg, setting.tokens, conditions.device)
    else:
        limit = cfg.model.text_encoder.get('max_tokens', 20)
        cfg.model.text_encoder.max_tokens = max(setting.tokens, limit)
        model = init_model(cfg, conditions.checkpoint, conditions.device)
    if setting.channels_last:
        # Not model.to(), which refuses models that have parameters of five axes.
        for parameter in model.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return model


def inference_step(
    model: nn.Module, setting: Setting, conditions: Conditions
) -> Callable[[], object]:
    """One forward pass of the network on tensors that are on the device."""
    model.eval()
    inputs = random_inputs(
        conditions.shape, setting.tokens, setting.batch_size, conditions.device
    )
    if setting.channels_last:
        inputs['inputs'] = inputs['inputs'].to(memory_format=torch.channels_last)
    run = torch.compile(model) if setting.compile else model

    @torch.no_grad()
    def step() -> object:
        with autocast('bf16' if setting.amp else None, conditions.device):
            return run(**inputs)

    return step


def training_step(
    model: BaseModel,
    setting: Setting,
    conditions: Conditions,
    draw: Callable[[], dict] | None = None,
) -> Callable[[], object]:
    """One step as MMEngine runs it: from uint8 images on the host to new weights.

    The same random batch in all steps, unless ``draw`` gives one for each.
    """
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    wrapper = BFloat16OptimWrapper if setting.amp else OptimWrapper
    optimizer = wrapper(torch.optim.AdamW(trained, lr=1e-6))
    # Two tokens are [CLS] and [SEP].
    expression = ' '.join(['the'] * max(1, setting.tokens - 2))
    mask = torch.zeros(1, *conditions.shape, dtype=torch.long)
    mask[:, : conditions.shape[0] // 3, : conditions.shape[1] // 3] = 1
    meta = dict(
        expression=expression, img_shape=conditions.shape, ori_shape=conditions.shape
    )

    def batch() -> dict:
        samples = [
            SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=mask))
            for _ in range(setting.batch_size)
        ]
        return dict(inputs=list(images), data_samples=samples)

    images = torch.randint(
        256, (setting.batch_size, 3, *conditions.shape), dtype=torch.uint8
    )
    if setting.compile:
        model.compile_network()
    draw = draw or batch
    return lambda: model.train_step(draw(), optim_wrapper=optimizer)


def measure_model(cfg: Config, setting: Setting, conditions: Conditions) -> dict:
    """Builds, measures, and frees a model."""
    model = build_model(cfg, setting, conditions)
    make = inference_step if conditions.mode == 'infer' else training_step
    step = make(model, setting, conditions)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('high' if setting.tf32 else before)
    result = measure(
        step, conditions.warmup, conditions.iters, torch.device(conditions.device)
    )
    torch.set_float32_matmul_precision(before)
    del model, step
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    throughput = 1000 * setting.batch_size / result['mean']
    return dict(setting=setting.name, images_per_s=throughput, **result)
