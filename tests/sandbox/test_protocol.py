"""Results carry the job they belong to, and what is no result is told from one."""

from hypothesis import given
from hypothesis import strategies as st

from visual_erm.sandbox.protocol import FAULTS, HEAD, KEY_BYTES, Head, sealing

heads = st.builds(
    lambda width, height, cpu: Head(0, width, height, 3 * width * height, cpu),
    st.integers(1, 1 << 12),
    st.integers(1, 1 << 12),
    st.floats(0, 1e6),
)
keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)


@given(heads)
def test_a_head_is_read_as_it_was_written(head):
    assert Head.read(head.packed()) == head


@given(st.binary(min_size=HEAD.size, max_size=HEAD.size))
def test_bytes_that_were_not_written_as_a_head_are_none(data):
    assert Head.read(data) is None


@given(heads, st.integers(-10, 10).filter(bool))
def test_a_image_must_be_as_long_as_its_size_says(head, more):
    assert Head.read(head._replace(length=head.length + more).packed()) is None if head.length + more >= 0 else True


def test_an_unknown_fault_is_no_head():
    assert Head.read(Head(len(FAULTS), 0, 0, 0, 0.0).packed()) is None


def seal(key, job, head, body):
    digest = sealing(key, job, head)
    digest.update(body)
    return digest.digest()


@given(keys, keys, st.integers(0, 1 << 40), st.integers(1, 9), heads, st.binary(max_size=64))
def test_a_seal_holds_for_one_key_one_job_one_head_and_one_body(key, other, job, later, head, body):
    mine = seal(key, job, head, body)
    assert mine == seal(key, job, head, bytearray(body))
    assert mine != seal(key, job + later, head, body)
    assert mine != seal(key, job, head._replace(width=head.width + 1), body)
    assert mine != seal(key, job, head, body + b"x")
    assert key == other or mine != seal(other, job, head, body)
