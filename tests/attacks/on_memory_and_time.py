"""Scripts that take more than their share of memory, time or pixels, or that just end."""

import ctypes
import mmap
import os
import signal
import sys
import threading
import time

from attack import Attacks
from inside import MB, syscall

ON_MEMORY_AND_TIME = Attacks("memory and time")


@ON_MEMORY_AND_TIME.add()
def allocates_in_one_piece(world):
    return len(bytearray(1500 * MB)) > 0


@ON_MEMORY_AND_TIME.add()
def allocates_in_small_pieces(world):
    return sum(len(piece) for piece in [bytearray(MB) for _ in range(1500)]) > 0


@ON_MEMORY_AND_TIME.add()
def makes_an_array_too_large(world):
    import numpy

    return numpy.zeros((15_000, 15_000)).size > 0


@ON_MEMORY_AND_TIME.add()
def shares_memory_with_nobody(world):
    return len(mmap.mmap(-1, 1500 * MB)) > 0


@ON_MEMORY_AND_TIME.add()
def keeps_memory_in_a_file_without_a_name(world):
    os.ftruncate(os.memfd_create("hidden"), 1500 * MB)
    return True


@ON_MEMORY_AND_TIME.add()
def keeps_memory_in_a_segment(world):
    private, exclusive = 0, 0o1600
    segment = syscall("shmget", private, MB, exclusive)
    ctypes.CDLL(None).shmctl(segment, 0, None)
    return True


@ON_MEMORY_AND_TIME.add()
def keeps_memory_in_shared_files(world):
    from multiprocessing.shared_memory import SharedMemory

    shared = SharedMemory(world.mark, create=True, size=MB)
    shared.unlink()
    return True


@ON_MEMORY_AND_TIME.add()
def keeps_memory_in_message_queues(world):
    syscall("mq_open", world.mark.encode(), os.O_CREAT | os.O_RDWR, 0o600, None)
    ctypes.CDLL(None).mq_unlink(f"/{world.mark}".encode())
    return True


@ON_MEMORY_AND_TIME.add()
def locks_memory(world):
    memory = mmap.mmap(-1, 8 * MB)
    return ctypes.CDLL(None).mlock(ctypes.byref(ctypes.c_char.from_buffer(memory)), 8 * MB) == 0


@ON_MEMORY_AND_TIME.add(ends="RenderLimit", whole=True)
def draws_a_figure_of_three_hundred_inches(world):
    from matplotlib import pyplot

    pyplot.figure(figsize=(300, 300), dpi=20).add_axes((0, 0, 1, 1)).plot([1, 2])


@ON_MEMORY_AND_TIME.add(ends="RenderLimit", whole=True)
def draws_ten_thousand_dots_per_inch(world):
    from matplotlib import pyplot

    pyplot.figure(figsize=(0.5, 0.5), dpi=10_000).add_axes((0, 0, 1, 1)).plot([1, 2])


@ON_MEMORY_AND_TIME.add(ends="RenderLimit", whole=True)
def goes_round_the_cap_on_pixels(world):
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import RendererAgg

    for cell in RendererAgg.__init__.__closure__ or ():
        if getattr(cell.cell_contents, "__name__", "") == "__init__":
            RendererAgg.__init__ = cell.cell_contents
    pyplot.figure(figsize=(50, 50)).add_axes((0, 0, 1, 1)).plot([1, 2])


@ON_MEMORY_AND_TIME.add()
def converts_an_array_that_grows(world):
    import numpy

    return numpy.ones((9000, 9000), numpy.uint8).astype("complex128").size > 0


@ON_MEMORY_AND_TIME.add(ends="RenderLimit", endless=True)
def never_ends(world):
    while True:
        pass


@ON_MEMORY_AND_TIME.add(ends="RenderLimit", endless=True)
def never_ends_whatever_the_signal(world):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001
            continue


@ON_MEMORY_AND_TIME.add(ends="RenderLimit", endless=True)
def waits_in_tiny_pieces(world):
    while True:
        time.sleep(0.001)


@ON_MEMORY_AND_TIME.add(ends="RenderLimit", endless=True)
def computes_in_one_call_of_c(world):
    return sum(range(10**15)) > 0


@ON_MEMORY_AND_TIME.add(ends="RenderLimit", endless=True)
def computes_a_number_without_end(world):
    return 9**9**8 > 0


@ON_MEMORY_AND_TIME.add(ends="RenderLimit", endless=True, whole=True)
def never_ends_while_it_is_drawn(world):
    from matplotlib.figure import Figure

    draw(b"drawn")  # noqa: F821  of `inside`
    Figure.draw = lambda *_: time.sleep(600)


@ON_MEMORY_AND_TIME.add(ends="RenderFailed")
def ends_at_once(world):
    os._exit(0)


@ON_MEMORY_AND_TIME.add(ends="RenderFailed")
def aborts(world):
    os.abort()


@ON_MEMORY_AND_TIME.add(ends="RenderFailed")
def reads_where_nothing_is(world):
    ctypes.string_at(0)


@ON_MEMORY_AND_TIME.add(ends="RenderFailed")
def calls_itself_until_the_stack_ends(world):
    sys.setrecursionlimit(1 << 30)
    import functools

    def deeper(number):
        return functools.reduce(lambda one, other: deeper(other), [1, number + 1])

    return deeper(0)


@ON_MEMORY_AND_TIME.add(ends="RenderFailed", whole=True)
def ends_while_it_is_drawn(world):
    from matplotlib.figure import Figure

    draw(b"drawn")  # noqa: F821  of `inside`
    Figure.draw = lambda *_: os._exit(0)


@ON_MEMORY_AND_TIME.add(endless=True)
def leaves_a_thread_that_never_ends(world):
    threading.Thread(target=threading.Event().wait).start()
    return True
