#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a clone to a trained model: draws scenes, trains a small CADFormer on them,
# tests it and writes overlays. Options: bash tools/quickstart.sh --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/_env.sh
prepare_environment onedl
exec "$VENV_PYTHON" tools/quickstart.py "$@"
