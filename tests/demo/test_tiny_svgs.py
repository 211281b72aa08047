"""The demo's drawings: damage, and which parts of a reply are read."""

import random

import pytest

from visual_erm.demo.tiny_svgs import Shape, batch, damaged, from_svg, held_out, parts, synthetic_drawing, to_svg

DRAWING = (Shape(0, 1, "circle", "red"), Shape(1, 0, "square", "blue"), Shape(2, 3, "triangle", "green"))


def test_what_is_held_out_is_never_taught():
    rng = random.Random(0)
    test = set(held_out(rng, 2000))
    taught = {synthetic_drawing(rng) for _ in range(20_000)} | set(batch(rng, 2000))
    assert not test & taught


def test_damage_is_the_last_shape_dropped_or_one_doubled_or_moved():
    rng = random.Random(0)
    kept = {(len(drawing), len(set(DRAWING) & set(drawing))) for drawing in (damaged(rng, DRAWING) for _ in range(100))}
    assert kept == {(2, 2), (4, 3), (3, 2)}


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ('fill="red"', 'fill="green"', 1),
        ("translate(0 1)", "translate(0 2)", 1),
        ("translate(0 1)", "rotate(90)", 1),
        ("<circle", "<rect", 1),
        ("</svg>", "", 0),
        ("<svg", "<p>Here it is:</p><svg", 0),
    ],
)
def test_a_reply_is_read_shape_by_shape(old, new, wrong):
    code = to_svg(DRAWING)
    assert old in code
    found = parts(from_svg(code.replace(old, new, 1)))
    assert len(parts(DRAWING).items() - found.items()) == wrong
