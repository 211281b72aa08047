"""Synthetic drawings for trials: a few motifs in many arrangements, as SVG.

Together they use what icons use of SVG: shapes, paths, groups, transforms, gradients, dashes, opacity and text. A source of
`data_prep/svgs.py`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

from visual_erm.data.sources import Item
from visual_erm.extract import Code

SIZE = 200
"""Side of a drawing in its own units; a motif has a square of 100."""
_PALETTES = (
    ("#264653", "#2a9d8f", "#e9c46a", "#f4a261", "#e76f51"),
    ("#003049", "#d62828", "#f77f00", "#fcbf49", "#669bbc"),
    ("#22223b", "#4a4e69", "#9a8c98", "#c9ada7", "#b5838d"),
    ("#386641", "#6a994e", "#a7c957", "#bc4749", "#dda15e"),
    ("#03045e", "#0077b6", "#00b4d8", "#90e0ef", "#ffb703"),
    ("crimson", "darkorange", "gold", "seagreen", "royalblue"),
)
_WORDS = ("Start", "Open", "Sale", "No. 7", "Menu", "42 km", "Exit", "Lab 3", "Free", "Stop", "A+", "Hello", "2:1", "Wind")
_PLACES: dict[int, Sequence[tuple[float, float, float]]] = {
    1: [(20, 20, 1.6)],
    2: [(5, 55, 0.9), (105, 55, 0.9)],
    3: [(55, 8, 0.9), (5, 105, 0.9), (105, 105, 0.9)],
    4: [(5, 5, 0.9), (105, 5, 0.9), (5, 105, 0.9), (105, 105, 0.9)],
}
"""Positions of the motifs, by their number: x, y and scale."""

Colors = Sequence[str]


def drawings(count: int, seed: int) -> Iterator[Item]:
    """Makes random drawings.

    Args:
        count: Number of drawings. The first ones do not depend on it.
        seed: Decides the drawings.

    Yields:
        One item for each drawing, with its SVG as ground truth.
    """
    for number in range(1, count + 1):
        text = _drawing(random.Random(f"{seed} {number}"))
        yield Item(f"drawing {number:06}", code=Code("svg", text), ground_truth=text)


def _drawing(rng: random.Random) -> str:
    palette = rng.choice(_PALETTES)
    places = _PLACES[rng.choice([1, 1, 1, 2, 2, 3, 4])]
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}">']
    lines += rng.choice([_no_background, _no_background, _tile, _sky])(rng)
    for x, y, scale in places:
        colors = rng.sample(palette, len(palette))
        turn = f" rotate({rng.choice([-15, -8, 8, 15])} 50 50)" if rng.random() < 0.25 else ""
        lines.append(f'<g transform="translate({x} {y}) scale({scale}){turn}">')
        lines += rng.choice(MOTIFS)(rng, colors)
        lines.append("</g>")
    if len(places) < 3 and rng.random() < 0.4:
        lines.append(
            f'<text x="{SIZE // 2}" y="{SIZE - 6}" font-family="sans-serif" font-size="{rng.choice([14, 18, 22])}"'
            f' text-anchor="middle" fill="{palette[0]}">{rng.choice(_WORDS)}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


# Backgrounds


def _no_background(rng: random.Random) -> list[str]:
    return []


def _tile(rng: random.Random) -> list[str]:
    fill, corner = rng.choice(["#f1faee", "#fff3e0", "#e8eaf6", "#fdf0d5"]), rng.choice([0, 16, 40])
    return [f'<rect x="2" y="2" width="196" height="196" rx="{corner}" fill="{fill}" stroke="#555555"/>']


def _sky(rng: random.Random) -> list[str]:
    above, below = rng.choice([("#90caf9", "#ffffff"), ("#ffe0b2", "#f8bbd0"), ("#c5e1a5", "#fffde7")])
    stops = f'<stop offset="0" stop-color="{above}"/><stop offset="1" stop-color="{below}"/>'
    return [
        f'<defs><linearGradient id="sky" x1="0" y1="0" x2="0" y2="1">{stops}</linearGradient></defs>',
        f'<rect width="{SIZE}" height="{SIZE}" fill="url(#sky)"/>',
    ]


# Motifs


def _sun(rng: random.Random, c: Colors) -> list[str]:
    rays, radius = rng.choice([8, 10, 12]), rng.randint(16, 26)
    ray = f'<line x1="50" y1="{50 - radius - 6}" x2="50" y2="4" stroke="{c[1]}" stroke-width="5" stroke-linecap="round"'
    turned = [f'{ray} transform="rotate({360 * i // rays} 50 50)"/>' for i in range(rays)]
    return [f'<circle cx="50" cy="50" r="{radius}" fill="{c[0]}"/>', *turned]


def _house(rng: random.Random, c: Colors) -> list[str]:
    roof, door = rng.randint(5, 25), rng.randint(24, 60)
    window = 20 if door > 40 else 62
    return [
        f'<rect x="16" y="45" width="68" height="50" fill="{c[0]}"/>',
        f'<polygon points="8,46 50,{roof} 92,46" fill="{c[1]}"/>',
        f'<rect x="{door}" y="65" width="16" height="30" fill="{c[2]}"/>',
        f'<rect x="{window}" y="58" width="16" height="14" fill="white" stroke="{c[3]}" stroke-width="2"/>',
    ]


def _tree(rng: random.Random, c: Colors) -> list[str]:
    trunk = f'<rect x="44" y="68" width="12" height="28" fill="{c[0]}"/>'
    if rng.random() < 0.5:
        rows = [(70, 30), (50, 24), (32, 18)][: rng.randint(2, 3)]
        fir = [f'<polygon points="{50 - w},{y + 8} 50,{y - 26} {50 + w},{y + 8}" fill="{c[1]}"/>' for y, w in rows]
        return [trunk, *fir]
    return [trunk, *(f'<circle cx="{x}" cy="{y}" r="22" fill="{c[1]}"/>' for x, y in ((34, 54), (66, 54), (50, 32)))]


def _star(rng: random.Random, c: Colors) -> list[str]:
    tips, inner = rng.choice([5, 6, 8, 12]), rng.randint(16, 32)
    radii = [46 if i % 2 == 0 else inner for i in range(2 * tips)]
    angles = [math.pi * i / tips - math.pi / 2 for i in range(2 * tips)]
    points = [f"{50 + r * math.cos(a):.1f},{50 + r * math.sin(a):.1f}" for r, a in zip(radii, angles, strict=True)]
    line = f' stroke="{c[1]}" stroke-width="3" stroke-linejoin="round"' if rng.random() < 0.5 else ""
    return [f'<polygon points="{" ".join(points)}" fill="{c[0]}"{line}/>']


def _flower(rng: random.Random, c: Colors) -> list[str]:
    petals, width = rng.choice([5, 6, 8]), rng.randint(9, 14)
    petal = f'<ellipse cx="50" cy="24" rx="{width}" ry="20" fill="{c[0]}" fill-opacity="{rng.choice([0.6, 0.8, 1])}"'
    turned = [f'{petal} transform="rotate({360 * i // petals} 50 50)"/>' for i in range(petals)]
    return [*turned, f'<circle cx="50" cy="50" r="12" fill="{c[1]}"/>']


def _cloud(rng: random.Random, c: Colors) -> list[str]:
    line = f'stroke="{c[1]}" stroke-width="4" stroke-dasharray="{rng.choice(["8 5", "4 4"])}"'
    drops = [f'<line x1="{x}" y1="66" x2="{x - 8}" y2="92" {line}/>' for x in range(30, 80, rng.choice([12, 16, 22]))]
    cloud = "M 24 60 A 16 16 0 0 1 26 28 A 22 22 0 0 1 66 24 A 18 18 0 0 1 78 60 Z"
    return [f'<path d="{cloud}" fill="{c[0]}"/>', *drops]


def _bars(rng: random.Random, c: Colors) -> list[str]:
    heights = [rng.randrange(10, 85, 5) for _ in range(rng.randint(3, 5))]
    wide = 80 // len(heights)
    bars = [
        f'<rect x="{12 + i * wide}" y="{92 - height}" width="{wide - 4}" height="{height}" fill="{c[i]}"/>'
        for i, height in enumerate(heights)
    ]
    return [*bars, '<path d="M 8 4 V 93 H 96" fill="none" stroke="#333333" stroke-width="2"/>']


def _clock(rng: random.Random, c: Colors) -> list[str]:
    hour, minute = rng.randrange(12), rng.randrange(0, 60, 5)
    tick = '<line x1="50" y1="10" x2="50" y2="17" stroke="#333333" stroke-width="2"'
    hand = '<line x1="50" y1="50" x2="50" y2="{}" stroke="{}" stroke-width="{}" transform="rotate({} 50 50)"/>'
    return [
        f'<circle cx="50" cy="50" r="44" fill="white" stroke="{c[0]}" stroke-width="{rng.randint(3, 7)}"/>',
        *(f'{tick} transform="rotate({angle} 50 50)"/>' for angle in range(0, 360, rng.choice([30, 90]))),
        hand.format(28, c[1], 5, 30 * hour + minute // 2),
        hand.format(18, c[2], 3, 6 * minute),
        f'<circle cx="50" cy="50" r="4" fill="{c[1]}"/>',
    ]


def _face(rng: random.Random, c: Colors) -> list[str]:
    bend = rng.choice([52, 66, 84, 92])
    return [
        f'<circle cx="50" cy="50" r="44" fill="{c[0]}"/>',
        *(f'<circle cx="{x}" cy="40" r="{rng.randint(4, 8)}" fill="white"/>' for x in (34, 66)),
        f'<path d="M 28 66 Q 50 {bend} 72 66" fill="none" stroke="white" stroke-width="5" stroke-linecap="round"/>',
    ]


def _target(rng: random.Random, c: Colors) -> list[str]:
    rings = rng.randint(3, 5)
    return [
        f'<circle cx="50" cy="50" r="{46 * (rings - i) // rings}" fill="{"white" if i % 2 else c[0]}" stroke="{c[0]}"/>'
        for i in range(rings)
    ]


def _fish(rng: random.Random, c: Colors) -> list[str]:
    tall = rng.randint(18, 34)
    return [
        f'<path d="M 6 50 Q 38 {50 - 2 * tall} 74 50 Q 38 {50 + 2 * tall} 6 50 Z" fill="{c[0]}"/>',
        f'<polygon points="68,50 94,{50 - tall} 94,{50 + tall}" fill="{c[1]}"/>',
        '<circle cx="24" cy="45" r="4" fill="white"/>',
    ]


def _mountains(rng: random.Random, c: Colors) -> list[str]:
    left, right = rng.randint(10, 40), rng.randint(10, 40)
    return [
        f'<polygon points="2,90 36,{left} 70,90" fill="{c[0]}"/>',
        f'<polygon points="34,90 68,{right} 98,90" fill="{c[1]}" fill-opacity="0.85"/>',
        f'<circle cx="{rng.randint(14, 86)}" cy="12" r="9" fill="{c[2]}"/>',
    ]


def _flag(rng: random.Random, c: Colors) -> list[str]:
    if rng.random() < 0.5:
        stripes = [f'<rect x="14" y="{10 + 18 * i}" width="78" height="18" fill="{c[i]}"/>' for i in range(3)]
    else:
        stripes = [f'<rect x="{14 + 26 * i}" y="10" width="26" height="54" fill="{c[i]}"/>' for i in range(3)]
    return [*stripes, '<rect x="8" y="4" width="6" height="92" rx="3" fill="#444444"/>']


def _heart(rng: random.Random, c: Colors) -> list[str]:
    heart = "M 50 90 C 4 58 4 14 32 12 C 44 12 50 24 50 30 C 50 24 56 12 68 12 C 96 14 96 58 50 90 Z"
    if rng.random() < 0.5:
        return [f'<path d="{heart}" fill="{c[0]}"/>']
    return [f'<path d="{heart}" fill="none" stroke="{c[0]}" stroke-width="{rng.randint(3, 8)}"/>']


def _envelope(rng: random.Random, c: Colors) -> list[str]:
    return [
        f'<rect x="6" y="22" width="88" height="58" rx="{rng.choice([0, 6])}" fill="{c[0]}"/>',
        f'<polyline points="6,24 50,{rng.randint(50, 62)} 94,24" fill="none" stroke="white" stroke-width="4"/>',
    ]


def _sign(rng: random.Random, c: Colors) -> list[str]:
    shape = rng.choice(
        [
            '<polygon points="50,4 96,50 50,96 4,50"',
            '<rect x="4" y="24" width="92" height="52" rx="8"',
            '<circle cx="50" cy="50" r="46"',
        ]
    )
    return [
        f'{shape} fill="{c[0]}"/>',
        f'<text x="50" y="57" font-family="sans-serif" font-size="20" font-weight="{rng.choice(["normal", "bold"])}"'
        f' text-anchor="middle" fill="white">{rng.choice(_WORDS)}</text>',
    ]


MOTIFS = (
    _sun,
    _house,
    _tree,
    _star,
    _flower,
    _cloud,
    _bars,
    _clock,
    _face,
    _target,
    _fish,
    _mountains,
    _flag,
    _heart,
    _envelope,
    _sign,
)
