# SPDX-License-Identifier: Apache-2.0
"""Files of OpenVINO, and ONNX files, by OpenVINO."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .base import Runtime, pad_tokens

_TYPES = {None: 'f32', 'bf16': 'bf16'}
_ROOM = 'framework'  # where OpenVINO finds the texts in an ONNX file


def import_openvino() -> Any:
    """The module ``openvino``, which tells nobody that it is used.

    As it comes, its import, NNCF's and each call report to a server. Without the
    package that does it, both go on in silence.

    Raises:
        ImportError: It isn't installed.
    """
    sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError:
        raise ImportError(
            "OpenVINO is not installed: pip install -e '.[openvino]'"
        ) from None
    return openvino


def write_texts(model: Any, texts: dict[str, str]) -> None:
    """Puts texts into a model of OpenVINO, where :meth:`OpenVinoRuntime.text` looks."""
    for name, text in texts.items():
        model.set_rt_info(text, [_ROOM, name])


class OpenVinoRuntime(Runtime):
    """Runs .xml files, each with a .bin beside it, and .onnx files by OpenVINO.

    Each pair of image and sentence by itself, with as many tokens as a sentence may
    have: shapes that are known beforehand run faster, and padding changes nothing.
    """

    program = 'OpenVINO'
    name = 'openvino'

    def _open(self) -> None:
        self._openvino = import_openvino()
        self._core = self._openvino.Core()
        self._model = self._core.read_model(str(self.path))
        self._compiled: tuple[object, Any] | None = None

    def files(self) -> list[Path]:
        if self.path.suffix == '.onnx':
            return [self.path]
        return [self.path, self.path.with_suffix('.bin')]

    def text(self, name: str) -> str:
        return self._model.get_rt_info([_ROOM, name]).astype(str)

    def check_amp(self, amp: str | None) -> None:
        if amp not in _TYPES:
            raise ValueError(
                f'{self.path}: OpenVINO computes in float32 or bf16 here, not in {amp}'
            )

    def __call__(
        self,
        image: Tensor,
        input_ids: Tensor,
        text_mask: Tensor,
        amp: str | None = None,
    ) -> list[Tensor]:
        facts = self.facts
        tokens = pad_tokens(input_ids, text_mask, facts['max_tokens'], facts['pad_id'])
        request = self._request(amp, image, *tokens)
        found = []
        for inputs in zip(image, *tokens, strict=True):
            feed = [tensor[None].numpy() for tensor in inputs]
            outputs = request.infer(feed, share_inputs=True).to_tuple()
            found.append([torch.from_numpy(output.copy()) for output in outputs])
        return [torch.cat(parts) for parts in zip(*found, strict=True)]

    def _request(self, amp: str | None, *inputs: Tensor) -> Any:
        """What runs inputs of these shapes; the one before is kept."""
        self.check_amp(amp)
        shapes = [[1, *tensor.shape[1:]] for tensor in inputs]
        key = (amp, str(shapes), torch.get_num_threads())
        if self._compiled is None or self._compiled[0] != key:
            self._compiled = None  # its memory first
            self._model.reshape(dict(enumerate(shapes)))
            options = _options(amp)
            compiled = self._core.compile_model(self._model, 'CPU', options)
            self._compiled = key, compiled.create_infer_request()
        return self._compiled[1]


def _options(amp: str | None) -> dict[str, Any]:
    """How a model is compiled."""
    options = dict(
        INFERENCE_PRECISION_HINT=_TYPES[amp],
        INFERENCE_NUM_THREADS=torch.get_num_threads(),
        PERFORMANCE_HINT='LATENCY',
    )
    if amp is None:
        # Code that it generates for sequences of operations is not of float32's
        # precision: probabilities are off by 1e-4 and more.
        options['SNIPPETS_MODE'] = 'DISABLE'
    return options
