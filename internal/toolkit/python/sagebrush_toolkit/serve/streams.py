# SPDX-License-Identifier: Apache-2.0
"""Answers that come in parts: what generators of the user's give, sync or async."""

import asyncio
import itertools
import threading

_mutex = threading.Lock()
_loop = None  # of all async generators of this process; guarded by _mutex


def streams(value):
    """Whether a value of the user's is to be sent part by part."""
    return hasattr(value, "__next__") or hasattr(value, "__anext__") or hasattr(value, "__aiter__")


def parts(value):
    """An iterator over an iterator or an async iterator."""
    return value if hasattr(value, "__next__") else _Async(value)


def primed(iterator):
    """The same iterator, which has its first part already.

    What is raised before there is one is raised here, while the answer can
    still be an error; afterwards it can only be cut off.
    """
    try:
        first = next(iterator)
    except StopIteration:
        return _Chained((), iterator)
    return _Chained((first,), iterator)


def raw(part):
    """A part as bytes."""
    if isinstance(part, str):
        return part.encode("utf-8")
    if isinstance(part, (bytes, bytearray, memoryview)):
        return bytes(part)
    raise TypeError("a part of a stream must be bytes or text, not %s" % type(part).__name__)


def close(iterator):
    """Ends an iterator that may not have come to its end."""
    end = getattr(iterator, "close", None)
    if end:
        end()


class _Chained:
    def __init__(self, first, rest):
        self._all, self._rest = itertools.chain(first, rest), rest

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._all)

    def close(self):
        close(self._rest)


class _Async:
    """An async iterator as an iterator.

    All of a process share one event loop in a thread of its own: engines that
    serve several requests at once have tasks that go on between the parts.
    """

    def __init__(self, value):
        self._source = value.__aiter__() if hasattr(value, "__aiter__") else value

    def __iter__(self):
        return self

    def __next__(self):
        async def one():
            try:
                return True, await self._source.__anext__()
            except StopAsyncIteration:
                return False, None

        more, part = _run(one())
        if not more:
            raise StopIteration
        return part

    def close(self):
        end = getattr(self._source, "aclose", None)
        if end:
            async def closing():
                await end()

            _run(closing())


def _run(coroutine):
    global _loop
    with _mutex:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, daemon=True).start()
    return asyncio.run_coroutine_threadsafe(coroutine, _loop).result()
