"""Pictures that code holds as pixels are found, and what draws is left alone."""

from __future__ import annotations

import base64
import io
import time

import pytest
from PIL import Image

from visual_erm.demo.package_charts import charts
from visual_erm.demo.package_icons import icons
from visual_erm.demo.package_tables import tables
from visual_erm.extract import Code
from visual_erm.guard.raster import raster_in


def encoded(form: str) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, form)
    return base64.b64encode(buffer.getvalue()).decode()


PNG = encoded("PNG")
DRAWING = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="data:image/png;base64,{PNG}"/></svg>'
NUMBERS = ", ".join(str(number % 256) for number in range(1600))
ROWS = "[" + "],[".join(", ".join(str(number) for number in range(40)) for _ in range(40)) + "]"

PICTURES = [
    *(
        ("html", f'<img src="data:image/x;base64,{encoded(form)}">')
        for form in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
    ),
    ("html", f'<img src="&#100;ata:;base64,{PNG}">'),
    ("html", f'<img src="data:text/css;base64,{PNG[:20]}\n{PNG[20:]}">'),
    ("html", f"<td style='background: url(data:image/png;base64,{PNG})'>1</td>"),
    ("html", f"<style>td {{ background: url(\\64 ata:image/png;base64,{PNG}) }}</style>"),
    ("html", f'<img src="data:image/svg+xml;base64,{base64.b64encode(DRAWING.encode()).decode()}">'),
    ("html", "<table><tr>" + "<td style='background: red'></td>" * 1100),
    ("html", "<table><tr>" + "<td class=a></td>" * 1100),
    ("html", "<i style='box-shadow: " + ", ".join(f"{x}px 0 red" for x in range(1100)) + "'></i>"),
    ("markdown", f"| ![a](data:image/png;base64,{PNG}) |\n|---|\n"),
    ("svg", DRAWING),
    ("svg", f'<s:svg xmlns:s="http://www.w3.org/2000/svg"><s:image xlink:href="data:;base64,{PNG}"/></s:svg>'),
    ("svg", "<svg>" + "<rect width='1' height='1' fill='red'/>" * 1100 + "</svg>"),
    ("python", f"plt.imshow(np.array([{NUMBERS}]).reshape(40, 40))"),
    ("python", f"a = [{ROWS}]\nplt.pcolormesh(a)"),
    (
        "python",
        f"a = [{NUMBERS}]\nfor i, v in enumerate(a): ax.add_patch(Rectangle((i % 40, i // 40), 1, 1, color=str(v / 256)))",
    ),
    ("python", f"Image.open(io.BytesIO(b64decode('{PNG * 20}')))\nplt.imshow(a)"),
    ("python", "a = np.frombuffer(b'" + "\\x00\\xff" * 400 + "', np.uint8)\nplt.figimage(a)"),
]
DRAWN = [
    ("html", "<p>data: 1, 2, data:, and data:image/png of the paper</p>"),
    ("html", '<img src="data:image/svg+xml,<svg/>"><img src="logo.png">'),
    ("html", "<style>@font-face { src: url(data:font/woff2;base64,d09GMgABAAAAA) }</style>"),
    ("html", "<table>" + ("<tr>" + "<td>1</td>" * 20 + "</tr>") * 200 + "</table>"),
    ("html", "<table>" + ("<tr>" + "<td></td>" * 10 + "</tr>") * 40 + "</table>"),
    ("markdown", "| data | b |\n|---|---|\n" + "| 1 | |\n" * 500),
    ("svg", "<svg>" + "<rect width='9' height='9'/>" * 300 + "<path d='" + "L 1 2 " * 3000 + "'/></svg>"),
    ("python", f"plt.plot([{NUMBERS}])\nplt.scatter([{NUMBERS}], [{NUMBERS}])"),
    ("python", "plt.imshow(np.random.rand(200, 200))"),
    ("python", "plt.imshow([[" + "], [".join(", ".join(["0.25"] * 20) for _ in range(20)) + "]])"),
    ("python", "plt.title('" + "a long title " * 200 + "')\nax.add_patch(Rectangle((0, 0), 1, 1))"),
    ("python", "plt.bar(range(400), [" + ",".join(["1234"] * 400) + "])\nax.axvspan(1, 2)"),
]


@pytest.mark.parametrize(("language", "text"), PICTURES)
def test_a_picture_in_code_is_found(language: str, text: str) -> None:
    assert raster_in(Code(language, text))


@pytest.mark.parametrize(("language", "text"), DRAWN)
def test_what_draws_is_left_alone(language: str, text: str) -> None:
    assert raster_in(Code(language, text)) == ""


def test_no_real_table_chart_or_icon_holds_one() -> None:
    items = [*tables(12, 6, seed=1), *charts(seed=1), *icons(seed=1)]
    assert len(items) > 500
    assert [item.where for item in items if item.code and raster_in(item.code)] == []


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "imshow(" + "(" * 1_000_000),
        ("python", "imshow(" + "['a " * 250_000),
        ("html", "data:a/b;c=d" * 80_000),
        ("html", "data:,%64ata:," * 70_000),
        ("html", "<td " * 250_000),
        ("html", "<td>" + " " * 1_000_000),
        ("svg", "box-shadow gradient" * 50_000),
    ],
)
def test_a_long_text_is_searched_within_seconds(language: str, text: str) -> None:
    started = time.thread_time()
    raster_in(Code(language, text))
    assert time.thread_time() - started < 5
