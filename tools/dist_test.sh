#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests in several processes of this machine, one per GPU, or on the CPU without.
#   bash tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of tools/test.py]
# On several machines, set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: bash $0 CONFIG CHECKPOINT PROCESSES [options of tools/test.py]" >&2
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
PROCESSES=$3
shift 3
exec bash "$(dirname "$0")/misc/torchrun.sh" "$PROCESSES" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
