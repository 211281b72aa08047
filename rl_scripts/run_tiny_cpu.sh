#!/usr/bin/env bash
# GRPO for the tiny policy on this machine's CPU, with the local judge; `make demo` makes its model and its data.
#
#     TASK=table SEED=0 STEPS=45 rl_scripts/run_tiny_cpu.sh [any.key=value …]
#
# TASK is table, chart, svg, or mixed: all three in one run. What `make demo TASK=…` made is read from outputs/tiny for
# tables, from outputs/tiny-$TASK for the others. Writes to seed$SEED in there: rollout_log/ (one line per rollout),
# metrics.jsonl (one line per step), checkpoints/ (the final policy, as a Hugging Face model under
# global_step_$STEPS/actor/huggingface) and hydra/ (the composed recipe).
# The recipe is configs/policy/tiny.yaml and configs/cluster/cpu.yaml. PYTHON chooses the interpreter; otherwise
# it is that of .venv in the checkout.
set -euo pipefail

task=${TASK:-table}
seed=${SEED:-0}
steps=${STEPS:-45}

here=$(dirname "$0")/../.venv/bin/python
[ -x "$here" ] || here=python

out=outputs/tiny-$task
# Severity at which nothing is left of the visual reward: these pictures have few parts.
case $task in
    table) out=outputs/tiny; set -- task.scoring.s_max=18 "$@" ;;
    chart) set -- task.scoring.s_max=24 "$@" ;;
    svg) set -- task.scoring.s_max=12 "$@" ;;
    mixed)
        set -- task.tasks.table.scoring.s_max=18 task.tasks.chart.scoring.s_max=24 task.tasks.svg.scoring.s_max=12 "$@"
        # As many prompts of each task, and their rollouts still in one batch.
        set -- data.train_batch_size=18 actor_rollout_ref.rollout.max_num_seqs=144 "$@"
        ;;
esac

exec "${PYTHON:-$here}" -m visual_erm.train task="$task" judge=local policy=tiny cluster=cpu tiny_data="$out" \
    run_dir="$out/seed$seed" data.seed="$seed" trainer.total_training_steps="$steps" "$@"
