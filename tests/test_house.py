# SPDX-License-Identifier: Apache-2.0
"""The rules of docs/design.md, section 2: who imports whom, how files are called."""

import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from house import PACKAGE, House, circles, read_house  # noqa: E402

BELOW = {
    'utils': '',
    'language': 'utils',
    'imagery': 'utils',
    'datasets': 'imagery language utils',
    'evaluation': 'datasets imagery language utils',
    'visualization': 'datasets evaluation imagery language utils',
    'models': 'language utils',
    'engine': 'datasets evaluation imagery language models utils visualization',
}
"""Room -> rooms that it may import. The capabilities are above all of these."""
GROUND = set(BELOW)
CAPABILITIES = {
    'analysis',
    'annotation',
    'comparison',
    'demo',
    'export',
    'scene',
    'synthrs',
}
BELOW['apis'] = ' '.join(GROUND)
BELOW |= {room: f'apis {BELOW["apis"]}' for room in CAPABILITIES}
NEIGHBOURS = {('demo', 'scene'), ('demo', 'synthrs'), ('comparison', 'analysis')}
"""Capabilities that may import another, through its ``__init__``."""

MODELS_BELOW = {
    'layers': '',
    'losses': '',
    'fusions': 'layers',
    'text_encoders': 'layers',
    'backbones': 'fusions layers text_encoders',
    'necks': 'fusions layers text_encoders',
    'decode_heads': 'fusions layers losses text_encoders',
    'segmentors': 'backbones decode_heads fusions layers losses necks text_encoders',
}

LONGEST = 450
ONE_MEANING = {
    'outlines',
    'suspicion',
    'workspace',
    'progress',
    'command_line',
    'tables',
    'masks',
    'images',
    'check',
}
"""Names that files of different meaning once shared."""


def room_of(module: str) -> str:
    """``mmcadformer.scene.reader`` -> ``scene``; '' is the package itself."""
    return module.split('.')[1] if '.' in module else ''


def import_faults(house: House) -> list[str]:
    """Imports upwards, sideways and into another room's inside."""
    faults = []
    for module, targets in house.imports.items():
        room = room_of(module)
        if room in ('', 'version'):  # it registers everything, as every such package
            continue
        for target in sorted(targets):
            other = room_of(target)
            if other in (room, 'version'):
                continue
            if (room, other) in NEIGHBOURS:
                if target != f'{PACKAGE}.{other}':
                    faults.append(f'{module} reaches into {target}')
            elif other not in BELOW[room].split():
                faults.append(f'{module} imports {target}')
    return faults


def model_faults(house: House) -> list[str]:
    """The same for the rooms inside of ``models``."""
    prefix = f'{PACKAGE}.models.'
    faults = []
    for module, targets in house.imports.items():
        if not module.startswith(prefix):
            continue
        room = module[len(prefix) :].split('.')[0]
        for target in sorted(t for t in targets if t.startswith(prefix)):
            other = target[len(prefix) :].split('.')[0]
            if other != room and other not in MODELS_BELOW[room].split():
                faults.append(f'{module} imports {target}')
    return faults


def file_faults(house: House) -> list[str]:
    """Files that are too long, and names that mean several things."""
    faults = [
        f'{module} has {lines} lines'
        for module, path in house.files.items()
        if (lines := len(path.read_text(encoding='utf-8').splitlines())) > LONGEST
    ]
    names = Counter(module.rpartition('.')[2] for module in house.files)
    faults += [f'{names[n]} files {n}' for n in sorted(ONE_MEANING) if names[n] > 1]
    return faults


def all_faults(root: Path) -> list[str]:
    house = read_house(root)
    rounds = [f'circle: {" ".join(group)}' for group in circles(house)]
    return import_faults(house) + model_faults(house) + rounds + file_faults(house)


def test_every_room_has_its_rule(repo_root):
    rooms = {path.parent.name for path in (repo_root / PACKAGE).glob('*/__init__.py')}
    assert rooms == BELOW.keys()
    models = {p.parent.name for p in (repo_root / PACKAGE / 'models').glob('*/*.py')}
    assert models == MODELS_BELOW.keys()


def test_the_house_is_in_order(repo_root):
    assert all_faults(repo_root) == []


@pytest.fixture(scope='module')
def copied(repo_root, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('house')
    ignore = shutil.ignore_patterns('__pycache__')
    shutil.copytree(repo_root / PACKAGE, root / PACKAGE, ignore=ignore)
    return root


@pytest.mark.parametrize(
    ('file', 'line', 'fault'),
    [
        # upwards
        (
            'utils/files.py',
            'from ..models.layers import Gate',
            'mmcadformer.utils.files imports mmcadformer.models.layers',
        ),
        (
            'datasets/masks.py',
            'import mmcadformer.models.fusions',
            'mmcadformer.datasets.masks imports mmcadformer.models.fusions',
        ),
        (
            'evaluation/referring_iou.py',
            'from mmcadformer import models',
            'mmcadformer.evaluation.referring_iou imports mmcadformer.models',
        ),
        (
            'apis/result.py',
            'def f():\n    from ..scene import SceneReader',
            'mmcadformer.apis.result imports mmcadformer.scene',
        ),
        (
            'datasets/formats/__init__.py',
            'from ...synthrs import generate_synthrs',
            'mmcadformer.datasets.formats imports mmcadformer.synthrs',
        ),
        # between capabilities
        (
            'annotation/__init__.py',
            'from ..scene import SceneReader',
            'mmcadformer.annotation imports mmcadformer.scene',
        ),
        (
            'demo/__init__.py',
            'from ..scene.reader import SceneReader',
            'mmcadformer.demo reaches into mmcadformer.scene.reader',
        ),
        # between the parts of a model
        (
            'models/layers/gate.py',
            'from ..fusions import StageFusion',
            'mmcadformer.models.layers.gate imports mmcadformer.models.fusions',
        ),
        (
            'models/necks/__init__.py',
            'from ..segmentors import ReferringSegmentor',
            'mmcadformer.models.necks imports mmcadformer.models.segmentors',
        ),
        ('utils/text.py', 'x = 0\n' * 450, 'mmcadformer.utils.text has '),
        ('synthrs/outlines.py', '', 'files outlines'),
    ],
)
def test_a_violation_is_found(copied, file, line, fault):
    path = copied / PACKAGE / file
    before = path.read_text() if path.exists() else None
    path.write_text(f'{before or ""}\n{line}\n')
    try:
        faults = all_faults(copied)
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert any(fault in found for found in faults), faults


@pytest.mark.parametrize('hidden', [False, True])
def test_a_circle_is_found(copied, hidden):
    """Between two files, and where a package passes on the other one's names."""
    folder = copied / PACKAGE / 'language' / 'ring'
    folder.mkdir()
    try:
        (folder / '__init__.py').write_text('from .one import first\n')
        (folder / 'one.py').write_text('from .two import second\nfirst = 1\n')
        source = '.' if hidden else '.one'
        (folder / 'two.py').write_text(
            f'def late():\n    from {source} import first\nsecond = 2\n'
        )
        ring = [f'{PACKAGE}.language.ring.{name}' for name in ('one', 'two')]
        assert ring in circles(read_house(copied))
    finally:
        shutil.rmtree(folder)
