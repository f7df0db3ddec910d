"""A real Slurm with two nodes on this machine, all of it in a temporary folder."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from amx_suite.fleet.reframe_run import SHIPPED

ROOT = Path(__file__).parents[2]
NODES = ("n1", "n2")
DAEMONS = ("munged", "slurmctld", "slurmd")
#: Debian has the daemons there, which is not on every user's PATH.
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))

CONF = """\
ClusterName=amx
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
KillWait=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1
HealthCheckProgram={folder}/health
HealthCheckInterval=2
HealthCheckNodeState=IDLE
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=n1,n2 Default=YES State=UP
"""

#: Only a node that a test names is checked: the machine itself may be without AMX.
HEALTH = """\
#!/bin/sh
[ -e {folder}/check-$SLURMD_NODENAME ] || exit 0
# slurmd does not hand it on; a cluster has its configuration where Slurm looks for it.
export SLURM_CONF={folder}/slurm.conf
exec {script} {folder}/doctor
"""

#: The suite's command, where the kernel refuses AMX.
DOCTOR = """\
#!/bin/sh
export PYTHONPATH={root} PYTHONDONTWRITEBYTECODE=1
exec {python} -m amx_suite.worker.jail {python} -m amx_suite "$@"
"""


class Cluster:
    """Slurm's daemons, ended by ``stop`` and by the end of this process."""

    def __init__(self, folder):
        self.folder = folder
        self._daemons = []
        self.environ = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
        for name in [name for name in self.environ if name.startswith(("AMX_SUITE", "RFM_"))]:
            del self.environ[name]

    def start(self):
        folder, host = self.folder, socket.gethostname().partition(".")[0]
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            (folder / name).mkdir()
        names = {
            "folder": folder,
            "host": host,
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "ports": free_ports(3),
            "cpus": os.cpu_count(),
        }
        (folder / "slurm.conf").write_text(CONF.format(**names))
        # Not by what is mounted: version 2 wants systemd, and neither is used.
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        script = SHIPPED["health-check"]
        executable(folder / "health", HEALTH.format(folder=folder, script=script))
        executable(folder / "doctor", DOCTOR.format(root=ROOT, python=sys.executable))
        key = folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        files = {each: folder / f"munge.{each}" for each in ("socket", "pid", "seed", "log")}
        self._daemon(
            "munged",
            "--foreground",
            # The temporary folder is this user's alone, and its Slurm too.
            "--force",
            f"--key-file={key}",
            f"--socket={files['socket']}",
            f"--pid-file={files['pid']}",
            f"--seed-file={files['seed']}",
            f"--log-file={files['log']}",
        )
        self.until("munged to answer", files["socket"].exists)
        self._daemon("slurmctld", "-D")
        for node in NODES:
            self._daemon("slurmd", "-D", "-N", node)
        self.until("both nodes to be idle", lambda: self.states() == ["idle", "idle"])

    def stop(self):
        with contextlib.suppress(subprocess.SubprocessError):
            self.call("scancel", "--me", check=False)
            self.until("all jobs to end", lambda: not self.call("squeue", "-h"))
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def call(self, *command, check=True):
        """What a command of Slurm prints."""
        done = subprocess.run(
            command, env=self.environ, capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def states(self):
        return self.call("sinfo", "-h", "-N", "-o", "%t").split()

    def reason(self, node):
        return self.call("sinfo", "-h", "-n", node, "-o", "%E")

    @contextlib.contextmanager
    def drained(self, node):
        self.call("scontrol", "update", f"NodeName={node}", "State=drain", "Reason=a test")
        try:
            yield
        finally:
            self.resume(node)

    def resume(self, node):
        self.call("scontrol", "update", f"NodeName={node}", "State=resume")
        self.until("the node to be idle", lambda: self.states() == ["idle", "idle"])

    def _daemon(self, name, *arguments):
        with (self.folder / f"{name}.{len(self._daemons)}.out").open("wb") as output:
            # It ends with this process, however that ends.
            command = ["setpriv", "--pdeathsig", "TERM", name, *arguments]
            self._daemons.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=self.environ,
                    cwd=self.folder,
                    start_new_session=True,
                )
            )

    def until(self, what, holds, seconds=30.0):
        ends = time.monotonic() + seconds
        while not holds():
            for number, daemon in enumerate(self._daemons):
                name = daemon.args[3]
                printed = self.folder / f"{name}.{number}.out"
                assert daemon.poll() is None, f"{name} ended: {last_line(printed)}\n{self._logs()}"
            assert time.monotonic() < ends, f"waited {seconds:g} s for {what}\n{self._logs()}"
            time.sleep(0.2)

    def _logs(self):
        logs = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        ends = {log.name: log.read_text(errors="replace")[-1500:] for log in logs}
        return "\n".join(f"== {name}\n{end}" for name, end in ends.items())


def last_line(path):
    lines = path.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A cluster of the idle nodes n1 and n2, or the reason why there is none."""
    missing = [name for name in (*DAEMONS, "setpriv") if shutil.which(name, path=PATH) is None]
    if missing:
        pytest.skip(
            f"{', '.join(missing)} missing: apt install munge slurmctld slurmd slurm-client"
        )
    if find_spec("reframe") is None:
        pytest.skip("ReFrame is missing: pip install 'amx-suite[fleet]'")
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        try:
            cluster.start()
        except AssertionError as error:
            # A container may refuse what its daemons need.
            print(error)
            pytest.skip(f"Slurm does not start here: {str(error).partition(chr(10))[0]}")
        yield cluster
    finally:
        cluster.stop()
