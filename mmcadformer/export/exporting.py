# SPDX-License-Identifier: Apache-2.0
"""Writes a model to an ONNX or a torch.export file, and checks it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from tokenizers import Tokenizer
from torch import Tensor

from ..apis.runtimes import ExportedSegmentor
from ..models import ReferringSegmentor
from ..utils.config import find_reading, inference_pipeline
from ..utils.files import removed_when_terminated
from ..version import __version__
from .exportable import ExportableSegmentor, read_sentences
from .openvino_writer import OpenVinoWriter
from .quantization import Quantization, check_nncf, quantize
from .writers import OnnxWriter, Plan, ProgramWriter, Runner, Writer

TOLERANCE = 1e-3
EXPRESSIONS = (
    ('bridge',),
    ('a swimming pool', 'the white vehicle to the right of the baseball field'),
    ('the large storage tank', 'the second ship from the top', 'an airplane'),
)
WRITERS: dict[str, Writer] = {
    '.onnx': OnnxWriter(),
    '.xml': OpenVinoWriter(),
    '.pt2': ProgramWriter(),
}
Example = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def export_model(
    model: ReferringSegmentor,
    path: str | Path,
    shape: tuple[int, int] = (480, 480),
    dynamic_size: bool = False,
    antialias: bool = False,
    check_sizes: Sequence[tuple[int, int]] = (),
    quantization: Quantization | None = None,
) -> list[Parity]:
    """Writes a model as one file, checks it, and lays its tokenizer beside it.

    The number of expressions and of tokens stays open, but for OpenVINO. Beside
    ``NAME.onnx``, ``NAME.pt2`` or ``NAME.xml`` come ``NAME.tokenizer.json`` and
    ``NAME.json`` with what a program has to know; both are inside the file as well.
    OpenVINO's weights are in ``NAME.bin``. Files of these names are replaced.

    Args:
        model: With its weights.
        path: The file; its ending, .onnx, .pt2 (torch.export) or .xml (OpenVINO), is
            the format. Its folder is made if needed.
        shape: Height and width.
        dynamic_size: Leave height and width open, too; .onnx only.
        antialias: Whether images are smoothed when they are made smaller, as Pillow
            does; noted for the program that runs the file.
        check_sizes: With ``dynamic_size``, heights and widths to compare at besides
            ``shape``, with two expressions.
        quantization: Have weights and activations in 8 bits; .xml only. How much
            the results change is not checked.

    Raises:
        ImportError: If the extra 'export' or 'openvino' isn't installed.
        OSError: If nothing can be written to the folder.
        RuntimeError: If the model has no tokenizer.
        ValueError: If the model can't be exported so, or the file gives other results
            than it. The files of an earlier export stay then.
    """
    path = Path(path)
    if isinstance(model, ExportedSegmentor):
        raise ValueError(
            f'{model.runtime.path} is exported already: give its config and checkpoint'
        )
    if path.suffix not in WRITERS:
        raise ValueError(
            f'{path} must end in .onnx (ONNX), .xml (OpenVINO) or .pt2 (torch.export), '
            'which is the format'
        )
    writer = WRITERS[path.suffix]
    if quantization is not None and not writer.quantizes:
        raise ValueError(f'{path}: only .xml files (OpenVINO) can have 8 bits')
    # The model last: where it is, the others are, too.
    beside = ('.json', '.tokenizer.json', *writer.more_endings)
    targets = [*map(path.with_suffix, beside), path]
    for target in targets:
        if target.is_dir():
            raise ValueError(
                f'{target} is a folder, where a file is to be written: give another '
                'file name'
            )
    writer.check_possible(model, dynamic_size)
    if quantization is not None:
        check_nncf()
    tokenizer = portable_tokenizer(model)
    example = _example(model, shape, writer.fixed)
    known = dict(
        size=list(shape),
        dynamic_size=dynamic_size,
        antialias=antialias,
        precision='float32' if quantization is None else 'int8+float32',
        **_describe_input(model, None if dynamic_size else shape),
    )
    facts = json.dumps(_describe(model, known, example[2].shape), indent=2)
    companions = {'metadata.json': facts, 'tokenizer.json': tokenizer.to_str()}
    with _folder_for_work(path) as folder, removed_when_terminated(folder):
        *_, file = sources = [Path(folder) / target.name for target in targets]
        exportable = ExportableSegmentor(model).cpu()
        plan = Plan(example, dynamic_size, companions, exportable.outputs)
        limit = TOLERANCE
        if quantization is not None:
            eight_bits = partial(quantize, how=quantization, model=model, shape=shape)
            plan, limit = replace(plan, quantize=eight_bits), float('inf')
        writer.write(exportable, plan, file)
        others = check_sizes if dynamic_size else ()
        results = _check(model, writer.open(file), shape, others, path, limit)
        sources[0].write_text(f'{facts}\n', encoding='utf-8')
        tokenizer.save(str(sources[1]))
        for source, target in zip(sources, targets, strict=True):
            source.replace(target)
    return results


def portable_tokenizer(model: ReferringSegmentor) -> Tokenizer:
    """A copy of the model's tokenizer that pads, and cuts, as its text encoder does.

    A tokenizer that cuts keeps [SEP]. Where the encoder doesn't (``keep_end=False``),
    this one leaves sentences whole, and the first ``max_tokens`` of their ids are
    what the model takes; taking them changes nothing where it does cut.

    Raises:
        RuntimeError: If the checkpoint brought no tokenizer and the one that the
            config names can't be loaded.
    """
    encoder = model.text_encoder
    tokenizer = Tokenizer.from_str(encoder.tokenizer.to_str())
    if encoder.keep_end:
        tokenizer.enable_truncation(encoder.max_tokens)
    pad_id = encoder.pad_id
    tokenizer.enable_padding(
        pad_id=pad_id,
        pad_token=tokenizer.id_to_token(pad_id) or '[PAD]',
        length=encoder.max_tokens if encoder.pad_to_max else None,
    )
    return tokenizer


def _example(model: ReferringSegmentor, shape: tuple[int, int], fixed: bool) -> Example:
    """Inputs to trace with.

    Two where their number is to stay open, since exporters treat one as a constant.
    """
    ids, text_mask = read_sentences(model, EXPRESSIONS[0 if fixed else 1], fixed)
    return torch.zeros(len(ids), 3, *shape), ids, text_mask


def _describe_input(model: ReferringSegmentor, shape: tuple[int, int] | None) -> dict:
    """How pictures and sentences are prepared, for JSON.

    Raises:
        ValueError: The test pipeline has what JSON can't say.
    """
    pipeline = inference_pipeline(model.cfg)
    for step in pipeline:
        if step['type'] == 'Resize' and shape is not None:
            step.update(scale=shape[::-1], keep_ratio=False)
    try:
        pipeline = json.loads(json.dumps(pipeline))
    except TypeError as error:
        raise ValueError(
            f'the test pipeline can not be written into a file ({error})'
        ) from None
    preprocessor, encoder = model.data_preprocessor, model.text_encoder
    mean = getattr(preprocessor, 'mean', torch.zeros(3))
    std = getattr(preprocessor, 'std', torch.ones(3))
    return dict(
        reading=find_reading(model.cfg),
        pipeline=pipeline,
        # Subtracted and divided by inside the file.
        mean=mean.flatten().tolist(),
        std=std.flatten().tolist(),
        pad_id=encoder.pad_id,
        pad_to_max=encoder.pad_to_max,
    )


def _describe(model: ReferringSegmentor, plan: dict, mask_shape: Sequence[int]) -> dict:
    """Facts that a program without this package needs, for JSON."""
    # Encoders that tell phrases apart take one mask for each kind of them.
    kinds = ''.join(f'{size}, ' for size in mask_shape[1:-1])
    outputs = dict(probability='float32 (batch, height, width), of the target')
    head, presence = model.decode_head.presence, {}
    if head is not None:
        outputs['presence'] = 'float32 (batch,), probability that there is a target'
        presence['presence_threshold'] = float(head.threshold)
    return dict(
        package=f'mmcadformer {__version__}',
        inputs=dict(
            image='float32 (batch, 3, height, width), RGB, 0...255',
            input_ids='int64 (batch, tokens), the first max_tokens of a sentence',
            text_mask=f'bool (batch, {kinds}tokens), true on real tokens',
        ),
        outputs=outputs,
        **plan,
        # How its result is enlarged, to equal the package's own.
        align_corners=model.decode_head.align_corners,
        threshold=0.5,
        **presence,
        # The model takes the first so many ids; with keep_end the tokenizer has cut
        # to them already and kept [SEP], without it loses what is behind, [SEP] too.
        max_tokens=model.text_encoder.max_tokens,
        keep_end=model.text_encoder.keep_end,
    )


def _folder_for_work(path: Path) -> TemporaryDirectory:
    """A folder beside a file, from which it moves to its place in one step."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(prefix='export_', dir=path.parent)
    except OSError as error:
        raise OSError(
            f'cannot write to the folder {path.parent}: {error.strerror}'
        ) from None


