#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks style and types, in the environment of the tests. `--fix` mends what can be
# mended without thought: bash tools/run_checks.sh --fix
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/_env.sh
prepare_environment onedl tests geo demo export openvino nltk

case "${1:-}" in
  '') ;;
  --fix)
    "$VENV_PYTHON" -m ruff check --quiet --exit-zero --fix .
    "$VENV_PYTHON" -m ruff format --quiet .
    ;;
  *) fail "unknown option $1; there is --fix" ;;
esac
"$VENV_PYTHON" -m ruff check .
"$VENV_PYTHON" -m ruff format --check .
"$VENV_PYTHON" -m mypy
