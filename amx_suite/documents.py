"""Reads files that users name and earlier runs left: one that cannot be used ends in one sentence.

Each function gets ``refuse``, which makes the reader's own error of what is wrong with the file,
such as ``is nested too deeply``.
"""

from __future__ import annotations

__all__ = [
    "convert",
    "decoding",
    "explain",
    "in_one_line",
    "parse_json",
    "parse_toml",
    "read_bytes",
    "read_start",
]

import contextlib
import datetime as dt
import json
import os
import re
import reprlib
import stat
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from amx_suite.errors import AmxSuiteError

_T = TypeVar("_T")
_Refuse = Callable[[str], AmxSuiteError]

#: Some hundred times the results in docs/example.
_MOST_BYTES = 64 * 2**20
#: A decoder's complaint may quote as much of the file as it likes.
_MOST_CHARACTERS = 300


def read_bytes(path: Path, refuse: _Refuse) -> bytes:
    """All of a file or pipe; refuses one that is missing, unreadable, too large, or a device."""
    content = read_start(path, refuse, _MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise refuse(f"cannot be read: it is larger than {_MOST_BYTES >> 20} MiB")
    return content


def read_start(path: Path, refuse: _Refuse, count: int) -> bytes:
    """The first ``count`` bytes of the file, or as many as it has."""
    try:
        # A pipe that nobody writes to then ends at once, and is empty.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = os.fstat(descriptor).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                what = "folder" if stat.S_ISDIR(mode) else "device"
                raise refuse(f"cannot be read: it is a {what}")
            os.set_blocking(descriptor, True)
            with open(descriptor, "rb", closefd=False) as stream:
                return stream.read(count)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror or error}") from error


def parse_json(content: bytes, refuse: _Refuse) -> Any:
    """What the JSON text says; NaN and infinities are numbers in it."""
    if not content.strip():
        raise refuse("is empty")
    with decoding(refuse, "is not JSON"):
        # Not msgspec: pytest-benchmark writes NaN, which msgspec does not accept.
        return json.loads(content)


def parse_toml(content: bytes, refuse: _Refuse) -> dict[str, Any]:
    """What the TOML text says."""
    with decoding(refuse, "is not valid TOML in UTF-8"):
        # Some editors begin a file with a byte order mark.
        return tomllib.loads(content.decode("utf-8-sig"))


def convert(content: object, kind: type[_T], refuse: _Refuse, fault: str = "is damaged") -> _T:
    """What was parsed, as a value of the type; ``fault`` says what the file is if it is none."""
    with decoding(refuse, fault):
        try:
            return msgspec.convert(content, kind, builtin_types=(dt.date,))  # as TOML has them
        except msgspec.ValidationError as error:
            raise refuse(f"{fault}: {explain(error, content)}") from error


@contextlib.contextmanager
def decoding(refuse: _Refuse, fault: str) -> Iterator[None]:
    """Refuse a file that what runs inside cannot decode, whatever it raises."""
    try:
        yield
    except RecursionError as error:
        raise refuse("is nested too deeply") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise refuse(f"{fault}: {in_one_line(str(error))}") from error


def explain(error: msgspec.ValidationError, content: object) -> str:
    """What msgspec says of the content, with the value that it is about."""
    text = in_one_line(str(error))
    place = re.search(r"`\$([^`]*)`$", str(error))
    if place is None:
        return text
    # msgspec writes [...] for a key; all of the mapping is shown then.
    path, a_key, _ = place[1].partition("[...]")
    try:
        for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
            content = content[name or int(index)]  # type: ignore[index]
    except (LookupError, TypeError):  # a name with a dot in it
        return text
    if isinstance(content, dict | list | tuple) and not a_key:
        return text
    return f"{text}, found {in_one_line(reprlib.repr(content))}"


def in_one_line(text: str) -> str:
    """The text without line breaks and control characters, and not too long for a message."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    return textwrap.shorten(printable, _MOST_CHARACTERS, placeholder=" ...")
