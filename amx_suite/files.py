"""Writes files and folders so that a reader never sees half of one.

Every output goes through here. A file is written under a new name beside its target, synced and
renamed. Standard output, a descriptor or a pipe that the user named is written to. Whatever else is
there, such as a device or a symbolic link, is refused and stays as it is.
"""

from __future__ import annotations

__all__ = [
    "STDOUT",
    "check_file",
    "check_outputs",
    "descriptor_of",
    "ensure_writable",
    "locked_folder",
    "memory_file",
    "new_file",
    "new_temporary_folder",
    "remove_temporary",
    "replace_files",
    "scratch_folder",
    "text_of",
    "write_atomically",
    "write_output",
    "writing_in",
]

import contextlib
import errno
import fcntl
import io
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from amx_suite.errors import OutputError
from amx_suite.folders import temporary_folder
from amx_suite.streams import write_data

#: The descriptor of standard output.
STDOUT = 1

#: Longer than a folder stays without a change while its process lives.
_LEFTOVER_SECONDS = 24 * 3600
#: A folder counts as writable if it has room for this: more than a run's results take.
_ROOM_BYTES = 4 * 2**20

_STREAMS = {"-": STDOUT, "/dev/stdout": STDOUT, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,6})")
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path] = ()) -> None:
    """Raise OutputError before the work where ``write_output`` could not write after it.

    ``outputs`` are by the option that names them, None where it was not given. None of them may be
    one of the files that are read, nor another output.
    """
    others = [(path, "is also read") for path in inputs]
    for option, path in outputs.items():
        if path is None:
            continue
        for other, fault in others:
            if _same(path, other):
                raise OutputError(f"{option}: '{path}' {fault}; name another file")
        others.append((path, f"is also written by {option}"))
        if descriptor_of(path) is None and _kind(path) != "a pipe":
            check_file(path)
            ensure_writable(path.parent)


def check_file(path: Path) -> None:
    """Raise OutputError unless there is a regular file or nothing at the path."""
    kind = _kind(path)
    if kind:
        raise OutputError(
            f"'{path}' is {kind}, which is not replaced; name a new file or a regular one"
        )


#: Files and folders that this process is going to remove.
_temporary: set[Path] = set()


def ensure_writable(folder: Path) -> None:
    """Make the folder if it is missing, and try to write a file in it.

    Raises OutputError before a long run rather than at its end.
    """
    with writing_in(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_ROOM_BYTES))
            _sync(file)


def write_output(path: Path, text: str) -> None:
    """Write the text to a file or stream that the user named; raises OutputError.

    A stream is ``-`` or ``/dev/stdout``, ``/dev/stderr``, ``/dev/fd/N``, or a named pipe. A reader
    that ended before raises BrokenPipeError.
    """
    descriptor = descriptor_of(path)
    if descriptor == STDOUT:
        write_data(text)
        return
    if descriptor is None and _kind(path) != "a pipe":
        write_atomically(path, text)
        return
    try:
        # A copy: what is behind the name may be a file, which opening it anew would empty.
        with open(path if descriptor is None else os.dup(descriptor), "wb") as stream:  # noqa: PTH123
            stream.write(_encoded(text))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write to {path}: {error.strerror or error}; name a file, or a stream that is "
            "open for writing"
        ) from error


def descriptor_of(path: Path) -> int | None:
    """The descriptor that the path stands for, such as 1 for ``-``; None for any other path."""
    match = _DESCRIPTOR.fullmatch(str(path))
    return int(match[1]) if match else _STREAMS.get(str(path))


