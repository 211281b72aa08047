"""Who goes first where processors are scarce: a reward worker's event loop and its requests, then what draws for it.

A judge's server that waits for its next request is dearer than a image that comes a little later; where no server judges,
nothing steps back. Renderers have more processes than a small machine has cores, and would keep a loop from going on for
0.1 to 0.3 s at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

NICER = 5
"""Than this process: a third of its share of a processor that both want, all of one that nobody else wants. Drawing has
limits of time, and on a busy machine more than this would use them up."""
TRIES, PAUSE_S = 5, 0.11
"""Linux takes one such wish of all its users in a tenth of a second."""


async def lower_priority(pid: int) -> None:
    """Puts the session that `pid` leads, or is in, behind this process: all its threads, and whatever they will start.

    Where Linux shares processors out by session (`kernel.sched_autogroup_enabled`), niceness counts within a session only,
    and the session itself is made nicer. A process of this process's own group is left alone. Threads that see to
    their own niceness later, as those of root's Chromium do, keep it.
    """
    # Whoever draws draws on, whatever its place: the process may be gone, or a member of its group be another user's.
    with contextlib.suppress(OSError):
        group = os.getpgid(pid)
        if group == os.getpgrp():
            return
        os.setpriority(os.PRIO_PGRP, group, os.getpriority(os.PRIO_PROCESS, 0) + NICER)
    shares = Path(f"/proc/{pid}/autogroup")
    for _ in range(TRIES):
        try:
            await asyncio.to_thread(shares.write_text, str(NICER))
            return
        except BlockingIOError:
            await asyncio.sleep(PAUSE_S)
        except OSError:
            # This kernel does not share processors out by session, or the process is gone.
            return
