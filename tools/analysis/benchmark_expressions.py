#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Measures many expressions on one image in one call, against one call for each.

    benchmark_expressions.py CONFIG --expressions 8

Both ways go through ReferringInferencer, from the picture's file to masks, and take
turns, so that a machine that changes its speed favours neither. Also reports the
largest difference between the logits of both.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from mmcadformer.analysis import by_turns, medians, without_weights
from mmcadformer.apis import ReferringInferencer
from mmcadformer.models import ReferringSegmentor
from mmcadformer.synthrs import generate_synthrs
from mmcadformer.utils.command_line import add_cfg_options, user_errors
from mmcadformer.utils.config import read_config
from mmcadformer.utils.files import write_json

SENTENCES = (
    'the largest tennis court',
    'the storage tank in the upper left',
    'the red one left of the baseball field',
    'a swimming pool near the bottom of the scene',
    'the small white storage tank right of the long bridge',
    'the harbor',
    'a ground track field with a green centre in the lower right corner',
    'the vehicle that is closest to the basketball field',
)


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--checkpoint', help='default: random weights')
    parser.add_argument('--image', help='default: a SynthRS scene of 480 x 480 px')
    parser.add_argument('--expressions', type=int, default=8, metavar='K')
    parser.add_argument('--rounds', type=int, default=3, help='turns of each way')
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    parser.add_argument('--out', metavar='FILE.json', help='write the numbers here')
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.expressions < 2 or args.rounds < 1:
        parser.error('--expressions must be 2 or more, --rounds 1 or more')
    for name in ('config', 'checkpoint', 'image'):
        path = getattr(args, name)
        if path is not None and not Path(path).is_file():
            parser.error(f'{name} {path} does not exist')
    return args


def build_inferencer(args: argparse.Namespace) -> ReferringInferencer:
    """The inferencer, with random weights if there is no checkpoint."""
    cfg = read_config(args.config, args.cfg_options)
    if args.checkpoint is None:
        cfg = without_weights(cfg, tokens=20)
        torch.manual_seed(0)
    return ReferringInferencer(
        cfg, args.checkpoint, args.device, expression_batch_size=args.expressions
    )


def draw_scene(folder: str) -> str:
    """Writes one scene and returns its path."""
    generate_synthrs(folder, dict(train=1), image_size=480, progress=False)
    return str(next(Path(folder, 'images/synthrs/JPEGImages').iterdir()))


def record_logits(model: ReferringSegmentor) -> list[torch.Tensor]:
    """A list that grows by the logits of every forward pass."""
    seen: list[torch.Tensor] = []
    last = model.decode_head.conv_seg
    last.register_forward_hook(lambda *call: seen.append(call[2].cpu()))
    return seen


def timed(step: Callable[[], object], device: str) -> dict[str, float]:
    """Seconds of wall clock and of the process's CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)
    return dict(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


def measure(
    inferencer: ReferringInferencer,
    image: str,
    sentences: list[str],
    args: argparse.Namespace,
) -> dict:
    """Runs both ways by turns.

    Returns:
        Medians over rounds: seconds of ``one by one`` and ``together``, the ratio of
        a round's two times for ``wall`` and ``cpu``; ``difference``, the largest one
        of the logits.
    """
    ways = {
        'one by one': lambda: [inferencer(image, text) for text in sentences],
        'together': lambda: inferencer(image, sentences),
    }
    logits = record_logits(inferencer.model)
    outputs = {}
    for name, step in ways.items():  # also warms up
        logits.clear()
        step()
        outputs[name] = torch.cat(logits)
    calls = {name: partial(timed, way, args.device) for name, way in ways.items()}
    turns = by_turns(calls, args.rounds)
    result: dict = {}
    for clock in ('cpu', 'wall'):
        times = [{name: taken[clock] for name, taken in turn.items()} for turn in turns]
        found = medians(times, 'one by one')
        result[f'{clock} ratio'] = found['together'][1]
        result.update({name: seconds for name, (seconds, _) in found.items()})
    difference = outputs['together'] - outputs['one by one']
    result['difference'] = float(difference.abs().max())
    return result


def main() -> None:
    """Measures and prints."""
    args = parse_args()
    repeats = -(-args.expressions // len(SENTENCES))
    sentences = list(SENTENCES * repeats)[: args.expressions]
    with user_errors():
        inferencer = build_inferencer(args)
        with tempfile.TemporaryDirectory() as folder:
            image = args.image or draw_scene(folder)
            result = measure(inferencer, image, sentences, args)
    print(f'{args.config}, {args.expressions} expressions, {args.device}')
    print(f'one by one     {result["one by one"]:8.3f} s')
    print(f'together       {result["together"]:8.3f} s')
    print(f'ratio          {result["wall ratio"]:8.3f} (CPU {result["cpu ratio"]:.3f})')
    print(f'logits differ  {result["difference"]:8.1e} at most')
    if args.out is not None:
        facts = dict(arguments=vars(args), **result)
        write_json(args.out, facts)


if __name__ == '__main__':
    main()
