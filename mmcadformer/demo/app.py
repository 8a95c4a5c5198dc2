# SPDX-License-Identifier: Apache-2.0
"""The page: what is where, and what happens when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from .actions import INVITATION, Actions
from .cards import message_html
from .examples import Example
from .limits import Limits
from .models import NamedModel
from .updates import Start

ASSETS = Path(__file__).parent / 'assets'
_EXAMPLE_COLUMNS = 6
_INTRO = """# Find what a sentence names
Choose a picture taken from above, name **one** object in it, and see which pixels the
model means."""
_EXPLANATION = """For each word of the first sentence, where the first chosen model paid
attention. It shows where a part of the network looked, not why the mask came out as it
did."""


def build_page(
    models: Sequence[NamedModel],
    examples: Sequence[Example],
    limits: Limits,
    folder: Path,
) -> gr.Blocks:
    """Builds the page; ``launch`` it with :func:`look`.

    Args:
        models: At least one.
        examples: The first is on the page when it opens.
        limits: What visitors may send.
        folder: For results; what is in it gets deleted.
    """
    actions = Actions(models, examples, limits, folder)
    start = actions.start()
    seconds = max(1, round(60 * limits.keep_minutes))
    with gr.Blocks(
        title='mmcadformer',
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(min(seconds, 600), seconds),
    ) as page:
        gr.Markdown(_INTRO, elem_id='intro')
        with gr.Row(elem_id='columns'):
            with gr.Column(scale=2, min_width=320):
                source = _Source(actions, start)
            with gr.Column(scale=5, min_width=320):
                question = _Question(actions, start)
                results = _Results(actions)
        _connect(actions, source, question, results)
    # One job at a time, and no way around the queue.
    page.queue(max_size=limits.queue, default_concurrency_limit=1, api_open=False)
    return page


def look() -> dict:
    """Arguments of ``launch`` for the page's look; no font is fetched."""
    fonts = ('system-ui', 'Segoe UI', 'Roboto', 'DejaVu Sans', 'sans-serif')
    theme = gr.themes.Default(
        primary_hue='orange',
        neutral_hue='slate',
        font=fonts,
        font_mono=('ui-monospace', 'DejaVu Sans Mono', 'monospace'),
    )
    return dict(theme=theme, css_paths=ASSETS / 'page.css', footer_links=[])


class _Source:
    """Where the picture comes from."""

    def __init__(self, actions: Actions, start: Start) -> None:
        self.path = gr.State(start.source)
        self.upload = gr.File(
            label=f'Your picture, up to {actions.limits.max_upload_mb:g} MB',
            height=110,
            elem_id='upload',
        )
        self.gallery = gr.Gallery(
            actions.thumbnails(),
            label='Or an example',
            format='png',
            columns=_EXAMPLE_COLUMNS,
            object_fit='cover',
            allow_preview=False,
            interactive=False,
            buttons=[],
            visible=bool(actions.examples),
            elem_id='examples',
        )
        self.message = gr.HTML(start.message, elem_id='picture-message')
        self.preview = gr.Image(
            start.preview,
            show_label=False,
            format='png',
            interactive=False,
            buttons=['fullscreen'],
            elem_id='preview',
        )


class _Question:
    """Sentences, models and button."""

    def __init__(self, actions: Actions, start: Start) -> None:
        with gr.Row(elem_id='ask'):
            self.sentence = gr.Textbox(
                start.sentence,
                label='What to find',
                placeholder='the large storage tank on the left',
                lines=1,
                max_lines=1,
                scale=4,
                min_width=240,
                elem_id='sentence',
            )
            self.second = gr.Textbox(
                label='Compare with (optional)',
                placeholder='another sentence',
                lines=1,
                max_lines=1,
                scale=4,
                min_width=240,
                elem_id='second',
            )
            self.button = gr.Button(
                'Find', variant='primary', scale=1, min_width=110, elem_id='find'
            )
        # Not gr.Dataset: on slow connections its script fails while it loads.
        self.suggestions = gr.Radio(
            list(start.suggestions),
            label='Sentences for this picture',
            elem_id='suggestions',
        )
        names = [model.name for model in actions.models]
        self.models = gr.CheckboxGroup(
            names, value=names, label='Models', visible=len(names) > 1, elem_id='models'
        )


