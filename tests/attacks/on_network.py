"""Scripts that call home: the test listens, and hears the name of who comes through."""

import ctypes
import socket
import struct

from attack import Attacks

ON_NETWORK = Attacks("network")


@ON_NETWORK.add()
def connects_by_tcp(world):
    with socket.create_connection(("127.0.0.1", world.tcp), 2) as line:
        line.sendall(world.name.encode())


@ON_NETWORK.add()
def sends_by_udp(world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(world.name.encode(), ("127.0.0.1", world.udp))


@ON_NETWORK.add()
def connects_to_a_unix_socket(world):
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(world.unix)
        line.sendall(world.name.encode())


@ON_NETWORK.add()
def connects_to_an_abstract_unix_socket(world):
    with socket.socket(socket.AF_UNIX) as line:
        line.connect("\0" + world.abstract)
        line.sendall(world.name.encode())


@ON_NETWORK.add()
def connects_with_the_c_library(world):
    libc = ctypes.CDLL(None)
    line = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    address = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(world.tcp), bytes((127, 0, 0, 1)))
    libc.connect(line, address, len(address))
    libc.send(line, world.name.encode(), len(world.name), 0)


@ON_NETWORK.add()
def fetches_a_page(world):
    import pandas

    pandas.read_csv(f"http://127.0.0.1:{world.tcp}/{world.name}", storage_options={"User-Agent": world.name})


@ON_NETWORK.add()
def loads_a_style_from_the_network(world):
    from matplotlib import pyplot

    pyplot.style.use(f"http://127.0.0.1:{world.tcp}/{world.name}")


@ON_NETWORK.add()
def listens_on_a_port(world):
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        line.listen()
        return True


@ON_NETWORK.add()
def asks_the_kernel_for_its_interfaces(world):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as line:
        line.bind((0, 0))
        return True


@ON_NETWORK.add()
def talks_to_a_sibling_through_a_socket_pair(world):
    one, other = socket.socketpair()
    with one, other:
        return bool(one.send(b"x"))
