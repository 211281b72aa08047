"""A real Slurm cluster of four nodes with eight pretended GPUs each, on this machine, with everything in one folder.

Debian's slurmd may run several times on one machine. Nothing outside the folder is read, written or left running: Slurm's
files, the keys and sockets of munge, and the ports are the cluster's own. Needs root, as Slurm's daemons do.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from marked import marked
from ports import free_ports

NODES, GPUS = 4, 8
UNDER_WAY = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED")
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
# None of what a machine without systemd, or inside another's container, may lack.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
ReturnToService=2
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool/%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.%n.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd.%n.log
# In a hurry.
KillWait=30
SchedulerParameters=defer=0,batch_sched_delay=0,sched_interval=2,requeue_delay=1
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs={cpus} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes=n[1-{nodes}] Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


def missing() -> str:
    """Why there can be no cluster here; empty when there can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    absent = [name for name in DAEMONS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
    return f"not installed: {', '.join(absent)} (requirements/system-test.txt)" if absent else ""


@dataclass(frozen=True)
class Slurm:
    """The cluster while it runs."""

    home: Path
    environ: Mapping[str, str]
    """For its commands, and for the jobs that they submit."""

    def command(self, *words: object, cwd: Path | None = None, **environ: str) -> str:
        """One of Slurm's commands, as what it prints."""
        done = subprocess.run(
            [str(word) for word in words],
            env={**self.environ, **environ},
            cwd=cwd or self.home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, *words: object, cwd: Path, **environ: str) -> str:
        """A job's number."""
        return self.command("sbatch", "--parsable", *words, cwd=cwd, **environ).strip()

    def state(self, job: str) -> tuple[str, str]:
        """What Slurm calls a job's state, and its exit code."""
        answer = self.command("scontrol", "--oneliner", "show", "job", job)
        found = re.search(r"JobState=(\S+).*?ExitCode=(\d+):", answer)
        assert found, answer
        return found[1], found[2]

    def end_of(self, job: str, seconds: float) -> tuple[str, str]:
        """State and exit code of a job once it has ended and its nodes are free."""
        self.until(
            lambda: self.state(job)[0] not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED"), seconds
        )
        self.until(
            lambda: not self.command("squeue", "--noheader", "--jobs", job, "--states", "all").count(" CG "), seconds
        )
        return self.state(job)

    def again(self, job: str) -> None:
        """Waits until a job is back in the queue, and lets it start soon; Slurm itself waits two minutes.

        Not at once: what revokes the job's old credential goes by whole seconds, and would revoke the new one.
        """
        self.until(lambda: self.state(job)[0] == "PENDING", 120, job)
        self.command("scontrol", "update", f"JobId={job}", "StartTime=now+2")

    def until(self, true: Callable[[], bool], seconds: float, job: str = "") -> None:
        """Waits, as long as a job has not ended where one is named."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"not within {seconds:g} s; {self.command('squeue')}{job and self.log(job)}"
            assert not job or self.state(job)[0] in UNDER_WAY, (self.state(job), self.log(job))
            time.sleep(0.3)

    def log(self, job: str) -> str:
        """The end of what a job has printed."""
        found = re.search(r"StdOut=(\S+)", self.command("scontrol", "--oneliner", "show", "job", job))
        return Path(found[1]).read_text(errors="replace")[-4000:] if found else ""


@contextlib.contextmanager
def cluster(home: Path, mark: str) -> Iterator[Slurm]:
    """A cluster with its state in `home`; every process of it has the variable `mark`, and none is left."""
    home.chmod(0o755)
    for name in ("state", "spool", "dev"):
        (home / name).mkdir()
    for number in range(GPUS):
        # Slurm wants a device for each; these are /dev/null.
        os.mknod(home / "dev" / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    first = free_ports(NODES + 1)
    (home / "slurm.conf").write_text(
        CONFIGURATION.format(
            home=home,
            host=socket.gethostname().split(".")[0],
            controller=first,
            first=first + 1,
            last=first + NODES,
            nodes=NODES,
            gpus=GPUS,
            cpus=os.cpu_count(),
        )
    )
    (home / "gres.conf").write_text(f"NodeName=n[1-{NODES}] Name=gpu File={home}/dev/gpu[0-{GPUS - 1}]\n")
    key = home / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    slurm = Slurm(home, {**os.environ, "PATH": path, "SLURM_CONF": str(home / "slurm.conf"), mark: "1"})
    munge = [f"--{name}={home}/munge.{name.split('-')[0]}" for name in ("socket", "pid-file", "log-file", "seed-file")]
    try:
        slurm.command("munged", "--force", f"--key-file={key}", *munge)
        slurm.command("slurmctld")
        for number in range(1, NODES + 1):
            slurm.command("slurmd", "-N", f"n{number}")
        slurm.until(lambda: slurm.command("sinfo", "--noheader", "--format=%D %t").split() == [str(NODES), "idle"], 60)
        yield slurm
    finally:
        _end(mark)


def _end(mark: str) -> None:
    found = marked(mark)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(found, 10)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, 10)
