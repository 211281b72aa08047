"""The evaluation tells a policy that reads from one that only writes well-formed tables."""

import pytest

from visual_erm.demo.accuracy import accuracy, swap
from visual_erm.demo.tiny_data import held_out_samples
from visual_erm.demo.tiny_tables import TABLE, to_html
from visual_erm.demo.tiny_tasks import TASKS

TRUTHS = [rows for _, rows in held_out_samples(TASKS["table"])]


def shape(rows):
    return len(rows), len(rows[0])


def test_a_perfect_reader_has_every_shape_and_every_cell():
    perfect = accuracy(TABLE, [to_html(rows) for rows in TRUTHS], TRUTHS)
    assert (perfect.shape, perfect.parts) == (1, 1)


def test_a_perfect_reader_of_swapped_images_keeps_the_shapes_and_loses_the_cells():
    swapped = accuracy(TABLE, [to_html(TRUTHS[i]) for i in swap(TABLE, TRUTHS)], TRUTHS)
    assert swapped.shape == 1
    assert swapped.parts < 0.2


def test_who_never_looks_is_as_right_on_swapped_images_as_on_the_true_ones():
    blind = [to_html([["alc"] * shape(rows)[1], *[["0"] * shape(rows)[1]] * (shape(rows)[0] - 1)]) for rows in TRUTHS]
    own, other = accuracy(TABLE, blind, TRUTHS), accuracy(TABLE, [blind[i] for i in swap(TABLE, TRUTHS)], TRUTHS)
    assert own == other
    assert own.shape == 1
    assert own.parts < 0.2


def test_swapping_pairs_every_table_with_another_of_its_shape():
    order = swap(TABLE, TRUTHS)
    assert sorted(order) == list(range(len(TRUTHS)))
    assert all(i != j and shape(TRUTHS[i]) == shape(TRUTHS[j]) for i, j in enumerate(order))


@pytest.mark.parametrize(
    ("reply", "right_shape", "parts"),
    [
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", 1, 1),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>3</td></tr></table>", 1, 0.75),
        ("<table><tr><th>a</th><th>b</th></tr></table>", 0, 0.5),
        ("<table><tr><th>a</th></tr><tr><td>1</td><td>2</td></tr></table>", 0, 0.75),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr><tr><td></td></tr></table>", 0, 1),
        ("I see no table", 0, 0),
    ],
)
def test_shape_and_parts_are_counted_apart(reply, right_shape, parts):
    result = accuracy(TABLE, [reply], [[["a", "b"], ["1", "2"]]])
    assert (result.shape, result.parts) == (right_shape, parts)