def _check(
    model: ReferringSegmentor,
    runner: Runner,
    shape: tuple[int, int],
    others: Sequence[tuple[int, int]],
    path: Path,
    limit: float,
) -> list[Parity]:
    reason = f'this model cannot be exported to {path.suffix}'
    try:
        results = check_parity(model, runner, [shape])
        results += check_parity(model, runner, others, EXPRESSIONS[1:2])
    except Exception as error:  # each runtime has its own
        raise ValueError(
            f'the exported model fails with other inputs than it was traced with: '
            f'{reason} ({error})'
        ) from error
    for result in results:
        if not result.difference < limit:  # also true for NaN
            raise ValueError(
                f'the exported model differs from the original by '
                f'{result.difference:.2g} (allowed: {limit}) at {result}: {reason}'
            )
    return results


@dataclass
class Parity:
    """One comparison."""

    batch: int  # images and expressions
    size: tuple[int, int]  # height and width
    tokens: int  # length of the longest expression
    difference: float  # the largest absolute one of two probabilities, presence's too


@torch.no_grad()
def check_parity(
    model: ReferringSegmentor,
    runner: Runner,
    sizes: Sequence[tuple[int, int]],
    expressions: Sequence[Sequence[str]] = EXPRESSIONS,
) -> list[Parity]:
    """Compares a runner with the model on random images, of large and small shapes.

    The runner works on the CPU, as :class:`~mmcadformer.export.ExportableSegmentor`.
    Every batch of expressions is tried at each size, a height and a width.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    results = []
    for size in sizes:
        for batch in expressions:
            tokens = model.text_encoder.tokenize(list(batch))
            image = _random_image(len(batch), size, generator)
            expected = _probabilities(model, image.to(device), tokens)
            found = runner(image, tokens['input_ids'].cpu(), tokens['text_mask'].cpu())
            pairs = zip(
                [found] if isinstance(found, Tensor) else found, expected, strict=True
            )
            differences = [(one - other.cpu()).abs().max() for one, other in pairs]
            difference = torch.stack(differences).max().item()  # NaN if one is
            length = tokens['input_ids'].shape[1]
            results.append(Parity(len(batch), size, length, difference))
    return results


def _random_image(count: int, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Areas of some colours under noise, (B, 3, H, W) in 0...255.

    Noise alone averages out over a window, and all positions would look the same.
    """
    cells = [max(2, length // 24) for length in size]
    areas = torch.rand(count, 3, *cells, generator=rng)
    areas = resize(areas, size=size, mode='bilinear', warning=False)
    noise = torch.rand(count, 3, *size, generator=rng)
    return (255 * (0.8 * areas + 0.2 * noise)).round()


def _probabilities(
    model: ReferringSegmentor, images: Tensor, tokens: dict[str, Tensor]
) -> list[Tensor]:
    """What the model itself says, one image after the other, which takes less room.

    The map (B, H, W) and, with a presence head, presence (B,).
    """
    found, presence = [], []
    for i, image in enumerate(images):
        # From its own preprocessing on, which takes BGR, as files are loaded.
        data = dict(inputs=[image.flip(0)], data_samples=[SegDataSample()])
        inputs = model.data_preprocessor(data)['inputs']
        mine = {name: v[i : i + 1] for name, v in tokens.items()}
        logits, score = model.decode_with_presence(inputs, **mine)
        if score is not None:
            presence.append(score.sigmoid())
        logits = resize(
            logits,
            size=image.shape[1:],
            mode='bilinear',
            align_corners=model.decode_head.align_corners,
            warning=False,
        )
        found.append(logits.softmax(dim=1)[:, 1])
    return [torch.cat(parts) for parts in (found, presence) if parts]
