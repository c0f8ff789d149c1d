"""A fake machine on which runs come and go: its kernel files, its journal, its full disk."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from knobctl.agent import journal
from knobctl.agent.places import Places
from knobctl.agent.processes import Identity
from knobctl.agent.recovery import recover
from knobctl.agent.session import Session
from knobctl.knobs import Catalogue
from tests.agent.fake_kernel import FILES, QUANTITIES, RECORDS, FileKernel


class Bench:
    """A fake machine on which runs come and go: the one place that knows how sessions are made.

    Attributes:
        kernel: Its knobs.
        places: Its journal.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.folder.chmod(0o755)
        self.root = self.folder / "root"
        for name, text in FILES.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        self.kernel = FileKernel(Catalogue.from_records(RECORDS), str(self.root))
        self.places = Places(str(self.root))
        for folder in (self.places.state, self.places.run):
            os.makedirs(folder)
        self.knobs = {path: [knob for knob in self.kernel.catalogue if path in self.kernel.files(knob)]
                      for path in self.kernel.snapshot()}  # fmt: skip
        self._lock = -1

    def session(self) -> Session:
        """A process of its own, with the lock file open."""
        self._lock = os.open(self.places.lock, os.O_RDWR | os.O_CREAT)
        return Session(self.kernel, self.places, self._lock, Identity(os.environ), QUANTITIES)

    def gone(self, session: Session) -> None:
        """That process is dead, and what it had open is closed."""
        if session._journal is not None:
            session._journal.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self.kernel.revive()

    def begin(self, session: Session) -> dict[str, Any] | None:
        return session.begin("a-session", str(self.folder))

    def recover(self, by: str) -> dict[str, Any] | None:
        return recover(self.kernel, self.places, by, "asked for by a test", grace=0.0)

    def history(self) -> journal.History | None:
        return journal.read(self.places.journal)

    def texts(self) -> dict[str, str | None]:
        """Text of every knob's file, also of those that are not there now."""
        return {path: self.kernel.text(path) for path in self.knobs}

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def full_disk(path: str, room: int) -> Iterator[None]:
    """No file grows beyond what this one has, plus some bytes."""
    size = os.path.getsize(path) if os.path.exists(path) else 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
