#!/bin/bash
# One shard of the list a task; no Ray. Submit it again after a failure: what is done stays done.
#   sbatch --array=0-99 slurm_array.sh /archive/list.csv /archive/denoised
#   sbatch --dependency=afterany:JOB --wrap 'ldctdenoise batch-report /archive/denoised --audit'
#SBATCH --job-name=ldctdenoise
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --gres=gpu:1
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
set -eu
exec ldctdenoise batch "$1" "$2" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --quiet "${@:3}"
