"""Handlers of children that do as they are told, for tests of ``amx_suite.child``.

``Obedient`` answers ``Do``; the other handlers fail before they can be asked anything.
"""

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

from amx_suite.child.channel import Reply, Request
from amx_suite.errors import EngineUnavailableError, NotApplicableError, UsageError

HERE = "fake_handlers"
OBEDIENT = f"{HERE}:Obedient"


class Do(Request, frozen=True, tag=True):
    """Carry out the command."""

    seconds_to_answer: ClassVar[float] = 20.0

    command: str
    argument: int = 0


class Told(Reply, frozen=True, tag=True):
    """What came of it."""

    text: str = ""
    numbers: tuple[float, ...] = ()


ERRORS = {
    "memory": MemoryError("as told"),
    "torch memory": RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    "not applicable": NotApplicableError("as told"),
    "unavailable": EngineUnavailableError("as told"),
    "usage": UsageError("as told"),
    "full disk": OSError(28, "No space left on device", "/full/model.so"),
    "compiler": RuntimeError("g++ failed:\n /full/a.cpp: Disk quota exceeded\ncompilation ended"),
    "error": RuntimeError("broken as told"),
}


class Obedient:
    requests: ClassVar = Do

    def handle(self, request, arrays):
        if request.command in ERRORS:
            raise ERRORS[request.command]
        return getattr(self, f"_{request.command}")(request.argument, arrays) or (Told(), {})

    def _echo(self, _, arrays):
        return Told(), arrays

    def _signal(self, number, _):
        os.kill(os.getpid(), number)
        time.sleep(60)

    def _exit(self, code, _):
        print("last words", file=sys.stderr, flush=True)
        os._exit(code)

    def _sleep(self, seconds, _):
        time.sleep(seconds)

    def _garbage(self, _, arrays):
        """Something that is no frame, on the socket."""
        os.write(int(sys.argv[2]), b"\x08\x00\x00\x00nonsense")
        time.sleep(60)

    def _object_array(self, _, arrays):
        """What a careless child would send: addresses of Python objects as an array's bytes."""
        head = b"\x92\x91\x83\xa4name\xa1a\xa5dtype\xa2|O\xa5shape\x91\x01\x81\xa4type\xa4Told"
        os.write(int(sys.argv[2]), len(head).to_bytes(4, "little") + head + b"\x01" * 8)
        time.sleep(60)

    def _odd_array(self, _, arrays):
        """No bytes, but a side that no array has."""
        head = b"\x92\x91\x83\xa4name\xa1a\xa5dtype\xa3<f4\xa5shape\x9f" + b"\x00" * 12
        head += b"\xce\xff\xff\xff\xff" * 3 + b"\x81\xa4type\xa4Told"
        os.write(int(sys.argv[2]), len(head).to_bytes(4, "little") + head)
        time.sleep(60)

    def _deep(self, _, arrays):
        """Lists in lists."""
        os.write(int(sys.argv[2]), (100_000).to_bytes(4, "little") + b"\x91" * 100_000)
        time.sleep(60)

    def _speak(self, megabytes, _):
        line = b"x" * (2**20 - 1) + b"\n"
        for _ in range(megabytes):
            os.write(2, line)
        os.write(2, f"the end of {megabytes} MB\n".encode())

    def _about(self, _, arrays):
        stdin_is_null = Path("/proc/self/fd/0").readlink() == Path(os.devnull)
        return Told(
            numbers=(
                os.getpid(),
                os.getpgid(0),
                len(os.sched_getaffinity(0)),
                int(stdin_is_null),
                os.getppid(),
            )
        ), {}

    def _environment(self, _, arrays):
        return Told("\n".join(f"{name}={value}" for name, value in os.environ.items())), {}

    def _path(self, _, arrays):
        return Told("\n".join(sys.path)), {}

    def _modules(self, _, arrays):
        """The files of what every arm needs."""
        names = ("amx_suite", "msgspec", "numpy", "torch")
        files = (f"{name}={importlib.import_module(name).__file__}" for name in names)
        return Told("\n".join(files)), {}

    def _folder(self, _, arrays):
        """A file in the temporary folder, which is named."""
        _, name = tempfile.mkstemp()
        return Told(str(Path(name).parent)), {}

    def _grandchild(self, _, arrays):
        return Told(numbers=(subprocess.Popen(["sleep", "60"]).pid,)), {}

    def _daemon(self, _, arrays):
        """A process in a session of its own, whose parent has ended."""
        command = ["sh", "-c", "setsid sleep 60 >/dev/null & echo $!"]
        text = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        return Told(numbers=(int(text),)), {}

    def _allocate(self, megabytes, _):
        self._held = bytearray(b"x") * (megabytes << 20)

    def _watch(self, _, arrays):
        """How often a thread of the parent was scheduled in 0.3 s in which it waits for this."""
        parent = int(arrays["pid"])
        while any(state != "S" for state, _ in threads_of(parent)):
            time.sleep(0.001)
        before = threads_of(parent)
        time.sleep(0.3)
        after = threads_of(parent)
        return Told(numbers=(sum(n for _, n in after) - sum(n for _, n in before),)), {}


def threads_of(pid):
    """(state, context switches) of each thread of a process."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        fields = dict(line.split(":", 1) for line in (thread / "status").read_text().splitlines())
        switches = int(fields["voluntary_ctxt_switches"]) + int(
            fields["nonvoluntary_ctxt_switches"]
        )
        found.append((fields["State"].split()[0], switches))
    return found


def hangs_at_start():
    time.sleep(60)


def dies_at_start():
    sys.exit("no such thing")


def killed_at_start():
    os.kill(os.getpid(), signal.SIGSEGV)


class Deaf(Obedient):
    """Never reads a request."""

    @property
    def requests(self):
        time.sleep(60)
