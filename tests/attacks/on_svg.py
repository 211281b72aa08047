"""Documents that load what they should not. A loaded file shows by its color, an address by who listens there.

No document here keeps a library busy. What one could do is done by a backend of ours, `greedy`, which is told by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from greedy import GREEDY


@dataclass(frozen=True)
class Document:
    """One attack."""

    name: str
    write: Callable[[dict[str, Any]], str]
    """From the facts of the world."""
    library: str = "cairosvg"
    """The library that the attack works on, without isolation; `greedy` for our own backend, which alone gets it."""
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
    *(Document(name.replace(" ", "_"), lambda world, name=name: name, library="greedy", endless=True) for name in GREEDY),
]