class _Results:
    """Messages, cards and the explanation."""

    def __init__(self, actions: Actions) -> None:
        self.message = gr.HTML(message_html(INVITATION, 'note'), elem_id='message')
        with gr.Row(elem_id='cards'):
            self.cards = [_Card(number) for number in range(actions.room)]
        with gr.Accordion(
            'Which word pulled which region', open=False, elem_id='explanation'
        ):
            gr.Markdown(_EXPLANATION)
            self.explain = gr.Button('Explain', size='sm', elem_id='explain')
            self.explain_message = gr.HTML(elem_id='explain-message')
            self.attention = gr.Image(
                format='png',
                show_label=False,
                interactive=False,
                buttons=['download', 'fullscreen'],
                elem_id='attention',
            )

    def parts(self) -> list:
        """Everything that a new result changes."""
        cards = [part for card in self.cards for part in card.parts()]
        return [self.message, *cards, self.explain_message, self.attention]


class _Card:
    """One result."""

    def __init__(self, number: int) -> None:
        picture = dict(format='png', interactive=False, buttons=['fullscreen'])
        with gr.Column(min_width=320, elem_id=f'card-{number}', elem_classes='card'):
            self.title = gr.HTML()
            self.numbers = gr.HTML()
            with gr.Row():
                self.overlay = gr.Image(
                    label='Overlay', min_width=260, elem_classes='overlay', **picture
                )
                self.heat = gr.Image(
                    label='Confidence, 0 to 1',
                    min_width=260,
                    elem_classes='heat',
                    **picture,
                )
            with gr.Row(elem_classes='downloads'):
                self.mask = _download('↓ Mask (PNG)', 'mask')
                self.geojson = _download('↓ GeoJSON', 'geojson')
                self.geotiff = _download('↓ Mask (GeoTIFF)', 'geotiff')

    def parts(self) -> list:
        """In the order in which :func:`show_card` gives them."""
        return [
            self.title,
            self.numbers,
            self.overlay,
            self.heat,
            self.mask,
            self.geojson,
            self.geotiff,
        ]


def _download(label: str, kind: str) -> gr.DownloadButton:
    return gr.DownloadButton(label, size='sm', min_width=120, elem_classes=kind)


def _connect(
    actions: Actions, source: _Source, question: _Question, results: _Results
) -> None:
    """Says what happens when."""
    # Everything that decodes pictures shares one slot, so that memory is bounded.
    job = dict(concurrency_id='job', concurrency_limit=1, api_visibility='private')
    changed = [
        source.path,
        source.preview,
        source.message,
        question.sentence,
        question.second,
        question.suggestions,
        *results.parts(),
    ]
    # Jobs of a visitor run in the order of the clicks, so none of these may be dropped
    # while another waits: the page would show one picture and ask about another.
    choose = dict(trigger_mode='multiple', **job)
    for event in (source.upload.upload, source.upload.clear):
        event(actions.take_upload, source.upload, changed, **choose)
    source.gallery.select(
        actions.take_example, None, [source.upload, *changed], **choose
    )
    question.suggestions.input(
        lambda text: (text, None),  # none stays chosen: each works again
        question.suggestions,
        [question.sentence, question.suggestions],
        queue=False,
        api_visibility='private',
    )
    asked = [source.path, question.sentence, question.second, question.models]
    gr.on(
        [question.button.click, question.sentence.submit, question.second.submit],
        actions.find,
        asked,
        results.parts(),
        trigger_mode='always_last',  # of several questions, the last is answered
        **job,
    )
    results.explain.click(
        actions.explain,
        asked,
        [results.explain_message, results.attention],
        trigger_mode='always_last',
        **job,
    )
