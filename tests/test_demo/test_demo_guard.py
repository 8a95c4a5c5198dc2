# SPDX-License-Identifier: Apache-2.0
"""What keeps the page up and its visitors safe, at the real server over sockets."""

import http.client
import json
import os
import resource
import secrets
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from types import SimpleNamespace
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

pytest.importorskip('gradio', reason='needs the demo extra')

from mmcadformer.demo.guard import AllowedHosts, Store  # noqa: E402
from mmcadformer.demo.uploads import Limits  # noqa: E402

SENTENCE = 'the left pool'


class Visitor:
    """Asks as a browser does."""

    def __init__(self, url):
        self.place = urlsplit(url).netloc
        self.session = secrets.token_hex(5)
        config = json.loads(self.get('/config')[1])
        targets = {
            part['props'].get('elem_id'): part['id'] for part in config['components']
        }
        self.calls = {
            name: next(
                call['id']
                for call in config['dependencies']
                if [targets[name], event] in call['targets']
            )
            for name, event in (('find', 'click'), ('upload', 'upload'))
        }

    def get(self, path, method='GET', body=None, **headers):
        with closing(http.client.HTTPConnection(self.place, timeout=30)) as connection:
            names = {name.replace('_', '-'): text for name, text in headers.items()}
            connection.request(method, path, body, names)
            answer = connection.getresponse()
            self.headers = answer.headers
            return answer.status, answer.read()

    def upload(self, *files, **headers):
        boundary = 'b' * 20
        body = b''.join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; '
            f'filename="{name}"\r\n\r\n'.encode()
            + data
            + b'\r\n'
            for name, data in files
        )
        body += f'--{boundary}--\r\n'.encode()
        kind = f'multipart/form-data; boundary={boundary}'
        return self.get(
            '/gradio_api/upload', 'POST', body, content_type=kind, **headers
        )

    def join(self, name, data):
        body = dict(data=data, fn_index=self.calls[name], session_hash=self.session)
        return self.get(
            '/gradio_api/queue/join',
            'POST',
            json.dumps(body),
            content_type='application/json',
        )

    def listen(self):
        connection = http.client.HTTPConnection(self.place)
        path = f'/gradio_api/queue/data?session_hash={self.session}'
        connection.request('GET', path)
        return connection

    def wait(self):
        _, text = self.get(f'/gradio_api/queue/data?session_hash={self.session}')
        messages = [json.loads(line[6:]) for line in text.splitlines() if line]
        (done,) = [m for m in messages if m['msg'] == 'process_completed']
        return done

    def show(self, path):
        """Takes an upload onto the page, as the form does after it was sent."""
        file = dict(path=path, orig_name='own.png', meta={'_type': 'gradio.FileData'})
        assert self.join('upload', [file])[0] == 200
        return self.wait()

    def find(self, names):
        assert self.join('find', [None, SENTENCE, '', names])[0] == 200
        return self.wait()


@pytest.fixture(scope='module')
def server(serve, tiny_config, tiny_checkpoint, tmp_path_factory):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    folder = tmp_path_factory.mktemp('server')
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    options = ['--names', 'one', '--queue', 2, '--max-upload-mb', 2]
    options += ['--max-disk-mb', 8, '--max-files', 3, '--allowed-host', 'our.example']
    try:
        with serve(folder, tiny_config, tiny_checkpoint, *options) as (process, url):
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            yield SimpleNamespace(process=process, url=url, folder=folder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope='module')
def picture(demo_rgb):
    return cv2.imencode('.png', demo_rgb)[1].tobytes()


def slow_upload(place, number):
    """Begins an upload that never ends."""
    host, port = place.split(':')
    connection = socket.create_connection((host, int(port)))
    connection.sendall(
        f'POST /gradio_api/upload HTTP/1.1\r\nHost: {place}\r\n'
        'Content-Type: multipart/form-data; boundary=bbb\r\n'
        f'Content-Length: 1000000\r\n\r\n--bbb\r\nContent-Disposition: form-data; '
        f'name="files"; filename="{number}.png"\r\n\r\nbegin'.encode()
    )
    return connection


@pytest.mark.parametrize('kind', ['uploads', 'silent', 'many uploads'])
def test_a_visitor_is_served_in_a_crowd(server, picture, kind):
    visitor = Visitor(server.url)
    with ExitStack() as stack:
        for number in range(200 if kind == 'uploads' else 600):
            if kind == 'silent':
                host, port = visitor.place.split(':')
                other = socket.create_connection((host, int(port)))
            else:
                other = slow_upload(visitor.place, number)
            stack.enter_context(closing(other))
        time.sleep(3)  # none of them is new
        begin = time.monotonic()
        assert visitor.get('/')[0] == 200
        status, answer = visitor.upload(('own.png', picture))
        assert status == 200
        assert visitor.show(json.loads(answer)[0])['success']
        assert visitor.find(['one'])['success']
        assert time.monotonic() - begin < 5


def test_a_form_with_many_files_opens_no_more(server, picture):
    visitor = Visitor(server.url)
    before = len(os.listdir(f'/proc/{server.process.pid}/fd'))
    status, answer = visitor.upload(*((f'{n}.png', picture) for n in range(300)))
    assert status == 413
    assert json.loads(answer) == {'detail': 'Upload one file at a time'}
    assert len(os.listdir(f'/proc/{server.process.pid}/fd')) < before + 50


