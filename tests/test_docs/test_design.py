# SPDX-License-Identifier: Apache-2.0
"""Section 2 of docs/design.md describes every folder of the package, and no other."""

import re


def test_every_folder_is_described_once(repo_root):
    text = (repo_root / 'docs' / 'design.md').read_text(encoding='utf-8')
    table = text.split('| folder of `mmcadformer/` |')[1].split('\n\n')[0]
    described = re.findall(r'^\| `([\w/]+)` \| (\S.*?) \|', table, re.MULTILINE)
    package = repo_root / 'mmcadformer'
    folders = {
        str(path.parent.relative_to(package))
        for path in package.rglob('*.py')
        # Some folders below a room only hold others.
        if path.name != '__init__.py' or path.parent.parent == package
    }
    assert sorted(name for name, _ in described) == sorted(folders - {'.'})
