"""Settings of the sandbox that runs code which a model wrote."""

from __future__ import annotations

from typing import Literal

from visual_erm.spec.base import Count, Settings

Layer = Literal["bubblewrap", "landlock", "seccomp", "rlimits"]
"""A mechanism of isolation."""
Guarantee = Literal["network", "files", "processes", "memory", "time"]
"""What isolation must hold: no network, only allowed files, no new process, bounded memory, bounded time."""


class SandboxSettings(Settings):
    """Isolation of code that a model wrote. Its empty environment and its wall-clock limit cannot be switched off."""

    layers: tuple[Layer, ...] = ("bubblewrap", "landlock", "seccomp", "rlimits")
    """Applied where the machine allows them; take one out only to find the cause of a problem."""
    require: tuple[Guarantee, ...] = ("network", "files", "processes", "memory", "time")
    """What must be certain before any code runs: no network, no file beyond the allowed ones, no new process, limits of
    memory and of time. Take one out only where the machine itself is a sandbox."""
    memory_mb: Count = 1024
    """What one render may allocate beyond the libraries, in MiB; over it the code is at fault."""
    disk_mb: Count = 64
    """What one render may write to its own temporary folder, in MiB."""
