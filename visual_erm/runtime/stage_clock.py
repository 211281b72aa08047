"""`StageClock`: how long one sample spends at each stage of the path.

clock = StageClock()
with clock("render"):
    ...
clock.milliseconds["render"]
"""

from __future__ import annotations

import time


class StageClock:
    """Adds up the time of one sample by stage. A stage that raises is counted too."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._stage = ""
        self._start = 0.0

    def __call__(self, stage: str) -> StageClock:
        """Names the stage that the next `with` block measures.

        Args:
            stage: Name of the stage, for example `render`. Its times are added up.

        Returns:
            This clock, a context manager.
        """
        self._stage = stage
        return self

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = (time.perf_counter() - self._start) * 1000
        self.milliseconds[self._stage] = self.milliseconds.get(self._stage, 0.0) + spent
