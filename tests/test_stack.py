# SPDX-License-Identifier: Apache-2.0
"""The stack check: what it accepts, what it refuses, and what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmcadformer.utils.stack import (
    LINES,
    TORCH_MIN,
    TRANSFORMERS_BELOW,
    TRANSFORMERS_MIN,
    TRANSFORMERS_NEW,
    check_opencv,
    check_stack,
    find_problems,
    installed_versions,
    parse_version,
    quiet_import,
)

COMMON = {'torch': '2.5.1', 'transformers': '4.57.6'}
ONEDL = {
    **COMMON,
    'torch': '2.13.0+cpu',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmsegmentation': '1.4.2',
}
OPENMMLAB = {
    **COMMON,
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmsegmentation': '1.2.2',
}


def without(versions: dict[str, str], *names: str) -> dict[str, str]:
    return {name: text for name, text in versions.items() if name not in names}


def only_problem(versions: dict[str, str], **environ: str) -> str:
    problems = find_problems(versions, environ)
    assert len(problems) == 1, problems
    return problems[0]


def write_distributions(folder: Path, versions: dict[str, str]) -> None:
    """Writes what an installer leaves behind for importlib.metadata."""
    for name, version in versions.items():
        info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
        info.mkdir(parents=True)
        (info / 'METADATA').write_text(
            f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        )


def import_bare(repo_root: Path, folder: Path) -> subprocess.CompletedProcess:
    """Imports the package where only ``folder`` and the standard library are."""
    code = f'import sys; sys.path[:0] = {[str(repo_root), str(folder)]!r}\n'
    return subprocess.run(
        [sys.executable, '-I', '-S', '-c', code + 'import mmcadformer'],
        env={},  # the variable that lifts the resume error may be set outside
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize('versions', [ONEDL, OPENMMLAB])
def test_both_lines_are_accepted(versions):
    assert find_problems(versions, {}) == []
    check_stack(versions, {})


def test_environment_of_the_tests_is_accepted():
    versions = installed_versions()
    assert find_problems(versions) == []
    from importlib.metadata import version

    assert versions['torch'] == version('torch')


def test_no_stack_names_both_lines():
    problem = only_problem(COMMON)
    assert 'mmengine, mmcv and mmsegmentation are not installed' in problem
    assert '.[onedl]' in problem and '.[openmmlab]' in problem


def test_mixed_lines_are_refused_with_the_packages_to_remove():
    problem = only_problem({**OPENMMLAB, 'onedl-mmengine': '0.10.12'})
    assert 'pip uninstall -y mmcv mmengine mmsegmentation onedl-mmengine' in problem


@pytest.mark.parametrize('line', [ONEDL, OPENMMLAB])
def test_each_missing_member_of_a_line_is_named(line):
    for name in line.keys() - COMMON.keys():
        problem = only_problem(without(line, name))
        assert f'{name} is missing' in problem


@pytest.mark.parametrize('mmcv', ['2.2.0', '2.0.1', '1.7.2'])
def test_mmcv_that_mmsegmentation_refuses(mmcv):
    problem = only_problem({**OPENMMLAB, 'mmcv': mmcv})
    assert f'mmcv {mmcv} does not work' in problem
    assert '>=2.1.0,<2.2.0 is needed' in problem


def test_old_member_of_the_onedl_line():
    problem = only_problem({**ONEDL, 'onedl-mmsegmentation': '1.4.1'})
    assert 'onedl-mmsegmentation 1.4.1 does not work' in problem


def test_mmcv_without_operators_cannot_serve_mmsegmentation():
    versions = {**without(OPENMMLAB, 'mmcv'), 'mmcv-lite': '2.1.0'}
    text = '\n'.join(find_problems(versions, {}))
    assert 'mmcv-lite 2.1.0 cannot be used' in text
    assert 'pip uninstall -y mmcv-lite' in text


@pytest.mark.parametrize(
    ('torch', 'works'),
    [('2.1.0', True), ('2.5.1+cu124', True), ('2.6.0', False), ('2.13.0+cpu', False)],
)
def test_openmmlab_engine_resumes_only_below_torch_2_6(torch, works):
    problems = find_problems({**OPENMMLAB, 'torch': torch}, {})
    assert (problems == []) is works
    if not works:
        assert f'cannot resume a run under PyTorch {torch}' in problems[0]
        assert "'torch>=2.1,<2.6'" in problems[0]


@pytest.mark.parametrize(
    ('value', 'works'), [('1', True), ('true', True), ('0', False)]
)
def test_old_load_default_of_pytorch_lifts_the_resume_error(value, works):
    versions = {**OPENMMLAB, 'torch': '2.13.0'}
    environ = {'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD': value}
    assert (find_problems(versions, environ) == []) is works


@pytest.mark.parametrize(
    ('name', 'version', 'accepted'),
    [
        ('torch', '2.1.0', True),
        ('torch', '2.1', True),
        ('torch', '2.0.1+cu118', False),
        ('torch', '1.13.1', False),
        ('transformers', '4.40.0', True),
        ('transformers', '4.39.3', False),
        ('transformers', '4.57.6', True),
    ],
)
def test_oldest_torch_and_transformers(name, version, accepted):
    problems = find_problems({**ONEDL, name: version}, {})
    assert (problems == []) is accepted
    if not accepted:
        assert f'{version} is too old' in problems[0]


@pytest.mark.parametrize('version', ['5.0.0', '5.0.0rc1', '5.24.0'])
def test_new_transformers_need_a_new_torch(version):
    problem = only_problem({**ONEDL, 'transformers': version, 'torch': '2.5.1'})
    assert f'transformers {version} needs PyTorch 2.6 or newer, not 2.5.1' in problem
    assert "pip install 'transformers>=4.40,<5'" in problem
    assert find_problems({**ONEDL, 'transformers': version, 'torch': '2.6.0'}) == []


def test_transformers_of_the_future_are_refused():
    problem = only_problem({**ONEDL, 'transformers': '6.0.0'})
    assert 'transformers 6.0.0 is too new' in problem


def test_a_torchvision_that_does_not_load_is_named(repo_root, tmp_path):
    """As timm fails on it, which mmsegmentation imports where it is there."""
    (tmp_path / 'timm.py').write_text('import torchvision\n')
    (tmp_path / 'torchvision.py').write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    result = subprocess.run(
        [sys.executable, '-c', 'import mmcadformer'],
        cwd=repo_root,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{repo_root}'},
        capture_output=True,
        text=True,
        timeout=120,
    )
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith('ImportError: mmcadformer cannot run: the installed')
    assert 'torchvision::nms' in last and '--no-deps torchvision==0.16.2' in last


@pytest.mark.parametrize(
    ('name', 'text'),
    [('torch', 'PyTorch is not installed'), ('transformers', 'transformers, which')],
)
def test_missing_torch_and_transformers(name, text):
    assert only_problem(without(ONEDL, name)).startswith(text)


def test_one_error_tells_everything():
    versions = {'torch': '1.13.1', 'mmengine': '0.10.7', 'onedl-mmcv': '2.3.6'}
    with pytest.raises(ImportError) as caught:
        check_stack(versions, {})
    message = str(caught.value)
    assert re.findall(r'^(\d)\. ', message, re.MULTILINE) == ['1', '2', '3']
    assert message.endswith('Found: torch 1.13.1, mmengine 0.10.7, onedl-mmcv 2.3.6.')


def test_parse_version():
    assert parse_version('2.13.0+cpu') == parse_version('2.13')
    assert parse_version('2.10') > parse_version('2.9.1')
    assert parse_version('2.6.0a0+git1') == (2, 6)
    with pytest.raises(ValueError, match='not a version number'):
        parse_version('unknown')


def test_versions_are_read_from_the_given_folders(tmp_path):
    write_distributions(tmp_path, OPENMMLAB)
    write_distributions(tmp_path, {'unrelated': '1.0'})
    assert installed_versions([str(tmp_path)]) == OPENMMLAB


def test_import_on_a_bare_interpreter_explains_itself(repo_root, tmp_path):
    result = import_bare(repo_root, tmp_path)
    assert result.returncode == 1
    assert 'ImportError: mmcadformer cannot run with the packages' in result.stderr
    assert 'Found: none of the packages it needs.' in result.stderr


def test_import_checks_the_stack_before_it_imports_it(repo_root, tmp_path):
    """The made-up packages have no files: the check must come first."""
    write_distributions(tmp_path, {**OPENMMLAB, 'torch': '2.13.0'})
    result = import_bare(repo_root, tmp_path)
    assert 'cannot resume a run under PyTorch 2.13.0' in result.stderr
    assert 'ModuleNotFoundError' not in result.stderr


def test_opencv_without_its_system_library(tmp_path, monkeypatch):
    """A broken cv2 stands in for one whose libGL is missing."""
    (tmp_path / 'cv2.py').write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, 'cv2', raising=False)
    with pytest.raises(ImportError, match='opencv-python-headless') as caught:
        check_opencv()
    assert 'libGL.so.1' in str(caught.value)


def test_requirements_have_the_bounds_of_the_check(repo_root):
    for line in LINES:
        extra = line.name.lower()
        text = (repo_root / 'requirements' / f'{extra}.txt').read_text()
        for name, (oldest, below) in line.ranges.items():
            assert re.search(rf'^{name}>={oldest},<{below}\b', text, re.MULTILINE), (
                f'{name} in requirements/{extra}.txt'
            )
    runtime = (repo_root / 'requirements' / 'runtime.txt').read_text()
    assert f'\ntorch>={TORCH_MIN}' in runtime
    bounds = dict(
        runtime=TRANSFORMERS_BELOW,
        openmmlab=TRANSFORMERS_NEW,  # with an older PyTorch
        constraints=TRANSFORMERS_NEW,
    )
    for name, below in bounds.items():
        text = (repo_root / 'requirements' / f'{name}.txt').read_text()
        assert f'\ntransformers>={TRANSFORMERS_MIN},<{below} ' in text, name


def test_import_prints_nothing(repo_root):
    """A tool's output can be piped: no message of the stack is mixed into it."""
    result = subprocess.run(
        [sys.executable, '-c', 'import mmcadformer'],
        cwd=repo_root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ''
    assert 'Fail to import' not in result.stderr


def test_only_the_known_messages_are_dropped(capsys):
    with pytest.raises(RuntimeError), quiet_import():
        print('Could not import OneDL')
        print('something else')
        raise RuntimeError
    assert capsys.readouterr().out == 'something else\n'
