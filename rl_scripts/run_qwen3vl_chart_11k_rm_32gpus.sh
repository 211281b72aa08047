#!/usr/bin/env bash
# GRPO for Qwen3-VL-8B on 11,000 charts, rewarded by the reward model: the paper's recipe, on 32 GPUs.
#
#     TRAIN_FILES=DATA/train.parquet VAL_FILES=DATA/test.parquet ENDPOINTS_FILE=outputs/endpoints.txt \
#         bash rl_scripts/run_qwen3vl_chart_11k_rm_32gpus.sh [any.key=value …]
#
# Start it on every node, by whatever the cluster has: NODE_RANK, NNODES and MASTER_ADDR; torchrun --nproc-per-node=1 --no-python;
# PAI; srun, or `sbatch --nodes=4 slurm/train.sbatch rl_scripts/run_qwen3vl_chart_11k_rm_32gpus.sh`. Started again it goes on from the last checkpoint.
#
# TRAIN_FILES, VAL_FILES   parquet files, with commas between several
# ENDPOINTS_FILE           who judges: a file or folder that serve_reward_model.sh keeps up to date
# JUDGE_URLS               … or base URLs, with commas: http://10.0.0.1:8000/v1
# REWARD_MODEL             … or the folder of the reward model, for veRL to run it beside the policy
# MODEL_PATH               the policy; by default Qwen3-VL-8B-Instruct
# GPUS                     32 (the default, 4 nodes of 8), 8 (one node) or 1 (LoRA)
# RUN_DIR                  all that the run writes (outputs/qwen3vl_chart_11k_rm); on a file system that all nodes share
#
# `DRY_RUN=1` prints the commands of this node. docs/clusters.md has the rest: RAY_PORT, TOKEN_FILE, DASHBOARD_HOST,
# JOIN_TIMEOUT_S, exit codes. PYTHON chooses the interpreter; otherwise it is that of .venv in the checkout.
set -euo pipefail

here=$(dirname "$0")/../.venv/bin/python
[ -x "$here" ] || here=python

exec "${PYTHON:-$here}" -m visual_erm.launch task=chart policy=qwen3vl_8b engine=megatron cluster=32gpu \
    run_dir=outputs/qwen3vl_chart_11k_rm -- "$@"
