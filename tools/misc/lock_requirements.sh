#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes requirements/lock.txt: what the two commands of the README install, with
# versions and hashes, for every supported Python and system. PyTorch is left out.
# Needs uv (pip install uv); arguments go to it, such as --upgrade.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
  --no-annotate --no-emit-package torch \
  --overrides requirements/lock_overrides.txt \
  --custom-compile-command 'bash tools/misc/lock_requirements.sh' \
  --output-file requirements/lock.txt "$@" \
  requirements/{runtime,onedl,tests,geo,demo,export,openvino,nltk}.txt
