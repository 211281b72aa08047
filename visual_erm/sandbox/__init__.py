"""Runs code that a model wrote, isolated from the trainer. The isolation is prepared once and costs a job milliseconds.

    Sandbox (host.py) --starts once--> forkserver.py --forks for each job--> worker.py --backends/--> pixels

The server imports what rendering needs before any job comes. A job runs in a fork of it, which isolates itself first
(isolation.py). Pixels come back through a socket that belongs to that job alone.
"""
