"""`visual-erm serve`: the judge's model behind several vLLM servers, kept alive, with a file that says where they are.

    options, machine, model --plan--> servers --supervisor--> processes, logs, endpoints file

`plan` is a pure function of what was asked for and what was found; `supervisor` owns the processes, each behind a process
guard that lets none of them outlive it.
"""
