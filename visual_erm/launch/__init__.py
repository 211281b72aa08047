"""`python -m visual_erm.launch …`: one run over the nodes of a cluster, started on each of them by the same command.

    environment --place--> rank, nodes, head
    arguments, variables --recipe--> overrides, what each node needs --commands--> Ray's command, the training's command
    head: Ray, all nodes there, training, verdict        worker: Ray, until the head's verdict

`place`, `recipe` and `commands` decide and start nothing; `head` and `worker` own the processes, each behind a keeper that
lets none of them outlive it, and talk through `cluster`, which is what Ray knows of its nodes.
"""
