# SPDX-License-Identifier: Apache-2.0
"""The page: what is where, what happens when, and serving it."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .actions import INVITATION, Actions, Start
from .cards import message_html
from .examples import Example
from .models import NamedModel
from .uploads import Limits

_ASSETS = Path(__file__).parent / 'assets'
# The browser refuses whatever would leave this server.
_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)
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
    """Builds the page, for :func:`serve_page`.

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
        picture: dict[str, Any] = dict(
            format='png', interactive=False, buttons=['fullscreen']
        )
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
    job: dict[str, Any] = dict(
        concurrency_id='job', concurrency_limit=1, api_visibility='private'
    )
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
    choose: dict[str, Any] = dict(trigger_mode='multiple', **job)
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


class _ContentPolicy:
    """Adds the policy to every answer of an app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers; see Starlette's applications."""

        async def send_with_policy(message: Message) -> None:
            if message['type'] == 'http.response.start':
                header = (b'content-security-policy', _POLICY.encode())
                message['headers'] = [*message.get('headers', []), header]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def serve_page(
    page: gr.Blocks, limits: Limits, host: str, port: int, cache: Path
) -> None:
    """Serves a page until the process is interrupted.

    Args:
        page: From :func:`build_page`.
        limits: What visitors may send.
        host, port: Where to serve.
        cache: Gradio's folder of uploads and results.
    """

    def sweep() -> None:
        """Deletes, once a minute, what Gradio forgets."""
        while True:
            time.sleep(60)
            delete_broken_uploads(cache, 60 * limits.keep_minutes)

    # Gradio about its own use of Starlette, once per job.
    warnings.filterwarnings('ignore', message="'HTTP_422_")
    try:
        threading.Thread(target=sweep, daemon=True).start()
        page.launch(
            # As in addresses, which Gradio makes of it.
            server_name=f'[{host}]' if ':' in host else host,
            server_port=port,
            share=False,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            quiet=True,
            show_error=True,
            prevent_thread_lock=True,
            max_file_size=limits.max_bytes,
            app_kwargs=dict(middleware=[Middleware(_ContentPolicy)]),
            **_look(),
        )
        print(f'The page is at {page.local_url} (Ctrl+C ends it)', flush=True)
        page.block_thread()
    finally:
        page.close(verbose=False)


def _look() -> dict:
    """Arguments of ``launch`` for the page's look; no font is fetched."""
    fonts = ('system-ui', 'Segoe UI', 'Roboto', 'DejaVu Sans', 'sans-serif')
    theme = gr.themes.Default(
        primary_hue='orange',
        neutral_hue='slate',
        font=fonts,
        font_mono=('ui-monospace', 'DejaVu Sans Mono', 'monospace'),
    )
    return dict(theme=theme, css_paths=_ASSETS / 'page.css', footer_links=[])


def delete_broken_uploads(cache: Path, age: float) -> None:
    """Deletes unfinished uploads: files right in the cache; others are in folders.

    Args:
        cache: Gradio's folder.
        age: Of the files that go, in seconds.
    """
    for path in cache.glob('*'):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and time.time() - path.stat().st_mtime > age:
                path.unlink()
