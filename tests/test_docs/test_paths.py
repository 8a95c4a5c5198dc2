# SPDX-License-Identifier: Apache-2.0
"""Files that pages, configs and comments name are there."""

import re
from itertools import product

import pytest

TOP = 'mmcadformer|configs|tools|docs|projects|tests|requirements'
NAMED = re.compile(rf'(?<![\w./-])(?:{TOP})/[\w./*{{}},-]*[\w*}}/]')
LINK = re.compile(r'\]\(([^)#\s]+)[^)]*\)')


def expand(text: str) -> list[str]:
    """``a/{b,c}.py`` -> both."""
    parts = re.split(r'\{([^{}]*)\}', text)
    choices = [part.split(',') if i % 2 else [part] for i, part in enumerate(parts)]
    return [''.join(choice) for choice in product(*choices)]


def pages(root):
    """Pages, and configs for their comments."""
    found = [*root.glob('*.md'), *root.glob('docs/*.md'), *root.glob('configs/*.md')]
    found += root.glob('projects/**/*.md')
    for folder in ('configs', 'projects'):
        for ending in ('py', 'txt', 'yml'):
            found += root.glob(f'{folder}/**/*.{ending}')
    return sorted(found)


def missing(root, page) -> list[str]:
    text = page.read_text(encoding='utf-8')
    if page.name == 'extending.md':  # its `configs/` are those of the reader's project
        text = text.replace('configs/', '')
    text = re.sub(r'[\w./-]*<[^\s`]*', '', text)  # `<name>` stands for any name
    wanted = {(root, path) for name in NAMED.findall(text) for path in expand(name)}
    if page.suffix == '.md':
        links = [link for link in LINK.findall(text) if '://' not in link]
        wanted |= {(page.parent, link) for link in links}
    return sorted(
        path
        for base, path in wanted
        if not ((base / path).exists() or any(base.glob(path)))
    )


def test_named_files_exist(repo_root):
    named = {str(page.relative_to(repo_root)): page for page in pages(repo_root)}
    assert len(named) > 60
    faults = {name: missing(repo_root, page) for name, page in named.items()}
    assert {name: paths for name, paths in faults.items() if paths} == {}


@pytest.mark.parametrize(
    'text', ['see `tools/nothing.py`', '[x](nothing.md)', 'configs/{a,lavt}_tiny_*.py']
)
def test_a_missing_file_is_found(repo_root, tmp_path, text):
    page = tmp_path / 'page.md'
    page.write_text(text)
    assert missing(repo_root, page)
