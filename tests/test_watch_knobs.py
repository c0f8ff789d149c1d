"""The witness of the kernel: what it accepts, what it objects to, and in which words. The kernel is a folder here."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "watch_knobs.py"
FILES = {
    "proc/meminfo": "MemTotal:       8388608 kB",
    "proc/sys/vm/swappiness": "60",
    "proc/sys/vm/dirty_ratio": "20",
    "proc/sys/vm/dirty_bytes": "0",
    "proc/sys/vm/min_free_kbytes": "67584",
    "proc/sys/net/ipv4/tcp_wmem": "4096\t16384\t4194304",
    "proc/sys/net/ipv4/ip_forward": "0",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "sys/block/vda/queue/read_ahead_kb": "128",
    "sys/block/vda/queue/scheduler": "[none] mq-deadline",
}
WOUNDS = [
    ("proc/sys/vm/swappiness", "250", "vm.swappiness was 250, but its safe range is 0 to 100"),
    ("proc/sys/vm/dirty_ratio", "0", "vm.dirty_ratio was 0, but vm.dirty_bytes was 0 too: neither face was in use"),
    (
        "proc/sys/vm/min_free_kbytes", "9999999",
        "vm.min_free_kbytes was 9999999, but its safe range is 16777 to 251658",
    ),
    (
        "proc/sys/net/ipv4/tcp_wmem", "4096 16384 none",
        "net.ipv4.tcp_wmem[max] was 4096 16384 none, but its safe range is 262144 to 134217728",
    ),
    ("proc/sys/net/ipv4/ip_forward", "1", "net.ipv4.ip_forward was 1, but is never tuned, and was 0 at first"),
    (
        "sys/block/vda/queue/read_ahead_kb", "99999",
        "block.read_ahead_kb was 99999 in /sys/block/vda/queue/read_ahead_kb, but its safe range is 4 to 16384 or 0",
    ),
    (
        "sys/block/vda/queue/scheduler", "none [mine]",
        "block.scheduler was mine in /sys/block/vda/queue/scheduler, "
        "but its safe range is none, mq-deadline, kyber, bfq",
    ),
]  # fmt: skip


class Watched:
    """A kernel made of plain files, with a witness in front of it."""

    def __init__(self, root: Path, percent: str) -> None:
        self.root = root
        self.report = root / "report.json"
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text + "\n")
        os.mknod(root / "proc/sys/vm/drop_caches", stat.S_IFSOCK)  # cannot be read, as the real one
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT, "--root", root, "--report", self.report, "--percent", percent],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.opening = self.process.stdout.readline()

    def hold(self, **texts: str) -> None:
        """Files of ``proc/sys/vm`` hold these texts from now on. Each is written in one piece, as the kernel does."""
        for name, text in texts.items():
            self.write(f"proc/sys/vm/{name}", text)

    def write(self, name: str, text: str) -> None:
        handle = os.open(self.root / name, os.O_WRONLY)
        os.pwrite(handle, text.encode() + b"\n" * 40, 0)
        os.close(handle)

    def end(self) -> tuple[int, list[str]]:
        """Closes the witness's input: exit status and lines."""
        words = self.process.communicate(timeout=20)[0]
        return self.process.returncode, words.splitlines()

    def reported(self) -> Any:
        return json.loads(self.report.read_text())

    def file(self, name: str) -> Any:
        return next(file for file in self.reported()["files"] if file["path"] == f"/{name}")


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    started: list[Watched] = []

    def start(percent: str = "50") -> Watched:
        started.append(Watched(tmp_path, percent))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def test_values_inside_their_ranges_that_go_back_are_no_reason_to_object(watch: Callable[..., Watched]) -> None:
    watched = watch()
    assert watched.opening == "watching 12 knobs in 9 files\n"
    watched.hold(swappiness="100", dirty_bytes="268435456", dirty_ratio="0")
    watched.write("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t8388608")
    watched.write("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never")
    watched.hold(min_free_kbytes="1999999")  # the kernel does this by itself when huge pages are switched on
    watched.write("sys/block/vda/queue/read_ahead_kb", "4096")
    time.sleep(0.3)
    for name, text in FILES.items():
        watched.write(name, text)
    code, words = watched.end()
    report = watched.reported()
    assert (code, words) == (0, [report["summary"]])
    assert report["summary"] == (
        f"watched 12 knobs for {report['seconds']:.0f} s, {report['rounds']} rounds, 7 knobs changed, "
        "none left its safe range, all are back"
    )
    assert report["objections"] == []
    assert sorted(report["changed"]) == [
        "block.read_ahead_kb", "net.ipv4.tcp_wmem[max]", "thp.enabled", "vm.dirty_bytes", "vm.dirty_ratio",
        "vm.min_free_kbytes", "vm.swappiness",
    ]  # fmt: skip


