"""The chart backend alone, in forks of a warm process as workers are, but without isolation.

Figures are told apart by their color: `figure("red")` in a script makes one of 160x80 pixels that is red at its corner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import chart_worker
import pytest
from PIL import Image, ImageColor

from visual_erm.sandbox.outcome import RenderingFailed

BEGIN = """
import io, os, sys
import matplotlib, matplotlib.pyplot as plt, numpy as np
from matplotlib.figure import Figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.animation import ArtistAnimation, FuncAnimation
def figure(color, make=plt.figure):
    made = make(figsize=(2, 1), facecolor=color)
    made.text(0.5, 0.5, "text")
    return made
"""
SIZE = (160, 80)
LINES = BEGIN.count("\n")

Draw = Callable[..., Image.Image]


@pytest.fixture(scope="module")
def draw() -> Iterator[Draw]:
    """Draws a script that begins with BEGIN, in a worker of its own."""
    with chart_worker.start() as pool:
        yield lambda script, **limits: chart_worker.draw(pool, BEGIN + script, **limits)


@pytest.fixture
def said(draw: Draw) -> Callable[[str], str]:
    """What a script tells by raising an exception of that text."""

    def said(script: str) -> str:
        with pytest.raises(RenderingFailed) as failed:
            draw(script)
        return str(failed.value).partition(": ")[2]

    return said


def fault(draw: Draw, script: str, **limits: int) -> tuple[str, str]:
    with pytest.raises(RenderingFailed) as failed:
        draw(script, **limits)
    return failed.value.fault, str(failed.value)


# Which figure


SAVED = {
    "by pyplot": "figure('red'); plt.savefig('a.png')",
    "by the figure": "figure('red').savefig('a.png')",
    "as PDF": "figure('red').savefig('a.pdf')",
    "as SVG, by keyword": "figure('red').savefig('a', format='svg', metadata={'Title': 'a'})",
    "as JPEG": "figure('red').savefig('a.jpg', pil_kwargs={'quality': 50})",
    "in memory": "figure('red').savefig(io.BytesIO(), format='png')",
    "as text": "figure('red').savefig(io.StringIO(), format='svg')",
    "where no folder is": "figure('red').savefig('/mnt/no/such/folder/a.png')",
    "in a folder that cannot be made": "os.makedirs('/sys/a/b', exist_ok=True); figure('red').savefig('/sys/a/b/a.png')",
    "into a PDF of pages": """
