# SPDX-License-Identifier: Apache-2.0
"""Tells, before anything heavy is imported, whether the installed stack works.

Two lines of packages provide the import names ``mmengine``, ``mmcv`` and
``mmseg``: the OpenMMLab releases and their OneDL continuation. A wrong mixture
fails deep inside an import, or only hours later when a run is resumed, so this
module reads the installed versions and says what to change. It needs the
standard library only: it has to work where nothing else is installed.
"""

import importlib
import io
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib import metadata
from typing import NamedTuple

Versions = Mapping[str, str]
"""Distribution name -> version."""


class StackLine(NamedTuple):
    """One line of packages that provides mmengine, mmcv and mmseg."""

    name: str
    install: str  # the command, run in the checkout
    # Distribution -> oldest version and first unsupported one, as in requirements/.
    ranges: Mapping[str, tuple[str, str]]
    # Others of the line that own the same import names -> why they can't be used.
    foreign: Mapping[str, str]

    @property
    def distributions(self) -> set[str]:
        """Every distribution name that belongs to the line."""
        return {*self.ranges, *self.foreign}


ONEDL = StackLine(
    name='OneDL',
    install="pip install -e '.[onedl]' -c requirements/constraints.txt",
    ranges={
        'onedl-mmengine': ('0.10.12', '0.11'),
        'onedl-mmcv': ('2.3.6', '2.4'),
        'onedl-mmsegmentation': ('1.4.2', '1.5'),
    },
    foreign={},
)
OPENMMLAB = StackLine(
    name='OpenMMLab',
    # mmcv compiles against the PyTorch that is there, hence no isolated build.
    install="pip install --no-build-isolation -e '.[openmmlab]'",
    ranges={
        'mmengine': ('0.10.7', '0.11'),
        'mmcv': ('2.1.0', '2.2.0'),
        'mmsegmentation': ('1.2.2', '1.3'),
    },
    foreign={
        'mmcv-lite': 'it lacks the compiled operators that mmsegmentation imports',
        'mmcv-full': 'it is the 1.x series, which mmsegmentation 1.x refuses',
        'mmengine-lite': 'it is a second copy of mmengine',
    },
)
LINES = (ONEDL, OPENMMLAB)

TORCH_MIN = '2.1'
TRANSFORMERS_MIN = '4.40'
TRANSFORMERS_BELOW = '6'
# From this release on it works without PyTorch if that is older than the second.
TRANSFORMERS_NEW, TORCH_FOR_NEW = '5', '2.6'
# mmengine <= 0.10.7 calls ``torch.load`` without ``weights_only``, whose default
# became True in this release; its own checkpoints then don't load.
TORCH_SAFE_LOAD = '2.6'
# PyTorch's own switch back to the old default.
UNSAFE_LOAD_VARIABLE = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


def parse_version(version: str) -> tuple[int, ...]:
    """Release numbers without trailing zeros: '2.1.0+cpu' -> (2, 1).

    Raises:
        ValueError: The text doesn't start with a number.
    """
    match = re.match(r'\d+(\.\d+)*', version)
    if match is None:
        raise ValueError(f'not a version number: {version!r}')
    numbers = [int(number) for number in match.group().split('.')]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def installed_versions(path: Iterable[str] | None = None) -> dict[str, str]:
    """Versions of what this project stands on; ``path``: folders to look in."""
    wanted = {'torch', 'transformers'}.union(*(line.distributions for line in LINES))
    folders = list(sys.path if path is None else path)
    return {
        name: distribution.version
        for name in sorted(wanted)
        # The first of several is the one that is imported.
        for distribution in list(metadata.distributions(name=name, path=folders))[:1]
    }


def find_problems(
    versions: Versions, environ: Mapping[str, str] | None = None
) -> list[str]:
    """One text with its remedy for each thing that is wrong with these versions.

    ``environ`` stands for the environment variables of this process.
    """
    environ = os.environ if environ is None else environ
    problems = [*_torch_problems(versions), *_transformers_problems(versions)]
    present = [line for line in LINES if line.distributions & versions.keys()]
    if not present:
        problems.append(
            'mmengine, mmcv and mmsegmentation are not installed.\n'
            f'Default, the OneDL line: {ONEDL.install}\n'
            f'Or the OpenMMLab releases, after the preparation in docs/install.md: '
            f'{OPENMMLAB.install}'
        )
    elif len(present) > 1:
        names = set().union(*(line.distributions for line in LINES)) & versions.keys()
        problems.append(
            'Packages of both the OneDL and the OpenMMLab line are installed; they '
            "overwrite each other's files, so remove all of them and install one "
            f'line.\nRun: pip uninstall -y {" ".join(sorted(names))}\n'
            f'Then: {ONEDL.install}'
        )
    else:
        problems.extend(_line_problems(present[0], versions))
        problems.extend(_resume_problems(versions, environ))
    return problems


def check_stack(
    versions: Versions | None = None, environ: Mapping[str, str] | None = None
) -> None:
    """Raises ImportError that names everything wrong with the installed stack.

    ``versions`` and ``environ`` stand for what is there.
    """
    versions = installed_versions() if versions is None else versions
    problems = find_problems(versions, environ)
    if not problems:
        return
    lines = ['mmcadformer cannot run with the packages installed here.']
    for number, problem in enumerate(problems, start=1):
        lines.append(f'{number}. ' + problem.replace('\n', '\n   '))
    found = ', '.join(f'{name} {version}' for name, version in versions.items())
    lines.append(f'Found: {found or "none of the packages it needs"}.')
    raise ImportError('\n'.join(lines))


