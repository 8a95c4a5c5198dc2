# SPDX-License-Identifier: Apache-2.0
"""The command that starts the page."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from ..utils.command_line import add_amp_option, add_model_options, user_errors
from .sources import choose_models, open_released
from .uploads import Limits

_DESCRIPTION = """Opens a web page to try a model in, on this machine.

demo.py CONFIG CHECKPOINT
demo.py --model NAME [--model NAME=FILE]...    released models, see docs/model_zoo.md
demo.py model.xml                              a file of tools/export.py
demo.py                                        what tools/quickstart.sh has trained
demo.py CONFIG CHECKPOINT --compare CONFIG CHECKPOINT     two models side by side
"""
_LIMITS = dict(
    queue='jobs that may wait',
    keep_minutes='age at which uploads and results are deleted',
    max_files='uploads kept per visitor; the oldest are deleted',
    max_disk_mb='uploads and results of all visitors; the oldest are deleted',
)
_FIRST_PORT, _LAST_PORT = 7860, 7959
_TRIES = 50  # to delete the files


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog='demo.py',
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser, positional=True, several=True)
    parser.add_argument(
        '--compare',
        nargs=2,
        action='append',
        default=[],
        metavar=('CONFIG', 'CHECKPOINT'),
        help='another model for the same sentences; may be given again',
    )
    parser.add_argument(
        '--names',
        nargs='+',
        metavar='NAME',
        help='of the models, as the page shows them',
    )
    parser.add_argument(
        '--examples',
        type=Path,
        metavar='FOLDER|FILE',
        help='pictures to offer: a folder (sentences in NAME.txt beside NAME.png, one '
        'a line), or a .jsonl file with {"image": ..., "expression": ...} per line '
        '(default: a few drawn scenes)',
    )
    parser.add_argument('--device', help="'cpu', 'cuda'...; default: CUDA if there")
    add_amp_option(parser)
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='0.0.0.0 lets other machines in (default: %(default)s)',
    )
    parser.add_argument(
        '--allowed-host',
        action='append',
        default=[],
        metavar='NAME',
        help='a name under which the page is reached, for a server in front; may be '
        "given again (default: --host and, for 0.0.0.0, this machine's name and any "
        'address)',
    )
    parser.add_argument(
        '--port',
        type=int,
        help=f'0 for any free one (default: the first free one from {_FIRST_PORT})',
    )
    group = parser.add_argument_group('limits')
    for name, default in asdict(Limits()).items():
        group.add_argument(
            f'--{name.replace("_", "-")}',
            type=type(default),
            default=default,
            help=f'{_LIMITS.get(name, "")} (default: %(default)s)'.strip(),
        )
    return parser.parse_args(argv)


def choose_port(host: str, port: int | None) -> int:
    """A port that is free: the one wanted, any for 0, or the first of a range."""
    if port is not None and not 0 <= port <= 65535:
        raise ValueError(f'port {port} is out of range: 0...65535')
    ports = [port] if port is not None else range(_FIRST_PORT, _LAST_PORT + 1)
    for wanted in ports:
        try:
            family, *_, address = socket.getaddrinfo(
                host, wanted, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                return probe.getsockname()[1]
        except OSError as error:
            reason = error.strerror
    if port is None:
        raise ValueError(
            f'no port of {host} from {_FIRST_PORT} to {_LAST_PORT} can be used '
            f'({reason})'
        )
    raise ValueError(
        f'port {port} of {host} cannot be used ({reason}); leave --port out for the '
        'first free one'
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Starts the page and waits until it is ended."""
    args = parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (
        _without_waiting() as served,
        user_errors(name='demo.py', interrupted='ended'),
        _temporary_folder() as folder,
    ):
        if importlib.util.find_spec('gradio') is None:
            raise ImportError("the page needs Gradio: pip install -e '.[demo]'")
        _serve(args, folder, served)


@contextmanager
def _without_waiting() -> Iterator[threading.Event]:
    """Ends the process with the block, also while a job computes.

    Gives an event that says that the page was served; the process is a normal one
    before.
    """
    served = threading.Event()
    try:
        yield served
    except SystemExit as end:
        if not served.is_set():
            raise
        text = end.code if isinstance(end.code, str) else ''
        print(text, end='\n' if text else '', file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else bool(text))


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder that goes away, for temporary files, too: Gradio's uploads are such."""
    previous, folder = tempfile.tempdir, tempfile.mkdtemp(prefix='mmcadformer-demo-')
    tempfile.tempdir = folder
    try:
        yield Path(folder)
    finally:
        tempfile.tempdir = previous
        # A job that still runs may write while it goes away.
        for _ in range(_TRIES):
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                break
            time.sleep(0.02)


def _serve(args: argparse.Namespace, folder: Path, served: threading.Event) -> None:
    limits = Limits(**{name: getattr(args, name) for name in asdict(Limits())})
    _settle_environment(folder)
    released = open_released(args.model or (), args.weights)
    sources = choose_models(args.config, args.checkpoint, args.compare, released)
    port = choose_port(args.host, args.port)
    # Not before: these take seconds, and Gradio reads the environment.
    from .app import build_page, serve_page
    from .examples import find_examples
    from .models import load_models

    drawn = folder / 'examples'
    drawn.mkdir()
    examples = find_examples(args.examples, drawn)
    models = load_models(sources, args.device, args.names, args.amp, args.runtime)
    if args.amp or args.runtime:
        print(models[0].inferencer.precision)
    page = build_page(models, examples, limits, folder / 'results')
    served.set()
    serve_page(page, limits, args.host, port, folder, args.allowed_host)


def _settle_environment(folder: Path) -> None:
    """Nothing goes out, and all files are in one folder that goes away."""
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'
    os.environ['GRADIO_TEMP_DIR'] = str(folder / 'gradio')
    # The page's own start is checked over HTTP, which no proxy can do.
    for name in ('NO_PROXY', 'no_proxy'):
        hosts = filter(None, [os.environ.get(name), '127.0.0.1', 'localhost', '::1'])
        os.environ[name] = ','.join(hosts)
