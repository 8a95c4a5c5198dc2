#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains in several processes of this machine, one per GPU, or on the CPU without.
#   bash tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# On several machines, set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: bash $0 CONFIG PROCESSES [options of tools/train.py]" >&2
    exit 2
fi
CONFIG=$1
PROCESSES=$2
shift 2
exec bash "$(dirname "$0")/misc/torchrun.sh" "$PROCESSES" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"
