# SPDX-License-Identifier: Apache-2.0
"""The page: what is where, what happens when, and serving it."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware

from .actions import INVITATION, Actions, Start
from .examples import Example
from .guard import BACKLOG, AllowedHosts, BoundedConnection, Guard, Store
from .models import NamedModel
from .outputs import message_html, notes_html
from .uploads import Limits

_ASSETS = Path(__file__).parent / 'assets'
_SWEEP_SECONDS, _STOP_SECONDS = 5.0, 1.0
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
    """Builds the page, for :func:`serve_page`; the arguments are those of Actions."""
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
            columns=6,
            object_fit='cover',
            allow_preview=False,
            interactive=False,
            buttons=[],
            visible=bool(actions.examples),
            elem_id='examples',
        )
        self.message = gr.HTML(start.message, elem_id='picture-message')
        self.preview = _image(start.preview, show_label=False, elem_id='preview')


class _Question:
    """Sentences, models and button."""

    def __init__(self, actions: Actions, start: Start) -> None:
        line: dict[str, Any] = dict(lines=1, max_lines=1, scale=4, min_width=240)
        with gr.Row(elem_id='ask'):
            self.sentence = gr.Textbox(
                start.sentence,
                label='What to find',
                placeholder='the large storage tank on the left',
                elem_id='sentence',
                **line,
            )
            self.second = gr.Textbox(
                label='Compare with (optional)',
                placeholder='another sentence',
                elem_id='second',
                **line,
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
            names,
            value=[model.name for model in actions.models if model.chosen],
            label='Models',
            visible=len(names) > 1,
            elem_id='models',
        )
        gr.HTML(notes_html(actions.models), elem_id='notes')


class _Results:
    """Messages, cards and the explanation; ``parts`` is what a new result changes."""

    def __init__(self, actions: Actions) -> None:
        message = gr.HTML(message_html(INVITATION, 'note'), elem_id='message')
        with gr.Row(elem_id='cards'):
            cards = [_card(number) for number in range(actions.room)]
        with gr.Accordion(
            'Which word pulled which region', open=False, elem_id='explanation'
        ):
            gr.Markdown(_EXPLANATION)
            self.button = gr.Button('Explain', size='sm', elem_id='explain')
            self.explanation = [
                gr.HTML(elem_id='explain-message'),
                _image(
                    show_label=False,
                    buttons=['download', 'fullscreen'],
                    elem_id='attention',
                ),
            ]
        self.parts = [message, *sum(cards, []), *self.explanation]


def _card(number: int) -> list:
    """The components of a result, in the order in which :class:`Actions` fills them."""
    with gr.Column(min_width=320, elem_id=f'card-{number}', elem_classes='card'):
        parts: list = [gr.HTML(), gr.HTML()]
        with gr.Row():
            parts += [
                _image(label=label, min_width=260, elem_classes=kind)
                for kind, label in (
                    ('overlay', 'Overlay'),
                    ('heat', 'Confidence, 0 to 1'),
                )
            ]
        with gr.Row(elem_classes='downloads'):
            parts += [
                gr.DownloadButton(label, size='sm', min_width=120, elem_classes=kind)
                for kind, label in (
                    ('mask', '↓ Mask (PNG)'),
                    ('geojson', '↓ GeoJSON'),
                    ('geotiff', '↓ Mask (GeoTIFF)'),
                )
            ]
    return parts


def _image(value: np.ndarray | None = None, **options: Any) -> gr.Image:
    options = dict(buttons=['fullscreen']) | options
    return gr.Image(value, format='png', interactive=False, **options)


def _connect(
    actions: Actions, source: _Source, question: _Question, results: _Results
) -> None:
    """What happens when a visitor chooses a picture or a sentence, or asks."""
    # Everything that decodes pictures shares one slot, so that memory is bounded.
    shared: dict[str, Any] = dict(
        concurrency_id='job', concurrency_limit=1, api_visibility='private'
    )
    sentences = [question.sentence, question.second, question.suggestions]
    changed = [source.path, source.preview, source.message, *sentences, *results.parts]
    # Jobs of a visitor run in the order of the clicks, so none of these may be dropped
    # while another waits: the page would show one picture and ask about another.
    job = dict(trigger_mode='multiple', **shared)
    for event in (source.upload.upload, source.upload.clear):
        event(actions.take_upload, source.upload, changed, **job)
    source.gallery.select(actions.take_example, None, [source.upload, *changed], **job)
    question.suggestions.input(
        lambda text: (text, None),  # none stays chosen: each works again
        question.suggestions,
        [question.sentence, question.suggestions],
        queue=False,
        api_visibility='private',
    )
    asked = [source.path, question.sentence, question.second, question.models]
    finds = [question.button.click, question.sentence.submit, question.second.submit]
    # Of several questions, the last is answered.
    job = dict(trigger_mode='always_last', **shared)
    gr.on(finds, actions.find, asked, results.parts, **job)
    results.button.click(actions.explain, asked, results.explanation, **job)


def serve_page(
    page: gr.Blocks,
    limits: Limits,
    host: str,
    port: int,
    folder: Path,
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Serves a page until the process is interrupted.

    Args:
        folder: Where all its files are; Gradio's folder and ``tempfile.tempdir`` are
            this one or in it.
        allowed_hosts: Names under which it is served besides ``host``.

    Raises:
        ValueError: The server does not start.
    """
    store = Store(folder, limits)
    hosts = AllowedHosts(host, allowed_hosts)
    guard = Middleware(Guard, hosts=hosts, store=store, limits=limits)
    theme = gr.themes.Default(  # no font is fetched
        primary_hue='orange',
        neutral_hue='slate',
        font=('system-ui', 'Segoe UI', 'Roboto', 'DejaVu Sans', 'sans-serif'),
        font_mono=('ui-monospace', 'DejaVu Sans Mono', 'monospace'),
    )
    # Gradio about its own use of Starlette, once per job.
    warnings.filterwarnings('ignore', message="'HTTP_422_")
    app = gr.mount_gradio_app(
        FastAPI(openapi_url=None, middleware=[guard]),
        page,
        path='/',
        server_name=host,
        server_port=port,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=True,
        max_file_size=limits.max_bytes,
        theme=theme,
        css_paths=_ASSETS / 'page.css',
        footer_links=[],
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host,
            port,
            http=BoundedConnection,
            ws='none',
            backlog=BACKLOG,
            log_level='warning',
            timeout_graceful_shutdown=1,
        )
    )
    # A job can't be interrupted: who ends the process doesn't wait for this thread.
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            thread.join(0.01)
        if not server.started:
            raise ValueError(f'the page could not be served at port {port} of {host}')
        name = f'[{host}]' if ':' in host else host
        url = f'http://{"localhost" if host == "0.0.0.0" else name}:{port}/'
        print(f'The page is at {url} (Ctrl+C ends it)', flush=True)
        while thread.is_alive():
            thread.join(_SWEEP_SECONDS)
            store.sweep()
    finally:
        # What visitors still wait for is broken off, which is not an error.
        logging.getLogger('uvicorn.error').setLevel(logging.CRITICAL)
        server.should_exit = True
        thread.join(_STOP_SECONDS)
