# SPDX-License-Identifier: Apache-2.0
"""A hub on this machine with a tiny released model in it."""

import hashlib
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config

sys.path.insert(0, str(Path(__file__).parent))
from test_released_weights import BERT, small_config, small_released  # noqa: E402

REVISION = '0123456789abcdef0123456789abcdef01234567'
SIZE = 64


@dataclass
class Hub:
    """Serves one file as huggingface.co does."""

    file: Path
    requests: list[str] = field(default_factory=list)
    break_after: int | None = None  # bytes, of the next download
    address: str = ''
    etag: str | None = None

    def hash(self) -> str:
        return self.etag or hashlib.sha256(self.file.read_bytes()).hexdigest()

    def handler(hub):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def answer(self, body: bool):
                hub.requests.append(f'{self.command} {self.path}')
                if not self.path.endswith(f'/{REVISION}/{hub.file.name}'):
                    self.send_error(404)
                    return
                data = hub.file.read_bytes()
                begin = 0
                if wanted := self.headers.get('Range'):
                    begin = int(re.match(r'bytes=(\d+)-', wanted)[1])
                    hub.requests[-1] += f' from {begin}'
                self.send_response(206 if begin else 200)
                self.send_header('ETag', f'"{hub.hash()}"')
                self.send_header('X-Repo-Commit', REVISION)
                self.send_header('Content-Length', str(len(data) - begin))
                if begin:
                    span = f'bytes {begin}-{len(data) - 1}/{len(data)}'
                    self.send_header('Content-Range', span)
                self.end_headers()
                if body:
                    end, hub.break_after = hub.break_after, None
                    self.wfile.write(data[begin:end])
                    self.close_connection = True

            def do_HEAD(self):
                self.answer(False)

            def do_GET(self):
                self.answer(True)

        return Handler


@pytest.fixture
def tiny_release(tmp_path) -> Path:
    """A checkpoint of a narrow RMSIN, and a model index with it."""
    config = small_config('rmsin')
    bert = dict(BERT, vocab_size=config_vocabulary())
    resize = dict(type='Resize', scale=(128, 128), keep_ratio=False, backend='pillow')
    config.test_pipeline[2] = resize
    config.test_dataloader.dataset.pipeline[2] = resize
    encoder = dict(pretrained=None, vocab='remote_sensing', config=bert)
    config.merge_from_dict(dict(model=dict(text_encoder=encoder)))
    folder = tmp_path / 'release'
    folder.mkdir()
    Config(config.to_dict()).dump(folder / 'tiny.py')
    state = small_released('rmsin', bert=bert).state_dict()
    torch.save({'model': state, 'epoch': 3}, folder / 'tiny_v1.pth')
    return folder


def config_vocabulary() -> int:
    from mmcadformer.models.text_encoders.bert import VOCAB_FILES

    return len(VOCAB_FILES['remote_sensing'].read_text().splitlines())


@pytest.fixture
def write_index(tiny_release):
    """Writes the metafile of the tiny model; returns the index."""

    def write(**changes) -> Path:
        entry = {
            'Name': 'tiny',
            'Method': 'rmsin',
            'Config': 'tiny.py',
            'Description': 'a tiny network',
            'License': 'of the tests',
            'Page': 'https://example.org/tiny',
            'File': 'tiny_v1.pth',
            'Hub': 'somebody/tiny',
            'Revision': REVISION,
            'Size': 1234567890,
        }
        entry.update(changes)
        entry = {key: value for key, value in entry.items() if value is not None}
        content = yaml.safe_dump({'Released': [entry]})
        (tiny_release / 'tiny.yml').write_text(content)
        (tiny_release / 'model-index.yml').write_text('Import:\n- tiny.yml\n')
        return tiny_release / 'model-index.yml'

    return write


@pytest.fixture
def hub(tiny_release):
    hub = Hub(tiny_release / 'tiny_v1.pth')
    server = ThreadingHTTPServer(('127.0.0.1', 0), hub.handler())
    hub.address = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    thread.join()


@pytest.fixture
def environment(tmp_path, write_index, hub, monkeypatch):
    """Environment variables for processes that see this hub alone."""
    for name in ('HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE', 'HF_HUB_CACHE'):
        monkeypatch.delenv(name, raising=False)
    values = dict(
        HF_ENDPOINT=hub.address,
        HF_HOME=str(tmp_path / 'hub cache'),
        MMCADFORMER_CACHE=str(tmp_path / 'converted'),
        MMCADFORMER_MODEL_INDEX=str(write_index()),
        NO_PROXY='127.0.0.1',
        no_proxy='127.0.0.1',
    )
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    # In this process the hub's client has read its variables.
    cache = str(tmp_path / 'hub cache' / 'hub')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', cache)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', False)
    return values


@pytest.fixture
def run_python(environment):
    """Runs Python in a process of its own, as the hub's client reads its variables."""

    def run(*args, **more) -> subprocess.CompletedProcess:
        import os

        return subprocess.run(
            [sys.executable, *map(str, args)],
            capture_output=True,
            text=True,
            env={**os.environ, **more},
            timeout=300,
        )

    return run
