#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains on a Slurm cluster, one process per GPU.
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# Set GPUS (all), GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS as needed.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: bash $0 PARTITION JOB_NAME CONFIG [options of tools/train.py]" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
shift 3
GPUS=${GPUS:-4}
GPUS_PER_NODE=${GPUS_PER_NODE:-4}
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
# SRUN_ARGS holds several words.
# shellcheck disable=SC2086
exec srun --partition="$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres=gpu:"$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="$CPUS_PER_TASK" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/train.py" "$CONFIG" --launcher slurm "$@"
