"""Permanence: live values and drop-ins together or not at all, and a rollback that undoes exactly that."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from knobctl.agent.places import Places
from knobctl.agent.protocol import RESTORE_INCOMPLETE, AgentError
from knobctl.knobs import Value
from knobctl.knobs.files import catalogue as shipped
from knobctl.permanent.apply import apply, rollback
from knobctl.permanent.dropin import SYSCTL_FILE, TMPFILES_FILE
from knobctl.permanent.ways import moved_by
from tests.agent.fake_kernel import Crash, FileKernel

DATE = "2026-01-02 03:04 UTC"
QUEUE = "/sys/block/vda/queue/"
NAMES = {
    "swappiness": "vm.swappiness", "dirty_ratio": "vm.dirty_ratio", "thp": "thp.enabled",
    "wmem": "net.ipv4.tcp_wmem[max]", "read_ahead": "block.read_ahead_kb", "min_free": "vm.min_free_kbytes",
    "dirty_bytes": "vm.dirty_bytes",
}  # fmt: skip


def do(kernel: FileKernel, places: Places, session: str = "first", **values: Value) -> dict[str, object]:
    knobs = {kernel.catalogue[NAMES[name]]: value for name, value in values.items()}
    return apply(kernel, places, knobs, session, DATE)


def sysctl(places: Places) -> Path:
    return Path(places.root, SYSCTL_FILE[1:])


def tmpfiles(places: Places) -> Path:
    return Path(places.root, TMPFILES_FILE[1:])


def settings(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def test_values_are_live_and_in_both_drop_ins(kernel: FileKernel, places: Places) -> None:
    do(kernel, places, swappiness=10, wmem=8388608, thp="always", read_ahead=512)
    assert kernel.read("/proc/sys/vm/swappiness") == "10"
    assert settings(sysctl(places)) == ["vm.swappiness = 10", "net.ipv4.tcp_wmem = 4096 16384 8388608"]
    assert settings(tmpfiles(places)) == [
        "w /sys/kernel/mm/transparent_hugepage/enabled - - - - always",
        "w /sys/block/vda/queue/read_ahead_kb - - - - 512",
    ]
    header = sysctl(places).read_text()
    assert "session first" in header
    assert DATE in header
    assert "knobctl rollback" in header


def test_rollback_undoes_live_values_and_files(kernel: FileKernel, places: Places) -> None:
    before = kernel.snapshot()
    do(kernel, places, swappiness=10, thp="always", dirty_ratio=40)
    answer = rollback(kernel, places)
    assert answer["session"] == "first"
    assert kernel.snapshot() == before
    for path in (sysctl(places), tmpfiles(places), Path(places.applied)):
        assert not path.exists()


def test_rollback_gives_back_the_administrators_own_file_and_face(kernel: FileKernel, places: Places) -> None:
    sysctl(places).parent.mkdir(parents=True)
    sysctl(places).write_text("# mine\nvm.swappiness = 33\n")
    kernel.write("/proc/sys/vm/dirty_bytes", "268435456")
    do(kernel, places, dirty_ratio=40)
    rollback(kernel, places)
    assert sysctl(places).read_text() == "# mine\nvm.swappiness = 33\n"
    assert kernel.read("/proc/sys/vm/dirty_bytes") == "268435456"
    assert kernel.read("/proc/sys/vm/dirty_ratio") == "0"


def test_applies_stack_and_each_rollback_undoes_the_last(kernel: FileKernel, places: Places) -> None:
    do(kernel, places, swappiness=10)
    do(kernel, places, "second", swappiness=20, dirty_ratio=40)
    assert settings(sysctl(places)) == ["vm.swappiness = 20", "vm.dirty_ratio = 40"]
    assert rollback(kernel, places)["session"] == "second"
    assert settings(sysctl(places)) == ["vm.swappiness = 10"]
    assert kernel.read("/proc/sys/vm/swappiness") == "10"
    rollback(kernel, places)
    assert kernel.read("/proc/sys/vm/swappiness") == "60"
    with pytest.raises(AgentError, match="nothing is applied"):
        rollback(kernel, places)


def test_what_moves_another_setting_is_written_before_it(kernel: FileKernel, places: Places) -> None:
    disk = DiskKernel(kernel)
    values = {"block.nr_requests": 1024, "block.read_ahead_kb": 512, "block.scheduler": "mq-deadline"}
    apply(disk, places, {disk.catalogue[name]: value for name, value in values.items()}, "first", DATE)
    assert disk.read(QUEUE + "nr_requests") == "1024"
    written = settings(tmpfiles(places))
    assert sorted(written) == [
        f"w {QUEUE}nr_requests - - - - 1024",
        f"w {QUEUE}read_ahead_kb - - - - 512",
        f"w {QUEUE}scheduler - - - - mq-deadline",
    ]
    rollback(disk, places)
    assert (disk.read(QUEUE + "nr_requests"), disk.read(QUEUE + "scheduler")) == ("64", "[none] mq-deadline")
    for line in written:  # what a boot does
        disk.write(line.split()[1], line.split()[-1])
    assert disk.read(QUEUE + "nr_requests") == "1024"


def test_a_mover_of_a_later_apply_is_written_before_what_an_earlier_one_set(kernel: FileKernel, places: Places) -> None:
    disk = DiskKernel(kernel)
    for name, value in (("block.nr_requests", 128), ("block.scheduler", "mq-deadline")):
        apply(disk, places, {disk.catalogue[name]: value}, name, DATE)
    assert [line.split()[1] for line in settings(tmpfiles(places))] == [QUEUE + "scheduler", QUEUE + "nr_requests"]


def test_of_a_twin_only_the_face_that_was_chosen_last_is_written(kernel: FileKernel, places: Places) -> None:
    do(kernel, places, dirty_ratio=30)
    do(kernel, places, "second", dirty_bytes=1 << 20)
    assert settings(sysctl(places)) == ["vm.dirty_bytes = 1048576"]
    do(kernel, places, "third", dirty_ratio=15, swappiness=10)
    assert settings(sysctl(places)) == ["vm.dirty_ratio = 15", "vm.swappiness = 10"]
    assert kernel.read("/proc/sys/vm/dirty_bytes") == "0"
    rollback(kernel, places)
    assert settings(sysctl(places)) == ["vm.dirty_bytes = 1048576"]


def test_nothing_that_moves_another_knob_is_moved_itself() -> None:
    knobs = list(shipped())
    moved = moved_by(knobs)
    assert [knob.name for knob in knobs if knob.affects and knob.name in moved] == [], "one level of order is enough"


def test_a_record_of_a_knob_that_is_not_in_the_catalogue_any_more_still_counts(
    kernel: FileKernel, places: Places
) -> None:
    do(kernel, places, swappiness=10)
    applied = Path(places.applied)
    applied.write_text(applied.read_text().replace("/proc/sys/vm/swappiness", "/proc/sys/vm/of_old"))
    do(kernel, places, "second", dirty_ratio=30)
    assert settings(sysctl(places)) == ["vm.of_old = 10", "vm.dirty_ratio = 30"]


def test_a_value_that_the_administrator_changed_since_is_left_alone(kernel: FileKernel, places: Places) -> None:
    do(kernel, places, swappiness=10)
    kernel.write("/proc/sys/vm/swappiness", "5")
    report = rollback(kernel, places)["knobs"]
    assert [entry["outcome"] for entry in report] == ["drifted"]
    assert kernel.read("/proc/sys/vm/swappiness") == "5"


def test_a_refused_value_leaves_everything_as_it_was(kernel: FileKernel, places: Places) -> None:
    before = kernel.snapshot()
    kernel.refuse["/proc/sys/vm/dirty_ratio"] = OSError(errno.EINVAL, "Invalid argument")
    with pytest.raises(AgentError, match=r"the kernel refused vm.dirty_ratio = 40: Invalid argument \(EINVAL\)"):
        do(kernel, places, swappiness=10, dirty_ratio=40)
    kernel.refuse.clear()
    assert kernel.snapshot() == before
    assert not sysctl(places).exists()
    assert not Path(places.applied).exists()


def test_a_drop_in_that_cannot_be_written_leaves_everything_as_it_was(kernel: FileKernel, places: Places) -> None:
    before = kernel.snapshot()
    sysctl(places).parent.parent.mkdir(parents=True)
    sysctl(places).parent.write_text("a file where the folder should be")
    with pytest.raises(AgentError, match="cannot write"):
        do(kernel, places, swappiness=10)
    assert kernel.snapshot() == before
    assert not Path(places.applied).exists()


def test_a_value_outside_the_safe_range_is_refused(kernel: FileKernel, places: Places) -> None:
    with pytest.raises(AgentError, match=r"vm.swappiness = 200 is outside its safe range"):
        do(kernel, places, swappiness=200)
    assert kernel.log == []


def test_a_value_is_judged_by_this_machines_own_memory(kernel: FileKernel, places: Places) -> None:
    assert kernel.quantities()["memory_bytes"] == 4 << 30, "the fake machine's, not that of the tests' machine"
    with pytest.raises(AgentError, match=r"vm.min_free_kbytes = 262145 is outside its safe range"):
        do(kernel, places, min_free=262145)


def test_a_refused_value_puts_back_what_the_kernel_moved_by_itself(kernel: FileKernel, places: Places) -> None:
    before = kernel.snapshot()
    kernel.refuse["/proc/sys/vm/swappiness"] = OSError(errno.EINVAL, "Invalid argument")
    with pytest.raises(AgentError, match="the kernel refused"):
        do(kernel, places, thp="always", swappiness=10)
    assert kernel.snapshot() == before, "vm.min_free_kbytes is moved by the kernel when thp.enabled is written"


def test_folders_that_were_made_are_gone_after_the_rollback(kernel: FileKernel, places: Places, root: Path) -> None:
    do(kernel, places, swappiness=10, thp="always")
    do(kernel, places, "second", swappiness=20)
    rollback(kernel, places)
    assert sysctl(places).exists()
    rollback(kernel, places)
    assert not (root / "etc").exists()


def test_a_folder_that_somebody_else_uses_by_now_stays(kernel: FileKernel, places: Places, root: Path) -> None:
    do(kernel, places, swappiness=10)
    (root / "etc/sysctl.d/99-mine.conf").write_text("vm.swappiness = 5\n")
    rollback(kernel, places)
    assert [path.name for path in (root / "etc/sysctl.d").iterdir()] == ["99-mine.conf"]


@pytest.mark.parametrize("write", range(3))
def test_an_apply_that_was_killed_is_undone_by_a_rollback(
    kernel: FileKernel, places: Places, root: Path, write: int
) -> None:
    before = kernel.snapshot()
    kernel.crash_in, kernel.crash_late = write, True
    with pytest.raises(Crash):
        do(kernel, places, thp="always", swappiness=10, dirty_ratio=40)
    kernel.revive()
    assert kernel.snapshot() != before
    with pytest.raises(AgentError, match="an apply was cut off") as error:
        do(kernel, places, "second", swappiness=10)
    assert error.value.hint == "Undo it first: knobctl rollback."
    rollback(kernel, places)
    assert kernel.snapshot() == before
    assert not Path(places.applied).exists()


def test_a_value_that_cannot_be_put_back_is_said_and_remembered(kernel: FileKernel, places: Places) -> None:
    kernel.refuse["/proc/sys/vm/dirty_ratio"] = OSError(errno.EIO, "Input/output error")
    with pytest.raises(AgentError) as error:
        apply(Stubborn(kernel), places, {kernel.catalogue["vm.swappiness"]: 10, kernel.catalogue["vm.dirty_ratio"]: 40},
              "first", DATE)  # fmt: skip
    assert error.value.code == RESTORE_INCOMPLETE
    assert error.value.message.endswith("; and not everything is back")
    assert error.value.hint == "Paste as root: sysctl -w vm.swappiness=60"
    kernel.refuse.clear()
    rollback(kernel, places)
    assert kernel.read("/proc/sys/vm/swappiness") == "60"


def test_a_file_that_cannot_be_put_back_keeps_the_rollback_possible(
    kernel: FileKernel, places: Places, root: Path
) -> None:
    sysctl(places).parent.mkdir(parents=True)
    sysctl(places).write_text("# mine\n")
    do(kernel, places, swappiness=10)
    sysctl(places).unlink()
    (root / "etc/sysctl.d").rmdir()
    (root / "etc/sysctl.d").write_text("a file where the folder should be")
    with pytest.raises(AgentError, match=r"cannot write .*/etc/sysctl\.d: File exists") as error:
        rollback(kernel, places)
    assert (error.value.code, error.value.hint) == (RESTORE_INCOMPLETE, "Mend that, then run `knobctl rollback` again.")
    assert kernel.read("/proc/sys/vm/swappiness") == "60", "what can be put back is"
    (root / "etc/sysctl.d").unlink()
    rollback(kernel, places)
    assert sysctl(places).read_text() == "# mine\n"


def stuck(places: Places) -> Path:
    """The folder of the drop-in, with a file in its place."""
    folder = sysctl(places).parent
    sysctl(places).unlink()
    folder.rmdir()
    folder.write_text("a file where the folder should be")
    return folder


def own_drop_in(places: Places) -> None:
    sysctl(places).parent.mkdir(parents=True)
    sysctl(places).write_text("# mine\n")


def test_a_repeated_rollback_leaves_alone_what_was_changed_before_the_first(kernel: FileKernel, places: Places) -> None:
    own_drop_in(places)
    do(kernel, places, swappiness=10, dirty_ratio=40, thp="always")
    kernel.write("/proc/sys/vm/swappiness", "30")
    kernel.write("/proc/sys/vm/dirty_bytes", "1048576")
    folder = stuck(places)
    with pytest.raises(AgentError, match="cannot write"):
        rollback(kernel, places)
    folder.unlink()
    outcomes = {entry["path"]: entry["outcome"] for entry in rollback(kernel, places)["knobs"]}
    assert kernel.read("/proc/sys/vm/swappiness") == "30"
    assert (kernel.read("/proc/sys/vm/dirty_bytes"), kernel.read("/proc/sys/vm/dirty_ratio")) == ("1048576", "0")
    assert outcomes["/proc/sys/vm/swappiness"] == outcomes["/proc/sys/vm/dirty_bytes"] == "drifted"
    assert outcomes["/sys/kernel/mm/transparent_hugepage/enabled"] == "held"
    assert not Path(places.applied).exists()


@pytest.mark.parametrize(("now", "outcome", "then"), [("30", "drifted", "30"), ("10", "held", "60")])
def test_a_repeated_rollback_leaves_alone_what_was_changed_after_the_first(
    kernel: FileKernel, places: Places, now: str, outcome: str, then: str
) -> None:
    """10 is ours: at a boot in between, our file has set it again."""
    own_drop_in(places)
    do(kernel, places, swappiness=10)
    folder = stuck(places)
    with pytest.raises(AgentError, match="cannot write"):
        rollback(kernel, places)
    assert kernel.read("/proc/sys/vm/swappiness") == "60"
    kernel.write("/proc/sys/vm/swappiness", now)
    folder.unlink()
    assert [entry["outcome"] for entry in rollback(kernel, places)["knobs"]] == [outcome]
    assert kernel.read("/proc/sys/vm/swappiness") == then


def test_a_rollback_after_one_that_was_killed_leaves_alone_what_was_changed_before(
    kernel: FileKernel, places: Places
) -> None:
    do(kernel, places, swappiness=10, thp="always", dirty_ratio=40)
    kernel.write("/proc/sys/vm/dirty_bytes", "1048576")
    kernel.crash_in, kernel.crash_late = 0, True
    with pytest.raises(Crash):
        rollback(kernel, places)
    kernel.revive()
    rollback(kernel, places)
    assert (kernel.read("/proc/sys/vm/dirty_bytes"), kernel.read("/proc/sys/vm/dirty_ratio")) == ("1048576", "0")
    assert kernel.read("/proc/sys/vm/swappiness") == "60"
    assert kernel.read("/proc/sys/vm/min_free_kbytes") == "67584"


def test_a_rollback_of_a_failed_apply_leaves_alone_what_was_changed_since(kernel: FileKernel, places: Places) -> None:
    kernel.refuse["/proc/sys/vm/min_free_kbytes"] = OSError(errno.EIO, "Input/output error")
    knobs = {kernel.catalogue[name]: value for name, value in
             {"vm.dirty_ratio": 40, "vm.swappiness": 10, "vm.min_free_kbytes": 70000}.items()}  # fmt: skip
    with pytest.raises(AgentError, match="and not everything is back"):
        apply(Stubborn(kernel), places, knobs, "first", DATE)
    kernel.refuse.clear()
    kernel.write("/proc/sys/vm/dirty_ratio", "33")
    rollback(kernel, places)
    assert kernel.read("/proc/sys/vm/swappiness") == "60", "that one was not back"
    assert kernel.read("/proc/sys/vm/dirty_ratio") == "33", "this one was"


EDITED = b"# M\xfcller's\nvm.swappiness = 10\nkernel.panic = 7\n"


def test_an_edited_drop_in_is_kept_under_a_name_that_nothing_reads(kernel: FileKernel, places: Places) -> None:
    own_drop_in(places)
    do(kernel, places, swappiness=10)
    sysctl(places).write_bytes(EDITED)
    sysctl(places).chmod(0o600)
    kept = Path(f"{sysctl(places)}.saved")
    assert rollback(kernel, places)["kept"] == [str(kept)]
    assert sysctl(places).read_text() == "# mine\n"
    assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (EDITED, 0o600)


def test_a_file_that_was_kept_is_never_written_over(kernel: FileKernel, places: Places) -> None:
    for number in range(1, 4):
        do(kernel, places, swappiness=10, thp="always")
        tmpfiles(places).write_text(f"# {number}\n")
        rollback(kernel, places)
        assert not tmpfiles(places).exists()
    folder = tmpfiles(places).parent
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "knobctl.conf.saved": "# 1\n", "knobctl.conf.saved.2": "# 2\n", "knobctl.conf.saved.3": "# 3\n",
    }  # fmt: skip


def test_a_file_that_was_made_since_is_kept_too_and_one_that_was_deleted_is_not_missed(
    kernel: FileKernel, places: Places
) -> None:
    do(kernel, places, swappiness=10)
    tmpfiles(places).parent.mkdir(parents=True)
    tmpfiles(places).write_text("# new\n")
    sysctl(places).unlink()
    assert rollback(kernel, places)["kept"] == [f"{tmpfiles(places)}.saved"]
    assert not sysctl(places).exists() and not sysctl(places).parent.exists()


def test_nothing_is_kept_that_nobody_edited(kernel: FileKernel, places: Places) -> None:
    own_drop_in(places)
    sysctl(places).write_bytes(b"# mine\r\n")
    do(kernel, places, swappiness=10)
    do(kernel, places, "second", swappiness=20, thp="always")
    assert [rollback(kernel, places)["kept"] for _ in range(2)] == [[], []]
    assert sysctl(places).read_bytes() == b"# mine\r\n"


def test_a_repeated_rollback_keeps_an_edited_file_once(kernel: FileKernel, places: Places) -> None:
    do(kernel, places, swappiness=10, thp="always")
    sysctl(places).write_bytes(EDITED)
    tmpfiles(places).unlink()
    tmpfiles(places).mkdir()  # stuck
    with pytest.raises(AgentError) as error:
        rollback(kernel, places)
    assert error.value.message.endswith(f"; what was edited since is kept as {sysctl(places)}.saved")
    sysctl(places).write_bytes(EDITED + b"# more\n")
    tmpfiles(places).rmdir()
    assert rollback(kernel, places)["kept"] == [f"{sysctl(places)}.saved.2"]
    assert sorted(path.name for path in sysctl(places).parent.iterdir()) == [
        "90-knobctl.conf.saved", "90-knobctl.conf.saved.2",
    ]  # fmt: skip


def test_an_edited_file_that_cannot_be_kept_is_not_lost(kernel: FileKernel, places: Places) -> None:
    do(kernel, places, swappiness=10)
    sysctl(places).write_bytes(EDITED)
    document = json.loads(Path(places.applied).read_text())
    long = sysctl(places).with_name("9" * 250)  # no room in its name for another ending
    sysctl(places).rename(long)
    document["stack"][0]["files"][0]["path"] = str(long)
    Path(places.applied).write_text(json.dumps(document))
    with pytest.raises(AgentError, match="File name too long") as error:
        rollback(kernel, places)
    assert error.value.code == RESTORE_INCOMPLETE
    assert long.read_bytes() == EDITED


def test_a_record_from_before_files_were_compared_is_undone_as_it_was_then(kernel: FileKernel, places: Places) -> None:
    do(kernel, places, swappiness=10)
    document = json.loads(Path(places.applied).read_text())
    for file in document["stack"][0]["files"]:
        del file["written"]
    Path(places.applied).write_text(json.dumps(document))
    sysctl(places).write_bytes(EDITED)
    assert rollback(kernel, places)["kept"] == []
    assert not sysctl(places).parent.exists()


def test_a_record_from_before_there_were_two_ways_can_be_undone(kernel: FileKernel, places: Places) -> None:
    do(kernel, places, swappiness=10)
    applied = json.loads(Path(places.applied).read_text())
    for key in ("via", "complete", "made", "tuned"):
        del applied["stack"][0][key]
    Path(places.applied).write_text(json.dumps(applied))
    do(kernel, places, "second", swappiness=20)
    rollback(kernel, places)
    rollback(kernel, places)
    assert kernel.read("/proc/sys/vm/swappiness") == "60"
    assert not sysctl(places).exists()


def test_an_unknown_way_is_refused(kernel: FileKernel, places: Places) -> None:
    with pytest.raises(AgentError, match="there is no way 'grub' to make values permanent") as error:
        apply(kernel, places, {kernel.catalogue["vm.swappiness"]: 10}, "first", DATE, "grub")
    assert error.value.hint == "The ways are sysctl.d and tuned."
    assert kernel.log == []


class DiskKernel(FileKernel):
    """The shipped catalogue, and a disk whose queue begins anew with each choice of a scheduler."""

    def __init__(self, kernel: FileKernel) -> None:
        super().__init__(shipped(), kernel.root)
        Path(self.real(QUEUE + "scheduler")).write_text("[none] mq-deadline\n")
        Path(self.real(QUEUE + "nr_requests")).write_text("64\n")

    def store(self, path: str, text: str) -> None:
        if path.endswith("queue/scheduler"):
            super().store(QUEUE + "nr_requests", "64")
            text = "[none] mq-deadline" if text == "none" else "none [mq-deadline]"
        super().store(path, text)


class Stubborn(FileKernel):
    """Takes a new swappiness, and does not take the old one back."""

    def __init__(self, kernel: FileKernel) -> None:
        super().__init__(kernel.catalogue, kernel.root)
        self.refuse = kernel.refuse

    def write(self, path: str, text: str) -> None:
        if path.endswith("swappiness") and text == "60":
            raise OSError(errno.EIO, "Input/output error")
        super().write(path, text)
