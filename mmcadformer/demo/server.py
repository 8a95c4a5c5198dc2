# SPDX-License-Identifier: Apache-2.0
"""Serves the page, to nobody but those who can reach the address."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from .app import look
from .limits import Limits

# The browser refuses whatever would leave this server.
_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)


class ContentPolicy:
    """Adds the policy to every answer.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers."""

        async def send_with_policy(message: dict) -> None:
            if message['type'] == 'http.response.start':
                header = (b'content-security-policy', _POLICY.encode())
                message['headers'] = [*message.get('headers', []), header]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def run(page: gr.Blocks, limits: Limits, host: str, port: int, cache: Path) -> None:
    """Serves a page until the process is interrupted.

    Args:
        page: From :func:`build_page`.
        limits: What visitors may send.
        host, port: Where to serve.
        cache: Gradio's folder of uploads and results.
    """
    sweeper = threading.Thread(target=_sweep, args=(cache, limits), daemon=True)
    # Gradio about its own use of Starlette, once per job.
    warnings.filterwarnings('ignore', message="'HTTP_422_")
    try:
        sweeper.start()
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
            app_kwargs=dict(middleware=[Middleware(ContentPolicy)]),
            **look(),
        )
        print(f'The page is at {page.local_url} (Ctrl+C ends it)', flush=True)
        page.block_thread()
    finally:
        page.close(verbose=False)


def _sweep(cache: Path, limits: Limits) -> None:
    """Deletes what uploads left that were broken off, which Gradio forgets."""
    while True:
        time.sleep(60)
        delete_broken_uploads(cache, 60 * limits.keep_minutes)


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
