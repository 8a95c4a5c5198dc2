#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the tests; arguments go to pytest: bash tools/run_tests.sh tests/test_models -x
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/_env.sh
prepare_environment onedl tests geo demo export openvino nltk

# One thread per worker: more would compete for the same cores. The limit on
# workers is for memory: each one loads PyTorch.
export OMP_NUM_THREADS=1
exec "$VENV_PYTHON" -m pytest -n auto --maxprocesses 8 "$@"
