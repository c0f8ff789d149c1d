"""A coroutine in, its result in the caller's thread out; whatever interrupts the caller ends the coroutine.

The libraries that speak to the providers are asyncio; the rest of knobctl is not. Each coroutine gets a daemon thread
with an event loop of its own, and both are gone again when the caller goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, Generic

from knobctl.llm.base import Result

GRACE_SECONDS = 2.0
"""How long the caller waits for a cancelled coroutine to close its connections."""


class TookTooLong(Exception):
    """The coroutine was not done in time, and was cancelled."""


def wait_for(work: Callable[[], Coroutine[Any, Any, Result]], seconds: float) -> Result:
    """Runs a coroutine and waits for it.

    Args:
        work: Makes the coroutine; called in the other thread.
        seconds: Wall time that it may take.

    Raises:
        TookTooLong: It took longer.
        BaseException: What it raised; or what a signal handler raised in the caller's thread, which cancels it.
    """
    errand = _Errand(work, seconds)
    thread = threading.Thread(target=errand.run, name="model-request", daemon=True)
    try:
        thread.start()
        wait([errand.outcome], seconds + GRACE_SECONDS)
        if not errand.outcome.done():
            raise TookTooLong
        return errand.outcome.result()
    finally:
        errand.cancel()
        if thread.ident is not None:
            thread.join(GRACE_SECONDS)


class _Errand(Generic[Result]):
    def __init__(self, work: Callable[[], Coroutine[Any, Any, Result]], seconds: float) -> None:
        self.outcome: Future[Result] = Future()
        self._work = work
        self._seconds = seconds
        self._cancelled = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Result] | None = None

    def run(self) -> None:
        """The thread's whole life."""
        self._loop = asyncio.new_event_loop()
        try:
            self._task = self._loop.create_task(self._limited())
            if self._cancelled.is_set():
                self._task.cancel()
            self.outcome.set_result(self._loop.run_until_complete(self._task))
        except BaseException as error:  # noqa: BLE001 - it goes to the caller's thread, whatever it is
            self.outcome.set_exception(error)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def cancel(self) -> None:
        """Ends the coroutine where it stands; does nothing when it is done."""
        self._cancelled.set()
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def _limited(self) -> Result:
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                return await self._work()
        except TimeoutError:
            if limit.expired():
                raise TookTooLong from None
            raise