def check_opencv() -> None:
    """Imports OpenCV, which mmcv needs; the ImportError explains the usual failure."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'mmcadformer cannot run: OpenCV does not load ({error}).\n'
            'On a machine without a desktop, use the build that needs no window '
            'system:\n'
            '   pip uninstall -y opencv-python opencv-python-headless\n'
            '   pip install opencv-python-headless'
        ) from error


def explain_torchvision(error: Exception) -> ImportError | None:
    """What to do about a torchvision that does not load; None if it isn't that.

    mmsegmentation imports timm where it is there, and timm imports torchvision, of
    which only the one that belongs to the PyTorch at hand loads.
    """
    if 'torchvision' not in str(error):
        return None
    reason = str(error).splitlines()[0]
    return ImportError(
        f'mmcadformer cannot run: the installed torchvision does not load ({reason}). '
        'Install the one of your PyTorch build, on a CPU without one: pip install '
        '--no-deps torchvision==0.16.2 (docs/install.md, "MMPretrain and timm")'
    )


# OneDL's mmseg prints this once per module that looks for a dataset service of
# its makers; it is meant as a debug message.
DATASET_SERVICE_MESSAGE = 'Could not import OneDL'
# Said by mmcv without compiled operators; nothing in this package needs them.
OPERATORS_WARNING = 'Fail to import ``MultiScaleDeformableAttention``'


@contextmanager
def quiet_import() -> Iterator[None]:
    """Imports the stack without its two known messages.

    Everything else that is printed meanwhile appears at the end of the block.
    """
    # Its ProgressBar keeps the standard output it finds at import for good.
    importlib.import_module('mmengine.utils.progressbar')
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), warnings.catch_warnings():
            warnings.filterwarnings('ignore', message=OPERATORS_WARNING)
            yield
    finally:
        for line in printed.getvalue().splitlines(keepends=True):
            if line.strip() != DATASET_SERVICE_MESSAGE:
                sys.stdout.write(line)


def _torch_problems(versions: Versions) -> Iterator[str]:
    remedy = f"Run: pip install 'torch>={TORCH_MIN}'"
    version = versions.get('torch')
    if version is None:
        yield f'PyTorch is not installed.\n{remedy}'
    elif parse_version(version) < parse_version(TORCH_MIN):
        yield f'PyTorch {version} is too old, {TORCH_MIN} or newer is needed.\n{remedy}'


def _transformers_problems(versions: Versions) -> Iterator[str]:
    wanted = f'transformers>={TRANSFORMERS_MIN},<{TRANSFORMERS_BELOW}'
    remedy = f"Run: pip install '{wanted}'"
    version = versions.get('transformers')
    if version is None:
        yield f'transformers, which holds BERT, is not installed.\n{remedy}'
    elif parse_version(version) < parse_version(TRANSFORMERS_MIN):
        yield f'transformers {version} is too old.\n{remedy}'
    elif parse_version(version) >= parse_version(TRANSFORMERS_BELOW):
        yield f'transformers {version} is too new.\n{remedy}'
    elif parse_version(version) >= parse_version(TRANSFORMERS_NEW):
        torch = versions.get('torch', TORCH_FOR_NEW)
        if parse_version(torch) < parse_version(TORCH_FOR_NEW):
            yield (
                f'transformers {version} needs PyTorch {TORCH_FOR_NEW} or newer, not '
                f"{torch}.\nRun: pip install 'transformers>={TRANSFORMERS_MIN},"
                f"<{TRANSFORMERS_NEW}'"
            )


def _line_problems(line: StackLine, versions: Versions) -> Iterator[str]:
    """What a single line lacks or has in a version that can't be used."""
    for name, reason in line.foreign.items():
        if name in versions:
            yield (
                f'{name} {versions[name]} cannot be used: {reason}.\n'
                f'Run: pip uninstall -y {name}\nThen: {line.install}'
            )
    missing = [name for name in line.ranges if name not in versions]
    if missing:
        yield (
            f'The {line.name} line is incomplete, {", ".join(missing)} '
            f'{"is" if len(missing) == 1 else "are"} missing.\nRun: {line.install}'
        )
    for name, (oldest, below) in line.ranges.items():
        version = versions.get(name, oldest)
        if not parse_version(oldest) <= parse_version(version) < parse_version(below):
            yield (
                f'{name} {version} does not work with the rest of the '
                f'{line.name} line, >={oldest},<{below} is needed.\n'
                f'Run: {line.install}'
            )


def _resume_problems(versions: Versions, environ: Mapping[str, str]) -> Iterator[str]:
    """The pair mmengine/torch that trains well but can't resume."""
    torch, mmengine = versions.get('torch'), versions.get('mmengine')
    allowed = environ.get(UNSAFE_LOAD_VARIABLE, '').lower() in ('1', 'y', 'yes', 'true')
    if torch is None or mmengine is None or allowed:
        return
    if parse_version(torch) >= parse_version(TORCH_SAFE_LOAD):
        yield (
            f'mmengine {mmengine} cannot resume a run under PyTorch {torch}: '
            f'since {TORCH_SAFE_LOAD} PyTorch refuses to load its checkpoints.\n'
            'Either use the OneDL line: pip uninstall -y mmengine mmcv mmsegmentation, '
            f'then {ONEDL.install}\n'
            'or an older PyTorch: pip install '
            f"'torch>={TORCH_MIN},<{TORCH_SAFE_LOAD}'\n"
            'or, if you trust every checkpoint that you load: '
            f'export {UNSAFE_LOAD_VARIABLE}=1'
        )
