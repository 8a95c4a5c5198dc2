#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of models in the documentation from their metafiles.

``model-index.yml`` lists the metafiles, one a method. A page that is made from them is
one entry of :data:`PAGES`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmengine.fileio import load
from tabulate import tabulate

from mmcadformer.utils.command_line import user_errors
from mmcadformer.utils.files import write_text

ROOT = Path(__file__).resolve().parents[2]
METRICS = ('mIoU', 'oIoU', 'Pr@0.5')


@dataclass(frozen=True)
class Method:
    """What one metafile holds.

    Args:
        collection: The method: paper, code, published cost.
        models: Its configs: cost, our results, published results.
    """

    collection: dict
    models: list[dict]


def read_methods(root: Path) -> list[Method]:
    """Reads every metafile that ``model-index.yml`` lists, in its order."""
    methods = []
    for name in load(root / 'model-index.yml')['Import']:
        content = load(root / name)
        (collection,) = content['Collections']
        methods.append(Method(collection, content['Models']))
    return methods


def scores(entry: dict) -> str:
    """The scores of :data:`METRICS`, with a dash where one isn't known."""
    metrics = entry['Metrics']
    return ' / '.join(f'{metrics[k]:.2f}' if k in metrics else '-' for k in METRICS)


def model_row(model: dict, folder: Path) -> list[str]:
    """Cells of one config; links start from ``folder``."""
    cost, published = model['Metadata'], model.get('Published')
    results = [
        f'[{scores(result)}]({os.path.relpath(result["Report"], folder)})'
        for result in model.get('Results', [])
    ]
    return [
        f'[{model["Name"]}]({os.path.relpath(model["Config"], folder)})',
        model['Description'],
        cost['Training Data'],
        f'{cost["Parameters"] / 1e6:.2f}',
        f'{cost["FLOPs"] / 1e9:.2f}',
        ', '.join(results),
        f'{scores(published)} ({published["Source"]})' if published else '',
    ]


def method_section(method: Method, page: str) -> str:
    """Heading, sources and table of one method."""
    collection, folder = method.collection, Path(page).parent
    headers = ['config', 'what it is', 'data', 'parameters, M', 'GFLOPs']
    headers += ['ours', 'published']
    table = tabulate(
        [model_row(model, folder) for model in method.models],
        headers,
        'github',
        disable_numparse=True,
        colalign=('left', 'left', 'left', 'right', 'right', 'left', 'left'),
    )
    paper, published = collection['Paper'], collection['Published']
    readme = os.path.relpath(collection['README'], folder)
    return (
        f'## {collection["Name"]}\n\n'
        f'{paper["Authors"]}, [{paper["Title"]}]({paper["URL"]}), {paper["Venue"]}.\n'
        f"The authors' code: <{collection['Original Code']}>. "
        f'[How ours relates to it]({readme}).\n'
        f'Published cost: {published["Parameters"] / 1e6:.2f} M parameters, '
        f'{published["FLOPs"] / 1e9:.2f} GFLOPs ({published["Source"]}; '
        f'{published["Note"]}).\n\n{table}\n'
    )


def configs_page(methods: list[Method], page: str) -> str:
    """``configs/README.md``: every config with what it costs and reaches."""
    intro = """# Configs

`<method>_<backbone>_<dataset>.py`; what they inherit is in `_base_/`. Any of them:
`python tools/train.py CONFIG`, `python tools/test.py CONFIG CHECKPOINT`.

This page is written by `python tools/misc/model_tables.py` from the metafiles in
`metafiles/`; don't edit it.

- **Parameters and GFLOPs** are ours, measured with `tools/analysis/get_flops.py` at the
  config's input size with 20 tokens. One multiply-add is two FLOPs; BERT counts.
- **Ours** is mIoU / oIoU / Pr@0.5, measured with this code; the link says on what.
- **Published** is the same as the named source reports it. None of it was reproduced
  here, so don't read it as what a config reaches.
"""
    return '\n'.join([intro, *(method_section(method, page) for method in methods)])


PAGES: dict[str, Callable[[list[Method], str], str]] = {
    'configs/README.md': configs_page
}
"""Page, relative to the checkout -> what writes it from the methods."""


def main() -> None:
    """Writes the pages, or says which are not what would be written."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument(
        '--check',
        action='store_true',
        help='write nothing; exit with 1 if a page is out of date',
    )
    parser.add_argument(
        '--root', type=Path, default=ROOT, help='the checkout (default: this one)'
    )
    args = parser.parse_args()
    with user_errors():
        methods = read_methods(args.root)
        stale = []
        for page, write in PAGES.items():
            path, text = args.root / page, write(methods, page)
            if not path.is_file() or path.read_text(encoding='utf-8') != text:
                stale.append(page)
                if not args.check:
                    write_text(path, text)
    for page in stale:
        print(f'{page} is out of date' if args.check else f'wrote {page}')
    sys.exit(bool(stale) and args.check)


if __name__ == '__main__':
    main()