from matplotlib.backends.backend_pdf import PdfPages
with PdfPages('a.pdf') as pages:
    pages.savefig(figure('blue'))
    pages.savefig(figure('red'))""",
    "by its canvas": "figure('red', Figure); FigureCanvasAgg(figure('red', Figure)).print_png('a.png')",
    "then closed": "figure('red').savefig('a.png'); plt.close()",
    "after it was shown": "figure('red'); plt.show(); plt.savefig('a.png')",
    "before another was made": "figure('red').savefig('a.png'); figure('blue')",
    "after another": "figure('blue').savefig('a.png'); figure('red').savefig('b.png')",
    "though another is current": "saved = figure('red'); figure('blue'); saved.savefig('a.png')",
    "with a colour of its own": "figure('blue').savefig('a.png', facecolor='red')",
}
SHOWN = {
    "by pyplot": "figure('red'); plt.show()",
    "by the figure": "figure('red').show()",
    "then closed": "figure('red'); plt.show(); plt.close('all')",
    "then cleared": "shown = figure('red'); plt.show(); shown.clear(); shown.set_facecolor('blue')",
    "after another was saved": "figure('blue').savefig('a.png'); figure('red'); plt.show()",
    "with others, last": "figure('blue'); figure('red'); plt.show()",
    "after others": "figure('blue'); plt.show(); figure('red'); plt.show()",
}
NEITHER = {
    "left open": "figure('red')",
    "closed": "figure('red'); plt.close()",
    "the last of several": "figure('blue'); figure('red')",
    "made current again": "figure('red'); figure('blue'); plt.figure(1)",
    "before an empty one": "figure('red'); plt.figure()",
    "without pyplot": "figure('red', Figure)",
    "when the script ends early": "figure('red'); sys.exit(); figure('blue')",
    "when it ends well": "figure('red'); sys.exit(0)",
    "when it waits for a key": "figure('red'); input('Press Enter'); figure('blue')",
    "in another folder": "os.mkdir('a'); os.chdir('a'); figure('red')",
    "behind a guard": "if __name__ == '__main__':\n    figure('red')",
    "of main, never called": "def main():\n    figure('red')\ndef other():\n    figure('blue')",
    "of a function, never called": "def a():\n    figure('blue')\ndef b(color='red'):\n    figure(color)\ndef c(x): pass",
    "for another screen": "matplotlib.use('TkAgg'); plt.switch_backend('QtAgg'); plt.ion(); figure('red')",
    "shown bit by bit": "figure('red'); plt.draw(); plt.pause(1000); plt.waitforbuttonpress(); plt.ginput(1)",
    "with much ado": "import warnings; warnings.warn('!'); print('…' * 10**6); sys.stderr.write('!'); figure('red')",
}


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(text, id=f"{way}-{name}")
        for way, all in (("saved", SAVED), ("shown", SHOWN), ("neither", NEITHER))
        for name, text in all.items()
    ],
)
def test_the_image_is_the_last_figure_saved_or_shown_else_the_current_one(script: str, draw: Draw) -> None:
    image = draw(script)
    assert image.size == SIZE
    assert image.getpixel((0, 0)) == ImageColor.getrgb("red")


def test_a_figure_is_drawn_the_way_it_was_saved(draw: Draw) -> None:
    assert draw("figure('red').savefig('a.png', dpi=50); plt.show()").size == (100, 50)
    assert draw("plt.figure(figsize=(2, 1), dpi=70).text(0, 0, 'a'); plt.savefig('a.pdf')").size == (140, 70)
    tight = draw("figure('red').savefig('a.png', bbox_inches='tight', pad_inches=0)")
    assert tight.width < 60 and tight.height < 40


def test_what_is_transparent_is_white(draw: Draw) -> None:
    assert draw("figure('red').savefig('a.png', transparent=True)").getpixel((0, 0)) == (255, 255, 255)
    assert draw("figure((1, 0, 0, 0.5)).savefig('a.png')").getpixel((0, 0)) == pytest.approx((255, 127, 127), abs=1)


@pytest.mark.parametrize("color", ["red", "white", "black"])
def test_one_color_is_an_image(color: str, draw: Draw) -> None:
    image = draw(f"plt.figure(figsize=(2, 1), facecolor='{color}').subplots().set_axis_off()")
    assert image.getcolors() == [(image.width * image.height, ImageColor.getrgb(color))]


def test_a_figure_has_the_resolution_of_the_task_whatever_style_the_script_falls_back_to(draw: Draw) -> None:
    for style in ("plt.rcdefaults()", "plt.style.use('default')", "import seaborn; seaborn.set_theme()"):
        assert draw(f"{style}\nplt.plot([1, 2])").size == (512, 384)


def test_a_figure_is_drawn_once_for_a_save(said: Callable[[str], str]) -> None:
    count = "seen = []; fig = figure('red'); fig.canvas.mpl_connect('draw_event', seen.append)"
    for more in ("", "fig.subplots(); fig.tight_layout(); seen.clear()"):
        assert (
            said(f"{count}; {more}; plt.savefig('a.pdf'); plt.show(); raise Exception(len(seen))".replace("; ;", ";"))
            == "1"
        )


MOVING = """
fig, ax = plt.subplots(figsize=(2, 1), facecolor='red')
ax.set_axis_off()
calls = []
def step(frame):
    calls.append(frame)
    assert frame < 1, 'only the first frame is wanted'
    fig.set_facecolor('lime')
    return [ax.text(0, 0, 'a')]
