"""Between veRL and the rewards: how a call of veRL's becomes a number, the same for every reward function.

veRL loads a file of `reward_func/` and awaits its `compute_score` for every rollout, in several Ray actors, each with an
event loop of its own. The file declares its reward as a `RewardFunction`, and passes every call on to it.

What `compute_score` takes, beside the arguments that the file itself describes:

    data_source              The row's `data_source`. It picks the task when the run has several.
    solution_str             The policy's reply.
    ground_truth             The row's `reward_model.ground_truth`. Rewards that compare code need it; others ignore it.
    extra_info               The row's `extra_info`. `index` names the row in messages. `reference` holds the reference
                             image: {"bytes": …}, or {"path": …} relative to `data_root`. `renderer_version`, where it is
                             there, must be that of the renderer used here. `split` and `global_steps` go into the log.
    task                     A task or a mixture of tasks, by name, file or mapping.
    failure                  What a rollout gets that could not be scored: see `visual_erm.spec.judge.FailurePolicy`.
                             The visual-equivalence reward finds it in the judge's settings.
    rollout_log              Folder of the rollout log: one JSON line per call, one file per worker. None: no log.
    data_root                Folder that the references' paths start from. None: the working directory.
    allow_outside_data_root  True: references may be outside of that folder. By default such a row is a ConfigError.
    reward_router_address    Host and port of a reward model that veRL runs itself; only for `judge: colocated`.
    reward_model_tokenizer   Ignored. veRL passes it.

What it returns: plain floats, the same keys for every rollout of a run.

    score                    The reward. Its range is the reward's: see the file, or the task's `scoring`.
    extract_ok               Baselines: 1 if the reply holds code of the task's languages, else 0.
    render_ok                1 if there is an image of the reply's code, else 0. Not for rewards that look at code alone.
    scored_ok                0 if the infrastructure failed, and the reward is a neutral one; else 1.
    invalid                  1 if the reward is the minimum, whatever the severity is.
    outcome_<name>           1 for the reason why scoring ended, 0 for the others: see `visual_erm.reward.outcome.Outcome`.
    severity                 S, the sum of severities, 0 or more, or what a guard raised it to.
    severity_unfloored       S without the floor of the guard `under_reporting`.
    severity_floor           That floor as a share of the scale, 0 to 1. A batch that is normalised has its own scale.
    severity_scale           The S from which on the reward is the lowest of an image.
    <category>_count         Discrepancies of that category, for each category of any task of the run.
    truncated                1 if the judge's report was cut off.
    missing_glyphs           Characters of the render that no font could show; they all look like the same box.
    guard_<name>             1 if that guard found something: see `visual_erm.guard.runner.GUARDS`; teds has `tag_stuffing`.
    judge_<name>             What the judgement cost: see `visual_erm.judge.usage.JudgeUsage`.
    <stage>_ms               Milliseconds spent in `extract`, `render`, `guard`, `judge` or `compare`.
    refine_<name>            Under agent=refine: `turns` (answers), `rewarded_turn` (the answer that the other numbers are
                             of, from 1), `first_score` and `last_score`. The judge's cost and the times are of all turns.

What it raises stops the run, and the reason is then in `abort_reason.txt` in the folder of the rollout log:

    ConfigError              A setting is wrong, or the row does not fit: it has no task, no reference or no ground truth,
                             or another renderer made its reference.
    InfrastructureError      Too many rollouts could not be scored, or one and `failure` says `abort`.
"""

from visual_erm.adapter.reward_function import RewardFunction, Rollout, Scored, Scorer

__all__ = ["RewardFunction", "Rollout", "Scored", "Scorer"]
