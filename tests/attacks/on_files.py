"""Scripts that go for files: to read what is not theirs, to change it, to leave something behind, to fill the disk."""

import ctypes
import os
import time
from pathlib import Path

from attack import Attacks
from inside import HELD_S, MB, secrets_in, syscall

ON_FILES = Attacks("files")


@ON_FILES.add(ends="Tampering")
def reads_the_reference(world):
    return Path(world.reference).read_bytes()


@ON_FILES.add(ends="Tampering")
def shows_the_reference(world):
    from matplotlib import pyplot

    return (pyplot.imread(world.reference) * 255).round().astype("uint8").tobytes()


@ON_FILES.add()
def reads_a_file_by_its_path(world):
    return Path(world.secret_file).read_bytes()


@ON_FILES.add()
def reads_a_file_through_a_symbolic_link(world):
    Path("link").symlink_to(world.secret_file)
    return Path("link").read_bytes()


@ON_FILES.add()
def reads_a_file_through_a_hard_link(world):
    Path("link").hardlink_to(world.secret_file)
    return Path("link").read_bytes()


@ON_FILES.add()
def renames_a_file_to_read_it(world):
    Path(world.mine).rename("here")
    return True


@ON_FILES.add()
def reads_a_file_from_the_folders_above(world):
    os.chdir("..")
    up = os.open("..", os.O_RDONLY)
    path = os.path.relpath(world.secret_file, os.path.realpath(f"/proc/self/fd/{up}"))
    return os.read(os.open(path, os.O_RDONLY, dir_fd=up), 100)


@ON_FILES.add()
def reads_a_file_through_its_own_root(world):
    return Path(f"/proc/self/root{world.secret_file}").read_bytes()


@ON_FILES.add()
def reads_a_file_through_the_root_of_its_parent(world):
    return Path(f"/proc/{os.getppid()}/root{world.secret_file}").read_bytes()


@ON_FILES.add()
def reads_a_file_with_the_c_library(world):
    libc = ctypes.CDLL(None, use_errno=True)
    data = ctypes.create_string_buffer(100)
    return data.value if libc.read(libc.open(world.secret_file.encode(), 0), data, 100) > 0 else None


@ON_FILES.add()
def reads_a_file_with_numpy(world):
    import numpy

    return numpy.fromfile(world.secret_file, numpy.uint8).tobytes() or numpy.memmap(world.secret_file).tobytes()


@ON_FILES.add()
def reads_a_style_file(world):
    from matplotlib import pyplot

    pyplot.style.use(world.style)
    return pyplot.rcParams["font.serif"][0].encode()


@ON_FILES.add()
def reads_a_font_file(world):
    from matplotlib import font_manager

    font_manager.fontManager.addfont(world.font)
    return True


@ON_FILES.add()
def lists_a_folder(world):
    return " ".join(os.listdir(os.path.dirname(world.secret_file))).encode()


@ON_FILES.add()
def lists_the_folders_of_other_drawings(world):
    return bool(os.listdir(".."))


@ON_FILES.add()
def reads_the_environment_of_every_process(world):
    found = b""
    for process in os.listdir("/proc"):
        if process.isdigit():
            try:
                found += secrets_in(Path(f"/proc/{process}/environ").read_bytes())
            except OSError:
                continue
    return found


@ON_FILES.add()
def reads_the_environment_of_its_parent(world):
    return secrets_in(Path(f"/proc/{os.getppid()}/environ").read_bytes())


@ON_FILES.add()
def reads_its_own_first_environment(world):
    return secrets_in(Path("/proc/self/environ").read_bytes())


@ON_FILES.add()
def reads_the_memory_of_its_parent(world):
    memory = os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY)
    return os.pread(memory, 100, world.address)


@ON_FILES.add()
def reads_its_own_memory(world):
    found = b""
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb") as memory:
        for line in maps:
            if "[heap]" in line or "[stack]" in line:
                low, high = (int(end, 16) for end in line.split()[0].split("-"))
                memory.seek(low)
                found += secrets_in(memory.read(min(high - low, 200 * MB)))
    return found


@ON_FILES.add()
def reads_every_descriptor_it_has(world):
    found = b""
    for descriptor in range(1024):
        try:
            found += os.pread(descriptor, 100, 0)
        except OSError:
            continue
    return secrets_in(found)


@ON_FILES.add()
def reads_the_descriptors_of_its_parent(world):
    folder = f"/proc/{os.getppid()}/fd"
    found = b""
    for descriptor in os.listdir(folder):
        if os.path.isfile(f"{folder}/{descriptor}"):
            found += Path(f"{folder}/{descriptor}").read_bytes()[:1000]
    return secrets_in(found)


@ON_FILES.add()
def leaves_a_note_in_a_file_that_others_have_open(world):
    for descriptor in {*range(1024)} - {3}:
        try:
            if os.pwrite(descriptor, b"note", 0) and os.pread(descriptor, 4, 0) == b"note":
                return True
        except OSError:
            continue


@ON_FILES.add()
def overwrites_a_file(world):
    Path(world.mine).write_text("mine")


@ON_FILES.add()
def deletes_a_file(world):
    Path(world.mine).unlink()


@ON_FILES.add()
def truncates_a_file_by_its_path(world):
    os.truncate(world.mine, 0)


@ON_FILES.add()
def opens_a_file_to_empty_it(world):
    os.open(world.mine, os.O_RDONLY | os.O_TRUNC)


