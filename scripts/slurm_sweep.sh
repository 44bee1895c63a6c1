#!/bin/bash
# A sweep as an array of jobs: task I of N makes its share of the runs, the last one summarises.
#
#     sbatch --array=1-8 scripts/slurm_sweep.sh configs/sweep_digits.yaml runs/sweep_digits
#     imglab sweep configs/sweep_digits.yaml --out runs/sweep_digits --status
#
# A job that is killed is submitted again with the same line: it goes on where it was.
#SBATCH --job-name=imglab
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --gpus-per-task=1
#SBATCH --signal=INT@120
#SBATCH --output=%x-%A_%a.log
set -euo pipefail

config=${1:?usage: sbatch --array=1-N $0 CONFIG FOLDER}
folder=${2:?usage: sbatch --array=1-N $0 CONFIG FOLDER}
task=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

# `exec`, so that Slurm's signal reaches imglab, which saves and ends.
exec imglab sweep "$config" --out "$folder" --only "$task/$SLURM_ARRAY_TASK_COUNT"
