"""A small catalogue and a folder that stands for ``/``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from knobctl.knobs import Catalogue

RECORDS = {
    "knob": [
        {
            "name": name,
            "path": path,
            "kind": "integer",
            "summary": "s",
            "why": "w",
            "source": "s",
            "minimum": 0,
            "maximum": 2**40,
            **more,
        }
        for name, path, more in [
            ("vm.dirty_ratio", "/proc/sys/vm/dirty_ratio", {"twin": "vm.dirty_bytes", "unit": "percent"}),
            ("vm.dirty_bytes", "/proc/sys/vm/dirty_bytes", {"twin": "vm.dirty_ratio", "unit": "bytes"}),
            ("vm.swappiness", "/proc/sys/vm/swappiness", {}),
            ("net.ipv4.tcp_wmem[min]", "/proc/sys/net/ipv4/tcp_wmem", {"field": 0}),
            ("net.ipv4.tcp_wmem[max]", "/proc/sys/net/ipv4/tcp_wmem", {"field": 2}),
            ("net.core.optmem", "/proc/sys/net/core/optmem", {"affects": ["vm.swappiness"]}),
            ("net.ipv4.neigh.dot", "/proc/sys/net/ipv4/neigh/eth0.100/gc", {}),
            ("block.nr_requests", "/sys/block/{disk}/queue/nr_requests", {}),
        ]
    ]
    + [
        {
            "name": "thp.enabled",
            "path": "/sys/kernel/mm/transparent_hugepage/enabled",
            "kind": "choice",
            "summary": "s",
            "why": "w",
            "source": "s",
            "choices": ["always", "madvise", "never"],
        }
    ]
}

Write = Callable[[str, str], None]


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue.from_records(RECORDS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def write(root: Path) -> Write:
    def write(path: str, text: str) -> None:
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return write