moving = FuncAnimation(fig, step, frames=range(0, 99), init_func=lambda: [], blit=True)
"""


@pytest.mark.parametrize(
    "end",
    [
        "",
        "plt.show()",
        "moving.save('a.gif', writer='pillow')",
        "moving.save('a.mp4', dpi=80)",
        "moving.to_jshtml()",
        "plt.close()",
    ],
)
def test_an_animation_is_its_first_frame(end: str, draw: Draw) -> None:
    image = draw(MOVING + end)
    assert (image.size, image.getpixel((0, 0))) == (SIZE, ImageColor.getrgb("lime"))
    assert image.convert("L").getextrema()[0] < 50


def test_an_animation_of_artists_is_its_first_frame(draw: Draw) -> None:
    texts = "fig = figure('red'); frames = [[fig.text(0, 0, '█' * 9, color=c)] for c in ('blue', 'lime')]"
    colors = draw(f"{texts}\nmoving = ArtistAnimation(fig, frames)").getcolors(9999)
    assert colors and {(0, 0, 255)} == {(0, 0, 255), (0, 255, 0)} & {color for _, color in colors}


def test_the_memory_that_a_drawing_changes_is_known_before_the_first_script(said: Callable[[str], str]) -> None:
    spans = "from visual_erm.sandbox.backends import chart; spans = chart._changed"
    assert int(said(f"{spans}; raise Exception(sum(length for _, length in spans))")) > 4 << 20


# Files of the script


def test_a_script_can_read_what_it_has_saved(said: Callable[[str], str]) -> None:
    save = "from PIL import Image; figure('red').savefig('a.png', dpi=50)"
    tell = "raise Exception((got.size, got.convert('RGB').getpixel((0, 0))))"
    for way in (
        "got = Image.open('a.png')",
        "os.rename('a.png', 'b.png'); got = Image.open('b.png')",
        "os.chdir('/'); got = Image.open(home + '/a.png')",
        "[plt.savefig(f'{n}.png') for n in range(9)]; got = Image.open('a.png')",
        "got = Image.fromarray((plt.imread('a.png') * 255).astype('uint8'))",
    ):
        assert said(f"home = os.getcwd(); {save}; {way}; {tell}") == "((100, 50), (255, 0, 0))", way


def test_a_script_can_read_what_it_has_saved_in_memory(said: Callable[[str], str]) -> None:
    assert said(
        "b = io.BytesIO(); fig = figure('red'); fig.savefig(b, format='png'); b.seek(0)\n"
        "from PIL import Image; raise Exception(Image.open(b).size)"
    ) == str(SIZE)
    assert said("b = io.BytesIO(); figure('red').savefig(b, format='rgba'); raise Exception(len(b.getvalue()))") == str(
        4 * 160 * 80
    )


PLAIN = {
    "an SVG is text": "import xml.etree.ElementTree as ET; b = io.BytesIO(); fig.savefig(b, format='svg'); "
    "got = 160 * (ET.fromstring(b.getvalue().decode()).get('width') == '144pt')",
    "an SVG goes into text": "b = io.StringIO(); fig.savefig(b, format='svg'); got = b.getvalue().count('</svg>') * 160",
    "a shape in an SVG file": "import xml.etree.ElementTree as ET; bar = fig.add_subplot().bar([1], [2])[0]; "
    "bar.set_gid('tall'); fig.savefig('a.svg'); plt.close(fig); got = 160 * ('tall' in ET.XMLID(open('a.svg').read())[1])",
    "a shape in an SVG in memory": "import xml.etree.ElementTree as ET; b = io.BytesIO(); fig.texts[0].set_gid('word'); "
    "fig.savefig(b, format='svg', bbox_inches='tight'); got = 160 * ('word' in ET.XMLID(b.getvalue())[1])",
    "a shape in a packed SVG": "import gzip; fig.texts[0].set_gid('word'); fig.savefig('a.svgz'); "
    "got = 160 * (b'word' in gzip.open('a.svgz').read())",
    "an SVG of a figure that changes": "fig.texts[0].set_gid('old'); fig.savefig('a.svg'); fig.texts[0].set_gid('new'); "
    "fig.text(0, 0, 'more'); got = 160 * ('new' not in open('a.svg').read())",
    "a PDF is one": "b = io.BytesIO(); fig.savefig(b, format='pdf'); got = b.getvalue().startswith(b'%PDF') * 160",
    "a saved file has its size": "fig.savefig('a.png'); got = 160 if os.path.getsize('a.png') > 200 else 0",
    "a log in /tmp": "import logging; logging.basicConfig(filename='/tmp/no-such-log'); logging.error('x'); "
    "got = 160 * ('no-such-log' in os.listdir('/tmp'))",
    "a file in /tmp": "open('/tmp/no-such-file', 'w').write('160'); got = open('/tmp/no-such-file').read()",
    "a folder in /tmp": "os.makedirs('/tmp/no/such', exist_ok=True); fig.savefig('/tmp/no/such/a.png'); "
    "got = 160 * os.path.isfile('/tmp/no/such/a.png')",
    "a copy": "import shutil; fig.savefig('a.png'); shutil.copy('a.png', 'b.png'); got = plt.imread('b.png').shape[1]",
    "a copied folder": "import shutil; os.mkdir('a'); fig.savefig('a/a.png'); shutil.copytree('a', 'b'); "
    "got = plt.imread('b/a.png').shape[1]",
    "a folder that cannot be made": "os.makedirs('/sys/a/b', exist_ok=True); fig.savefig('/sys/a/b/a.png'); "
    "got = 160 * (os.listdir('/sys/a/b') == ['a.png'])",
    "a file there is moved": "os.makedirs('/sys/a'); fig.savefig('/sys/a/a.png'); os.rename('/sys/a/a.png', 'b.png'); "
    "got = plt.imread('b.png').shape[1]",
    "a path": "from pathlib import Path; Path('/tmp/no-such').write_text('160'); got = Path('/tmp/no-such').read_text()",
    "asyncio": """
