# SPDX-License-Identifier: Apache-2.0
"""Two processes on hosts of each layout; a script for torchrun, with a config.

Each process takes one of two images. Their mean gradient must be that of one process
with both, and nothing may be left without a gradient. A training that is resumed after
the first of its two epochs must end with the weights of one that wasn't.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch.nn.parallel import DistributedDataParallel

import mmcadformer  # noqa: F401
from mmcadformer.engine import prepare_cpu_processes

sys.path.insert(0, str(Path(__file__).parent))
import hosts  # noqa: E402

CASES = {
    'sequence': ('ReferringBackbone', hosts.MMSEG['mmseg.SwinTransformer']),
    'maps': ('ReferringBackbone', hosts.TRANSFORMERS['transformers.convnextv2']),
    'flat': ('ReferringViT', hosts.FLAT_TRANSFORMERS['transformers.dinov2']),
}


def loss_of(model, images, text, mask):
    maps, last = model(images, text, mask)
    return sum(m.square().mean() for m in maps) + last.square().mean()


def main() -> None:
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    init_default_scope('mmseg')
    for name, (kind, host) in CASES.items():
        torch.manual_seed(0)
        backbone = MODELS.build(
            dict(type=kind, host=host, fusion=dict(type='SMGAM'), text_channels=16)
        )
        inputs = (
            torch.randn(2, 3, 64, 64),
            torch.randn(2, 5, 16),
            torch.ones(2, 5, dtype=torch.bool),
        )
        loss_of(backbone, *inputs).backward()
        expected = {n: p.grad.clone() for n, p in named(backbone)}
        backbone.zero_grad()
        wrapped = DistributedDataParallel(backbone, find_unused_parameters=False)
        for _ in range(2):  # the second pass fails if the first left one out
            backbone.zero_grad()
            loss_of(wrapped, *(part[rank : rank + 1] for part in inputs)).backward()
        for key, parameter in named(backbone):
            torch.testing.assert_close(
                parameter.grad, expected[key], rtol=1e-3, atol=1e-5, msg=key
            )
        resume(name, dict(type=kind, host=host), backbone.channels)
        if rank == 0:
            print(f'{name}: {len(expected)} gradients')
    dist.destroy_process_group()


def resume(name, backbone, channels):
    """Trains two epochs, and the second one once more, on the tiny data."""
    config, folder = sys.argv[1:]
    weights = []
    for part in ('whole', 'resumed'):
        cfg = Config.fromfile(config, format_python_code=False)
        cfg.model.backbone = dict(backbone, fusion=dict(type='SMGAM'), text_channels=32)
        cfg.model.neck = None
        cfg.model.decode_head.in_channels = channels
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        cfg.default_hooks.checkpoint.save_best = None
        cfg.work_dir = f'{folder}/{name}_{part}'
        cfg.experiment_name = f'{name}_{part}'
        cfg.launcher = 'pytorch'
        if part == 'resumed':
            cfg.load_from, cfg.resume = f'{folder}/{name}_whole/epoch_1.pth', True
        prepare_cpu_processes(cfg)
        runner = Runner.from_cfg(cfg)
        runner.train()
        weights.append(runner.model.module.state_dict())
    for key, value in weights[0].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, weights[1][key]), f'{name}: {key}'


def named(backbone):
    return [(n, p) for n, p in backbone.named_parameters() if p.requires_grad]


if __name__ == '__main__':
    main()
