"""One way to run code in a child process, which never outlives its parent.

A ``Child`` (``handle``) starts a fresh Python, which makes a *handler* and answers typed requests
one at a time (``channel``). Every process of the suite is one: it asks for the tile permission,
runs tile instructions, reads rates, or runs an arm.

Two processes make a child (``main``)::

    parent --socket--> keeper (one thread, waits) --fork--> worker (has the handler)

When the parent ends, by SIGKILL too, its end of the socket closes. The keeper then kills the worker
and everything that the worker started, and removes their temporary folder.

A child needs the standard library, this package, msgspec, and numpy where arrays are sent. It gets
the parent's module path without the working folder; or it runs in another Python
(``interpreter``), which keeps its own and gets this package alone.

This module imports nothing, so that the keeper stays small.
"""
