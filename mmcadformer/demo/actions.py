# SPDX-License-Identifier: Apache-2.0
"""What the page does when a visitor does something.

Results are lists: what changes, in the order of the layout's components. What has no
content is hidden by the style sheet: Gradio forgets to show a component again that was
told to hide before it was ever shown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import gradio as gr
import numpy as np
import torch

from .examples import Example
from .models import Finding, NamedModel, find
from .outputs import (
    Files,
    draw_pictures,
    empty_folder,
    message_html,
    numbers_html,
    shown_size,
    title_html,
    write_files,
)
from .uploads import Limits, Picture, check_sentences, read_picture

INVITATION = 'Press Find: what the model finds will appear here.'
_THUMBNAIL = 160
_CARD_PARTS = 7  # title, numbers, overlay, confidence, mask, GeoJSON, GeoTIFF
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """What a picture brings onto the page."""

    source: str | None = None  # its file
    preview: np.ndarray | None = None  # RGB uint8
    message: str = ''  # HTML
    sentence: str | None = None  # in place of those that are there; None leaves them
    suggestions: tuple[str, ...] = ()

    def updates(self) -> list:
        """Source, preview, message, both sentences and suggestions."""
        keep = self.sentence is None
        return [
            self.source,
            self.preview,
            self.message,
            gr.skip() if keep else self.sentence,
            gr.skip() if keep else '',
            gr.update(choices=list(self.suggestions), value=None),
        ]


class Actions:
    """What the page can do, with at least one model.

    It opens with the first example. What is in ``folder``, for results, gets deleted.
    """

    def __init__(
        self,
        models: Sequence[NamedModel],
        examples: Sequence[Example],
        limits: Limits,
        folder: Path,
    ) -> None:
        self.models = list(models)
        self.examples = list(examples)
        self.limits = limits
        self.room = 2 * len(self.models)  # for so many results at once
        self._folder = folder

    def start(self) -> Start:
        """The page as it opens; ValueError if the first example can't be read."""
        return self._of_example(0) if self.examples else Start(sentence='')

    def thumbnails(self) -> list[np.ndarray]:
        """Small square pictures of the examples; ValueError as in :meth:`start`."""
        return [
            _thumbnail(read_picture(example.path, self.limits).rgb)
            for example in self.examples
        ]

    def take_upload(self, path: str | None) -> list:
        """Shows an uploaded picture, or none after it was taken away."""
        if path is None:
            return self._show(Start, '')
        return self._show(lambda: self._of_file(path), INVITATION)

    def take_example(self, event: gr.SelectData) -> list:
        """Shows an example in place of an uploaded picture."""
        return [None, *self._show(lambda: self._of_example(event.index), INVITATION)]

    def find(
        self, source: str | None, first: str, second: str, names: Sequence[str]
    ) -> list:
        """Segments what the sentences name, with each of the chosen models."""
        cards: list[list] = []
        try:
            picture, sentences, models = self._check(source, first, second, names)
            # The files of the job before have been copied for their visitor by now.
            folder = empty_folder(self._folder)
            for model in models:
                for finding in find(model, picture, sentences):
                    part = empty_folder(folder / str(len(cards)))
                    files = write_files(finding.result, picture, part)
                    cards.append(_card(finding, files, show_model=len(models) > 1))
            return self._results(cards)
        except Exception as error:
            return self._results([], _error_html(error))

    def explain(
        self, source: str | None, first: str, second: str, names: Sequence[str]
    ) -> list:
        """Shows which word of the first sentence pulled which region."""
        try:
            picture, sentences, models = self._check(source, first, second, names)
            inferencer = models[0].inferencer
            explanation = inferencer.explain(shown_size(picture.rgb), sentences[0])
            return ['', explanation.picture()]
        except Exception as error:
            return [_error_html(error), None]

    def _check(
        self, source: str | None, first: str, second: str, names: Sequence[str]
    ) -> tuple[Picture, list[str], list[NamedModel]]:
        if source is None:
            raise ValueError('There is no picture: upload one or take an example')
        sentences = check_sentences(first, second, self.limits)
        models = [model for model in self.models if model.name in names]
        if not models:
            raise ValueError('Choose at least one model')
        return read_picture(Path(source), self.limits), sentences, models

    def _of_file(self, path: str, sentences: tuple[str, ...] | None = None) -> Start:
        picture = read_picture(Path(path), self.limits)
        return Start(
            path,
            shown_size(picture.rgb),
            message_html(picture.describe(), 'note'),
            None if sentences is None else next(iter(sentences), ''),
            sentences or (),
        )

    def _of_example(self, number: object) -> Start:
        if not isinstance(number, int) or number not in range(len(self.examples)):
            raise ValueError(f'There is no example {number}')
        example = self.examples[number]
        if not example.path.is_file():
            raise FileNotFoundError(
                f'The example {example.path.name} is no longer on the server'
            )
        return self._of_file(str(example.path), example.sentences)

    def _show(self, take: Callable[[], Start], invitation: str) -> list:
        """A picture in place of the one before and of its results."""
        try:
            start = take()
        except Exception as error:
            start, invitation = Start(message=_error_html(error)), ''
        message = message_html(invitation, 'note') if invitation else ''
        return [*start.updates(), *self._results([], message)]

    def _results(self, cards: list[list], message: str = '') -> list:
        """Message, results, and no explanation."""
        hidden = [None] * (_CARD_PARTS * (self.room - len(cards)))
        return [message, *sum(cards, []), *hidden, '', None]


def _card(finding: Finding, files: Files, show_model: bool) -> list:
    """One result."""
    overlay, heat = draw_pictures(finding.result)
    label = '↓ GeoJSON' if files.geotiff else '↓ GeoJSON (pixels)'
    return [
        title_html(finding, show_model),
        numbers_html(finding, files),
        overlay,
        heat,
        str(files.mask),
        gr.update(value=str(files.geojson), label=label),
        files.geotiff and str(files.geotiff),
    ]


def _error_html(error: Exception) -> str:
    """What to tell the visitor; what nobody expects goes to the server's log."""
    if isinstance(error, (FileNotFoundError, ValueError)):
        text = str(error)
    elif isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        text = 'There is not enough memory for this picture: take a smaller one'
    else:
        _LOG.error('the page failed', exc_info=error)
        text = (
            f'Something went wrong on the server ({type(error).__name__}); its log '
            'says more'
        )
    return message_html(text, 'error')


def _thumbnail(rgb: np.ndarray) -> np.ndarray:
    """The middle of a picture."""
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    square = rgb[top : top + side, left : left + side]
    return cv2.resize(square, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