def test_names_and_origins(server, picture):
    visitor = Visitor(server.url)
    port = visitor.place.split(':')[1]
    for host in ('evil.example', f'evil.example:{port}', '10.0.0.1', '127.0.0.1.evil'):
        status, answer = visitor.get('/', host=host)
        assert status == 421 and b'--allowed-host NAME' in answer, host
        assert visitor.upload(('own.png', picture), host=host)[0] == 421
    for host in ('localhost', f'localhost:{port}', 'our.example', '[::1]:80'):
        assert visitor.get('/', host=host)[0] == 200, host

    for origin in ('http://evil.example', 'null', f'http://localhost:{port}', '///'):
        assert visitor.upload(('own.png', picture), origin=origin)[0] == 403, origin
    for origin in (f'http://{visitor.place}', 'https://our.example'):
        assert visitor.upload(('own.png', picture), origin=origin)[0] == 200, origin

    visitor.get('/')
    assert "frame-ancestors 'none'" in visitor.headers['content-security-policy']
    assert visitor.headers['x-frame-options'] == 'DENY'


def test_all_addresses_are_names_of_a_page_for_everyone():
    everyone = AllowedHosts('0.0.0.0')
    assert everyone.admits('192.168.1.5:7860') and everyone.admits('[fe80::1]:7860')
    assert everyone.admits(socket.gethostname())
    assert not everyone.admits('evil.example') and not everyone.admits('')
    one = AllowedHosts('192.168.1.5')
    assert one.admits('192.168.1.5:7860') and not one.admits('192.168.1.6:7860')


def test_files_of_a_visitor_and_of_all_are_bounded(server):
    visitor = Visitor(server.url)
    noise = np.random.default_rng(0).bytes
    paths = []
    for number in range(6):
        status, answer = visitor.upload(
            (f'{number}.tif', noise(1000) + bytes([number]))
        )
        assert status == 200
        paths += json.loads(answer)
    end = time.monotonic() + 10
    while os.path.exists(paths[2]) and time.monotonic() < end:
        time.sleep(0.05)  # the oldest goes when the answer for the newest was sent
    assert [os.path.exists(path) for path in paths] == [False] * 3 + [True] * 3

    status, answer = visitor.upload(('large.tif', noise(2 * 2**20 + 2**17)))
    assert status == 413 and 'too large' in str(answer)
    # Not a form either.
    assert visitor.get('/gradio_api/queue/join', 'POST', bytes(2**20 + 1))[0] == 413


def test_the_oldest_files_go_first(tmp_path):
    (tmp_path / 'examples').mkdir()
    (tmp_path / 'examples/one.png').write_bytes(bytes(2**20))
    limits = Limits(max_disk_mb=3, max_upload_mb=1)
    store = Store(tmp_path, limits)
    paths = [tmp_path / 'gradio' / str(number) / 'a.png' for number in range(5)]
    now = time.time()
    for age, path in enumerate(reversed(paths)):
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(2**20))
        os.utime(path, (now - 100 - age, now - 100 - age))
    (tmp_path / 'arriving').write_bytes(bytes(100))
    (tmp_path / 'broken').write_bytes(bytes(100))
    os.utime(tmp_path / 'broken', (now - 100, now - 100))
    store.sweep()
    left = {
        path.relative_to(tmp_path) for path in tmp_path.rglob('*') if path.is_file()
    }
    assert sorted(map(str, left)) == [
        'arriving',
        'examples/one.png',
        'gradio/3/a.png',
        'gradio/4/a.png',
    ]


def test_a_full_queue_says_so(server):
    visitors = [Visitor(server.url) for _ in range(12)]
    ask = [None, SENTENCE, '', ['one']]
    with ThreadPoolExecutor(len(visitors)) as pool:
        answers = list(pool.map(lambda visitor: visitor.join('find', ask), visitors))
    statuses = [status for status, _ in answers]
    assert set(statuses) == {200, 503}
    full = answers[statuses.index(503)][1]
    assert json.loads(full)['detail'].startswith(
        'The page is busy: 2 jobs wait already'
    )
    for visitor, status in zip(visitors, statuses, strict=True):
        if status == 200:
            assert visitor.wait()['success']


def test_the_end_does_not_wait(serve, tiny_config, tiny_checkpoint, tmp_path):
    options = [tiny_config, tiny_checkpoint, '--names', 'one']
    with serve(tmp_path, *options) as (process, url):
        visitor = Visitor(url)
        large = np.random.default_rng(0).integers(0, 255, (4000, 4000, 3), np.uint8)
        data = cv2.imencode('.jpg', large)[1].tobytes()
        path = json.loads(visitor.upload(('large.jpg', data))[1])[0]
        assert visitor.show(path)['success']
        visitor.join('find', [None, SENTENCE, '', ['one']])
        with closing(slow_upload(visitor.place, 0)), closing(visitor.listen()):
            time.sleep(0.5)
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert time.monotonic() - begin < 3