@ON_FILES.add()
def makes_a_file_look_old(world):
    os.utime(world.mine, (1, 1))


@ON_FILES.add()
def takes_away_the_rights_to_a_file(world):
    os.chmod(world.mine, 0)


@ON_FILES.add()
def replaces_a_file_by_its_own(world):
    Path("mine").write_text("mine")
    os.replace("mine", world.mine)


@ON_FILES.add()
def leaves_a_file_elsewhere(world):
    Path(world.drop).write_text("left")


@ON_FILES.add()
def leaves_files_where_all_may_write(world):
    # In the sandbox, what is written to /tmp is kept in the script's own folder: it is tried last, and only a file that is
    # there afterwards counts.
    for folder in ("/var/tmp", "/dev/shm", "/run/lock", "/tmp"):
        try:
            Path(folder, world.mark).write_text("left")
            return
        except OSError:
            continue


@ON_FILES.add()
def leaves_a_module_for_later_imports(world):
    import sys

    for folder in sys.path:
        for name in ("seaborn.py", "usercustomize.py", "left.pth"):
            try:
                with open(Path(folder, name), "x") as file:
                    file.write("raise ValueError('poisoned')")
                return True
            except OSError:
                continue


@ON_FILES.add()
def changes_a_module_that_is_there(world):
    import matplotlib

    for module in (matplotlib.__file__, os.__file__, world.module):
        try:
            with open(module, "r+") as file:
                if module == world.module:
                    file.write("#")
            return True
        except OSError:
            continue


@ON_FILES.add()
def poisons_the_cache_of_fonts(world):
    import matplotlib

    Path(matplotlib.get_cachedir(), "fontlist-v999.json").write_text("{}")
    return True


@ON_FILES.add()
def poisons_the_server_s_own_folder(world):
    import matplotlib

    folder = os.path.dirname(matplotlib.get_cachedir())
    os.makedirs(f"{folder}/matplotlib/stylelib", exist_ok=True)
    Path(folder, "matplotlibrc").write_text("figure.dpi: 7")
    return True


@ON_FILES.add()
def mounts_a_file_system(world):
    clone_newns = 0x20000
    syscall("unshare", clone_newns)
    # Over the folder that the script runs in: over /tmp it would hide the packages of an environment there.
    syscall("mount", b"none", os.getcwd().encode(), b"tmpfs", 0, None)
    return True


@ON_FILES.add()
def changes_its_root(world):
    syscall("chroot", b"/")
    return True


@ON_FILES.add()
def fills_the_disk_with_one_file(world):
    with open("big", "wb") as file:
        for _ in range(100):
            file.write(bytes(MB))
    return True


@ON_FILES.add()
def fills_the_disk_by_reserving(world):
    descriptor = os.open("big", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(descriptor, 0, 100 * MB)
    return True


@ON_FILES.add()
def fills_the_disk_with_large_files(world):
    for number in range(5):
        os.posix_fallocate(os.open(str(number), os.O_RDWR | os.O_CREAT), 0, 6 * MB)
    time.sleep(HELD_S)
    return True


@ON_FILES.add()
def fills_the_disk_with_files_that_have_no_name(world):
    for number in range(10):
        descriptor = os.open(str(number), os.O_RDWR | os.O_CREAT)
        os.posix_fallocate(descriptor, 0, 14 * MB)
        os.unlink(str(number))
    time.sleep(HELD_S)
    return True


@ON_FILES.add()
def fills_the_disk_with_files_that_are_only_mapped(world):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    page, read_only, shared = ctypes.c_size_t(4096), 1, 1
    for number in range(10):
        descriptor = os.open(str(number), os.O_RDWR | os.O_CREAT)
        os.posix_fallocate(descriptor, 0, 14 * MB)
        if libc.mmap(None, page, read_only, shared, descriptor, ctypes.c_long(0)) == ctypes.c_void_p(-1).value:
            return None
        os.close(descriptor)
        os.unlink(str(number))
    time.sleep(HELD_S)
    return True


@ON_FILES.add()
def fills_the_disk_where_nobody_can_look(world):
    os.mkdir("closed", 0o300)
    for number in range(10):
        os.posix_fallocate(os.open(f"closed/{number}", os.O_RDWR | os.O_CREAT), 0, 14 * MB)
    time.sleep(HELD_S)
    return True


@ON_FILES.add()
def fills_the_disk_below_a_path_too_long(world):
    for _ in range(20):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    libc = ctypes.CDLL(None)
    for number in range(10):
        os.posix_fallocate(libc.open(str(number).encode(), os.O_RDWR | os.O_CREAT, 0o600), 0, 14 * MB)
    time.sleep(HELD_S)
    return True


@ON_FILES.add(ends="RenderLimit")
def fills_the_disk_with_empty_files(world):
    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(6000):
        descriptor = libc.open(str(number).encode(), os.O_WRONLY | os.O_CREAT, 0o600)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        libc.close(descriptor)
    time.sleep(HELD_S)
    return True


@ON_FILES.add()
def makes_folders_that_are_hard_to_remove(world):
    os.makedirs(f"{world.mark}/closed/inner")
    os.umask(0o777)
    os.mkdir(f"{world.mark}/closed/to all", 0)
    os.umask(0)
    os.chdir(world.mark)
    for _ in range(1100):
        os.mkdir("d")
        os.chdir("d")
