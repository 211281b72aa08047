"""The SVG backend alone, in a process of its own as a worker is, but without isolation."""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest
import svg_worker
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor
from svg_documents import BLUE, RED, SAMPLES, WHITE
from svg_worker import SIZE

from visual_erm.sandbox.backends.svg_document import MAX_CHARACTERS, MAX_DEPTH, MAX_ELEMENTS, embedded, read
from visual_erm.sandbox.outcome import RenderingFailed
from visual_erm.vision.images import on_white

NAMES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
DOT = '<rect x="40" y="40" width="20" height="20" fill="blue"/>'

Draw = Callable[..., Image.Image]


@pytest.fixture(scope="module", params=["librsvg", "cairosvg"])
def draw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Draw]:
    """Draws in one worker for all tests of the module: none may leave a trace in the next one's image."""
    with svg_worker.start(request.param, str(tmp_path_factory.mktemp("server"))) as pool:
        yield partial(svg_worker.draw, pool, request.param)


def svg_of(body: str, root: str = 'viewBox="0 0 100 100"') -> str:
    return f"<svg {NAMES} {root}>{body}</svg>"


def center(image: Image.Image) -> object:
    return image.getpixel((SIZE // 2, SIZE // 2))


# Images


@pytest.mark.parametrize("name", SAMPLES)
def test_both_engines_draw(name: str, draw: Draw) -> None:
    sample = SAMPLES[name]
    image = draw(sample.svg)
    assert image.size == (SIZE, SIZE)
    for point, color in sample.points.items():
        assert image.getpixel(point) == pytest.approx(color, abs=1), point


PUBLISHED = """
import base64, cairosvg, json, sys
for text in json.load(sys.stdin):
    png = cairosvg.svg2png(bytestring=text.encode(), output_width=336, output_height=336)
    print(base64.b64encode(png).decode())
"""


@pytest.mark.parametrize("draw", ["cairosvg"], indirect=True)
def test_cairosvg_draws_the_published_pixels(draw: Draw) -> None:
    documents = {name: sample.svg for name, sample in SAMPLES.items()}
    for text in ("Ωмир", "é ∑ →", "10 µm"):  # the font has them: no other stands in
        documents[text] = svg_of(f'<text y="60" font-size="20" font-family="Liberation Sans">{text}</text>')
    written = json.dumps(list(documents.values()))
    answer = subprocess.run([sys.executable, "-c", PUBLISHED], input=written, capture_output=True, text=True, check=True)
    published = [on_white(Image.open(io.BytesIO(base64.b64decode(line)))) for line in answer.stdout.split()]
    for (name, svg), image in zip(documents.items(), published, strict=True):
        assert draw(svg).tobytes() == image.tobytes(), name


@pytest.mark.parametrize("family", ["", 'font-family="SimHei"', 'font-family="serif"'])
@pytest.mark.parametrize(
    ("text", "other"), [("数据", "数居"), ("データ", "デーテ"), ("데이터", "데이더"), ("a 数é", "a 居é")]
)
def test_text_is_drawn_in_a_font_that_has_it(text: str, other: str, family: str, draw: Draw) -> None:
    images = [draw(svg_of(f'<text y="60" font-size="40" {family}>{words}</text>')) for words in (text, other)]
    assert images[0].tobytes() != images[1].tobytes()


def test_size_and_background_are_the_tasks(draw: Draw) -> None:
    image = draw(svg_of(DOT), width=200, height=100, background="#ff0000")
    assert image.size == (200, 100)
    assert image.getpixel((10, 50)) == RED
    assert image.getpixel((100, 50)) == BLUE


@pytest.mark.parametrize(
    "root",
    [
        'width="100" height="100"',
        'width="2e3" height="2e3" viewBox="0 0 100 100"',
        'width="100%" height="100%" viewBox="0 0 100 100"',
        'width="5cm" height="2in" viewBox="0 0 100 100"',
        'width="0.001" height="1" viewBox="0 0 100 100"',
        'style="width:100px;height:100px"',
        'style="width:999px !important;height:999px" viewBox="0,0,100,100"',
    ],
)
def test_a_document_of_any_size_fills_the_image(root: str, draw: Draw) -> None:
    image = draw(svg_of('<rect x="25" y="25" width="50" height="50" fill="blue"/>', root))
    assert [image.getpixel(point) for point in ((90, 90), (245, 245), (75, 168), (260, 168))] == [
        BLUE,
        BLUE,
        WHITE,
        WHITE,
    ]


def test_units_of_a_documents_own_size_are_those_of_css(draw: Draw) -> None:
    image = draw(svg_of('<rect width="48" height="1in" fill="blue"/>', 'width="6em" height="1in"'))
    assert image.getpixel((160, 330)) == BLUE
    assert image.getpixel((176, 330)) == WHITE


def test_a_style_sheet_cannot_change_the_size(draw: Draw) -> None:
    styled = "<style>svg { width: 2000px !important; height: 2000px !important }</style>" + DOT
    assert center(draw(svg_of(styled))) == BLUE


def test_a_document_draws_alike_whatever_was_drawn_before(draw: Draw) -> None:
    first = draw(SAMPLES["classes"].svg)
    draw(svg_of("<style>rect { fill: black !important }</style>" + DOT))
    assert draw(SAMPLES["classes"].svg).tobytes() == first.tobytes()


# Faults


def fault(draw: Draw, code: str) -> str:
    with pytest.raises(RenderingFailed) as caught:
        draw(code)
    return f"{caught.value.fault}: {caught.value}"


@pytest.mark.parametrize(
    "cut",
    [
        svg_of(DOT).removesuffix("</svg>"),
        svg_of(f'<g><g fill="red">{DOT}<path d="M 1').removesuffix("</svg>"),
        svg_of(f"<g>{DOT}<text>unfinished &am").removesuffix("</svg>"),
        svg_of(f"{DOT}<style><![CDATA[ .a {{").removesuffix("</svg>"),
        svg_of(f"{DOT}<!-- never ended").removesuffix("</svg>"),
        svg_of(DOT).removesuffix("vg>"),
    ],
)
def test_a_document_that_is_cut_off_is_closed(cut: str, draw: Draw) -> None:
    assert center(draw(cut)) == BLUE


def test_what_is_malformed_is_told_by_its_line(draw: Draw) -> None:
    assert fault(draw, svg_of(f"\n{DOT}\n<g></b></g>")) == "RenderFailed: line 3: mismatched tag"
    assert fault(draw, "<html><svg/></html>") == "RenderFailed: the document is <html>, not <svg>"
    assert fault(draw, "no markup at all").startswith("RenderFailed: line 1: syntax error")
    assert fault(draw, "").startswith("RenderFailed: line 1: no element found")
    assert fault(draw, '<svg width="1').startswith("RenderFailed: line 1: unclosed token")
    assert fault(draw, svg_of("\ud800")).startswith("RenderFailed: ")
    assert fault(draw, svg_of('<use xlink:href="#a"/>').replace("xmlns:xlink", "xmlns:other")).startswith("RenderFailed: ")


def test_a_document_that_shows_nothing_is_a_blank_image(draw: Draw) -> None:
    assert fault(draw, svg_of("")).startswith("BlankImage: ")
    assert fault(draw, svg_of('<rect width="100" height="100" fill="none"/>')).startswith("BlankImage: ")
    assert fault(draw, svg_of(DOT, 'width="0" height="50" viewBox="0 0 100 100"')).startswith("BlankImage: ")


@pytest.mark.parametrize("color", ["red", "white", "black"])
def test_one_color_is_an_image(color: str, draw: Draw) -> None:
    image = draw(svg_of(f'<rect width="100" height="100" fill="{color}"/>'))
    assert image.getcolors() == [(image.width * image.height, ImageColor.getrgb(color))]


@given(st.text(alphabet='<>/="&;![]-ab svgDOCTYPE\n\t\0é', max_size=60))
def test_whatever_follows_the_first_tag_is_read_or_refused(rest: str) -> None:
    try:
        document = read(f"<svg><a>{rest}")
    except RenderingFailed:
        return
    ElementTree.fromstring(document.data)


@given(st.integers(min_value=5, max_value=len(SAMPLES["gradient by reference"].svg)))
def test_a_document_can_be_cut_off_anywhere(length: int) -> None:
    whole = SAMPLES["gradient by reference"].svg
    root = whole.index(">") + 1
    if length < root:
        with pytest.raises(RenderingFailed):
            read(whole[:length])
    else:
        ElementTree.fromstring(read(whole[:length]).data)


def test_a_whole_document_is_left_as_it_is() -> None:
    text = (
        '<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/svg11.dtd">\n<svg>é</svg>'
    )
    assert read(f"\ufeff\n{text}\n".lstrip("\ufeff")).data == text.encode()


# Attacks


def png(width: int, height: int, color: str = "red") -> str:
    """A PNG as a URI whose header says this size, whatever it holds."""
    data = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(data, "PNG")
    header = struct.pack(">II", width, height) + data.getvalue()[24:29]
    said = data.getvalue()[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + data.getvalue()[33:]
    return "data:image/png;base64," + base64.b64encode(said).decode()


def uri(data: bytes, kind: str = "image/svg+xml") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_an_embedded_image_is_drawn(draw: Draw) -> None:
    assert center(draw(svg_of(f'<image href="{png(8, 8)}" x="20" y="20" width="60" height="60"/>'))) == RED
    inner = uri(svg_of('<rect width="100" height="100" fill="red"/>', 'width="100" height="100"').encode())
    assert center(draw(svg_of(f'<image xlink:href="{inner}" x="20" y="20" width="60" height="60"/>'))) == RED


def test_nothing_is_loaded_from_a_file(draw: Draw, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    (tmp_path / "red.svg").write_text(svg_of('<rect id="r" width="100" height="100" fill="red"/>'))
    (tmp_path / "red.css").write_text("rect { fill: red !important }")
    for place in (tmp_path, f"file://{tmp_path}", f"file://localhost{tmp_path}"):
        loads = [
            f'<image xlink:href="{place}/red.png" width="9" height="9"/><image href="{place}/red.png"/>',
            f'<filter id="f"><feImage href="{place}/red.png"/></filter><rect width="9" height="9" filter="url(#f)"/>',
            f'<use href="{place}/red.svg#r"/><image href="{place}/red.svg" width="9" height="9"/>',
            f'<use xlink:href="{place}/red.svg#r"/>',
            f"<style>@import '{place}/red.css'; @import url({place}/red.css);</style>",
            f'<rect width="9" height="9" fill="url({place}/red.svg#r) white"/>',
            f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{place}/red.svg"/>',
            f'<image xml:base="{place}/" href="red.png" width="9" height="9"/>',
        ]
        for load in loads:
            image = draw(svg_of(load + DOT))
            assert RED not in {color for _, color in image.getcolors(1 << 17)}, load
            assert center(image) == BLUE


def test_the_local_files_would_show_if_they_were_loaded(draw: Draw) -> None:
    load = f'<image xlink:href="{png(8, 8)}" width="9" height="9"/>'
    assert RED in {color for _, color in draw(svg_of(load + DOT)).getcolors(1 << 17)}


def test_entities_of_a_document_are_written_out(draw: Draw) -> None:
    declared = "<!DOCTYPE svg [<!ENTITY c \"blue\">\n<!ENTITY d \"&#60;rect width='99' height='99' fill='&c;'/>\">]>"
    assert center(draw(declared + svg_of("&d;"))) == BLUE
    assert center(draw(declared + svg_of('<rect width="99" height="99" fill="&c;"/><!-- &c; -->'))) == BLUE


@pytest.mark.parametrize("declared", ["ISO-8859-1", "utf-16", "US-ASCII", "gb2312", "Shift_JIS", "no-such-name", ""])
def test_a_text_is_decoded_already_whatever_it_declares(draw: Draw, declared: str) -> None:
    text = svg_of("<text y='9'>Größe</text>" + DOT)
    plain = draw(text)
    declaration = f'<?xml version="1.0" encoding="{declared}"?>\n'
    assert draw(declaration + text).tobytes() == plain.tobytes()
    assert draw("\ufeff" + declaration + text).tobytes() == plain.tobytes()


def test_entities_of_files_and_in_circles_are_refused(draw: Draw, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    external = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>' + svg_of("<text>&x;</text>" + DOT)
    assert fault(draw, external).startswith("RenderFailed: line 1: entities of files or parameters are not read: x")
    itself = '<!DOCTYPE svg [<!ENTITY x "&y;"><!ENTITY y "&x;">]>' + svg_of("<text>&x;</text>" + DOT)
    assert fault(draw, itself).startswith(("RenderFailed: ", "RenderLimit: entities hold entities"))
    inner = uri(('<!DOCTYPE svg [<!ENTITY x "y">]>' + svg_of("<text>&x;</text>")).encode())
    assert fault(draw, svg_of(f'<image href="{inner}" width="9" height="9"/>')).startswith("RenderFailed: ")


def square(side: int) -> str:
    """A PNG as a URI."""
    data = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(data, "PNG")
    return uri(data.getvalue(), "image/png")


# Bounds. They are set low here: no document in these tests is too much for a library.

BOUNDS = {"MAX_CHARACTERS": 4000, "MAX_ELEMENTS": 30, "MAX_DEPTH": 10, "MAX_PIXELS": 5000, "MAX_ENTITY_DEPTH": 3}


@pytest.fixture(scope="module", params=["librsvg", "cairosvg"])
def bounded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Draw]:
    """Draws in a worker with low bounds."""
    with svg_worker.start(request.param, str(tmp_path_factory.mktemp("server")), BOUNDS) as pool:
        yield partial(svg_worker.draw, pool, request.param)


def entities(depth: int) -> str:
    """A text of 3 characters, doubled `depth` times by entities."""
    doubled = "".join(f'<!ENTITY l{level} "&l{level - 1};&l{level - 1};">' for level in range(1, depth + 1))
    return f'<!DOCTYPE svg [<!ENTITY l0 "lol">{doubled}]>' + svg_of(f"<text>&l{depth};</text>" + DOT)


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        ("<g>" * 8 + "</g>" * 8, "<g>" * 10 + "</g>" * 10),
        ("<g/>" * 20, "<g/>" * 30),
        *(
            (template.format(small), template.format(large))
            for template, small, large in (
                ('<image href="{}" width="9" height="9"/>', square(60), square(90)),
                (
                    '<image href=" DATA:image/png;base64,{}" width="9" height="9"/>',
                    *(square(n).partition(",")[2] for n in (60, 90)),
                ),
                (
                    '<image xlink:href="{}" width="9" height="9"/>',
                    *(uri(svg_of(f"<image href={square(n)!r}/>").encode()) for n in (60, 90)),
                ),
                (
                    '<image xlink:href="{}" width="9" height="9"/>',
                    *(uri(svg_of("<g>" * n + "</g>" * n).encode()) for n in (8, 20)),
                ),
            )
        ),
        (" " * 3000, " " * 4000),
    ],
    ids=["deep", "many", "PNG", "upper case", "PNG in SVG", "deep SVG in SVG", "long"],
)
def test_a_document_beyond_a_bound_is_refused_and_one_within_is_drawn(within: str, beyond: str, bounded: Draw) -> None:
    assert fault(bounded, svg_of(beyond + DOT)).startswith("RenderLimit: ")
    assert center(bounded(svg_of(DOT + within))) == BLUE


def test_a_document_that_is_cut_off_beyond_a_bound_is_refused(bounded: Draw) -> None:
    assert fault(bounded, f"<svg {NAMES}>" + "<g>" * 10).startswith("RenderLimit: ")
    assert center(bounded(f'<svg {NAMES} viewBox="0 0 100 100">' + DOT + "<g>" * 8)) == BLUE


def test_entities_beyond_a_bound_are_refused(bounded: Draw) -> None:
    assert center(bounded(entities(1))) == BLUE
    assert fault(bounded, entities(5)).startswith("RenderLimit: entities hold entities more than 3 deep")
    long = "x" * 900
    declared = f'<!DOCTYPE svg [<!ENTITY x "{long}">]>'
    assert center(bounded(declared + svg_of("<text>&x;</text>" + DOT))) == BLUE
    assert fault(bounded, declared + svg_of("<text>&x;&x;&x;&x;&x;</text>")).startswith("RenderLimit: entities make more")


def test_the_bounds_are_those_that_the_libraries_take() -> None:
    assert (MAX_CHARACTERS, MAX_ELEMENTS, MAX_DEPTH) == (1_000_000, 50_000, 200)
    assert read(svg_of("<g>" * (MAX_DEPTH - 1) + "</g>" * (MAX_DEPTH - 1))).root == "svg"
    with pytest.raises(RenderingFailed, match="more than 200 levels deep"):
        read(svg_of("<g>" * MAX_DEPTH + "</g>" * MAX_DEPTH))


def test_a_packed_picture_is_refused(draw: Draw) -> None:
    packed = uri(gzip.compress(svg_of(DOT).encode()))
    assert fault(draw, svg_of(f'<image href="{packed}" width="9" height="9"/>')).startswith("RenderFailed: ")


def test_a_style_can_name_no_larger_image_than_an_attribute(bounded: Draw) -> None:
    hidden = f'<style>image {{ href: "{square(90)}"; width: 9px; height: 9px }}</style><image/>' + DOT
    try:
        assert center(bounded(svg_of(hidden))) == BLUE
    except RenderingFailed as failure:
        assert failure.fault == "RenderLimit"


@given(st.binary(max_size=40), st.sampled_from(["", ";base64", " ;BASE64"]))
def test_whatever_a_uri_holds_is_taken_out_or_dropped(data: bytes, coding: str) -> None:
    body = base64.b64encode(data).decode() if coding else "".join(f"%{byte:02x}" for byte in data)
    assert embedded(f"data:image/png{coding},{body}") == data
    embedded(f"data:{coding},{data.decode('latin1')}")
