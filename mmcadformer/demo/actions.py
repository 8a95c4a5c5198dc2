# SPDX-License-Identifier: Apache-2.0
"""What the page does when a visitor does something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import gradio as gr
import numpy as np

from .cards import message_html
from .errors import explain_error
from .examples import Example
from .files import empty_folder, write_files
from .limits import Limits
from .models import NamedModel, find
from .pictures import shown_size
from .sentences import check_sentences
from .updates import (
    Start,
    show_card,
    show_cards,
    show_explanation,
    show_no_card,
    show_no_explanation,
    show_start,
)
from .uploads import Picture, read_picture

INVITATION = 'Press Find: what the model finds will appear here.'
_THUMBNAIL = 160


class Actions:
    """What the page can do.

    Args:
        models: At least one.
        examples: The first is on the page when it opens.
        limits: What visitors may send.
        folder: For results; what is in it gets deleted.

    Attributes:
        models, examples, limits: As given.
        room: How many results the page has to show at once.
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
        self.room = 2 * len(self.models)
        self._folder = folder

    def start(self) -> Start:
        """The page as it opens.

        Raises:
            ValueError: If the first example can't be read.
        """
        return self._of_example(0) if self.examples else Start(sentence='')

    def thumbnails(self) -> list[np.ndarray]:
        """Small square pictures of the examples.

        Raises:
            ValueError: If an example can't be read.
        """
        return [_thumbnail(self._read(example.path).rgb) for example in self.examples]

    def take_upload(self, path: str | None) -> list:
        """Shows an uploaded picture, or none after it was taken away."""
        if path is None:
            return [*show_start(Start()), *show_no_card('', 'note', self.room)]
        try:
            picture = self._read(path)
            message = message_html(picture.describe(), 'note')
            start = Start(path, shown_size(picture.rgb), message)
            invitation = INVITATION
        except Exception as error:
            start = Start(message=message_html(explain_error(error), 'error'))
            invitation = ''
        return [*show_start(start), *show_no_card(invitation, 'note', self.room)]

    def take_example(self, event: gr.SelectData) -> list:
        """Shows an example in place of an uploaded picture."""
        try:
            start = self._of_example(event.index)
            invitation = INVITATION
        except Exception as error:
            start = Start(message=message_html(explain_error(error), 'error'))
            invitation = ''
        return [
            None,
            *show_start(start),
            *show_no_card(invitation, 'note', self.room),
        ]

    def find(
        self, source: str | None, first: str, second: str, names: Sequence[str]
    ) -> list:
        """Segments what the sentences name, with each of the chosen models."""
        try:
            picture, sentences, models = self._check(source, first, second, names)
            # The files of the job before have been copied for their visitor by now.
            folder = empty_folder(self._folder)
            cards = []
            for model in models:
                for finding in find(model, picture, sentences):
                    part = empty_folder(folder / str(len(cards)))
                    files = write_files(finding.result, picture, part)
                    cards.append(show_card(finding, files, show_model=len(models) > 1))
            return show_cards(cards, self.room)
        except Exception as error:
            return show_no_card(explain_error(error), 'error', self.room)

    def explain(
        self, source: str | None, first: str, second: str, names: Sequence[str]
    ) -> list:
        """Shows which word of the first sentence pulled which region."""
        try:
            picture, sentences, models = self._check(source, first, second, names)
            inferencer = models[0].inferencer
            explanation = inferencer.explain(shown_size(picture.rgb), sentences[0])
            return show_explanation(explanation.picture())
        except Exception as error:
            return show_no_explanation(explain_error(error))

    def _check(
        self, source: str | None, first: str, second: str, names: Sequence[str]
    ) -> tuple[Picture, list[str], list[NamedModel]]:
        if source is None:
            raise ValueError('There is no picture: upload one or take an example')
        sentences = check_sentences(first, second, self.limits)
        models = [model for model in self.models if model.name in names]
        if not models:
            raise ValueError('Choose at least one model')
        return self._read(source), sentences, models

    def _read(self, path: str | Path) -> Picture:
        return read_picture(Path(path), self.limits)

    def _of_example(self, number: object) -> Start:
        if not isinstance(number, int) or number not in range(len(self.examples)):
            raise ValueError(f'There is no example {number}')
        example = self.examples[number]
        if not example.path.is_file():
            raise FileNotFoundError(
                f'The example {example.path.name} is no longer on the server'
            )
        picture = self._read(example.path)
        sentences = example.sentences
        return Start(
            str(example.path),
            shown_size(picture.rgb),
            message_html(picture.describe(), 'note'),
            sentences[0] if sentences else '',
            sentences,
        )


def _thumbnail(rgb: np.ndarray) -> np.ndarray:
    """The middle of a picture."""
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    square = rgb[top : top + side, left : left + side]
    return cv2.resize(square, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
