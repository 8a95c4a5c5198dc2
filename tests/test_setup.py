# SPDX-License-Identifier: Apache-2.0
"""What setup.py says of the package and what it puts into it."""

import os
import re
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mmcadformer
from mmcadformer.apis import list_models


def run_setup(repo_root, *args: str) -> str:
    result = subprocess.run(
        [sys.executable, 'setup.py', '--quiet', *args],
        cwd=repo_root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_name_and_version(repo_root):
    printed = run_setup(repo_root, '--name', '--version').split()
    assert printed == ['mmcadformer', mmcadformer.__version__]


def test_changelog_starts_with_this_version(repo_root):
    text = (repo_root / 'CHANGELOG.md').read_text()
    newest = re.search(r'^## (\S+)', text, re.MULTILINE).group(1)
    assert newest == mmcadformer.__version__


def test_requirements_in_the_metadata(repo_root, tmp_path):
    run_setup(repo_root, 'egg_info', '--egg-base', str(tmp_path))
    text = (tmp_path / 'mmcadformer.egg-info' / 'requires.txt').read_text()
    base, *sections = re.split(r'^\[(.+)\]$', text, flags=re.MULTILINE)
    extras = dict(zip(sections[::2], sections[1::2], strict=True))

    assert {
        'onedl',
        'openmmlab',
        'geo',
        'demo',
        'export',
        'openvino',
        'nltk',
        'mmpretrain',
        'timm',
        'lora',
        'tests',
        'all',
    } == extras.keys()
    assert 'onedl-mmsegmentation' in extras['onedl']
    assert 'shapely' in extras['all'] and 'gradio' in extras['all']
    # The stacks exclude each other: neither may come along unasked.
    for part in (base, extras['all']):
        assert re.search(r'^torch\b.*>=2\.1', base, re.MULTILINE)
        assert not re.search(r'^(onedl-)?mm', part, re.MULTILINE)


def read_names(path: Path) -> list[Requirement]:
    lines = path.read_text().replace('\\\n', ' ').splitlines()
    stripped = [re.split(r'(?:^|\s)#|\s--hash=', line)[0].strip() for line in lines]
    return [Requirement(line) for line in stripped if line]


def test_every_dependency_has_bounds(repo_root):
    for path in (repo_root / 'requirements').glob('*.txt'):
        if path.stem in ('lock', 'lock_overrides', 'constraints'):
            continue
        for requirement in read_names(path):
            signs = {part.operator for part in requirement.specifier}
            assert '<' in signs, f'{path.name}: {requirement} has no upper bound'
            # numpy<2 and the like only narrow what runtime.txt says.
            assert '>=' in signs, f'{path.name}: {requirement} has no lower bound'


@pytest.mark.parametrize('python', ['3.10.14', '3.11.9', '3.12.4'])
def test_the_lock_file_has_what_the_commands_install(repo_root, python):
    folder = repo_root / 'requirements'
    system = dict(python_full_version=python, python_version=python[:4])
    locked = {}
    for requirement in read_names(folder / 'lock.txt'):
        if requirement.marker is None or requirement.marker.evaluate(system):
            name = canonicalize_name(requirement.name)
            assert name not in locked, requirement
            (version,) = requirement.specifier
            assert version.operator == '=='
            locked[name] = version.version
    assert 'torch' not in locked
    extras = ('geo', 'demo', 'export', 'openvino', 'nltk')
    for name in ('runtime', 'onedl', 'tests', *extras):
        for requirement in read_names(folder / f'{name}.txt'):
            if requirement.name != 'torch':
                version = locked[canonicalize_name(requirement.name)]
                assert requirement.specifier.contains(version), (
                    f'{requirement}: {version} is locked; run '
                    'tools/misc/lock_requirements.sh'
                )
    text = (folder / 'lock.txt').read_text()
    pinned = re.findall(r'^\S+==.*', text, re.MULTILINE)
    hashed = re.findall(r'^\S+==.*\\\n    --hash', text, re.MULTILINE)
    assert len(pinned) == len(hashed) > 100
    assert '://' not in text and '--index' not in text


def test_every_file_of_the_package_is_built(repo_root, tmp_path):
    """A folder without __init__.py or an unlisted data file would be left out."""
    expected = files_of(repo_root / 'mmcadformer')
    lib = tmp_path / 'lib'
    egg_base = ['egg_info', '--egg-base', str(tmp_path)]
    build = ['build', '--build-base', str(tmp_path / 'b'), '--build-lib', str(lib)]
    run_setup(repo_root, *egg_base, *build)
    built = files_of(lib / 'mmcadformer')
    assert {path for path in built if path.parts[0] != '.mim'} == expected
    # Configs name others beside them, and the metafiles name all of them.
    inside = lib / 'mmcadformer' / '.mim'
    for config in inside.rglob('configs/**/*.py'):
        Config.fromfile(config)
    metafiles = [yaml.safe_load(p.read_text()) for p in inside.rglob('metafiles/*')]
    assert len(metafiles) == 5
    for metafile in metafiles:
        assert all((inside / model['Config']).is_file() for model in metafile['Models'])


def files_of(folder: Path) -> set[Path]:
    return {
        path.relative_to(folder)
        for path in folder.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


def run_python(python: str | Path, *args: str | Path, cwd: Path) -> str:
    environ = {key: text for key, text in os.environ.items() if key != 'PYTHONPATH'}
    result = subprocess.run(
        [python, *args],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope='module')
def distributions(repo_root, tmp_path_factory) -> dict[str, Path]:
    """Builds as a packager does: the wheel is made from the unpacked sdist."""
    checkout = tmp_path_factory.mktemp('build') / 'checkout'
    checkout.mkdir()
    for path in repo_root.iterdir():
        if path.is_file():
            shutil.copy(path, checkout)
    ignore = shutil.ignore_patterns('__pycache__')
    for folder in ('mmcadformer', 'requirements', 'configs', 'projects'):
        shutil.copytree(repo_root / folder, checkout / folder, ignore=ignore)
    run_python(
        sys.executable,
        '-m',
        'build',
        '--no-isolation',
        '--outdir',
        'dist',
        cwd=checkout,
    )
    (sdist,) = (checkout / 'dist').glob('*.tar.gz')
    (wheel,) = (checkout / 'dist').glob('*.whl')
    return dict(sdist=sdist, wheel=wheel)


@pytest.mark.parametrize('kind', ['sdist', 'wheel'])
def test_distribution_installs_and_imports(repo_root, distributions, kind, tmp_path):
    """In an environment without the package; what it needs is lent by the suite."""
    environment = tmp_path / 'environment'
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / 'bin' / 'python'
    own = Path(
        run_python(
            python,
            '-c',
            "import sysconfig; print(sysconfig.get_path('purelib'))",
            cwd=tmp_path,
        ).strip()
    )
    (own / 'lent.pth').write_text('\n'.join(site.getsitepackages()))
    # `--ignore-installed`: the suite's own copy is in sight, and stays as it is.
    pip = ('-m', 'pip', 'install', '-q', '--no-deps', '--no-build-isolation')
    pip += ('--no-index', '--ignore-installed')
    run_python(python, *pip, distributions[kind], cwd=tmp_path)

    code = (
        'import importlib.metadata, mmcadformer\n'
        'print(mmcadformer.__file__)\n'
        "print(importlib.metadata.version('mmcadformer'))\n"
        'from mmcadformer.apis import list_models\n'
        'from mmcadformer.apis.model_zoo import released_config\n'
        'print(*list_models())\n'
        "print(released_config('cadformer_released').filename)"
    )
    found = run_python(python, '-c', code, cwd=tmp_path).splitlines()
    file, version, models, config = found
    assert Path(file).parent == own / 'mmcadformer'
    assert version == mmcadformer.__version__
    assert models.split() == list_models()
    assert own / 'mmcadformer' / '.mim' in Path(config).parents
    installed = files_of(own / 'mmcadformer')
    installed = {path for path in installed if path.parts[0] != '.mim'}
    assert installed == files_of(repo_root / 'mmcadformer')
    assert Path('py.typed') in installed