import asyncio
async def one():
    await asyncio.sleep(0.01)
    return 80
async def main():
    return sum(await asyncio.gather(one(), one()))
got = asyncio.run(main())""",
    "no maps of seaborn": "got = 160 * ('rocket' not in matplotlib.colormaps)",
    "maps of seaborn": "import seaborn; got = 160 * ('rocket' in matplotlib.colormaps and plt.get_cmap('mako').N == 256)",
}


@pytest.mark.parametrize("script", PLAIN.values(), ids=PLAIN)
def test_what_plain_python_does_works(script: str, said: Callable[[str], str]) -> None:
    assert said(f"fig = figure('red')\n{script}\nraise Exception(got)") == "160"


# Text in any language


def labels(*texts: str, first: str = "") -> str:
    return f"{first}\nfig = plt.figure(figsize=(3, 1)); [fig.text(0.1, 0.1 + 0.3 * i, t) for i, t in enumerate({texts})]"


@pytest.mark.parametrize("texts", [("苹果", "汽车"), ("りんご", "くるま"), ("사과", "자동"), ("水果 a1", "水里 a1")])
def test_texts_of_other_scripts_differ_and_none_is_missing(texts: tuple[str, str], draw: Draw) -> None:
    images = [draw(labels(text)) for text in texts]
    assert images[0].tobytes() != images[1].tobytes()


@pytest.mark.parametrize(
    "first",
    [
        "plt.rcParams['font.sans-serif'] = ['SimHei']",
        "plt.rcParams['font.family'] = 'Arial Unicode MS'",
        "plt.rc('font', family=['Microsoft YaHei', 'sans-serif'])",
    ],
)
def test_a_font_that_is_not_there_is_drawn_in_one_that_is(first: str, draw: Draw) -> None:
    assert draw(labels("苹果", first=first)).tobytes() == draw(labels("苹果")).tobytes()


# Failures


@pytest.mark.parametrize(
    "script, expected",
    [
        ("\n\nraise ValueError('too few\\ncolours')", ("RenderFailed", f"ValueError, line {LINES + 3}: too few colours")),
        (
            "figure('red')\nplt.plot([1], [1, 2])",
            ("RenderFailed", f"ValueError, line {LINES + 2}: x and y must have same first"),
        ),
        (
            "figure('red').savefig('a.png')\n1 / 0",
            ("RenderFailed", f"ZeroDivisionError, line {LINES + 2}: division by zero"),
        ),
        ("def main():\n    1 / 0", ("RenderFailed", f"ZeroDivisionError, line {LINES + 2}: ")),
        ("plt.title('$\\\\frac$')", ("RenderFailed", "ValueError: ")),
        ("x = (", ("RenderFailed", f"SyntaxError, line {LINES + 1}: '(' was never closed")),
        ("\0", ("RenderFailed", "")),
        ("sys.exit(3)", ("RenderFailed", f"SystemExit, line {LINES + 1}: 3")),
        ("raise KeyboardInterrupt", ("RenderFailed", f"KeyboardInterrupt, line {LINES + 1}")),
        ("input()", ("RenderFailed", f"EOFError, line {LINES + 1}")),
        (
            "figure('red').savefig('a.docx')",
            ("RenderFailed", f"ValueError, line {LINES + 1}: Format 'docx' is not supported"),
        ),
        ("import pandas; pandas.read_csv('data.csv')", ("RenderFailed", f"FileNotFoundError, line {LINES + 1}: ")),
        ("def f(): f()\nf()", ("RenderFailed", f"RecursionError, line {LINES + 1}: ")),
        ("class E(Exception):\n    def __str__(self): 1 / 0\nraise E", ("RenderFailed", f"E, line {LINES + 3}: ")),
        ("x = 1", ("BlankImage", "it makes no figure")),
        ("def f(x): figure('red')", ("BlankImage", "it makes no figure")),
        ("plt.figure()", ("BlankImage", "nothing is drawn in its figure")),
        (
            "figure('red').savefig('a.png', dpi=3000)",
            ("RenderLimit", f"TooLarge, line {LINES + 1}: 6000x3000 pixels; at most 4000000"),
        ),
        ("plt.figure(figsize=(300, 300)).text(0, 0, 'a')", ("RenderLimit", "TooLarge: 24000x24000 pixels")),
    ],
)
def test_a_failure_names_the_exception_and_the_line(script: str, expected: tuple[str, str], draw: Draw) -> None:
    kind, reason = fault(draw, script)
    assert kind == expected[0] and reason.startswith(expected[1]), reason


def test_a_reason_is_bounded(draw: Draw) -> None:
    assert len(fault(draw, "raise ValueError('a' * 10**6)")[1]) == 400


@pytest.mark.parametrize("script", ["x = np.ones((40000, 40000))", "x = ['a' * 10**7 + str(n) for n in range(10**6)]"])
def test_memory_over_the_limit_is_a_limit(script: str, draw: Draw) -> None:
    assert fault(draw, f"try:\n    figure('red')\nfinally:\n    {script}", memory_mb=300)[0] == "RenderLimit"


# Images that are none of the script's


@pytest.mark.parametrize(
    "reach",
    [
        "open('/data/reference.png')",
        "open(b'../reference.JPG', 'rb')",
        "plt.imread('/data/reference.webp')",
        "os.open('/data/reference.tiff', os.O_RDONLY)",
        "import pathlib; pathlib.Path('/data/train.parquet').read_bytes()",
        "os.symlink('/data/reference.png', 'own.txt'); open('own.txt')",
        "os.chdir('/data' if os.path.exists('/data') else '/'); open('reference.png')",
        "import io; io.open_code('/data/reference.svg')",
    ],
)
def test_reaching_for_a_image_is_tampering_whatever_else_happens(reach: str, draw: Draw) -> None:
    for script in (f"figure('red')\ntry:\n    {reach}\nexcept BaseException:\n    pass", f"{reach}\n1 / 0"):
        kind, reason = fault(draw, script)
        assert kind == "Tampering" and "tried to open /" in reason


@pytest.mark.parametrize(
    "script",
    [
        "from matplotlib import cbook; plt.imread(cbook._get_data_path('images', 'matplotlib.png'))",
        "path = '/mnt/no/folder/a.png'; figure('blue').savefig(path)\ntry: plt.imread(path)\nexcept OSError: pass",
        "open('own.png', 'wb').close(); open('own.png').close()",
        "from PIL import Image; Image.new('RGB', (9, 9)).save('own.png'); Image.open('own.png').load()",
        "[os.path.exists('/data/reference.png'), open('/etc/hostname').close()]",
    ],
)
def test_a_script_that_reads_its_own_or_the_libraries_images_is_honest(script: str, draw: Draw) -> None:
    assert draw(script + "\nfigure('red')").size == SIZE


# Repeatable


def test_random_numbers_repeat_and_do_not_repeat_themselves(said: Callable[[str], str]) -> None:
    script = """
