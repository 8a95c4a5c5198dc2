# SPDX-License-Identifier: Apache-2.0
"""Settings shared by all tests: offline, one thread, GPU tests only with a GPU."""

import importlib.util
import multiprocessing
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

# Before anything imports transformers or PyTorch: both read these only once.
os.environ['HF_HUB_OFFLINE'] = '1'
os.environ['TRANSFORMERS_OFFLINE'] = '1'
os.environ['TOKENIZERS_PARALLELISM'] = 'false'
# One thread per test process, and sums in one order on every machine.
os.environ['OMP_NUM_THREADS'] = '1'
os.environ['MKL_NUM_THREADS'] = '1'

IMAGERY_VARIABLE = 'MMCADFORMER_TEST_IMAGERY'


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests marked ``gpu`` where PyTorch sees no CUDA device."""
    gpu_items = [item for item in items if item.get_closest_marker('gpu')]
    if not gpu_items:
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in gpu_items:
        item.add_marker(pytest.mark.skip(reason='needs a CUDA device'))


@pytest.fixture(scope='session')
def repo_root() -> Path:
    """The checkout that the tests belong to."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def imagery() -> Path:
    """The folder of real imagery; skips the test where there is none."""
    folder = os.environ.get(IMAGERY_VARIABLE)
    if not folder:
        pytest.skip(f'needs real imagery: {IMAGERY_VARIABLE} is not set')
    return Path(folder)


@pytest.fixture(scope='session')
def refer():
    """``Refer`` and ``check_as_peer``: the RefCOCO layout as others read it."""
    path = Path(__file__).with_name('refer_reader.py')
    spec = importlib.util.spec_from_file_location('refer_reader', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def tiny_data(tmp_path_factory) -> Path:
    """Root of a SynthRS with a few scenes of 72 x 72 px."""
    from mmcadformer.synthrs import generate_synthrs

    root = tmp_path_factory.mktemp('tiny_data')
    scenes = dict(train=4, val=2, test=2)
    generate_synthrs(
        root, scenes, image_size=72, max_refs=2, max_sentences=2, progress=False
    )
    return root


@pytest.fixture(scope='session')
def tiny_config(tiny_data, repo_root, tmp_path_factory) -> Path:
    """Config of a model that trains in seconds, on :func:`tiny_data`."""
    from mmengine.config import Config

    cfg = Config.fromfile(repo_root / 'tests/data/tiny.py')
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(tiny_data)
    path = tmp_path_factory.mktemp('tiny_config') / 'tiny.py'
    cfg.dump(path)
    return path


@pytest.fixture(scope='session')
def tiny_checkpoint(tiny_config, tmp_path_factory) -> Path:
    """Checkpoint of a short training, as MMEngine writes it."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    # A run prints its config six times; to make it pretty takes a third of these.
    cfg = Config.fromfile(tiny_config, format_python_code=False)
    cfg.work_dir = str(tmp_path_factory.mktemp('tiny_run'))
    cfg.train_cfg.max_epochs = 1
    cfg.experiment_name = 'tiny_checkpoint'
    Runner.from_cfg(cfg).train()
    return Path(cfg.work_dir) / 'epoch_1.pth'


@pytest.fixture(scope='session')
def run_tool(repo_root):
    """Runs one of the repository's tools from a given folder, on the CPU."""
    bin_dir = Path(sys.executable).parent
    path = os.pathsep.join([str(bin_dir), os.environ['PATH']])
    environment = {**os.environ, 'PATH': path, 'CUDA_VISIBLE_DEVICES': ''}

    def run(tool: str, *args, cwd: Path, check: bool = True):
        program = 'bash' if tool.endswith('.sh') else sys.executable
        command = [program, str(repo_root / 'tools' / tool), *map(str, args)]
        result = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True
        )
        if check and result.returncode:
            raise AssertionError(f'{command}\n{result.stdout}\n{result.stderr}')
        return result

    return run


