"""A backend of ours that takes more than its share when it is told to: it stands for a library that a document keeps busy.

The sandbox and an unprotected runner both run it. A text names what it does; any other text is drawn as one color.
"""

import time

from visual_erm.sandbox.outcome import Rendering

REUSABLE = True
THREADS = False

MB = 1 << 20
SIDE = 100


def warm(options):
    """Prepares nothing."""


def enter(options):
    """Begins nothing."""


def render(code, options):
    """Does what the text says. After that, it never ends."""
    if code not in GREEDY:
        level = int(code)
        return Rendering(SIDE, SIDE, bytes([level, 0, 0]) * SIDE * SIDE)
    held = GREEDY[code]()
    time.sleep(600)
    return held


def _computes():
    while True:
        pass


def _computes_in_the_library():
    # One call of C, which looks at no signal.
    return sum(range(10**15))


def _sleeps():
    time.sleep(600)


def _allocates_at_once():
    return bytearray(1500 * MB)


def _allocates_bit_by_bit():
    return [bytearray(MB) for _ in range(1500)]


GREEDY = {
    "computes": _computes,
    "computes in the library": _computes_in_the_library,
    "sleeps": _sleeps,
    "allocates at once": _allocates_at_once,
    "allocates bit by bit": _allocates_bit_by_bit,
}
