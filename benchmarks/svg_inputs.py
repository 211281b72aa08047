"""SVG documents of the kinds that SVG-to-code meets: icons, logos, badges, diagrams."""

from __future__ import annotations

import random
from collections.abc import Callable

STEPS = ("data", "model", "score", "step")
COLORS = ("#e63946", "#457b9d", "#2a9d8f", "#f4a261", "#264653", "gold", "teal", "rgb(120, 80, 200)")


def document(kind: str, seed: int) -> str:
    """A document of one of `KINDS`, with shapes and colors of its own."""
    draw = random.Random(seed)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="128" height="128" viewBox="0 0 128 128">{KINDS[kind](draw)}</svg>'
    )


def _point(draw: random.Random) -> str:
    return f"{draw.uniform(8, 120):.1f} {draw.uniform(8, 120):.1f}"


def _icon(draw: random.Random) -> str:
    paths = (
        f'<path d="M{_point(draw)} C{_point(draw)} {_point(draw)} {_point(draw)} S{_point(draw)} {_point(draw)} Z" '
        f'fill="{draw.choice(COLORS)}"/>'
        for _ in range(draw.randint(6, 30))
    )
    return "".join(paths)


def _outline(draw: random.Random) -> str:
    lines = (
        f'<path d="M{_point(draw)} L{_point(draw)} Q{_point(draw)} {_point(draw)}"/>' for _ in range(draw.randint(6, 20))
    )
    return f'<g fill="none" stroke="{draw.choice(COLORS)}" stroke-width="4" stroke-linecap="round">{"".join(lines)}</g>'


def _badge(draw: random.Random) -> str:
    return f"""<defs><linearGradient id="a" x2="0" y2="1"><stop stop-color="{draw.choice(COLORS)}"/>
<stop offset="1" stop-color="{draw.choice(COLORS)}"/></linearGradient></defs>
<rect x="8" y="24" width="112" height="80" rx="16" fill="url(#a)"/>
<text x="64" y="74" font-family="sans-serif" font-size="28" font-weight="bold" fill="white" text-anchor="middle">
{draw.choice(("Sale", "New", "Beta", "Best", "Free"))} {draw.randint(1, 99)}</text>"""


def _diagram(draw: random.Random) -> str:
    boxes = "".join(
        f'<g transform="translate({8 + 40 * column} {8 + 40 * row})"><rect width="32" height="24" rx="3" class="box"/>'
        f'<text x="16" y="16" font-size="9" text-anchor="middle">{draw.choice(STEPS)}</text></g>'
        for row in range(3)
        for column in range(3)
    )
    style = f"<style>.box {{ fill: {draw.choice(COLORS)}; stroke: #222; stroke-width: 1.5 }}</style>"
    return f'{style}{boxes}<path d="M24 32v16M64 32v16M104 32v16" stroke="#222" stroke-dasharray="3 2"/>'


def _pattern(draw: random.Random) -> str:
    petals = "".join(
        f'<use href="#petal" transform="rotate({angle} 64 64)" fill="{draw.choice(COLORS)}"/>'
        for angle in range(0, 360, 30)
    )
    return f"""<defs><ellipse id="petal" cx="64" cy="32" rx="10" ry="26" opacity="0.7"/>
<clipPath id="round"><circle cx="64" cy="64" r="60"/></clipPath></defs>
<rect width="128" height="128" fill="{draw.choice(COLORS)}" clip-path="url(#round)"/>{petals}"""


KINDS: dict[str, Callable[[random.Random], str]] = {
    "icon": _icon,
    "outline": _outline,
    "badge": _badge,
    "diagram": _diagram,
    "pattern": _pattern,
}
