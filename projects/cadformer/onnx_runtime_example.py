#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Segments with an exported model: onnx_runtime_example.py MODEL IMAGE SENTENCE OUT.

Needs onnxruntime, tokenizers, numpy and pillow; neither PyTorch nor mmcadformer.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image
from tokenizers import Tokenizer


def resize(image: Image.Image, size: tuple[int, int], antialias: bool) -> Image.Image:
    if antialias:
        return image.resize(size, Image.BILINEAR)
    return image.transform(size, Image.EXTENT, (0, 0, *image.size), Image.BILINEAR)


def main(model: str, image_file: str, sentence: str, out_file: str) -> None:
    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    inside = session.get_modelmeta().custom_metadata_map
    facts = json.loads(inside['metadata.json'])
    text = Tokenizer.from_str(inside['tokenizer.json']).encode(sentence)
    image = Image.open(image_file).convert('RGB')
    height, width = facts['size']
    pixels = resize(image, (width, height), facts['antialias'])
    inputs = dict(
        image=np.asarray(pixels, np.float32).transpose(2, 0, 1)[None],
        input_ids=np.array([text.ids], np.int64),
        text_mask=np.array([text.attention_mask], bool),
    )
    (probability,) = session.run(['probability'], inputs)[0]
    probability = resize(Image.fromarray(probability), image.size, antialias=False)
    mask = np.asarray(probability) > facts['threshold']
    Image.fromarray(mask).save(out_file)
    print(f'{sentence}: {mask.sum()} pixels')


if __name__ == '__main__':
    main(*sys.argv[1:])
