#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Segments with an exported model: onnx_runtime_example.py MODEL IMAGE SENTENCE OUT.

Needs onnxruntime, tokenizers, numpy and pillow; neither PyTorch nor mmcadformer.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnxruntime
from PIL import Image
from tokenizers import Tokenizer


@contextmanager
def reading(file: str, kind: str) -> Iterator[None]:
    """Ends with one line where a file is missing, damaged or something else."""
    try:
        yield
    except Exception as error:  # each library has its own
        reason = f'{type(error).__name__}: {error}'.splitlines()[0][:200]
        sys.exit(f'{file} can not be read as {kind} ({reason})')


def load(file: str, facts: dict) -> Image.Image:
    """8-bit pictures as they are stored: no Orientation tag is applied."""
    image = Image.open(file)
    if image.mode not in ('L', 'RGB') or facts.get('reading'):
        sys.exit(
            f'{file} (mode {image.mode}): this example reads 8-bit grey and RGB alone; '
            'other depths, bands, palettes and transparency need the package'
        )
    return image.convert('RGB')


def resize(x: np.ndarray, size: tuple[int, int], align_corners: bool) -> np.ndarray:
    for axis, new in enumerate(size):
        old = x.shape[axis]
        at = np.linspace(0, old - 1, new)
        if not align_corners:
            at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = at.astype(int)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        high = x.take(np.minimum(low + 1, old - 1), axis)
        x = x.take(low, axis) * (1 - share) + high * share
    return x


def main(model: str, image_file: str, sentence: str, out_file: str) -> None:
    with reading(model, 'a model of tools/export.py'):
        session = onnxruntime.InferenceSession(
            model, providers=['CPUExecutionProvider']
        )
        inside = session.get_modelmeta().custom_metadata_map
        facts = json.loads(inside['metadata.json'])
        height, width = facts['size']
        most = facts['max_tokens']
        tokenizer = Tokenizer.from_str(inside['tokenizer.json'])
    if len(session.get_inputs()[2].shape) != 2:
        sys.exit(f'{model} needs masks of phrases, which a tokenizer does not make')
    text = tokenizer.encode(sentence)
    if len(text.ids) - sum(text.special_tokens_mask) == 0:
        sys.exit('the sentence is empty')
    # Only models that drop the end mark, too, leave it to us to cut a long sentence.
    ids, text_mask = text.ids[:most], text.attention_mask[:most]
    with reading(image_file, 'a picture'):
        image = load(image_file, facts)
    if facts['antialias']:
        pixels = np.asarray(image.resize((width, height), Image.BILINEAR))
    else:
        pixels = resize(np.asarray(image), (height, width), align_corners=False).round()
    inputs = dict(
        image=pixels.astype(np.float32).transpose(2, 0, 1)[None],
        input_ids=np.array([ids], np.int64),
        text_mask=np.array([text_mask], bool),
    )
    found = session.run(None, inputs)
    (probability,) = found[0].clip(1e-7, 1 - 1e-7)
    logits = np.log(probability / (1 - probability))
    logits = resize(logits, image.size[::-1], facts['align_corners'])
    mask = logits > np.log(facts['threshold'] / (1 - facts['threshold']))
    # Models with a presence head also say whether there is anything to mark.
    missing = len(found) > 1 and found[1][0] < facts['presence_threshold']
    Image.fromarray(mask & (not missing)).save(out_file)
    if missing:
        print(f'{sentence}: not found, {found[1][0]:.2f}')
    else:
        print(f'{sentence}: {mask.sum()} pixels')


if __name__ == '__main__':
    if len(sys.argv) != 5:
        sys.exit(__doc__.splitlines()[0])
    main(*sys.argv[1:])