def write_atomically(path: Path, text: str) -> None:
    """``new_file`` for a text."""
    with new_file(path) as stream:
        stream.write(_encoded(text))


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose content is in ``path`` once the block has ended; raises OutputError.

    If the block raises, the old file stays. Until it ends, the content is in a new file beside it,
    whose name nobody can foretell.
    """
    check_file(path)
    # Not tempfile: only the user can read its files, and results are for others too.
    temporary = path.with_name(f".amx-suite-{secrets.token_hex(8)}.tmp")
    with writing_in(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _removed_afterwards(temporary):
            with temporary.open("xb") as stream:
                yield stream
                _sync(stream)
            temporary.replace(path)


def replace_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files of these names, or remove those without content; raises OutputError.

    The old ones stay until all new ones are complete. Where the last is, all are of one run.
    """
    for name in files:
        check_file(folder / name)
    with writing_in(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder, ".unfinished-") as scratch:
            for name, content in files.items():
                if content:
                    with (scratch / name).open("xb") as stream:
                        stream.write(_encoded(content))
                        _sync(stream)
            *_, last = files
            (folder / last).unlink(missing_ok=True)
            for name, content in files.items():
                if content:
                    (scratch / name).replace(folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def locked_folder(folder: Path, say: Callable[[str], None] | None) -> Iterator[None]:
    """Keep other runs from writing into the folder, which exists.

    Where another run has it: raises OutputError, or tells ``say`` and waits. The kernel drops the
    lock (flock(2)) when the process ends. Some network file systems do not lock folders; there
    nothing keeps the runs apart.
    """
    with writing_in(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            taken = f"another run writes its results into {folder}"
            if say is None:
                raise OutputError(
                    f"{taken}; choose another folder (--output), or have this run wait (--wait)"
                ) from None
            say(f"{taken}; waiting for it to end (Ctrl-C gives up)")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def memory_file() -> io.FileIO:
    """An empty file without a name in memory, where no full disk loses what is written.

    Other code can open it as ``/proc/self/fd/N``.
    """
    return io.FileIO(os.memfd_create("amx-suite"), "w+")


@contextlib.contextmanager
def scratch_folder(beside: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``beside``, removed afterwards.

    Also removes the folders that killed processes left a day ago or earlier.
    """
    for left in beside.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFTOVER_SECONDS:
                shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=beside))
    with _removed_afterwards(folder):
        yield folder


def remove_temporary() -> None:
    """Remove what blocks that are still open would remove; for a process that ends at once."""
    for path in tuple(_temporary):
        _remove(path)


@contextlib.contextmanager
def _removed_afterwards(path: Path) -> Iterator[None]:
    _temporary.add(path)
    try:
        yield
    finally:
        _remove(path)
        _temporary.discard(path)


def _remove(path: Path) -> None:
    """Remove the file or folder as far as this is possible."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def new_temporary_folder(prefix: str) -> Path:
    """A new folder in the user's temporary folder, for its maker to remove; raises OutputError."""
    folder = temporary_folder()
    with writing_in(folder, "set TMPDIR to a folder that can be written"):
        return Path(tempfile.mkdtemp(prefix=prefix, dir=folder))


@contextlib.contextmanager
def writing_in(folder: Path, remedy: str = "choose a folder that can be written") -> Iterator[None]:
    """Turn an OSError of the block into an OutputError; a full file system is named."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            here = folder.resolve()
            mount = next(each for each in (here, *here.parents) if os.path.ismount(each))
            why, remedy = f"{why}, on the file system {mount}", f"free space there, or {remedy}"
        raise OutputError(f"cannot write in {folder}: {why}; {remedy}") from error


def _sync(stream: IO[bytes]) -> None:
    stream.flush()
    # A quota, or the server of a remote file system, may say no only here.
    os.fsync(stream.fileno())


def _encoded(text: str) -> bytes:
    # A name that the kernel gave may hold bytes that are no text.
    return text.encode(errors="backslashreplace")


def _kind(path: Path) -> str:
    """What is at the path and is no regular file; empty for a file, or nothing, or no access."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "")


def _same(one: Path, other: Path) -> bool:
    numbers = descriptor_of(one), descriptor_of(other)
    if numbers != (None, None):
        return numbers[0] == numbers[1]
    with contextlib.suppress(OSError):
        if one.samefile(other):
            return True
    return os.path.realpath(one) == os.path.realpath(other)


def text_of(path: Path) -> str:
    """The file's text without blanks around it; empty where it cannot be read."""
    try:
        # Unbuffered, because some callers read thousands of files.
        with path.open("rb", buffering=0) as file:
            return file.read().decode("utf-8", errors="replace").strip()
    except OSError:
        return ""
