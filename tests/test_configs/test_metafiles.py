# SPDX-License-Identifier: Apache-2.0
"""Metafiles name every config once, with its true size; tables are made from them."""

import json
import re
import shutil
from collections import Counter

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmcadformer  # noqa: F401  (registers the components)
from mmcadformer.utils.config import leaf_datasets

DATA = {
    'RRSISDDataset': 'RRSIS-D',
    'RRSISHRDataset': 'RRSIS-HR',
    'RefSegRSDataset': 'RefSegRS',
    'RISBenchDataset': 'RISBench',
    'SynthRSDataset': 'SynthRS',
    'ReferringJsonDataset': 'your own',
    'ReferringSegDataset': 'your own',
    'aeriald': 'Aerial-D',
    'NWPUReferDataset': 'NWPU-Refer',
    'GRefCOCODataset': 'gRefCOCO',
}


@pytest.fixture(scope='module')
def metafiles(repo_root) -> dict[str, dict]:
    return {
        name: load(repo_root / name)
        for name in load(repo_root / 'model-index.yml')['Import']
    }


@pytest.fixture(scope='module')
def entries(metafiles) -> dict[str, dict]:
    """Config -> what a metafile says of it."""
    return {
        model['Config']: model
        for content in metafiles.values()
        for model in content['Models']
    }


@pytest.fixture(scope='module')
def count_parameters():
    """Counts them on PyTorch's meta device, once for configs of one model."""
    counts = {}

    def count(path) -> int:
        cfg = Config.fromfile(path).model
        text = json.dumps(cfg.to_dict(), sort_keys=True)
        if text not in counts:
            with torch.device('meta'):
                model = MODELS.build(cfg)
            counts[text] = sum(p.numel() for p in model.parameters())
        return counts[text]

    linspace = torch.linspace  # mmseg reads its values while it builds
    init_default_scope('mmseg')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch, 'linspace', lambda *a, **k: linspace(*a, **{**k, 'device': 'cpu'})
        )
        yield count


def test_every_metafile_is_in_the_index(repo_root, metafiles):
    on_disk = (repo_root / 'configs' / 'metafiles').glob('*')
    assert {str(path.relative_to(repo_root)) for path in on_disk} == metafiles.keys()


def test_every_config_is_named_once(metafiles, config_names):
    models = [model for content in metafiles.values() for model in content['Models']]
    assert Counter(model['Config'] for model in models) == Counter(config_names)
    assert len({model['Name'] for model in models}) == len(models)
    for model in models:
        assert model['Config'].endswith(f'/{model["Name"]}.py')


def test_collections_are_named_by_their_models(metafiles):
    for content in metafiles.values():
        (collection,) = content['Collections']
        assert {m['In Collection'] for m in content['Models']} == {collection['Name']}


def test_published_scores_name_their_source(entries, metafiles):
    published = [
        model['Published'] for model in entries.values() if 'Published' in model
    ]
    published += [c['Collections'][0]['Published'] for c in metafiles.values()]
    assert len(published) >= 24
    assert all('Table' in entry['Source'] for entry in published)


def test_config_builds_with_the_size_that_is_stated(
    repo_root, entries, config_name, count_parameters
):
    cost = entries[config_name]['Metadata']
    assert count_parameters(repo_root / config_name) == cost['Parameters']
    assert cost['FLOPs'] > 0


def test_data_of_the_config_is_what_is_stated(repo_root, entries, config_name):
    cfg = Config.fromfile(repo_root / config_name)
    leaves = leaf_datasets(cfg.train_dataloader.dataset)
    names = ', '.join(
        DATA.get(leaf.get('name', ''), DATA[leaf.type]) for _, leaf in leaves
    )
    assert entries[config_name]['Metadata']['Training Data'] == names


@pytest.mark.parametrize(
    'name', ['configs/cadformer_tiny_synthrs.py', 'configs/lgce_tiny_synthrs.py']
)
def test_flops_are_those_of_the_tool(entries, fork_tool, repo_root, name, tmp_path):
    """Of two small ones; the tool's own tests hold a full-size one."""
    size = ('--shape', 96, '--tokens', 20, '--json')
    process = fork_tool('analysis/get_flops.py', repo_root / name, *size, cwd=tmp_path)
    result = process.wait()
    assert json.loads(result.stdout)['flops'] == entries[name]['Metadata']['FLOPs']


def test_pages_are_what_the_generator_writes(run_tool, tmp_path):
    result = run_tool('misc/model_tables.py', '--check', cwd=tmp_path, check=False)
    assert (result.returncode, result.stdout) == (0, ''), result.stderr


def test_a_page_that_is_out_of_date_is_named_and_rewritten(
    repo_root, fork_tool, tmp_path
):
    shutil.copy(repo_root / 'model-index.yml', tmp_path)
    shutil.copytree(repo_root / 'configs', tmp_path / 'configs')
    (tmp_path / 'docs').mkdir()
    shutil.copy(repo_root / 'docs' / 'model_zoo.md', tmp_path / 'docs')
    page = tmp_path / 'configs' / 'README.md'
    page.write_text(page.read_text().replace('63.77', '99.99'))
    command = ('misc/model_tables.py', '--root', tmp_path)
    stale = fork_tool(*command, '--check', cwd=tmp_path).wait()
    assert stale.returncode == 1
    assert stale.stdout == 'configs/README.md is out of date\n'
    assert '99.99' in page.read_text()

    assert fork_tool(*command, cwd=tmp_path).wait().returncode == 0
    assert page.read_text() == (repo_root / 'configs' / 'README.md').read_text()


def test_links_of_the_page_lead_somewhere(repo_root):
    page = repo_root / 'configs' / 'README.md'
    links = re.findall(r'\]\(([^)#]+)\)', page.read_text())
    local = [link for link in links if '://' not in link]
    assert len(local) > 50
    assert [x for x in local if not (page.parent / x).resolve().exists()] == []
