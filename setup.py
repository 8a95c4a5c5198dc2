# SPDX-License-Identifier: Apache-2.0
"""Builds and installs mmcadformer; the dependencies are in requirements/."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What models by name need, for an installed package that has no checkout around it.
INDEX_FILES = (
    'model-index.yml',
    'configs/**/*.py',
    'configs/**/*.yml',
    'projects/*/configs/**/*.py',
)


class BuildWithConfigs(build_py):
    """Copies index and configs into ``mmcadformer/.mim``, as OpenMMLab packages do."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # finds them in the checkout
        folder = Path(self.build_lib) / 'mmcadformer' / '.mim'
        for path in sorted(path for name in INDEX_FILES for path in ROOT.glob(name)):
            target = folder / path.relative_to(ROOT)
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))


def read_version() -> str:
    """Reads the version as text: importing the package needs its dependencies."""
    source = (ROOT / 'mmcadformer' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '([^']+)'$", source, re.MULTILINE).group(1)


def read_requirements(name: str) -> list[str]:
    """Reads requirements/<name>.txt without its comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8')
    stripped = (line.split('#', 1)[0].strip() for line in lines.splitlines())
    return [line for line in stripped if line]


# 'all' holds what goes with either stack. Not in it: the stacks themselves, of
# which exactly one is wanted; mmpretrain, which belongs to one of them; and timm,
# which drags in a torchvision.
COMBINABLE = ('geo', 'demo', 'export', 'openvino', 'nltk', 'tests')
extras = {
    name: read_requirements(name)
    for name in ('onedl', 'openmmlab', 'mmpretrain', 'timm', 'lora', *COMBINABLE)
}
extras['all'] = [line for name in COMBINABLE for line in extras[name]]

setup(
    name='mmcadformer',
    version=read_version(),
    description='Referring remote sensing image segmentation on MMSegmentation',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    cmdclass={'build_py': BuildWithConfigs},
    packages=find_packages(include=['mmcadformer', 'mmcadformer.*']),
    package_data={
        'mmcadformer': [
            'py.typed',
            '**/*.txt',
            '**/*.yml',
            '**/*.html',
            '**/*.css',
            '**/*.js',
        ]
    },
    install_requires=read_requirements('runtime'),
    extras_require=extras,
    classifiers=[
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    zip_safe=False,
)
