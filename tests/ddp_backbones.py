# SPDX-License-Identifier: Apache-2.0
"""One step of two processes on hosts of each layout; a script for torchrun.

Each process takes one of two images. Their mean gradient must be that of one process
with both, and nothing may be left without a gradient.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch.nn.parallel import DistributedDataParallel

import mmcadformer  # noqa: F401

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
        if rank == 0:
            print(f'{name}: {len(expected)} gradients')
    dist.destroy_process_group()


def named(backbone):
    return [(n, p) for n, p in backbone.named_parameters() if p.requires_grad]


if __name__ == '__main__':
    main()
