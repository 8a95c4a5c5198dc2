# SPDX-License-Identifier: Apache-2.0
"""What setup.py says of the package and what it puts into it."""

import re
import subprocess
import sys

import mmcadformer


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
        'mmpretrain',
        'tests',
        'all',
    } == extras.keys()
    assert 'onedl-mmsegmentation' in extras['onedl']
    assert 'rasterio' in extras['all'] and 'gradio' in extras['all']
    # The stacks exclude each other: neither may come along unasked.
    for part in (base, extras['all']):
        assert 'torch>=2.1' in base
        assert not re.search(r'^(onedl-)?mm', part, re.MULTILINE)


def test_every_file_of_the_package_is_built(repo_root, tmp_path):
    """A folder without __init__.py or an unlisted data file would be left out."""
    source = repo_root / 'mmcadformer'
    expected = {
        path.relative_to(repo_root)
        for path in source.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }
    lib = tmp_path / 'lib'
    egg_base = ['egg_info', '--egg-base', str(tmp_path)]
    build = ['build', '--build-base', str(tmp_path / 'b'), '--build-lib', str(lib)]
    run_setup(repo_root, *egg_base, *build)
    built = {path.relative_to(lib) for path in lib.rglob('*') if path.is_file()}
    assert built == expected
