"""What quiet means on this machine: the reference that is stored, else one that is measured now."""

from __future__ import annotations

__all__ = ["QuietReference"]

import contextlib
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from amx_suite.core.quiet import Calibration, Reference
from amx_suite.errors import NotApplicableError, OutputError
from amx_suite.host.fingerprint import host_traits
from amx_suite.host.tile_units import theory_of
from amx_suite.trial.calibrate import (
    DEFAULT_SECONDS,
    calibrate,
    default_path,
    is_worth_keeping,
    load_calibration,
    save_calibration,
    stored_calibration,
)

if TYPE_CHECKING:
    from amx_suite.host.facts import HostFacts
    from amx_suite.plugin.options import Settings
    from amx_suite.worker.unit_probe import UnitProbe


class QuietReference:
    """The quiet rates of this machine and instance, for one run.

    ``show`` gets lines of progress.
    """

    def __init__(
        self,
        settings: Settings,
        facts: HostFacts,
        start_probe: Callable[[], UnitProbe],
        show: Callable[..., None],
    ) -> None:
        self._file = settings.reference
        self._cores = settings.instance.cores
        self._facts = facts
        self._machine = host_traits(facts)
        self._start_probe = start_probe
        self._show = show

    @cached_property
    def stored(self) -> tuple[Calibration | None, str]:
        """The calibration that is stored, or why the one that is there cannot be used.

        Raises ResultsFileError for a file that the user named.
        """
        if self._file is None:
            return stored_calibration(self._machine, self._cores)
        return load_calibration(self._file, self._machine, self._cores), ""

    @cached_property
    def rates(self) -> Reference | None:
        """The rates as stored, else measured on first use; None if no unit can be read."""
        found, _ = self.stored
        if found is None:
            with contextlib.suppress(NotApplicableError):
                found = self._calibrate()
        return None if found is None else found.reference

    def _calibrate(self) -> Calibration:
        """Measure a calibration, and store it if later runs can use it."""
        with self._start_probe() as probe:
            found = calibrate(
                probe,
                DEFAULT_SECONDS,
                theory=theory_of(self._facts),
                machine=self._machine,
                cores=self._cores,
                progress=lambda passed: self._show(
                    f"reading what this machine's units give when quiet: {passed:.0f} of "
                    f"{DEFAULT_SECONDS:g} s",
                    seldom=True,
                ),
            )
        if is_worth_keeping(found, None):
            try:
                save_calibration(found, default_path(self._machine, self._cores))
            except OutputError as error:
                self._show(f"the quiet reference was not stored: {error}", keep=True)
        return found
