#!/usr/bin/env bash
# GRPO for the tiny policy on this machine's CPU, with the local judge; `make demo` makes its model and its data.
#
#     SEED=0 STEPS=45 rl_scripts/run_tiny_cpu.sh [any.key=value …]
#
# Writes to outputs/tiny/seed$SEED: journal/ (one line per rollout), metrics.jsonl (one line per step), checkpoints/ (the
# final policy, as a Hugging Face model under global_step_$STEPS/actor/huggingface) and hydra/ (the composed recipe).
# The recipe is configs/policy/tiny.yaml and configs/cluster/cpu.yaml. PYTHON chooses the interpreter; otherwise
# it is that of .venv in the checkout.
set -euo pipefail

seed=${SEED:-0}
steps=${STEPS:-45}

here=$(dirname "$0")/../.venv/bin/python
[ -x "$here" ] || here=python

exec "${PYTHON:-$here}" -m visual_erm.train task=table judge=local policy=tiny cluster=cpu \
    run_dir="outputs/tiny/seed$seed" data.seed="$seed" trainer.total_training_steps="$steps" "$@"
