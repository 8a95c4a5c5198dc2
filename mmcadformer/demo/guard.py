# SPDX-License-Identifier: Apache-2.0
"""What keeps the page up, and its visitors' browsers safe, whoever connects.

Connections are bounded by a protocol class of Uvicorn's, requests by a middleware.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
import threading
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .uploads import Limits

# The browser refuses whatever would leave this server, and to show it in a frame.
_HEADERS = {
    'content-security-policy': (
        "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    'x-frame-options': 'DENY',
    'x-content-type-options': 'nosniff',
}
_UPLOAD = '/gradio_api/upload'
_FORM_BYTES = 2**16  # around the file in an upload
_OTHER_BYTES = 2**20  # of every other request's body
_DELIMITERS = 2  # of a form with one file
_PATIENCE = 20.0  # seconds without a byte, until a request is given up
_GRACE = 2.0  # seconds in which a new connection is not called slow
BACKLOG = 64  # connections that are accepted at once
_OURS = 4 * BACKLOG  # open files that belong to no connection, or to one that ends
_MOST_CONNECTIONS = 1000
_LEAST_AGE = 10.0  # seconds for which no finished file is deleted for want of room


class BoundedConnection(H11Protocol):
    """A connection that makes room for others when there are too many.

    Each may hold a file open besides its socket. Those that wait for a request go
    first, then the slowest upload, then the oldest of the address with the most.
    """

    since = last = 0.0  # when it began, and when something came (s)
    received = 0  # bytes
    resumed = 0  # how often the other side took what it was sent
    _seen = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accepts it, in the place of another if need be."""
        super().connection_made(transport)
        self.since = self.last = self.loop.time()
        if len(self.connections) > most_connections():
            self._make_room()
        self.loop.call_later(_PATIENCE, self._watch)

    def data_received(self, data: bytes) -> None:
        """Counts what comes."""
        self.last = self.loop.time()
        self.received += len(data)
        super().data_received(data)

    def resume_writing(self) -> None:
        """Counts what goes."""
        self.resumed += 1
        super().resume_writing()

    def _make_room(self) -> None:
        # Several come in one round of the loop, in which none that ends is gone yet.
        alive: list[Any] = [o for o in self.connections if not o.transport.is_closing()]
        if len(alive) <= most_connections():
            return
        others = [one for one in alive if one is not self]
        held = Counter(one.client and one.client[0] for one in others)

        def worth(one: Any) -> tuple[int, int, float]:
            if one.is_idle():
                return 0, 0, one.last
            if one.is_sending():
                return 1, 0, one.received / (self.since - one.since)
            return 2, -held[one.client and one.client[0]], one.since

        old = [o for o in others if o.is_idle() or self.since - o.since > _GRACE]
        min(old, key=worth, default=self).transport.abort()

    def _watch(self) -> None:
        """Ends it when nothing moves for too long."""
        if self.transport.is_closing():
            return
        waits = (self.is_idle() or self.is_sending()) and not self.flow.read_paused
        silent = waits and self.loop.time() - self.last >= _PATIENCE
        stuck = self.flow.write_paused and self.resumed == self._seen
        self._seen = self.resumed
        if silent or stuck:
            self.transport.abort()
        else:
            self.loop.call_later(_PATIENCE, self._watch)

    def is_idle(self) -> bool:
        """Whether no request is there."""
        return self.cycle is None or self.cycle.response_complete

    def is_sending(self) -> bool:
        """Whether a request has come, but not its whole body."""
        cycle = self.cycle
        return not self.is_idle() and cycle.more_body and not cycle.response_started


