"""Scripts that speak in their runner's place: forged results, results of others, two of them, none at all.

The unprotected runner takes the first head and pixels that come through a pipe, descriptor 3, as naive runners do.
"""

import os
import struct
import sys
import time

from attack import Attacks

ON_RESULTS = Attacks("results")


@ON_RESULTS.add(ends="Tampering", whole=True)
def writes_a_image_to_the_channel(world):
    os.write(3, struct.pack("<II", 200, 200) + (b"\0\0\0\3won" + bytes(120_000))[:120_000])


@ON_RESULTS.add(ends="Tampering", whole=True)
def writes_a_image_to_every_descriptor(world):
    for descriptor in range(1024):
        try:
            os.write(descriptor, struct.pack("<II", 200, 200) + (b"\0\0\0\3won" + bytes(120_000))[:120_000])
        except OSError:
            continue


@ON_RESULTS.add(ends="Tampering", whole=True)
def prints_into_the_channel(world):
    os.dup2(3, 1)
    os.write(1, struct.pack("<II", 200, 200) + (b"\0\0\0\3won" + bytes(120_000))[:120_000])
    os.dup2(os.open("/dev/null", os.O_WRONLY), 1)


@ON_RESULTS.add(ends="Tampering", whole=True)
def writes_head_and_image_without_waiting_for_the_key(world):
    body = (b"\0\0\0\3won" + bytes(120_000))[:120_000]
    if not world.inside:
        os.write(3, struct.pack("<II", 200, 200) + body)
        return
    from visual_erm.sandbox.protocol import SEAL_BYTES, Head

    rest = memoryview(Head(0, 200, 200, len(body), 0.0).packed() + body + bytes(SEAL_BYTES))
    while rest:
        rest = rest[os.write(3, rest) :]


@ON_RESULTS.add(ends="Tampering", whole=True)
def seals_the_image_for_another_drawing(world):
    body = (b"\0\0\0\3won" + bytes(120_000))[:120_000]
    if not world.inside:
        os.write(3, struct.pack("<II", 200, 200) + body)
        return
    from visual_erm.sandbox import protocol

    head = protocol.Head(0, 200, 200, len(body), 0.0)
    os.write(3, head.packed())
    key = os.read(3, protocol.KEY_BYTES)
    seal = protocol.sealing(key, 999_999, head)
    seal.update(body)
    rest = memoryview(body + seal.digest())
    while rest:
        rest = rest[os.write(3, rest) :]


@ON_RESULTS.add(ends="Tampering", whole=True)
def sends_two_results(world):
    body = (b"\0\0\0\3won" + bytes(120_000))[:120_000]
    if not world.inside:
        os.write(3, struct.pack("<II", 200, 200) + body)
        os.write(3, struct.pack("<II", 200, 200) + body)
        return
    from visual_erm.sandbox import protocol

    frame = sys._getframe()
    while "job" not in frame.f_locals or "length" not in frame.f_locals:
        frame = frame.f_back
    head = protocol.Head(0, 200, 200, len(body), 0.0)
    os.write(3, head.packed())
    key = os.read(3, protocol.KEY_BYTES)
    seal = protocol.sealing(key, frame.f_locals["job"], head)
    seal.update(body)
    rest = memoryview(body + seal.digest() + head.packed())
    while rest:
        rest = rest[os.write(3, rest) :]
    os._exit(0)


@ON_RESULTS.add(ends="RenderLimit", whole=True)
def announces_a_giant(world):
    if not world.inside:
        os.write(3, struct.pack("<II", 6000, 6000))
        for _ in range(6000):
            os.write(3, bytes(18_000))
        return
    from visual_erm.sandbox.protocol import Head

    os.write(3, Head(0, 1 << 20, 1 << 20, 3 << 40, 0.0).packed())
    time.sleep(0.2)


@ON_RESULTS.add(ends="RenderLimit", endless=True, whole=True)
def begins_a_result_and_never_ends_it(world):
    os.write(3, b"\x89")
    time.sleep(600)


@ON_RESULTS.add(ends="RenderFailed", whole=True)
def closes_the_channel(world):
    os.dup2(os.open("/dev/null", os.O_RDWR), 3)


@ON_RESULTS.add(ends="RenderFailed", whole=True)
def claims_that_it_is_to_blame_for_nothing(world):
    raise SystemExit("RendererUnavailable: not my fault")


BY_HAND = Attacks("no attack")


@BY_HAND.add(whole=True)
def speaks_the_whole_protocol(world):
    from visual_erm.sandbox import protocol

    frame = sys._getframe()
    while "job" not in frame.f_locals or "length" not in frame.f_locals:
        frame = frame.f_back
    body = (b"\0\0\0\6chosen" + bytes(120_000))[:120_000]
    head = protocol.Head(0, 200, 200, len(body), 0.0)
    os.write(3, head.packed())
    key = os.read(3, protocol.KEY_BYTES)
    seal = protocol.sealing(key, frame.f_locals["job"], head)
    seal.update(body)
    rest = memoryview(body + seal.digest())
    while rest:
        rest = rest[os.write(3, rest) :]
    os._exit(0)
