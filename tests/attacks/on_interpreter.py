"""Scripts that search the interpreter they run in for what others left there, or leave something for those to come."""

import ctypes
import gc
import os
import signal
import sys
import threading

from attack import Attacks
from inside import SECRET, secrets_in

ON_INTERPRETER = Attacks("interpreter")


@ON_INTERPRETER.add()
def looks_into_the_environment(world):
    return secrets_in(repr(dict(os.environ)).encode())


@ON_INTERPRETER.add()
def asks_the_c_library_for_the_environment(world):
    libc = ctypes.CDLL(None)
    variables = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, "environ")
    found = b""
    place = 0
    while variables[place]:
        found += variables[place] + b"\n"
        place += 1
    return secrets_in(found)


@ON_INTERPRETER.add()
def walks_all_objects(world):
    found = b""
    gc.unfreeze()
    for value in gc.get_referents(*gc.get_objects()):
        if type(value) is str:
            value = value.encode("utf-8", "replace")
        if type(value) is bytes:
            found += b" ".join(SECRET.findall(value))
    return found


@ON_INTERPRETER.add()
def walks_the_frames_above(world):
    found = b""
    frame = sys._getframe()
    while frame:
        found += repr([value for value in frame.f_locals.values() if type(value) in (str, bytes)]).encode()
        for value in frame.f_locals.values():
            found += repr(getattr(value, "__dict__", "")).encode("utf-8", "replace")
        frame = frame.f_back
    return secrets_in(found)


@ON_INTERPRETER.add()
def walks_all_modules(world):
    found = b""
    for module in list(sys.modules.values()):
        for value in list(vars(module).values()):
            if type(value) in (str, bytes, dict, list, tuple):
                found += secrets_in(repr(value).encode("utf-8", "replace"))
    return found


@ON_INTERPRETER.add()
def reads_memory_by_its_address(world):
    return ctypes.string_at(world.address, 64)


@ON_INTERPRETER.add()
def finds_the_code_of_another_drawing(world):
    gc.unfreeze()
    for names in gc.get_objects():
        for text in list(names.values()) if type(names) is dict else ():
            if type(text) is str and "other" + "-drawing" in text and "finds_the_code" not in text:
                return True


@ON_INTERPRETER.add()
def unpickles_a_command(world):
    import io
    import pickle

    class Command:
        def __reduce__(self):
            return os.system, (f"echo left > {world.drop}",)

    import numpy

    held = io.BytesIO()
    numpy.save(held, numpy.array([Command()], object), allow_pickle=True)
    numpy.load(io.BytesIO(held.getvalue()), allow_pickle=True)
    pickle.loads(pickle.dumps(Command()))


@ON_INTERPRETER.add(stays=True)
def replaces_how_figures_are_saved(world):
    from matplotlib.figure import Figure

    saving = Figure.savefig
    Figure.savefig = lambda figure, *args, **how: saving(figure, *args, **{**how, "facecolor": "red"})


@ON_INTERPRETER.add(stays=True)
def changes_the_style_for_good(world):
    import matplotlib

    matplotlib.rcParams["axes.facecolor"] = matplotlib.rcParamsDefault["axes.facecolor"] = "red"


@ON_INTERPRETER.add(stays=True)
def puts_a_callback_on_every_figure(world):
    from matplotlib.figure import Figure

    making = Figure.__init__

    def make(figure, *args, **how):
        making(figure, *args, **how)
        figure.canvas.mpl_connect("draw_event", lambda event: os._exit(1))
        figure.patch.set_facecolor("red")
        figure.set_facecolor = lambda *_: None

    Figure.__init__ = make


@ON_INTERPRETER.add(stays=True)
def puts_a_hook_on_imports(world):
    class Hook:
        @staticmethod
        def find_spec(name, path=None, target=None):
            raise ImportError("poisoned")

    sys.meta_path.insert(0, Hook)
    for name in [name for name in sys.modules if name.startswith("matplotlib.pyplot")]:
        del sys.modules[name]


@ON_INTERPRETER.add(stays=True)
def replaces_a_module(world):
    import types

    sys.modules["matplotlib.pyplot"] = types.ModuleType("matplotlib.pyplot")
    sys.modules["matplotlib"].pyplot = sys.modules["matplotlib.pyplot"]


@ON_INTERPRETER.add(stays=True)
def replaces_a_builtin(world):
    import builtins

    builtins.range = builtins.__build_class__ = lambda *_: None


@ON_INTERPRETER.add(stays=True)
def forbids_all_code_after_it(world):
    def refuse(event, arguments):
        if event == "exec":
            raise RuntimeError("poisoned")

    import numpy  # noqa: F401
    from matplotlib import pyplot  # noqa: F401

    sys.addaudithook(refuse)


@ON_INTERPRETER.add(stays=True)
def sets_an_alarm_for_those_who_come_later(world):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.02)


@ON_INTERPRETER.add(stays=True)
def traces_what_runs_later(world):
    def trace(frame, event, argument):
        if frame.f_code.co_name == "plot":
            os._exit(1)

    sys.settrace(trace)
    threading.settrace(trace)


@ON_INTERPRETER.add(stays=True)
def ends_the_process_that_comes_later(world):
    import atexit

    atexit.register(os._exit, 1)
    threading.excepthook = sys.excepthook = lambda *_: os._exit(1)
    gc.callbacks.append(lambda *_: os._exit(1))


@ON_INTERPRETER.add(stays=True)
def changes_what_colors_mean(world):
    from matplotlib import colors

    colors._colors_full_map.cache.clear()
    colors._colors_full_map.update({"white": "red", "black": "red"})
