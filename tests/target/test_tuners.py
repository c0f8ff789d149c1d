"""Programs that tune by themselves: found among invented processes, and matched with the real catalogue's knobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from knobctl.knobs.files import catalogue
from knobctl.target.tuners import TUNERS, Tuner, in_the_way, named, running

KNOBS = [knob.name for knob in catalogue() if knob.risk != "forbidden"]


def process(root: Path, pid: int, comm: str, *cmdline: str) -> None:
    folder = root / "proc" / str(pid)
    folder.mkdir(parents=True)
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "cmdline").write_text("".join(f"{word}\0" for word in cmdline))


def titles(root: Path) -> list[str]:
    return [tuner.title for tuner in running(str(root))]


@pytest.mark.parametrize("tuner", TUNERS, ids=lambda tuner: tuner.title)
def test_each_is_found_by_the_name_that_the_kernel_keeps_of_it(tmp_path: Path, tuner: Tuner) -> None:
    for number, name in enumerate(tuner.processes):
        process(tmp_path / str(number), 41, name[:15])
        assert running(str(tmp_path / str(number))) == (tuner,)


def test_each_stands_there_once_and_owns_knobs_that_exist() -> None:
    names = [name[:15] for tuner in TUNERS for name in tuner.processes]
    assert len(set(names)) == len(names)
    assert len({tuner.title for tuner in TUNERS}) == len(TUNERS)
    for tuner in TUNERS:
        assert bool(tuner.owns) != bool(tuner.does), f"{tuner.title} owns knobs, or it is said what it does"
        for pattern in tuner.owns:
            one = Tuner("", (), (pattern,))
            assert one.owned(KNOBS), f"{tuner.title}: no knob that can be tuned matches {pattern}"
        assert not tuner.owns or tuner.service, f"{tuner.title} can be paused"


def test_the_commands_to_paste() -> None:
    assert (named("A-Tune").pause, named("A-Tune").resume) == ("systemctl stop atuned", "systemctl start atuned")
    assert (named("thermald").pause, named("thermald").resume) == ("", "")


def test_they_are_sorted_and_named_once_each(tmp_path: Path) -> None:
    for pid, comm in enumerate(["tuned", "atuned", "tuned", "tuned-adm", "bash", "power-profiles-"], start=41):
        process(tmp_path, pid, comm)
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/comm").write_text("bpftune\n")
    (tmp_path / "proc/99").mkdir()  # it ended in between
    assert titles(tmp_path) == ["A-Tune", "power-profiles-daemon", "tuned"]


def test_a_machine_without_processes(tmp_path: Path) -> None:
    assert running(str(tmp_path)) == ()


@pytest.mark.parametrize(
    "words",
    [
        ("python3", "/usr/sbin/tuned"),
        ("/usr/bin/python3", "-Es", "/usr/sbin/tuned", "-l", "-P"),
        ("python3.11", "-W", "ignore", "-X", "dev", "-u", "/usr/sbin/tuned"),
    ],
)
def test_an_interpreters_script_counts_as_its_name(tmp_path: Path, words: tuple[str, ...]) -> None:
    process(tmp_path, 41, Path(words[0]).name, *words)
    process(tmp_path, 42, "bash", "/bin/bash", "/usr/sbin/ksmtuned")
    assert titles(tmp_path) == ["ksmtuned", "tuned"]


@pytest.mark.parametrize(
    ("comm", "words"),
    [
        ("python3", ("python3", "-c", "pass", "/usr/sbin/tuned")),
        ("python3", ("python3", "-Im", "http.server", "tuned")),
        ("python3", ("python3", "/opt/app.py", "/usr/sbin/tuned")),
        ("python3", ("python3",)),
        ("python3", ()),
        ("vim", ("vim", "/usr/sbin/tuned")),
        ("pythonista", ("pythonista", "/usr/sbin/tuned")),
    ],
)
def test_who_only_names_a_tuner_is_none(tmp_path: Path, comm: str, words: tuple[str, ...]) -> None:
    process(tmp_path, 41, comm, *words)
    assert titles(tmp_path) == []


def test_which_knobs_of_a_plan_are_owned() -> None:
    plan = ["vm.dirty_ratio", "net.ipv4.tcp_wmem[max]", "khugepaged.scan_sleep_millisecs", "ksm.run"]
    assert named("tuned").owned(plan) == tuple(plan)
    assert named("bpftune").owned(plan) == ("net.ipv4.tcp_wmem[max]",)
    assert named("numad").owned(plan) == ("khugepaged.scan_sleep_millisecs",)
    assert named("irqbalance").owned(plan) == ()
    found = in_the_way(["bpftune", "irqbalance", "TLP", "ksmtuned"], plan)
    assert [(tuner.title, owned) for tuner, owned in found] == [
        ("bpftune", ("net.ipv4.tcp_wmem[max]",)),
        ("ksmtuned", ("ksm.run",)),
    ]


def test_a_tuner_that_nobody_knows_may_set_anything() -> None:
    stranger = named("a tuner of old")
    assert (stranger.title, stranger.pause) == ("a tuner of old", "")
    assert stranger.owned(["vm.swappiness"]) == ("vm.swappiness",)
