"""The heart of promise 1: look, journal, write, read back, and give back exactly what was found."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knobctl.agent import journal
from knobctl.agent.places import Places
from knobctl.agent.protocol import AgentError
from knobctl.agent.recovery import recover
from knobctl.agent.session import Session
from knobctl.permanent import apply as permanent
from knobctl.permanent.ways import read_json
from tests.agent.fake_kernel import FileKernel

VALUES = {
    "vm.swappiness": st.integers(0, 100),
    "vm.dirty_ratio": st.integers(1, 80),
    "vm.dirty_bytes": st.integers(8192, 1 << 30),
    "net.ipv4.tcp_wmem[default]": st.integers(4096, 1 << 20),
    "net.ipv4.tcp_wmem[max]": st.integers(65536, 1 << 25),
    "thp.enabled": st.sampled_from(["always", "madvise", "never"]),
    "block.read_ahead_kb": st.integers(0, 16384),
    "cpufreq.governor": st.sampled_from(["performance", "powersave", "schedutil"]),
    "intel_pstate.no_turbo": st.integers(0, 1),
}
WRITES = st.lists(st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), VALUES[name])))


def test_a_write_is_read_back_and_restored(kernel: FileKernel, session: Session) -> None:
    before = kernel.snapshot()
    assert session.write("vm.swappiness", 10) == 10
    assert kernel.read("/proc/sys/vm/swappiness") == "10"
    report = session.restore()
    assert [(entry["path"], entry["outcome"]) for entry in report] == [("/proc/sys/vm/swappiness", "held")]
    assert kernel.snapshot() == before


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=WRITES, bytes_face=st.booleans(), crash=st.booleans())
def test_any_sequence_of_writes_is_restored_exactly(
    kernel: FileKernel,
    places: Places,
    new_session: Callable[[], Session],
    tmp_path: Path,
    writes: list[tuple[str, int | str]],
    bytes_face: bool,
    crash: bool,
) -> None:
    kernel.write(*(("/proc/sys/vm/dirty_bytes", "268435456") if bytes_face else ("/proc/sys/vm/dirty_ratio", "20")))
    before = kernel.snapshot()
    session = new_session()
    session.begin("s", str(tmp_path))
    for name, value in writes:
        session.write(name, value)
    if crash:
        record = recover(kernel, places, "watcher", "the agent was killed")
        assert record is not None
        assert record["restored"]
    else:
        session.restore()
    assert kernel.snapshot() == before
    session.end("finished")
    assert not os.path.exists(places.journal)
    assert kernel.snapshot() == before


def test_the_administrators_dirty_bytes_survive_a_tuned_dirty_ratio(kernel: FileKernel, session: Session) -> None:
    kernel.write("/proc/sys/vm/dirty_bytes", "268435456")
    session.write("vm.dirty_ratio", 40)
    assert kernel.read("/proc/sys/vm/dirty_bytes") == "0"
    session.restore()
    assert kernel.read("/proc/sys/vm/dirty_bytes") == "268435456"
    assert kernel.read("/proc/sys/vm/dirty_ratio") == "0"


def nothing_in_either_face(kernel: FileKernel) -> dict[str, str]:
    """A share of 0, which an administrator may choose; in bytes it reads 0 too, and there 0 is refused."""
    kernel.store("/proc/sys/vm/dirty_ratio", "0")
    return kernel.snapshot()


@pytest.mark.parametrize(("name", "value"), [("vm.dirty_ratio", 40), ("vm.dirty_bytes", 8192)])
def test_a_twin_with_0_in_both_faces_goes_back_to_0(
    kernel: FileKernel, session: Session, name: str, value: int
) -> None:
    before = nothing_in_either_face(kernel)
    session.write(name, value)
    assert {entry["outcome"] for entry in session.restore()} == {"held"}
    assert kernel.snapshot() == before
    session.write(name, value)
    assert session.write(name, 0) == 0
    assert kernel.snapshot() == before


@pytest.mark.parametrize(("name", "value"), [("vm.dirty_ratio", 40), ("vm.dirty_bytes", 8192)])
def test_a_rollback_gives_back_a_twin_with_0_in_both_faces(
    kernel: FileKernel, places: Places, name: str, value: int
) -> None:
    before = nothing_in_either_face(kernel)
    permanent.apply(kernel, places, {kernel.catalogue[name]: value}, "s", "today")
    assert {entry["outcome"] for entry in permanent.rollback(kernel, places)["knobs"]} == {"held"}
    assert kernel.snapshot() == before


def test_the_found_value_of_an_idle_twin_is_given_back_through_the_other_face(
    kernel: FileKernel, session: Session
) -> None:
    kernel.write("/proc/sys/vm/dirty_bytes", "268435456")
    session.write("vm.dirty_ratio", 40)
    assert session.write("vm.dirty_ratio", 0) == 0
    assert kernel.read("/proc/sys/vm/dirty_bytes") == "268435456"


def test_a_vector_field_leaves_the_other_fields_alone(kernel: FileKernel, session: Session) -> None:
    session.write("net.ipv4.tcp_wmem[max]", 8388608)
    session.write("net.ipv4.tcp_wmem[default]", 65536)
    assert kernel.read("/proc/sys/net/ipv4/tcp_wmem").split() == ["4096", "65536", "8388608"]


def test_a_side_effect_of_the_kernel_is_restored_too(kernel: FileKernel, session: Session) -> None:
    session.write("thp.enabled", "always")
    assert kernel.read("/proc/sys/vm/min_free_kbytes") == "90112"
    session.restore()
    assert kernel.read("/proc/sys/vm/min_free_kbytes") == "67584"


CPUFREQ = "/sys/devices/system/cpu/cpufreq/"
PSTATE = "/sys/devices/system/cpu/intel_pstate/"


@pytest.mark.parametrize(
    ("values", "moved", "text"),
    [
        ({"cpufreq.governor": "performance"}, CPUFREQ + "policy0/energy_performance_preference", "performance"),
        ({"intel_pstate.no_turbo": 1}, PSTATE + "min_perf_pct", "80"),
    ],
)
@pytest.mark.parametrize("cut_off", [False, True])
def test_what_the_clock_drivers_move_is_nobody_elses_and_goes_back(
    kernel: FileKernel, session: Session, places: Places, values: dict[str, int | str], moved: str, text: str,
    cut_off: bool,
) -> None:  # fmt: skip
    before = kernel.snapshot()
    session.write_all(values)
    assert kernel.read(moved) == text
    assert session.disturbance() is None
    report = session.restore() if not cut_off else (recover(kernel, places, "watcher", "killed") or {})["knobs"]
    assert {entry["outcome"] for entry in report} == {"held"}
    assert kernel.snapshot() == before


def test_clock_knobs_are_set_after_what_moves_them(kernel: FileKernel, session: Session) -> None:
    before = kernel.snapshot()
    preference = {"cpufreq.energy_performance_preference": "power"}
    assert list(session.write_all({**preference, "cpufreq.governor": "powersave"})) == [
        "cpufreq.governor", "cpufreq.energy_performance_preference",
    ]  # fmt: skip
    assert kernel.read(CPUFREQ + "policy1/energy_performance_preference") == "power"
    session.write_all({"intel_pstate.min_perf_pct": 60, "intel_pstate.no_turbo": 1})
    assert kernel.read(PSTATE + "min_perf_pct") == "60"
    assert {entry["outcome"] for entry in session.restore()} == {"held"}
    assert kernel.snapshot() == before


def test_rounding_by_the_kernel_is_held_and_reported(session: Session) -> None:
    assert session.write("block.read_ahead_kb", 1027) == 1024


def test_a_knob_with_several_files_gets_each_files_own_value_back(kernel: FileKernel, session: Session) -> None:
    session.write("cpufreq.governor", "schedutil")
    session.restore()
    folder = "/sys/devices/system/cpu/cpufreq/"
    assert kernel.read(folder + "policy0/scaling_governor") == "powersave"
    assert kernel.read(folder + "policy1/scaling_governor") == "performance"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("vm.swappiness", 101, "vm.swappiness = 101 is outside its safe range"),
        ("vm.swappiness", "60; reboot", "outside its safe range"),
        ("vm.swappiness", True, "outside its safe range"),
        ("thp.enabled", "sometimes", "outside its safe range"),
        ("kernel.randomize_va_space", 0, "is never tuned: turns off a defence against attacks"),
        ("kernel.core_pattern", "x", "unknown knob kernel.core_pattern"),
        ("/etc/passwd", "x", "unknown knob /etc/passwd"),
        ("../../etc/passwd", 1, "unknown knob"),
        ("vm.gone", 1, "vm.gone is absent on this machine"),
    ],
)
def test_what_is_not_allowed_is_refused_and_nothing_is_written(
    kernel: FileKernel, session: Session, name: str, value: int | str, words: str
) -> None:
    before = kernel.snapshot()
    with pytest.raises(AgentError, match=words.replace("(", r"\(")):
        session.write(name, value)
    assert kernel.log == []
    assert kernel.snapshot() == before


def test_the_found_value_may_be_written_back_even_outside_the_safe_range(kernel: FileKernel, session: Session) -> None:
    kernel.write("/proc/sys/vm/swappiness", "180")
    session.write("vm.swappiness", 10)
    assert session.write("vm.swappiness", 180) == 180


def test_a_refusal_by_the_kernel_says_so_and_is_restored(kernel: FileKernel, session: Session) -> None:
    session.write("vm.swappiness", 10)
    kernel.refuse["/proc/sys/vm/swappiness"] = OSError(errno.EBUSY, "Device or resource busy")
    with pytest.raises(AgentError, match=r"the kernel refused vm.swappiness = 20: Device or resource busy \(EBUSY\)"):
        session.write("vm.swappiness", 20)
    report = session.restore()
    assert report[0]["outcome"] == "failed"
    assert report[0]["detail"] == "Device or resource busy (EBUSY)"
    kernel.refuse.clear()
    assert session.restore()[0]["outcome"] == "held"


def test_a_knob_changed_by_somebody_else_is_noticed_and_left_alone(kernel: FileKernel, session: Session) -> None:
    session.write("vm.swappiness", 10)
    kernel.write("/proc/sys/vm/swappiness", "33")
    with pytest.raises(AgentError, match="vm/swappiness was changed by somebody else during the run: 33 instead of 10"):
        session.write("vm.swappiness", 20)
    assert session.restore()[0]["outcome"] == "drifted"
    assert session.restore()[0]["outcome"] == "drifted"
    record = session.end("finished")
    assert record is not None
    assert record["knobs"][0]["outcome"] == "drifted"
    assert kernel.read("/proc/sys/vm/swappiness") == "33"


def test_a_knob_that_disappears_is_absent_and_leaves_nothing_to_put_back(
    kernel: FileKernel, session: Session, root: Path, places: Places
) -> None:
    session.write("vm.swappiness", 10)
    (root / "proc/sys/vm/swappiness").unlink()
    assert session.restore()[0]["outcome"] == "absent"
    record = session.end("finished")
    assert record is not None
    assert record["restored"]
    assert not os.path.exists(places.journal)


def test_a_kernel_that_is_busy_for_a_moment_is_asked_again(kernel: FileKernel, session: Session) -> None:
    session.write("vm.swappiness", 10)
    errors = [errno.EBUSY, errno.EPERM, errno.EINVAL, errno.EINTR]
    kernel.refusals["/proc/sys/vm/swappiness"] = [OSError(number, os.strerror(number)) for number in errors]
    assert session.restore()[0]["outcome"] == "held"
    assert kernel.read("/proc/sys/vm/swappiness") == "60"


def test_a_file_that_cannot_be_read_any_more_is_not_taken_for_one_that_is_gone(
    session: Session, root: Path, tmp_path: Path
) -> None:
    session.write("vm.swappiness", 10)
    path = root / "proc/sys/vm/swappiness"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    report = session.restore()
    assert (report[0]["outcome"], report[0]["detail"]) == ("failed", "Too many levels of symbolic links (ELOOP)")


def test_a_knob_of_the_run_is_watched_before_it_is_written(
    kernel: FileKernel, new_session: Callable[[], Session], tmp_path: Path
) -> None:
    session = new_session()
    session.begin("s", str(tmp_path), ["vm.swappiness", "vm.dirty_ratio"])
    session.write("vm.dirty_ratio", 40)
    assert session.disturbance() is None
    kernel.store("/proc/sys/vm/swappiness", "33")
    error = session.disturbance()
    assert error is not None
    assert error.code == "changed-by-other"
    assert "vm/swappiness was changed by somebody else during the run: 33 instead of 60" in error.message
    with pytest.raises(AgentError, match="33 instead of 60"):
        session.write("vm.swappiness", 10)
    record = session.end("finished")
    assert record is not None
    assert {entry["path"]: entry["outcome"] for entry in record["knobs"]} == {
        "/proc/sys/vm/swappiness": "drifted", "/proc/sys/vm/dirty_bytes": "held", "/proc/sys/vm/dirty_ratio": "held",
    }  # fmt: skip
    assert kernel.read("/proc/sys/vm/swappiness") == "33"


def test_what_was_watched_and_never_written_is_left_alone_by_everybody(
    kernel: FileKernel, new_session: Callable[[], Session], places: Places, tmp_path: Path
) -> None:
    new_session().begin("s", str(tmp_path), ["vm.swappiness"])
    kernel.store("/proc/sys/vm/swappiness", "33")
    record = recover(kernel, places, "restore", "asked for")
    assert record is not None
    assert [entry["outcome"] for entry in record["knobs"]] == ["drifted"]
    assert kernel.read("/proc/sys/vm/swappiness") == "33"


def test_a_forbidden_knob_cannot_even_be_watched_and_nothing_is_left_of_the_attempt(
    new_session: Callable[[], Session], places: Places, tmp_path: Path
) -> None:
    session = new_session()
    with pytest.raises(AgentError, match=r"kernel\.randomize_va_space is never tuned"):
        session.begin("s", str(tmp_path), ["kernel.randomize_va_space"])
    assert not session.is_open
    assert not os.path.exists(places.journal)
    assert not list(tmp_path.glob("knobctl-*"))
    session.begin("s", str(tmp_path))


def test_a_work_folder_that_cannot_be_made_leaves_nothing_behind(
    new_session: Callable[[], Session], places: Places, tmp_path: Path
) -> None:
    with pytest.raises(AgentError, match=r"cannot write the journal or the work folder: No such file") as caught:
        new_session().begin("s", str(tmp_path / "nowhere"))
    assert "rights of" in caught.value.hint
    assert not os.path.exists(places.journal)


def test_a_journal_that_cannot_be_removed_is_not_acted_on_again(
    kernel: FileKernel, session: Session, places: Places
) -> None:
    session.write("vm.swappiness", 10)
    left = Path(places.journal).read_bytes()
    Path(places.journal).unlink()
    Path(places.journal).mkdir()  # stands for a disk that became read-only: nothing can be written or removed
    record = session.end("finished")
    assert record is not None
    assert record["restored"]
    assert record["problem"].startswith(f"the journal {places.journal} cannot be removed or written: Is a directory")
    Path(places.journal).rmdir()
    Path(places.journal).write_bytes(left)
    kernel.store("/proc/sys/vm/swappiness", "33")
    record = recover(kernel, places, "restore", "asked for")
    assert record is not None
    assert record["reason"] == "everything was back already; only the journal could not be removed then"
    assert kernel.read("/proc/sys/vm/swappiness") == "33", "the administrator's, since"
    assert not os.path.exists(places.journal)


def test_a_damaged_journal_is_written_anew_while_something_is_not_back(
    kernel: FileKernel, session: Session, places: Places
) -> None:
    session.write_all({"vm.swappiness": 10, "net.ipv4.tcp_wmem[max]": 8388608})
    Path(places.journal).write_bytes(Path(places.journal).read_bytes()[:40])
    kernel.refuse["/proc/sys/vm/swappiness"] = OSError(errno.EBUSY, "Device or resource busy")
    record = session.end("finished")
    assert record is not None
    assert not record["restored"]
    kernel.refuse.clear()
    kernel.store("/proc/sys/net/ipv4/tcp_wmem", "4096 16384 7777777")
    record = recover(kernel, places, "restore", "asked for")
    assert record is not None
    assert record["session"] == "test-session"
    assert {entry["path"]: entry["outcome"] for entry in record["knobs"]} == {
        "/proc/sys/vm/swappiness": "held", "/proc/sys/net/ipv4/tcp_wmem": "drifted",
    }  # fmt: skip
    assert kernel.read("/proc/sys/vm/swappiness") == "60"
    assert kernel.read("/proc/sys/net/ipv4/tcp_wmem").split()[2] == "7777777", "back already, and theirs since"


@pytest.mark.parametrize(("theirs", "outcome"), [("33", "drifted"), ("10", "held")])
def test_what_the_administrator_decides_after_a_failed_restore_stays(
    kernel: FileKernel, session: Session, places: Places, theirs: str, outcome: str
) -> None:
    session.write("vm.swappiness", 10)
    kernel.refuse["/proc/sys/vm/swappiness"] = OSError(errno.EBUSY, "Device or resource busy")
    assert not (session.end("finished") or {})["restored"]
    kernel.refuse.clear()
    kernel.store("/proc/sys/vm/swappiness", theirs)
    record = recover(kernel, places, "restore", "asked for")
    assert record is not None
    assert [entry["outcome"] for entry in record["knobs"]] == [outcome]
    assert kernel.read("/proc/sys/vm/swappiness") == ("33" if theirs == "33" else "60"), "10 is ours"
    assert not os.path.exists(places.journal)


def test_what_the_kernel_moves_in_a_late_restore_goes_back_too(
    kernel: FileKernel, session: Session, places: Places
) -> None:
    session.write("thp.enabled", "always")
    kernel.refuse["/sys/kernel/mm/transparent_hugepage/enabled"] = OSError(errno.EBUSY, "Device or resource busy")
    assert not (session.end("finished") or {})["restored"]
    kernel.refuse.clear()
    assert kernel.read("/proc/sys/vm/min_free_kbytes") == "67584"
    kernel.write("/sys/kernel/mm/transparent_hugepage/enabled", "always")
    kernel.store("/proc/sys/vm/min_free_kbytes", "67584")
    assert (recover(kernel, places, "restore", "asked for") or {})["restored"]
    assert kernel.read("/proc/sys/vm/min_free_kbytes") == "67584"


def test_a_twin_with_0_in_both_faces_is_put_back_later(kernel: FileKernel, session: Session, places: Places) -> None:
    before = nothing_in_either_face(kernel)
    session.write("vm.dirty_bytes", 8192)
    kernel.refuse["/proc/sys/vm/dirty_ratio"] = OSError(errno.EBUSY, "Device or resource busy")
    assert not (session.end("finished") or {})["restored"]
    kernel.refuse.clear()
    assert (recover(kernel, places, "restore", "asked for") or {})["restored"]
    assert kernel.snapshot() == before


def test_a_file_that_could_not_even_be_read_is_put_back_later(
    kernel: FileKernel, session: Session, places: Places, root: Path, tmp_path: Path
) -> None:
    session.write("vm.swappiness", 10)
    path = root / "proc/sys/vm/swappiness"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert not (session.end("finished") or {})["restored"]
    path.unlink()
    (tmp_path / "elsewhere").rename(path)
    assert (recover(kernel, places, "restore", "asked for") or {})["restored"]
    assert kernel.read("/proc/sys/vm/swappiness") == "60"


def test_a_relative_folder_is_refused_because_who_recovers_is_somewhere_else(
    new_session: Callable[[], Session], places: Places
) -> None:
    with pytest.raises(AgentError, match="'work' is no absolute path"):
        new_session().begin("s", "work")
    assert not os.path.exists(places.journal)


def test_the_work_folder_is_named_without_links(
    new_session: Callable[[], Session], places: Places, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    session = new_session()
    session.begin("s", str(tmp_path / "link"))
    assert Path(session.folder).parent == tmp_path / "real"
    history = journal.read(places.journal)
    assert history is not None
    assert history.begin["folder"] == session.folder


def test_a_journal_that_vanished_is_remembered_by_the_agent(
    kernel: FileKernel, session: Session, places: Places
) -> None:
    session.write("vm.swappiness", 10)
    os.unlink(places.journal)
    record = session.end("finished")
    assert record is not None
    assert record["restored"]
    assert kernel.read("/proc/sys/vm/swappiness") == "60"


def test_the_journal_is_on_the_disk_before_the_kernel_is_touched(
    kernel: FileKernel, session: Session, places: Places
) -> None:
    kernel.refuse["/proc/sys/vm/swappiness"] = OSError(errno.EINVAL, "Invalid argument")
    with pytest.raises(AgentError):
        session.write("vm.swappiness", 10)
    history = journal.read(places.journal)
    assert history is not None
    assert history.files["/proc/sys/vm/swappiness"].found == "60"


@pytest.mark.parametrize("cut", range(0, 700, 7))
def test_a_journal_cut_at_any_byte_restores_what_it_knows(
    kernel: FileKernel, session: Session, places: Places, cut: int
) -> None:
    session.write("vm.swappiness", 10)
    content = Path(places.journal).read_bytes()
    Path(places.journal).write_bytes(content[:cut])
    record = recover(kernel, places, "restore", "asked for")
    intents = content[:cut].count(b"\n") >= 3
    if intents:
        assert record is not None
        assert kernel.read("/proc/sys/vm/swappiness") == "60"


def test_after_a_reboot_nothing_is_written(kernel: FileKernel, session: Session, places: Places, root: Path) -> None:
    session.write("vm.swappiness", 10)
    (root / "proc/sys/kernel/random/boot_id").write_text("another boot\n")
    kernel.log.clear()
    record = recover(kernel, places, "next run", "cut off")
    assert record is not None
    assert record["rebooted"]
    assert kernel.log == []
    assert not os.path.exists(places.journal)


def test_a_second_run_is_refused_while_the_first_lives(
    session: Session, new_session: Callable[[], Session], tmp_path: Path
) -> None:
    with pytest.raises(AgentError, match="another knobctl run holds this machine's lock") as caught:
        new_session().begin("second", str(tmp_path))
    assert caught.value.code == "busy"


def test_the_next_run_finishes_what_a_dead_one_left(
    kernel: FileKernel, session: Session, new_session: Callable[[], Session], tmp_path: Path, places: Places
) -> None:
    session.write("vm.swappiness", 10)
    os.close(session._lock)  # both processes of the first run are gone
    os.open(places.lock, os.O_RDWR)  # the number is taken again, so that the fixture can close it
    left = new_session().begin("second", str(tmp_path))
    assert left is not None
    assert left["session"] == "test-session"
    assert left["restored"]
    assert kernel.read("/proc/sys/vm/swappiness") == "60"


def test_ending_keeps_a_record_and_removes_the_folder(session: Session, places: Places) -> None:
    folder = session.folder
    Path(folder, "data").write_text("x")
    session.write("vm.swappiness", 10)
    session.end("finished")
    record = read_json(places.last_run)
    assert record is not None
    assert (record["session"], record["by"], record["reason"]) == ("test-session", "agent", "finished")
    assert not os.path.exists(folder)


def test_a_journal_that_cannot_be_written_changes_nothing(
    kernel: FileKernel, new_session: Callable[[], Session], places: Places, tmp_path: Path
) -> None:
    os.mkdir(places.journal)
    with pytest.raises(AgentError, match="cannot write the journal or the work folder") as caught:
        new_session().begin("s", str(tmp_path))
    assert "Nothing was changed" in caught.value.hint
    assert kernel.log == []
