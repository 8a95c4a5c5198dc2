# SPDX-License-Identifier: Apache-2.0
"""An exported file in the place of a network."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from tokenizers import Tokenizer
from torch import Tensor, nn

from ...models import ReferringSegmentor
from ...models.text_encoders import ExpressionTokens
from ...utils.data_config import check_plain_types
from ...utils.text import check_choice
from .base import Runtime
from .onnx_runtime import OnnxRuntime
from .openvino_runtime import OpenVinoRuntime

RUNTIMES: dict[str, type[Runtime]] = {
    runtime.name: runtime for runtime in (OnnxRuntime, OpenVinoRuntime)
}
_BY_SUFFIX: dict[str, type[Runtime]] = {'.onnx': OnnxRuntime, '.xml': OpenVinoRuntime}
# The largest probability below 1 in float32: beyond it the logit is infinite.
_ALMOST_ONE = 1 - 2**-24
_ALMOST_NONE = 1e-37


class ExportedSegmentor(ReferringSegmentor):
    """What an exported file finds, in the form of the model that it was made from.

    Made by :func:`open_exported`. Tokenizer and test pipeline, as ``cfg``, are those in
    the file; it has neither layers nor losses, and gives no features.
    """

    def __init__(self, runtime: Runtime) -> None:
        facts = runtime.facts
        # Normalisation is inside the file.
        BaseModel.__init__(self, dict(type='SegDataPreProcessor', bgr_to_rgb=True))
        # What scenes fill the pixels without data with.
        self.data_preprocessor.mean = torch.tensor(facts['mean'])
        self.runtime = runtime
        self.text_encoder = _FileTokens(runtime)
        self.backbone = nn.Identity()
        # MMEngine's hooks ask a model's parameters where it is.
        self.nothing = nn.Parameter(torch.zeros(0), requires_grad=False)
        self.decode_head = _head(facts)
        self.align_corners = facts['align_corners']
        self.test_cfg = ConfigDict(mode='whole')
        self.cfg = Config(dict(test_pipeline=facts['pipeline']))
        self._presence = []
        self._amp: str | None = None

    @property  # type: ignore[override]
    def amp(self) -> str | None:
        """Type that the file is run in; one that can't be is a ValueError."""
        return self._amp

    @amp.setter
    def amp(self, amp: str | None) -> None:
        self.runtime.check_amp(amp)
        self._amp = amp

    @property
    def precision(self) -> str:
        return self.runtime.facts['precision'].replace('float32', self.amp or 'float32')

    def describe_precision(self, asked: str | bool | None = None) -> str:
        return f'precision: {self.precision}, by {self.runtime.program}'

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Logits at the size of the input (B, 2, H, W): 0 and the target's.

        Takes RGB, 0...255, (B, 3, H, W), or one image for all expressions, and their
        meta information with ``expression``.
        """
        facts = self.runtime.facts
        size = list(inputs.shape[2:])
        if size != facts['size'] and not facts['dynamic_size']:
            raise ValueError(
                f'{self.runtime.path} takes images of {facts["size"]} pixels (height, '
                f'width), not {size}'
            )
        tokens = self._tokens(batch_img_metas)
        images = inputs.expand(len(batch_img_metas), -1, -1, -1).contiguous()
        probability, *presence = self.runtime(images, **tokens, amp=self.amp)
        if presence:
            self._keep(presence[0].logit())
        target = probability.clamp(_ALMOST_NONE, _ALMOST_ONE).logit()
        return torch.stack([torch.zeros_like(target), target], dim=1)

    def compile_network(self, **options: Any) -> None:
        raise ValueError(
            f'{self.runtime.path} is exported: torch.compile has nothing to do there'
        )

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The bytes of its files, left there until they are used."""
        return {
            file.name: torch.from_file(
                str(file), size=file.stat().st_size, dtype=torch.uint8
            )
            for file in self.runtime.files()
        }


class _FileTokens(ExpressionTokens):
    """The tokenizer in a file, with no text encoder behind it."""

    def __init__(self, runtime: Runtime) -> None:
        facts = runtime.facts
        super().__init__(
            None,
            str(runtime.path),
            facts['max_tokens'],
            facts['keep_end'],
            facts['pad_to_max'],
        )
        self._pad_id = facts['pad_id']
        tokenizer = Tokenizer.from_str(runtime.text('tokenizer.json'))
        self._vocab_size = 1 + max(tokenizer.get_vocab().values())
        self._set_tokenizer(tokenizer)

    @property
    def pad_id(self) -> int:
        return self._pad_id

    @property
    def vocab_size(self) -> int:
        return self._vocab_size


def _head(facts: dict[str, Any]) -> SimpleNamespace:
    """What is asked of a decode head."""
    presence = None
    if 'presence_threshold' in facts:
        presence = SimpleNamespace(threshold=torch.tensor(facts['presence_threshold']))
    return SimpleNamespace(presence=presence, align_corners=facts['align_corners'])


def open_exported(
    path: str | os.PathLike, runtime: str | None = None
) -> ExportedSegmentor:
    """Opens a file of ``tools/export.py`` for inference, on the processor.

    Args:
        path: .onnx or .xml.
        runtime: 'onnx' or 'openvino'; by default OpenVINO for .xml and onnxruntime for
            .onnx, which OpenVINO runs, too.

    Raises:
        FileNotFoundError: The file, or one that belongs to it, doesn't exist.
        ImportError: The program that runs it isn't installed.
        ValueError: It is damaged or was made by an older version, or the program
            doesn't run such files.
    """
    path = Path(path)
    if runtime is not None:
        check_choice('runtime', runtime, tuple(RUNTIMES))
    kind = _BY_SUFFIX[path.suffix] if runtime is None else RUNTIMES[runtime]
    opened = kind(path)
    if not opened.facts['inputs']['text_mask'].startswith('bool (batch, tokens)'):
        raise ValueError(
            f'{path} needs masks of phrases, which this package makes for the network '
            'alone: give its config and checkpoint'
        )
    check_plain_types(dict(pipeline=opened.facts['pipeline']), path)
    return ExportedSegmentor(opened).eval()
