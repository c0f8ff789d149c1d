"""Cases in, what came of each out, in order: played one after the other, or by several processes that share them."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from types import FrameType
from typing import NoReturn, TypeVar

Case = TypeVar("Case")
Played = TypeVar("Played")


def play_each(
    play: Callable[[Case], Played], cases: Sequence[Case], jobs: int = 1, *, fresh: bool = False
) -> Iterator[tuple[Case, Played]]:
    """Plays cases, and gives each with what came of it, in order.

    Args:
        play: Plays a case; a function of a module, so that other processes find it.
        cases: In any order.
        jobs: Processes that share them.
        fresh: Play each in a new process.
    """
    if jobs == 1 and not fresh:
        yield from ((case, play(case)) for case in cases)
        return
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, _obey_the_parent, max_tasks_per_child=1 if fresh else None)
    rest, given, finished = iter(cases), deque[tuple[Case, Future[Played]]](), False
    try:
        while not finished:
            # No more than can be played at once, so that whoever interrupts this need not wait for the next ones.
            playing = [future for _, future in given if not future.done()]
            for case in itertools.islice(rest, jobs - len(playing)):
                given.append((case, pool.submit(play, case)))
                playing.append(given[-1][1])
            if given and given[0][1].done():
                case, future = given.popleft()
                yield case, future.result()
            elif playing:
                wait(playing, return_when=FIRST_COMPLETED)
            finished = not given
    finally:
        if not finished:
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
        pool.shutdown(cancel_futures=True)


def _obey_the_parent() -> None:
    """Only the parent is interrupted from the keyboard; when it ends this process, that clears up first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
