#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Adds low-rank adapters to the weights that they stand beside.

The file it writes is a plain checkpoint, for the same config without lora.
"""

import argparse

import torch

from mmcadformer.apis import init_model
from mmcadformer.models.layers.adapters import adapted_parts, merge_adapters
from mmcadformer.utils.command_line import add_cfg_options, user_errors
from mmcadformer.utils.files import whole_file


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='of the training, with lora')
    parser.add_argument('checkpoint', help='whole, or of adapters alone')
    parser.add_argument('target', help='file to write, .pth')
    add_cfg_options(
        parser, 'override config keys, e.g. model.text_encoder.pretrained=DIR'
    )
    return parser.parse_args()


def main() -> None:
    """Runs the command."""
    args = parse_args()
    with user_errors():
        model = init_model(args.config, args.checkpoint, 'cpu', args.cfg_options)
        parts = [name for name, _ in adapted_parts(model)]
        count = merge_adapters(model)
        if not count:
            raise ValueError(f'{args.config} has no lora: there is nothing to merge')
        meta = dict(merged=parts, source=str(args.checkpoint))
        with whole_file(args.target) as unfinished:
            torch.save(dict(meta=meta, state_dict=model.state_dict()), unfinished)
    print(f'wrote {args.target}: adapters of {count} layers in {", ".join(parts)}')


if __name__ == '__main__':
    main()