def most_connections() -> int:
    """How many connections this process can hold open, each with a file."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return _MOST_CONNECTIONS
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(16, min(_MOST_CONNECTIONS, (files - _OURS) // 2))


class AllowedHosts:
    """By which names the page may be asked for.

    A page elsewhere can let its own name point here, and would then be let in by the
    visitor's browser (DNS rebinding). An address can't be made to point elsewhere.

    Args:
        host: What the server listens to.
        more: Further names, for a server in front.
    """

    def __init__(self, host: str, more: Sequence[str] = ()) -> None:
        self._more = {name.lower().rstrip('.') for name in more}
        self._names = {'localhost', host.lower(), *self._more}
        self._any_address = host in ('', '0.0.0.0', '::')
        if self._any_address:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        elif host.lower() == 'localhost' or _is_loopback(host):
            self._names |= {'127.0.0.1', '::1'}

    def admits(self, netloc: str | None) -> bool:
        """Whether a ``Host`` header is one of them."""
        name = _host_of(netloc)
        if name is None:
            return False
        return name in self._names or (self._any_address and _is_address(name))

    def admits_origin(self, origin: str | None, netloc: str | None) -> bool:
        """Whether a request that changes something comes from the page itself."""
        if origin is None:  # not from a browser
            return True
        try:
            found = urlsplit(origin).netloc
        except ValueError:
            return False
        return bool(found) and (found == netloc or _host_of(found) in self._more)


def _host_of(netloc: str | None) -> str | None:
    try:
        name = urlsplit(f'//{netloc}').hostname if netloc else None
    except ValueError:
        return None
    return name.rstrip('.') if name else None


def _is_address(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False


def _is_loopback(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name).is_loopback


class Store:
    """Keeps the files of visitors within limits; the oldest go first.

    Args:
        folder: Of the server; what is in it now stays. Uploads that are still being
            sent lie right in it, finished ones and results in folders below.
        limits: Of its size, and of files per visitor.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._kept = set(folder.rglob('*'))
        self._of: dict[str, OrderedDict[Path, None]] = defaultdict(OrderedDict)
        self._lock = threading.Lock()
        self._swept = 0.0

    def add(self, visitor: str, paths: Sequence[Path]) -> None:
        """Notes uploads, and deletes the oldest of a visitor who has too many."""
        with self._lock:
            files = self._of[visitor]
            for path in paths:
                files[path] = None
                files.move_to_end(path)
            while len(files) > self._limits.max_files:
                files.popitem(last=False)[0].unlink(missing_ok=True)

    def sweep(self) -> None:
        """Deletes broken uploads and, where files take too much room, the oldest.

        At most once a second: a crowd must not wait for it.
        """
        with self._lock:
            now = time.time()
            if abs(now - self._swept) < 1:
                return
            self._swept = now
            finished, used = [], 0
            for path in self._folder.rglob('*'):
                with contextlib.suppress(FileNotFoundError):
                    if path in self._kept or not path.is_file():
                        continue
                    stat = path.stat()
                    age = now - stat.st_mtime
                    used += stat.st_size
                    if path.parent != self._folder:
                        finished.append((age, stat.st_size, path))
                    elif age > 2 * _PATIENCE:
                        path.unlink()
            for age, size, path in sorted(finished, reverse=True):
                if used <= self._limits.max_disk or age < _LEAST_AGE:
                    break
                path.unlink(missing_ok=True)
                used -= size
            self._forget()

    def _forget(self) -> None:
        for visitor, files in list(self._of.items()):
            for path in [path for path in files if not path.exists()]:
                del files[path]
            if not files:
                del self._of[visitor]