@pytest.fixture(scope='session')
def serve():
    """Starts the web page's command in a folder; gives its process and address."""

    @contextmanager
    def start(folder, *args, **environment):
        command = [sys.executable, '-m', 'mmcadformer.demo', *map(str, args)]
        process = subprocess.Popen(
            [*command, '--device', 'cpu', '--port', '0'],
            cwd=folder,
            env={**os.environ, **environment, 'TMPDIR': str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if found := re.match(r'The page is at (\S+)', line):
                    break
            else:
                pytest.fail(''.join(said))
            # Nobody reads what it says: it must not wait for a reader.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield process, found.group(1)
        finally:
            process.terminate()
            code = process.wait(30)
        assert code == 0
        assert list(folder.iterdir()) == []  # it leaves no files behind

    return start


class Fork:
    """A process that begins with all that this one has imported.

    Python and PyTorch take seconds to start; this takes none. It leads a group of
    processes of its own and writes to two files.

    Args:
        function: What it runs.
        args: Arguments of the function.
        folder: For its output.
        cwd: Where it runs; here by default.
    """

    def __init__(self, function, args=(), *, folder, cwd=None):
        self.files = [folder / 'stdout', folder / 'stderr']
        for file in self.files:
            file.touch()
        self._process = multiprocessing.get_context('fork').Process(
            target=self._run, args=(function, args, cwd)
        )
        self._process.start()
        self.pid = self._process.pid

    def _run(self, function, args, cwd):
        os.setsid()
        os.chdir(cwd or os.getcwd())
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
        for number, file in enumerate(self.files, 1):
            with open(file, 'a') as stream:
                os.dup2(stream.fileno(), number)
        sys.stdout, sys.stderr = (open(n, 'w', 1, closefd=False) for n in (1, 2))
        _forget_runs()
        function(*args)

    def is_alive(self):
        return self._process.is_alive()

    @property
    def output(self):
        """What it has written until now."""
        return ''.join(file.read_text() for file in self.files)

    def wait_for(self, said, seconds=120):
        """Waits until something is true of its output."""
        end = time.monotonic() + seconds
        while not said(self.output):
            assert self.is_alive() and time.monotonic() < end, self.output
            time.sleep(0.002)

    def wait(self):
        """Its exit code and output, as those of any process."""
        self._process.join()
        texts = [file.read_text() for file in self.files]
        return subprocess.CompletedProcess([], self._process.exitcode, *texts)


def _forget_runs():
    """Takes MMEngine's loggers and the like from a process, which has none yet."""
    from mmengine.utils import ManagerMixin

    kinds = [ManagerMixin]
    for kind in kinds:
        kinds += kind.__subclasses__()
        kind._instance_dict.clear()


@pytest.fixture
def fork(tmp_path_factory):
    """Starts a :class:`Fork`; skips where processes can't be forked."""
    if 'fork' not in multiprocessing.get_all_start_methods():
        pytest.skip('processes cannot be forked here')
    started = []

    def start(function, *args, cwd=None):
        folder = tmp_path_factory.mktemp('fork')
        started.append(Fork(function, args, folder=folder, cwd=cwd))
        return started[-1]

    yield start
    for process in started:
        if process.is_alive():
            os.killpg(process.pid, 9)
        process.wait()


@pytest.fixture
def fork_tool(fork, repo_root):
    """Starts one of the repository's tools by :func:`fork`, from a given folder."""

    def main(tool, args):
        sys.argv = [str(repo_root / 'tools' / tool), *map(str, args)]
        runpy.run_path(sys.argv[0], run_name='__main__')

    def start(tool, *args, cwd):
        return fork(main, tool, args, cwd=cwd)

    return start


@pytest.fixture(scope='module')
def playwright():
    """The browser driver; skips where the package or a browser is missing.

    It ends with the test file: its threads would make it unsafe to fork, which
    the data loader workers of other tests do in the same process.
    """
    driver = pytest.importorskip(
        'playwright.sync_api', reason='needs the package playwright'
    )
    if _chromium_path() is None:
        pytest.skip('needs Chromium (Debian package chromium)')
    with driver.sync_playwright() as running:
        yield running


@pytest.fixture
def chromium(playwright, tmp_path):
    """Opens a headless Chromium: ``chromium('ann')`` is a browser context.

    The name is that of a profile: the same one again keeps what pages stored.
    """
    opened = []

    def open_profile(name='profile'):
        context = playwright.chromium.launch_persistent_context(
            tmp_path / f'chromium-{name}',
            executable_path=_chromium_path(),
            headless=True,
            args=[
                '--no-sandbox',
                '--disable-gpu',
                '--disable-quic',
                '--no-first-run',
                '--disable-background-networking',
                '--disable-component-update',
                '--disable-sync',
            ],
        )
        context.set_default_timeout(60_000)
        opened.append(context)
        return context

    yield open_profile
    for context in opened:
        context.close()


def _chromium_path():
    names = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
    return next(filter(None, map(shutil.which, names)), None)
