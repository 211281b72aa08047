"""Garbage collection in a reward worker: between the steps, not while samples are under way."""

import subprocess
import sys

IDLE = """
import gc
from visual_erm.runtime import gc_tuning

full = []
gc.callbacks.append(lambda phase, info: full.append(info) if phase == "start" and info["generation"] == 2 else None)
with gc_tuning.track_sample():
    pass
print(len(full), gc.get_freeze_count() > 0)
with gc_tuning.track_sample():
    for _ in range(2 * gc_tuning.MANY):
        with gc_tuning.track_sample():
            pass
    print(len(full))
print(len(full))
for _ in range(gc_tuning.MANY - 1):
    with gc_tuning.track_sample():
        pass
print(len(full))
"""


def test_what_is_loaded_is_left_out_and_the_rest_waits_until_no_sample_is_under_way():
    told = subprocess.run([sys.executable, "-c", IDLE], capture_output=True, text=True, check=True).stdout
    assert told.split("\n")[:-1] == ["1 True", "1", "2", "2"]
