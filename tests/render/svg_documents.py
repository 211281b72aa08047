"""Documents of many kinds, each with points of the 336 x 336 image and the colors there: both libraries agree on them."""

from __future__ import annotations

from dataclasses import dataclass

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
PINK = (255, 128, 128)
"""Red at half opacity on white."""

GREEN_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAE0lEQVR4nGNkaGDACpiwCw9WCQBqCACQJ5at+QAAAABJRU5ErkJggg=="

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Sample:
    body: str
    points: dict[tuple[int, int], Color]
    root: str = 'viewBox="0 0 100 100"'

    @property
    def svg(self) -> str:
        names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        return f"<svg {names} {self.root}>{self.body}</svg>"


SAMPLES = {
    "rect": Sample('<rect x="10" y="10" width="50" height="50" fill="red"/>', {(100, 100): RED, (300, 300): WHITE}),
    "circle": Sample('<circle cx="50" cy="50" r="30" fill="#00f"/>', {(168, 168): BLUE, (20, 20): WHITE}),
    "ellipse": Sample('<ellipse cx="50" cy="50" rx="40" ry="10" fill="green"/>', {(50, 168): GREEN, (168, 250): WHITE}),
    "path with curves": Sample(
        '<path d="M10 90 C 10 10, 90 10, 90 90 S 95 95 50 95 Z" fill="blue"/>', {(168, 250): BLUE, (168, 60): WHITE}
    ),
    "path with arcs": Sample(
        '<path d="M20 50 a30 30 0 1 1 60 0 a30 30 0 1 1 -60 0" fill="red"/>', {(168, 168): RED, (10, 10): WHITE}
    ),
    "even-odd hole": Sample(
        '<path fill-rule="evenodd" d="M10 10H90V90H10Z M30 30H70V70H30Z"/>', {(60, 60): BLACK, (168, 168): WHITE}
    ),
    "polygon": Sample('<polygon points="50,10 90,90 10,90" fill="red"/>', {(168, 200): RED, (30, 30): WHITE}),
    "polyline": Sample(
        '<polyline points="10,50 50,50 90,50" fill="none" stroke="blue" stroke-width="8"/>', {(168, 168): BLUE}
    ),
    "dashes": Sample(
        '<line x1="0" y1="50" x2="100" y2="50" stroke="red" stroke-width="10" stroke-dasharray="20 20"/>',
        {(34, 168): RED, (100, 168): WHITE, (168, 168): RED},
    ),
    "round caps": Sample(
        '<line x1="30" y1="50" x2="70" y2="50" stroke="green" stroke-width="30" stroke-linecap="round"/>',
        {(65, 168): GREEN, (30, 168): WHITE},
    ),
    "opacity": Sample('<rect width="90" height="90" fill="red" opacity="0.5"/>', {(168, 168): PINK, (320, 320): WHITE}),
    "group opacity": Sample(
        '<g opacity="0.5"><rect width="60" height="60" fill="red"/><rect x="20" width="60" height="60" fill="red"/></g>',
        {(20, 20): PINK, (150, 100): PINK, (300, 300): WHITE},
    ),
    "linear gradient": Sample(
        '<linearGradient id="a"><stop offset="0" stop-color="red"/><stop offset=".5" stop-color="red"/>'
        '<stop offset=".5" stop-color="blue"/></linearGradient><rect width="100" height="100" fill="url(#a)"/>',
        {(60, 168): RED, (280, 168): BLUE},
    ),
    "radial gradient": Sample(
        '<defs><radialGradient id="a" gradientUnits="userSpaceOnUse" cx="50" cy="50" r="40"><stop stop-color="red"/>'
        '<stop offset=".6" stop-color="red"/><stop offset=".6" stop-color="white"/></radialGradient></defs>'
        '<circle cx="50" cy="50" r="50" fill="url(#a)"/>',
        {(168, 168): RED, (168, 40): WHITE},
    ),
    "gradient by reference": Sample(
        '<defs><linearGradient id="a"><stop stop-color="green"/></linearGradient>'
        '<linearGradient id="b" xlink:href="#a" x1="0" x2="1"/></defs><rect width="90" height="90" fill="url(#b)"/>',
        {(168, 168): GREEN, (330, 330): WHITE},
    ),
    "pattern": Sample(
        '<defs><pattern id="a" width="20" height="20" patternUnits="userSpaceOnUse">'
        '<rect width="10" height="20" fill="blue"/></pattern></defs><rect width="100" height="100" fill="url(#a)"/>',
        {(16, 168): BLUE, (50, 168): WHITE, (84, 168): BLUE},
    ),
    "clip path": Sample(
        '<clipPath id="a"><circle cx="50" cy="50" r="20"/></clipPath>'
        '<rect width="100" height="100" fill="red" clip-path="url(#a)"/>',
        {(168, 168): RED, (60, 60): WHITE},
    ),
    "mask": Sample(
        '<mask id="a" maskUnits="userSpaceOnUse" x="0" y="0" width="100" height="100">'
        '<rect x="30" y="30" width="40" height="40" fill="white"/></mask>'
        '<rect width="100" height="100" fill="blue" mask="url(#a)"/>',
        {(168, 168): BLUE, (40, 40): WHITE},
    ),
    "use": Sample(
        '<defs><rect id="a" width="20" height="20"/></defs><use href="#a" x="10" fill="red"/>'
        '<use xlink:href="#a" x="60" y="60" fill="green"/>',
        {(60, 30): RED, (230, 230): GREEN, (168, 168): WHITE},
    ),
    "symbol": Sample(
        '<symbol id="a" viewBox="0 0 10 10"><circle cx="5" cy="5" r="5" fill="red"/></symbol>'
        '<use href="#a" x="50" y="50" width="50" height="50"/>',
        {(252, 252): RED, (84, 84): WHITE},
    ),
    "transforms": Sample(
        '<g transform="translate(50 50) rotate(45) scale(2)"><path d="M-10-10h20v20h-20z" fill="blue"/></g>',
        {(168, 90): BLUE, (110, 110): WHITE},
    ),
    "matrix": Sample(
        '<rect width="10" height="10" fill="green" transform="matrix(5 0 0 5 25 25)"/>',
        {(168, 168): GREEN, (60, 60): WHITE},
    ),
    "classes": Sample(
        '<style>.a{fill:red} #b{fill:blue} circle.c{fill:green}</style><rect class="a" width="30" height="30"/>'
        '<rect id="b" x="40" width="30" height="30"/><circle class="c" cx="50" cy="80" r="15"/>',
        {(50, 50): RED, (185, 50): BLUE, (168, 270): GREEN},
    ),
    "inline style": Sample(
        '<rect width="50" height="50" fill="red" style="fill:rgb(0,128,0);stroke:none"/>', {(84, 84): GREEN}
    ),
    "nested svg": Sample(
        '<svg x="50" y="0" width="50" height="50" viewBox="0 0 10 10"><rect width="20" height="20" fill="red"/></svg>',
        {(250, 84): RED, (84, 84): WHITE, (250, 250): WHITE},
    ),
    "text": Sample(
        '<text x="50" y="90" font-size="120" font-family="DejaVu Sans" font-weight="bold" text-anchor="middle">I</text>',
        {(168, 168): BLACK, (30, 168): WHITE},
    ),
    "CJK text": Sample(
        '<text x="0" y="90" font-size="100" font-family="Noto Sans CJK SC" fill="red">一</text>',
        {(168, 180): RED, (168, 30): WHITE},
    ),
    "embedded PNG": Sample(
        f'<image width="50" height="100" preserveAspectRatio="none" href="data:image/png;base64,{GREEN_PNG}"/>',
        {(84, 168): GREEN, (250, 168): WHITE},
    ),
    "own size, wide": Sample(
        '<rect width="200" height="50" fill="red"/>', {(168, 168): RED, (168, 20): WHITE}, 'width="200" height="50"'
    ),
    "aspect ratio at the end": Sample(
        '<rect width="50" height="100" fill="blue"/>',
        {(300, 168): BLUE, (84, 168): WHITE},
        'viewBox="0 0 50 100" preserveAspectRatio="xMaxYMid meet"',
    ),
    "aspect ratio ignored": Sample(
        '<rect width="25" height="10" fill="green"/>',
        {(84, 168): GREEN, (250, 168): WHITE},
        'viewBox="0 0 50 10" preserveAspectRatio="none"',
    ),
    "viewBox that starts elsewhere": Sample(
        '<rect x="-50" y="-50" width="50" height="50" fill="red"/>',
        {(84, 84): RED, (250, 250): WHITE},
        'width="10" height="10" viewBox="-50 -50 100 100"',
    ),
}
