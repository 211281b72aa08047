"""`python -m visual_erm.launch …`: one run over the nodes of a cluster, started on each of them by the same command.

    environment --topology--> rank, nodes, head
    arguments, variables --recipe--> overrides, what each node needs --commands--> Ray's command, the training's command
    head: Ray, all nodes there, training, exit code        worker: Ray, until the head's exit code

`topology`, `recipe` and `commands` decide and start nothing. `head` and `worker` own the processes, each behind a process
guard that lets none of them outlive it, and talk through `cluster`, which is what Ray knows of its nodes.
"""
