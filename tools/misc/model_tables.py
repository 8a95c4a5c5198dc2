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
        released: Networks whose weights its authors, or others, have released.
    """

    collection: dict
    models: list[dict]
    released: list[dict]


def read_methods(root: Path) -> list[Method]:
    """Reads every metafile that ``model-index.yml`` lists, in its order."""
    methods = []
    for name in load(root / 'model-index.yml')['Import']:
        content = load(root / name)
        (collection,) = content['Collections']
        released = content.get('Released', [])
        methods.append(Method(collection, content['Models'], released))
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


def released_row(released: dict, models: list[dict], folder: Path) -> list[str]:
    """Cells of one released network; links start from ``folder``."""
    (model,) = (m for m in models if m['Config'] == released['Config'])
    config = os.path.relpath(released['Config'], folder)
    cost, published = model['Metadata'], model.get('Published')
    if released['Training Data'] != cost['Training Data']:
        published = None
    where = f'[{released["File"]}]({released["Page"]})'
    if 'Hub' in released:
        where += f', {released["Size"] / 1e9:.2f} GB, downloaded by name'
    return [
        f'`{released["Name"]}`',
        released['Description'],
        released['Training Data'],
        f'[{Path(config).stem}]({config})',
        f'{cost["Parameters"] / 1e6:.2f}',
        f'{cost["FLOPs"] / 1e9:.2f}',
        f'{scores(published)} ({published["Source"]})' if published else '',
        where,
        released['License'],
    ]


def zoo_page(methods: list[Method], page: str) -> str:
    """``docs/model_zoo.md``: released weights, by the names under which they run."""
    headers = ['name', 'what it is', 'trained on', 'config', 'parameters, M', 'GFLOPs']
    headers += ['published', 'weights', 'licence']
    rows = [
        released_row(released, method.models, Path(page).parent)
        for method in methods
        for released in method.released
    ]
    align = (*('left',) * 4, 'right', 'right', *('left',) * 3)
    table = tabulate(rows, headers, 'github', disable_numparse=True, colalign=align)
    return ZOO_INTRO + f'\n{table}\n'


ZOO_INTRO = """# Model zoo

Weights that others have released, under a name. A name stands for a config with the
settings of the authors' code, the file with the weights, and its conversion.

```bash
python tools/infer.py IMAGE "the ship at the pier" --model remotesam
python tools/infer_scene.py SCENE.tif "the ship" --model remotesam  # 896 px tiles
python tools/infer.py IMAGE "the ship" --model rmsin_released \\
    --weights model_best_RMSIN.pth
# a page with a choice of models, all of them loaded: about 1 GB of memory each
python tools/demo.py --model remotesam --model rmsin_released=model_best_RMSIN.pth
python tools/export.py --model remotesam --out remotesam.onnx       # docs/export.md
```

```python
from mmcadformer.apis import ReferringInferencer, list_models
from mmcadformer.scene import SceneSegmentor

print(list_models())
(result,) = ReferringInferencer('remotesam')('photo.jpg', 'the ship at the pier')
SceneSegmentor.from_name('remotesam')('scene.tif', 'the ship')  # files in outputs/
```

- Where a file can be downloaded, the command says first what, from where, how large
  and under which licence. It comes through `huggingface_hub`: resumed, cached, with
  `HF_ENDPOINT` for mirrors and `HF_HUB_OFFLINE`. Its SHA-256 is compared with the
  published one, else with the hub's own. The tokenizer of `bert-base-uncased`
  (Apache-2.0, below 1 MB) is fetched from there, too.
- Where none can, get the file from its authors and give it with `--weights`.
- A file is read without running code from it; one that names programs is refused. It
  is converted once, into `~/.cache/mmcadformer` (`MMCADFORMER_CACHE`), under the hash
  of the original. A file of RemoteSAM's size and layout (2.57 GB, of which 0.95 GB are
  weights) took 8 s on one core, its pages in memory already, and 0.9 GB of memory
  beyond an idle import; pages of the file itself are not counted.
- A checkpoint of your own wins: `--model NAME --checkpoint FILE` takes the config of
  the name.
- FIANet's weights were trained on phrases that its authors' code finds with NLTK:
  `pip install -e '.[nltk]'`, then
  `python -m nltk.downloader punkt_tab averaged_perceptron_tagger_eng`. Without, add
  `--cfg-options model.text_encoder.phrases=rules` ([methods.md](methods.md)).
- RemoteSAM's own examples ask for a class as "the ship in the image".
- An index of your own: `MMCADFORMER_MODEL_INDEX=my/model-index.yml`, whose metafiles
  have `Released` entries like those in `configs/metafiles`.

**What was verified here:** on converted random weights, each network gives the
numbers of a second implementation in the authors' layout, in float64
(`tests/test_apis/test_model_zoo`), and takes every tensor of the authors' network at
full size. **What was not:** accuracy. None of the files could be had where this was
written; the published numbers are what their sources report. Which numbers were
obtained how: [evaluation.md](evaluation.md).
To find out on a data set, RRSIS-D or your own:

```bash
python tools/model_converters/released2mmcadformer.py remotesam \\
    RemoteSAMv1.pth remotesam.pth
python tools/test.py configs/remotesam_swinb_rrsisd.py remotesam.pth
```

This page is written by `python tools/misc/model_tables.py` from the metafiles; don't
edit it. Parameters and GFLOPs are ours, at the config's input size; published is mIoU
/ oIoU / Pr@0.5.
"""


PAGES: dict[str, Callable[[list[Method], str], str]] = {
    'configs/README.md': configs_page,
    'docs/model_zoo.md': zoo_page,
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
