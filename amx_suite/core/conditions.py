"""What two runs must have in common before their numbers may be compared."""

from __future__ import annotations

__all__ = ["CONDITIONS", "Difference", "admit", "differences"]

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from amx_suite.errors import ResultsFileError

#: The kinds of difference; a user may allow each. ``machine`` is the host's fingerprint and
#: ``software`` the versions of the packages; the rest are parts of a run case.
CONDITIONS = ("machine", "software", "engine", "shape", "cores", "seed", "weights")


class Difference(NamedTuple):
    """One difference between two runs: its kind and a few words that name it."""

    kind: str
    words: str


def differences(
    base: Mapping[str, object], new: Mapping[str, object], kind: str | None = None
) -> tuple[Difference, ...]:
    """The differences between two mappings, by name; the name is the kind unless one is given."""
    return tuple(
        Difference(kind or name, f"{name} was '{base.get(name)}', is '{new.get(name)}'")
        for name in sorted({*base, *new})
        if base.get(name) != new.get(name)
    )


def admit(
    found: Iterable[Difference], across: Collection[str], *, option: str, remedy: str
) -> tuple[str, ...]:
    """The differences that the user allowed, one sentence for each kind.

    Raises ResultsFileError, which names all others and the ``option`` that allows them.
    """
    by_kind: dict[str, dict[str, None]] = {}
    for difference in found:
        by_kind.setdefault(difference.kind, {})[difference.words] = None
    sentences = {kind: f"another {kind} ({'; '.join(words)})" for kind, words in by_kind.items()}
    refused = [kind for kind in sentences if kind not in across]
    if refused:
        allowing = " ".join(f"{option} {kind}" for kind in refused)
        raise ResultsFileError(
            f"the baseline is of {' and of '.join(sentences[kind] for kind in refused)}; {remedy}, "
            f"or compare all the same with {allowing}"
        )
    return tuple(f"compared all the same with {sentence}" for sentence in sentences.values())
