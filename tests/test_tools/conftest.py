# SPDX-License-Identifier: Apache-2.0
"""Tools in this process, which saves the seconds that their imports take."""

import importlib.util
import sys

import pytest


@pytest.fixture(scope='session')
def load_tool(repo_root):
    """Loads a tool as a module."""

    def load(path):
        name = path.removesuffix('.py').replace('/', '_')
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(
                name, repo_root / 'tools' / path
            )
            # Data classes look their module up.
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return sys.modules[name]

    return load


@pytest.fixture
def call_tool(load_tool, monkeypatch, capsys):
    """Calls a tool's main() with a command line; returns what it printed."""

    def call(path, *args):
        module = load_tool(path)
        monkeypatch.setattr(sys, 'argv', [path, *map(str, args)])
        module.main()
        return capsys.readouterr().out

    return call
