"""How far a run is: one live line on a terminal, a line now and then in a log.

Nothing is written but when it is shown. A thread that refreshed the line would disturb what is
timed meanwhile.
"""

from __future__ import annotations

__all__ = ["LiveLine", "ProgressLine", "can_rewrite"]

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import pytest
    from rich.live import Live

    from amx_suite.trial.design_time import DesignTime

#: A log of pytest gets lines that come often this seldom.
_SECONDS_BETWEEN_LINES = 10.0
#: A quiet run's log gets a line of progress after this long without any other line: the share of
#: the run's time so far, within the limits. So level 3 prints a page, and in a longer run what ends
#: jobs that print nothing (most wait 10 minutes) sees that it lives.
_SHARE_OF_SILENCE = 0.5
_LEAST_SILENCE, _MOST_SILENCE = 30.0, 300.0


def can_rewrite(isatty: bool) -> bool:
    """Whether a line of a stream can be rewritten; ``isatty`` says if it is a terminal."""
    return isatty and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


class LiveLine:
    """A line of the terminal on standard output, in which each text replaces the one before.

    ``clear`` removes it, as the end of the context does; the next text begins it anew.
    """

    def __init__(self) -> None:
        self._live: Live | None = None

    @property
    def is_shown(self) -> bool:
        """Whether the terminal shows the line now."""
        return self._live is not None

    def show(self, text: str) -> None:
        """Show the text, cut at the terminal's width."""
        # Here, because it takes a while, for which a run's first lines need not wait.
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        if self._live is None:
            console = Console(force_terminal=True, force_interactive=True)
            self._live = Live(
                console=console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
            # A run that is killed must not leave a terminal without a cursor.
            console.show_cursor(True)
        self._live.update(Text(text, no_wrap=True, overflow="crop"), refresh=True)

    def clear(self) -> None:
        """Remove the line."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


class ProgressLine:
    """The progress of a pytest run: its live line, or lines in its log.

    ``quiet`` is a run that shows its progress here alone.
    """

    def __init__(
        self,
        config: pytest.Config,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._quiet = quiet
        self._clock = clock
        self._line = LiveLine()
        self._began = clock()
        self._last_line = self._began if quiet else -math.inf
        self._left: tuple[DesignTime, float] | None = None

    def expect(self, time_left: DesignTime) -> None:
        """From now on lines of progress say how much of this time is left."""
        self._left = time_left, self._clock()

    def show(self, text: str, *, seldom: bool = False, keep: bool = False) -> None:
        """Show the text in place of the one before.

        ``keep`` makes it a line that stays. In a log each text has its own line, and ``seldom``
        leaves out those that follow the last one too soon; kept lines do not count. In a quiet run
        they do, and every text that is not kept is ``seldom``.
        """
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        if terminal is None or (terminal.verbosity < 0 and not self._quiet):
            return
        with self._uncaptured():
            if can_rewrite(terminal.isatty) and not keep:
                terminal.ensure_newline()
                self._line.show(text + self._time_left())
            elif keep or self._is_due(seldom=seldom):
                self._line.clear()
                if self._quiet or not keep:
                    self._last_line = self._clock()
                terminal.write_line(text if keep else text + self._time_left())
                terminal.flush()

    def clear(self) -> None:
        """Remove the live line, before others write to the terminal."""
        if self._line.is_shown:
            with self._uncaptured():
                self._line.clear()

    def _is_due(self, *, seldom: bool) -> bool:
        now = self._clock()
        if self._quiet:
            share = _SHARE_OF_SILENCE * (now - self._began)
            pause = min(max(_LEAST_SILENCE, share), _MOST_SILENCE)
        else:
            pause = _SECONDS_BETWEEN_LINES * seldom
        return now - self._last_line >= pause

    def _time_left(self) -> str:
        if self._left is None:
            return ""
        time_left, since = self._left
        left = time_left.after(self._clock() - since)
        return "" if left is None else f"; about {left} left"

    @contextmanager
    def _uncaptured(self) -> Iterator[None]:
        capture = self._config.pluginmanager.getplugin("capturemanager")
        if capture is None:
            yield
            return
        with capture.global_and_fixture_disabled():
            yield
