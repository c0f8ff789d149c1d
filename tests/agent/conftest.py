"""A fake kernel and sessions on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knobctl.agent.places import Places
from knobctl.agent.processes import Identity
from knobctl.agent.session import Session
from knobctl.knobs import Catalogue
from tests.agent.fake_kernel import FILES, QUANTITIES, RECORDS, FileKernel


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return tmp_path / "root"


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue.from_records(RECORDS)


@pytest.fixture
def kernel(root: Path, catalogue: Catalogue) -> FileKernel:
    return FileKernel(catalogue, str(root))


@pytest.fixture
def places(root: Path) -> Places:
    found = Places(str(root))
    os.close(found.prepare())
    return found


@pytest.fixture
def new_session(kernel: FileKernel, places: Places, tmp_path: Path) -> Iterator[Callable[[], Session]]:
    handles = []

    def make() -> Session:
        handles.append(os.open(places.lock, os.O_RDWR | os.O_CREAT))
        return Session(kernel, places, handles[-1], Identity(os.environ), QUANTITIES)

    yield make
    for handle in handles:
        os.close(handle)


@pytest.fixture
def session(new_session: Callable[[], Session], tmp_path: Path) -> Session:
    made = new_session()
    made.begin("test-session", str(tmp_path))
    return made