def test_all_texts_are_on_record_with_their_times(watch: Callable[..., Watched]) -> None:
    watched = watch()
    time.sleep(0.1)
    watched.hold(swappiness="13")
    time.sleep(0.3)
    watched.hold(swappiness="60")
    time.sleep(0.1)
    assert watched.end()[0] == 0
    record = watched.file("proc/sys/vm/swappiness")
    assert (record["knobs"], record["first"], record["last"]) == (["vm.swappiness"], "60", "60")
    before, held = record["seen"]
    assert (before["text"], held["text"]) == ("60", "13")
    assert held["last"] - held["first"] > 0.1
    assert before["first"] < held["first"] < held["last"] < before["last"]
    assert held["count"] >= 2
    report = watched.reported()
    assert report["hears_of_writes"]
    assert report["writes_heard"] == 2
    assert report["rounds_per_second"] == pytest.approx(report["rounds"] / report["seconds"], rel=0.01)
    assert 0 < report["longest_gap_seconds"] < report["seconds"]


def test_what_must_not_be_is_seen_and_said(watch: Callable[..., Watched]) -> None:
    watched = watch()
    for name, text, _ in WOUNDS:
        watched.write(name, text)
    time.sleep(0.3)
    for name, _, _ in WOUNDS:
        watched.write(name, FILES[name])
    code, words = watched.end()
    assert code == 1
    assert [line.partition(" (seen ")[0] for line in sorted(words[:-1])] == sorted(line for _, _, line in WOUNDS)
    assert all(" time" in line and ", from second 0." in line for line in words[:-1])
    assert words[-1].endswith("7 knobs changed, 7 left their safe range, all are back")


def test_a_value_that_is_gone_before_the_next_round_is_seen(watch: Callable[..., Watched]) -> None:
    watched = watch("0.0001")
    time.sleep(0.1)
    watched.hold(swappiness="101")
    time.sleep(0.1)
    watched.hold(swappiness="60")
    time.sleep(0.1)
    code, words = watched.end()
    assert code == 1
    assert words[0].startswith("vm.swappiness was 101, but its safe range is 0 to 100 (seen 1 time, from second ")
    assert watched.reported()["rounds"] == 2, "the first look and the last one"


def test_what_is_not_back_is_seen_and_a_forbidden_write_is_heard(watch: Callable[..., Watched]) -> None:
    (watched := watch()).hold(swappiness="10")
    drop_caches = watched.root / "proc/sys/vm/drop_caches"
    drop_caches.unlink()
    drop_caches.write_text("1")
    time.sleep(0.1)
    code, words = watched.end()
    assert code == 1
    assert words[:2] == [
        "vm.drop_caches was written to, and is never tuned",
        "/proc/sys/vm/swappiness was '60' and is '10' at the end",
    ]
    assert words[2].endswith("1 knob changed, 1 left its safe range, 1 file not back")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_its_report(watch: Callable[..., Watched], number: signal.Signals) -> None:
    watched = watch()
    watched.process.send_signal(number)
    assert watched.process.wait(10) == 0
    assert watched.reported()["summary"].endswith("0 knobs changed, none left its safe range, all are back")
    assert watched.end() == (0, [watched.reported()["summary"]])


def test_a_witness_that_can_see_nothing_does_not_testify(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8388608 kB\n")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--root", tmp_path],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"watch_knobs: no kernel setting of the catalogue can be read below {tmp_path}\n"
