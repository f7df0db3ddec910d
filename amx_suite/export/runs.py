"""What tells one run from another where many are exported: its machine and its time."""

from __future__ import annotations

__all__ = ["machine_id_of", "machine_of", "started_of"]

import datetime as dt

from amx_suite.errors import ResultsFileError
from amx_suite.history.store import StoredRun
from amx_suite.host.fingerprint import machine_id


def machine_of(run: StoredRun) -> str:
    """The machine's host name, or its id where the name was not read or was left out.

    The id alone does not tell two machines of one kind apart, and changes with the kernel.
    """
    return run.summary.identity.host_name or machine_id_of(run)


def machine_id_of(run: StoredRun) -> str:
    """The id of the host's traits, which older files have with each trial only."""
    of_trials = [trial.measurement.environment.host for trial in run.summary.trials]
    return machine_id(next(filter(None, (run.summary.machine, *of_trials)), {}))


def started_of(run: StoredRun) -> dt.datetime:
    """When the run started, in UTC; raises ResultsFileError where the file says no time."""
    try:
        return dt.datetime.fromisoformat(run.summary.started).astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise ResultsFileError(
            f"{run.path} is damaged: '{run.summary.started}' is no time in ISO 8601; name a "
            "results.json that `amx-suite qualify` wrote"
        ) from error
