"""Whether a host that a library would download from can be reached."""

from __future__ import annotations

__all__ = ["why_unreachable"]

import queue
import ssl
import threading
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

_SECONDS = 5.0


def why_unreachable(url: str) -> str | None:
    """A clause that names the host if it does not answer within seconds, else None.

    The libraries themselves retry silently for half a minute, or wait for ever. Any answer counts,
    even a refusal. The request goes through the proxies that the environment names.
    """
    answer: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=lambda: answer.put(_why_no_answer(url)), daemon=True).start()
    try:
        # The request's own timeout starts again for each of the host's addresses.
        reason = answer.get(timeout=_SECONDS)
    except queue.Empty:
        reason = f"no answer within {_SECONDS:g} s"
    return None if reason is None else f"{urlsplit(url).netloc} cannot be reached ({reason})"


def _why_no_answer(url: str) -> str | None:
    try:
        urlopen(Request(url, method="HEAD"), timeout=_SECONDS).close()
    except HTTPError:
        return None
    except (OSError, HTTPException, ValueError) as error:  # ValueError: no URL
        reason = error.reason if isinstance(error, URLError) else error
        # The host is there; the libraries may trust other certificates than Python does.
        return None if isinstance(reason, ssl.SSLError) else str(reason)
    return None
