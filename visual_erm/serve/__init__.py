"""`visual-erm serve`: the judge's model behind several vLLM servers, kept alive, with a file that says where they are.

    wish, machine, model --plan--> servers --fleet--> processes, logs, endpoints file

`plan` is a pure function of what was asked for and what was found; `fleet` owns the processes, each behind a `keeper`
that lets none of them outlive it.
"""
