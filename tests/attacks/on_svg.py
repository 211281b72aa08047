"""Documents that load what they should not, or take more than their share. A loaded file shows by its color, an address by
who listens there."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Document:
    """One attack."""

    name: str
    write: Callable[[dict[str, Any]], str]
    """From the facts of the world."""
    library: str = "cairosvg"
    """The library that the attack works on, without isolation."""
    endless: bool = False
    victim: bool = False


def svg(body: str, root: str = 'viewBox="0 0 100 100" width="100" height="100"', before: str = "") -> str:
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'{before}<svg {names} {root}>{body}<path d="M0 90h9v9h-9z"/></svg>'


def image(address: str) -> str:
    return svg(picture(address))


def picture(address: str) -> str:
    return f'<image x="20" y="20" width="60" height="60" href="{address}" xlink:href="{address}"/>'


def home(world: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{world['tcp']}/{world['name']}"


def private(world: dict[str, Any], name: str) -> str:
    return f"file://{world['private']}/{name}"


def uses(depth: int) -> str:
    groups = "".join(f'<g id="a{n}">{f"<use xlink:href={chr(34)}#a{n - 1}{chr(34)}/>" * 10}</g>' for n in range(1, depth))
    return svg(f'<defs><path id="a0" d="M0 0h1v1z"/>{groups}</defs><use xlink:href="#a{depth - 1}"/>')


def filters(count: int) -> str:
    chain = f'<feGaussianBlur stdDeviation="40"/><feMorphology operator="dilate" radius="40"/>{"<feTurbulence/>"}' * count
    return svg(
        f'<filter id="f">{chain}</filter><rect width="100" height="100" filter="url(#f)"/>', 'width="3000" height="3000"'
    )


def spreads(count: int) -> str:
    chain = '<feMorphology operator="dilate" radius="400"/>' * count
    spread = f'<filter id="f" x="0" y="0" width="1" height="1">{chain}</filter><path d="M0 0h2000v2000z" filter="url(#f)"/>'
    return svg(spread, 'width="2000" height="2000"')


def png_of(side: int) -> str:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side // 8)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


ENTITY = '<!DOCTYPE svg [<!ENTITY colour SYSTEM "{}">]>'
RECT = '<rect x="20" y="20" width="60" height="60"{}/>'
INCLUDE = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="xml" href="{}"/>'

ON_SVG = [
    Document("shows_a_picture_by_its_address", lambda world: image(private(world, "colour.png"))),
    Document("shows_a_picture_by_its_path", lambda world: image(f"{world['private']}/colour.png")),
    Document("shows_a_drawing", lambda world: image(private(world, "color.svg"))),
    Document("uses_a_part_of_a_drawing", lambda world: svg(f'<use xlink:href="{private(world, "color.svg")}#part"/>')),
    Document(
        "imports_a_style",
        lambda world: svg(f'<style>@import "{private(world, "color.css")}";</style>{RECT.format("")}'),
    ),
    Document(
        "has_an_external_entity",
        lambda world: svg(f"<g>&colour;{RECT.format('')}</g>", before=ENTITY.format(private(world, "color.css.xml"))),
    ),
    Document("includes_a_file", lambda world: svg(INCLUDE.format(f"{world['private']}/part.xml"))),
    Document("calls_home_for_a_picture", lambda world: image(home(world))),
    Document("calls_home_for_a_part", lambda world: svg(f'<use xlink:href="{home(world)}#part"/>')),
    Document("calls_home_for_a_style", lambda world: svg(f'<style>@import "{home(world)}";</style>')),
    Document("calls_home_for_an_entity", lambda world: svg("<text>&colour;</text>", before=ENTITY.format(home(world)))),
    Document("calls_home_for_its_grammar", lambda world: svg("", before=f'<!DOCTYPE svg SYSTEM "{home(world)}">')),
    Document("uses_itself_without_end", lambda world: uses(10), endless=True),
    Document("filters_without_end", lambda world: filters(400), library="librsvg", endless=True),
    Document("spreads_without_end", lambda world: spreads(50), library="librsvg", endless=True),
    Document("packs_a_large_picture", lambda world: svg("".join([picture(png_of(13_000))] * 4)), endless=True),
    Document("is_large_itself", lambda world: svg("", 'width="25000" height="25000"'), endless=True),
]
