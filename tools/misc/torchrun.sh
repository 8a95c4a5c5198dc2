#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Starts a Python script in several processes: torchrun.sh PROCESSES SCRIPT [args]
set -euo pipefail
PROCESSES=$1
shift
NNODES=${NNODES:-1}
if [ "$NNODES" = 1 ] && [ -z "${PORT:-}" ]; then
    # A free port, so that several runs fit on one machine.
    RENDEZVOUS=(--standalone)
else
    RENDEZVOUS=(
        --node_rank="${NODE_RANK:-0}"
        --master_addr="${MASTER_ADDR:-127.0.0.1}"
        --master_port="${PORT:-29500}"
    )
fi
exec python -m torch.distributed.run --nnodes="$NNODES" \
    --nproc_per_node="$PROCESSES" "${RENDEZVOUS[@]}" "$@"
