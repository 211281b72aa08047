"""Code that a model wrote, run where it can do no harm: walls that are paid for once and cost a drawing milliseconds.

    Sandbox (host.py) --starts once--> server.py --forks for each drawing--> worker.py --toolkits/--> pixels

The server imports what drawing needs before any job comes; a job is a fork of it, behind its own walls (walls.py). Pixels
come back through a socket that belongs to that job alone.
"""
