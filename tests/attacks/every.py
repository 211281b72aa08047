"""All attacks by scripts."""

from __future__ import annotations

from on_files import ON_FILES
from on_interpreter import ON_INTERPRETER
from on_memory_and_time import ON_MEMORY_AND_TIME
from on_network import ON_NETWORK
from on_processes import ON_PROCESSES
from on_results import ON_RESULTS

EVERY = [*ON_FILES, *ON_NETWORK, *ON_PROCESSES, *ON_MEMORY_AND_TIME, *ON_INTERPRETER, *ON_RESULTS]
