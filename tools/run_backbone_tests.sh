#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of hosts of MMPretrain and timm, of low-rank adapters, and those of
# hosts and text encoders that take too long for the whole suite, in an
# environment of their own that is made as docs/install.md says:
#   bash tools/run_backbone_tests.sh [options of pytest]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/_env.sh

# torchvision 0.16.2 has no files for Python 3.12.
for name in ${PYTHON:-python3.11 python3.10 python3 python}; do
  if "$name" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))' \
    2>/dev/null; then
    PYTHON="$name"
    break
  fi
  PYTHON=''
done
[ -n "$PYTHON" ] || fail 'no Python 3.10 or 3.11 found; name one: PYTHON=/path/to/python3'
MMCADFORMER_VENV="${MMCADFORMER_BACKBONE_VENV:-$REPO_ROOT/.venv_backbones}"
prepare_environment onedl tests export

stamp="$MMCADFORMER_VENV/mmcadformer/backbones-$(fingerprint backbones)"
if [ ! -e "$stamp" ]; then
  pip_install --no-deps torchvision==0.16.2
  pip_install -r requirements/mmpretrain.txt -c requirements/constraints.txt
  pip_install --no-deps -r requirements/timm.txt
  pip_install -r requirements/lora.txt -c requirements/constraints.txt
  touch "$stamp"
fi

export OMP_NUM_THREADS=1 MMCADFORMER_NEED_HOSTS=1
exec "$VENV_PYTHON" -m pytest -q tests/test_models/test_hosts.py \
  tests/test_models/test_hosts_extra.py \
  tests/test_models/test_adapters.py tests/test_models/test_adapter_files.py \
  tests/test_models/test_text_encoders.py tests/test_export/test_export_hosts.py "$@"