class Guard:
    """Checks requests before they come to the page; a middleware.

    Args:
        app: The page.
        hosts: By which names it may be asked for.
        store: Where uploads go.
        limits: Of uploads and of the queue.
    """

    def __init__(
        self, app: ASGIApp, hosts: AllowedHosts, store: Store, limits: Limits
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._store = store
        self._limits = limits
        # Served in order: those whose connection was ended come to their end fast,
        # and nobody who waits is passed by one who came later.
        self._room = asyncio.Semaphore(most_connections())
        self._arriving = 0  # their bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope['type'] != 'http':
            if scope['type'] == 'lifespan':
                await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message['type'] == 'http.response.start':
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope['method'], headers)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
        elif scope['method'] != 'POST':
            await self._app(scope, receive, send_with_headers)
        elif scope['path'].rstrip('/') == _UPLOAD:
            await self._take_upload(scope, headers, receive, send_with_headers)
        else:
            await self._take(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        hosts = headers.getlist('host')
        if len(hosts) != 1 or not self._hosts.admits(hosts[0]):
            return PlainTextResponse(
                'This page is not served under this name. Whoever started it can '
                'allow the name: --allowed-host NAME\n',
                421,
            )
        if method in ('GET', 'HEAD', 'OPTIONS'):
            return None
        if not self._hosts.admits_origin(headers.get('origin'), hosts[0]):
            return PlainTextResponse('Only the page itself may send this.\n', 403)
        return None

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request that is not an upload: small, with a plain answer when busy."""
        size, busy = 0, False

        async def receive_little() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get('body', b''))
            if size > _OTHER_BYTES:
                raise HTTPException(413, 'This is too long for this page')
            return message

        async def send_plainly(message: Message) -> None:
            nonlocal busy
            if message['type'] == 'http.response.start':
                busy = message['status'] == 503
            if not busy:
                await send(message)

        await self._app(scope, receive_little, send_plainly)
        if busy:
            text = (
                f'The page is busy: {self._limits.queue} jobs wait already. Try again '
                'in a minute'
            )
            await JSONResponse({'detail': text}, 503)(scope, receive, send)

    async def _take_upload(
        self, scope: Scope, headers: Headers, receive: Receive, send: Send
    ) -> None:
        """One file, while there is room for it."""
        async with self._room:
            await self._take_file(scope, headers, receive, send)

    async def _take_file(
        self, scope: Scope, headers: Headers, receive: Receive, send: Send
    ) -> None:
        await asyncio.to_thread(self._store.sweep)
        size = 0
        parts = _PartCounter(headers.get('content-type', ''))
        refusal: tuple[int, str] | None = None
        answer: bytearray | None = None

        def refuse(status: int, text: str) -> MultiPartException:
            nonlocal refusal
            refusal = status, text
            # At this one, Gradio closes the files that it has opened.
            return MultiPartException(text)

        async def receive_file() -> Message:
            nonlocal size
            message = await receive()
            if message['type'] == 'http.disconnect':
                raise refuse(400, 'The upload was broken off')
            chunk = message.get('body', b'')
            size += len(chunk)
            self._arriving += len(chunk)
            if size > self._limits.max_bytes + _FORM_BYTES:
                raise refuse(413, 'The file is too large for this page')
            if parts.count(chunk) > _DELIMITERS:
                raise refuse(413, 'Upload one file at a time')
            if self._arriving > self._limits.max_disk // 2:
                raise refuse(503, 'Too much is being uploaded. Try again in a minute')
            return message

        async def send_and_note(message: Message) -> None:
            nonlocal answer
            if refusal is not None:
                return
            if message['type'] == 'http.response.start' and message['status'] == 200:
                answer = bytearray()
            elif answer is not None:
                answer += message.get('body', b'')
            await send(message)

        try:
            await self._app(scope, receive_file, send_and_note)
        finally:
            self._arriving -= size
        if refusal is not None:
            status, text = refusal
            await JSONResponse({'detail': text}, status)(scope, receive, send)
        elif answer:
            visitor = (scope.get('client') or ('',))[0]
            self._store.add(visitor, [Path(path) for path in json.loads(answer)])


class _PartCounter:
    """Counts the delimiters of a form: each of its files is open until all came."""

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b'boundary', b'')
        self._delimiter = b'--' + boundary
        self._rest = b''
        self._found = 0

    def count(self, chunk: bytes) -> int:
        """How many there are up to the end of a chunk."""
        text = self._rest + chunk
        self._found += text.count(self._delimiter)
        # What may be the begin of another; one that was found is not found again.
        tail = text.rpartition(self._delimiter)[2]
        self._rest = tail[-(len(self._delimiter) - 1) :]
        return self._found
