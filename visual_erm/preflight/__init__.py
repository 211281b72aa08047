"""The check before GPUs are spent: everything about a run that can be found out in seconds, reported at once.

Each check is a small function of a `RunContext` that finds problems (findings.py). Nothing here changes the configuration,
and nothing is left running. What depends on a check that found something waits until that is fixed, so that nothing is
reported twice. Exit codes: 0 nothing was found; 2 the run must be changed; 1 a check itself failed.
"""
