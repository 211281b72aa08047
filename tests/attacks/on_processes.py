"""Scripts that start processes, or go for those that are there, the kernel's rarer doors among them."""

import ctypes
import os
import signal
import struct
import subprocess
import sys
import threading
import time

from attack import Attacks
from inside import syscall

ON_PROCESSES = Attacks("processes")


@ON_PROCESSES.add()
def forks(world):
    if os.fork() == 0:
        os._exit(0)
    return True


@ON_PROCESSES.add()
def forks_with_a_system_call(world):
    machine = os.uname().machine
    child = syscall("fork") if machine == "x86_64" else syscall("clone", 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return True


@ON_PROCESSES.add()
def forks_a_bomb(world):
    for _ in range(30):
        if os.fork() == 0:
            time.sleep(0.5)
            os._exit(0)
    return True


@ON_PROCESSES.add()
def runs_a_program(world):
    return subprocess.run([sys.executable, "-c", ""]).returncode == 0


@ON_PROCESSES.add()
def runs_a_shell(world):
    return os.system(f"echo left > {world.drop}") == 0


@ON_PROCESSES.add()
def spawns_a_program(world):
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    return True


@ON_PROCESSES.add()
def becomes_another_program(world):
    os.execv("/bin/sh", ["sh", "-c", f"echo left > {world.drop}"])


@ON_PROCESSES.add()
def becomes_a_program_in_memory(world):
    with open("/bin/sh", "rb") as shell:
        program = os.memfd_create("program")
        os.write(program, shell.read())
    words = (ctypes.c_char_p * 4)(b"sh", b"-c", f"echo left > {world.drop}".encode())
    syscall("execveat", program, b"", words, None, 0x1000)


@ON_PROCESSES.add()
def starts_a_pool(world):
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1]) == [1]


@ON_PROCESSES.add()
def leaves_a_daemon(world):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(0.5)
            with open(world.drop, "w") as file:
                file.write("left")
        os._exit(0)


@ON_PROCESSES.add()
def starts_threads_without_end(world):
    for _ in range(50):
        threading.Thread(target=time.sleep, args=(0.5,)).start()
    return True


@ON_PROCESSES.add(victim=True)
def kills_a_process(world):
    os.kill(world.victim, signal.SIGKILL)


@ON_PROCESSES.add(victim=True)
def stops_a_process(world):
    os.kill(world.victim, signal.SIGSTOP)


@ON_PROCESSES.add(victim=True)
def kills_a_process_with_the_c_library(world):
    ctypes.CDLL(None).kill(world.victim, signal.SIGKILL)


@ON_PROCESSES.add(victim=True)
def kills_a_thread_of_a_process(world):
    syscall("tkill", world.victim, signal.SIGKILL)


@ON_PROCESSES.add(victim=True)
def kills_a_process_through_its_descriptor(world):
    syscall("pidfd_send_signal", syscall("pidfd_open", world.victim, 0), signal.SIGKILL, None, 0)


@ON_PROCESSES.add(victim=True)
def queues_a_signal_for_a_process(world):
    information = ctypes.create_string_buffer(struct.pack("3i", signal.SIGTERM, 0, -1), 128)
    syscall("rt_sigqueueinfo", world.victim, signal.SIGTERM, information)


@ON_PROCESSES.add(victim=True)
def has_a_pipe_send_signals_to_a_process(world):
    import fcntl

    reading, writing = os.pipe()
    set_signal, asynchronous = 10, 0o20000
    fcntl.fcntl(reading, fcntl.F_SETOWN, world.victim)
    fcntl.fcntl(reading, set_signal, signal.SIGTERM)
    fcntl.fcntl(reading, fcntl.F_SETFL, asynchronous)
    os.write(writing, b"x")


@ON_PROCESSES.add(victim=True)
def traces_a_process(world):
    attach = 16
    syscall("ptrace", attach, world.victim, 0, 0)
    return True


@ON_PROCESSES.add(victim=True)
def takes_the_processor_from_a_process(world):
    syscall("setpriority", 0, world.victim, 19)


@ON_PROCESSES.add(victim=True)
def changes_the_limits_of_a_process(world):
    syscall("prlimit64", world.victim, 7, struct.pack("QQ", 3, 3), None)


@ON_PROCESSES.add()
def may_kill_everything(world):
    os.kill(-1, 0)
    return True


@ON_PROCESSES.add()
def signals_its_parent(world):
    os.kill(os.getppid(), signal.SIGUSR1)
    return True


@ON_PROCESSES.add()
def signals_the_group_of_its_parent(world):
    os.killpg(os.getpgid(os.getppid()), 0)
    return True


@ON_PROCESSES.add()
def reads_its_parent_s_memory_by_a_system_call(world):
    data = ctypes.create_string_buffer(64)
    here = struct.pack("QQ", ctypes.addressof(data), 64)
    syscall("process_vm_readv", os.getppid(), here, 1, struct.pack("QQ", world.address, 64), 1, 0)
    return data.raw


@ON_PROCESSES.add()
def takes_a_descriptor_from_its_parent(world):
    parent = syscall("pidfd_open", os.getppid(), 0)
    return os.pread(syscall("pidfd_getfd", parent, world.descriptor, 0), 100, 0)


@ON_PROCESSES.add()
def becomes_root_of_its_own_name_space(world):
    syscall("unshare", 0x10000000)
    return True


@ON_PROCESSES.add()
def raises_its_own_limits(world):
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
    resource.setrlimit(resource.RLIMIT_STACK, (most, most))
    return True


@ON_PROCESSES.add()
def outlives_its_parent(world):
    set_parent_death_signal = 1
    syscall("prctl", set_parent_death_signal, 0, 0, 0, 0)
    return True


@ON_PROCESSES.add()
def makes_a_ring_for_system_calls(world):
    syscall("io_uring_setup", 4, ctypes.create_string_buffer(120))
    return True


@ON_PROCESSES.add()
def loads_a_program_into_the_kernel(world):
    syscall("bpf", 0, struct.pack("5I", 2, 4, 4, 1, 0).ljust(72, b"\0"), 72)
    return True


@ON_PROCESSES.add()
def keeps_a_key_in_the_kernel(world):
    syscall("add_key", b"user", world.name.encode(), b"left", 4, -3)
    return True


@ON_PROCESSES.add()
def watches_the_processor(world):
    what = struct.pack("II8xQ", 1, 112, 0).ljust(40, b"\0") + struct.pack("Q", 0x20 | 0x40)
    syscall("perf_event_open", what.ljust(112, b"\0"), 0, -1, -1, 0)
    return True
