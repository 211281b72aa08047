"""The paper's baselines: rewards that compare a reply's code with the ground truth's, or its image with the reference.

    reply --extract--> code [--render--> image] --compare(ground truth or reference)--> similarity = reward

There is no judge and no report: one number between 0 and 1. `pipeline` has the stages and says whose fault a failure is.
`teds`, `edit_distance` and `ssim` compare; the first two run in processes of their own (`worker_pool`). veRL reaches them
through `visual_erm.adapter.baselines` and the files of `reward_func/`.
"""