import random
from numpy.random import default_rng, RandomState
numbers = [random.random(), random.Random().random(), np.random.rand(), np.random.rand(), default_rng().random(),
    default_rng().random(), RandomState().rand()]
random.seed(); np.random.seed()
raise Exception(numbers + [random.random(), np.random.rand()])"""
    first, second = said(script), said(script)
    assert first == second and len(set(first.split(", "))) == 9


# Vandals


@pytest.mark.parametrize(
    "vandal",
    [
        "plt.savefig = plt.show = Figure.savefig = None",
        "sys.modules.clear()",
        "import builtins; builtins.isinstance = builtins.len = builtins.str = builtins.open = None",
        "import builtins; builtins.__dict__.clear()",
        "sys.excepthook = sys.stdout = sys.stderr = sys.stdin = None",
        "sys.setrecursionlimit(60)",
        "sys.settrace(lambda *_: 1 / 0)",
        "import atexit; atexit.register(os._exit, 3)",
        "import signal; [signal.signal(n, lambda *_: 1 / 0) for n in (2, 10, 14, 15)]",
        "import gc; gc.disable(); gc.set_threshold(1)",
        "globals().clear()",
        "import shutil; shutil.rmtree(os.getcwd())",
        "import os; os.environ.clear(); os.getcwd = os.path.realpath = None",
    ],
)
def test_a_script_that_breaks_things_has_its_image(vandal: str, draw: Draw) -> None:
    assert draw(f"figure('red').savefig('a.png')\n{vandal}").getpixel((0, 0)) == ImageColor.getrgb("red")
    assert draw(f"figure('red')\n{vandal}").getpixel((0, 0)) == ImageColor.getrgb("red")


@pytest.mark.parametrize(
    "vandal",
    [
        "Figure.draw = None",
        "figure('red').canvas.mpl_connect('draw_event', lambda _: 1 / 0)",
        "fig = figure('red'); fig.canvas.mpl_connect('draw_event', lambda _: fig.savefig('a.png'))",
        "FigureCanvasAgg.draw = None",
    ],
)
def test_a_script_that_breaks_drawing_is_to_blame(vandal: str, draw: Draw) -> None:
    assert fault(draw, f"figure('red')\n{vandal}")[0] == "RenderFailed"
