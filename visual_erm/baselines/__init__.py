"""The paper's baselines: rewards that compare a reply's code with the ground truth's, or its image with the reference.

    reply --extract--> code [--render--> image] --compare(truth or reference)--> similarity = reward

No judge and no report: one number between 0 and 1. `pipeline` knows the way and whose fault a failure is, `run` keeps what
an event loop scores with; `trees`, `texts` and `structure` compare, the first two in processes of their own (`workers`).
"""
