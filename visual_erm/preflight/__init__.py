"""The check before GPUs are spent: everything about a run that can be found out in seconds, told at once.

Each check is a small function of a `RunContext` that finds problems (findings.py). Nothing here changes the configuration,
and nothing is left running. What depends on a check that found something waits for it to be mended, so that nothing is told
twice. Exit codes: 0 nothing was found; 2 the run must be changed; 1 a check could not be done, by our own fault.
"""
