"""Permanence by a TuneD profile, with a ``tuned-adm`` that behaves like the real one, and one that does not."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from knobctl.agent.places import Places
from knobctl.agent.protocol import BAD_REQUEST, RESTORE_INCOMPLETE, WRITE_FAILED, AgentError
from knobctl.knobs import Value
from knobctl.permanent.apply import apply, rollback
from knobctl.permanent.dropin import tuned_text
from knobctl.permanent.tuned import Tuned
from tests.agent.fake_kernel import FileKernel
from tests.permanent.test_apply import DATE, NAMES
from tests.permanent.tuned_machine import TunedMachine

PATIENCE = 0.5
SWAPPINESS = "proc/sys/vm/swappiness"


def do(
    kernel: FileKernel, places: Places, session: str = "first", via: str = "tuned", **values: Value
) -> dict[str, object]:
    knobs = {kernel.catalogue[NAMES[name]]: value for name, value in values.items()}
    return apply(kernel, places, knobs, session, DATE, via, Tuned(places.root, PATIENCE))


def undo(kernel: FileKernel, places: Places) -> dict[str, object]:
    return rollback(kernel, places, Tuned(places.root, PATIENCE))


def test_the_profile_includes_the_active_one_and_is_active_then(
    kernel: FileKernel, places: Places, tuned: TunedMachine
) -> None:
    done = do(kernel, places, swappiness=10, wmem=8388608, thp="always", read_ahead=512)
    assert tuned.active == ("knobctl", "manual")
    assert tuned.calls == ["profile knobctl"]
    assert tuned.profile == (
        f"# Written by `knobctl apply` on {DATE}, from the measurements of session first.\n"
        "# Undo with `knobctl rollback`, which also puts the live values back.\n"
        "[main]\nsummary=Proven by knobctl on this machine\ninclude=base\n\n"
        "[sysctl]\nvm.swappiness=10\nnet.ipv4.tcp_wmem=4096 16384 8388608\n\n"
        "[sysfs]\n/sys/kernel/mm/transparent_hugepage/enabled=always\n/sys/block/vda/queue/read_ahead_kb=512\n"
    )
    assert kernel.read("/proc/sys/vm/swappiness") == "10"
    assert kernel.read("/proc/sys/vm/dirty_ratio") == "40", "the included profile still holds"
    assert (done["via"], done["files"]) == ("tuned", [f"{tuned.root}/etc/tuned/knobctl/tuned.conf"])


def test_a_rollback_leaves_nothing(kernel: FileKernel, places: Places, tuned: TunedMachine) -> None:
    before = tuned.everything()
    do(kernel, places, swappiness=10, dirty_ratio=60, thp="always")
    assert tuned.everything() != before
    answer = undo(kernel, places)
    assert tuned.calls == ["profile knobctl", "profile base"]
    assert tuned.everything() == before
    assert {entry["outcome"] for entry in answer["knobs"]} == {"held"}  # type: ignore[index,attr-defined]


def test_what_tuned_takes_for_the_original_is_what_was_found(
    kernel: FileKernel, places: Places, tuned: TunedMachine
) -> None:
    do(kernel, places, swappiness=10)
    tuned.choose("base")
    assert kernel.read("/proc/sys/vm/swappiness") == "60", "an administrator leaves our profile behind, with no trace"


@pytest.mark.parametrize(
    ("names", "automatic", "include", "back"),
    [
        (("base",), True, "include=base", "auto_profile"),
        (("base", "other"), False, "include=base,other", "profile base other"),
        ((), False, "", "off"),
    ],
)
def test_the_profile_goes_back_as_it_was_chosen(
    kernel: FileKernel, places: Places, tuned: TunedMachine, names: tuple[str, ...], automatic: bool, include: str,
    back: str,
) -> None:  # fmt: skip
    tuned.write("usr/lib/recommended", "base")
    tuned.choose(*names, automatic=automatic)
    before = tuned.everything()
    do(kernel, places, swappiness=10)
    assert "include=" not in tuned.profile if not include else include in tuned.profile.splitlines()
    undo(kernel, places)
    assert tuned.calls == ["profile knobctl", back]
    assert tuned.everything() == before


@pytest.mark.parametrize("folder", ["etc/tuned/profiles", "usr/lib/tuned/profiles"])
def test_a_newer_tuned_has_its_profiles_in_a_folder_of_their_own(
    kernel: FileKernel, places: Places, tuned: TunedMachine, folder: str
) -> None:
    (tuned.root / folder).mkdir(parents=True)
    before = tuned.everything()
    do(kernel, places, swappiness=10)
    assert "vm.swappiness=10" in tuned.text("etc/tuned/profiles/knobctl/tuned.conf")
    undo(kernel, places)
    assert tuned.everything() == before


def test_the_configured_folders_count(tuned: TunedMachine) -> None:
    tuned.write("etc/tuned/tuned-main.conf", "# profile_dirs = /no\nprofile_dirs = /usr/lib/tuned,/opt/profiles/ # x\n")
    assert Tuned(str(tuned.root)).profile_file() == "/opt/profiles/knobctl/tuned.conf"


@pytest.mark.parametrize(
    ("text", "on"),
    [("", True), ("reapply_sysctl = 1", True), ("#reapply_sysctl = 0", True), ("reapply_sysctl=0", False),
     ("daemon = 1\nreapply_sysctl = False # no", False)],
)  # fmt: skip
def test_whether_sysctl_files_win_over_a_profile(tuned: TunedMachine, text: str, on: bool) -> None:
    tuned.write("etc/tuned/tuned-main.conf", text)
    assert Tuned(str(tuned.root)).reapplies() is on


def test_in_charge_is_a_running_daemon_with_a_profile(tuned: TunedMachine) -> None:
    seen = Tuned(str(tuned.root))
    assert seen.in_charge()
    tuned.choose()
    assert seen.running()
    assert not seen.in_charge()
    tuned.choose("base")
    tuned.write("proc/4242/comm", "tuned-gui\n")
    assert not seen.in_charge()
    assert not Tuned(str(tuned.root / "nowhere")).in_charge()


# --- stacks


def test_a_second_apply_is_merged_into_the_profile(kernel: FileKernel, places: Places, tuned: TunedMachine) -> None:
    before = tuned.everything()
    do(kernel, places, swappiness=10)
    first = tuned.everything()
    do(kernel, places, "second", swappiness=20, thp="always")
    assert tuned.profile.splitlines()[2:] == [
        "[main]", "summary=Proven by knobctl on this machine", "include=base", "", "[sysctl]", "vm.swappiness=20", "",
        "[sysfs]", "/sys/kernel/mm/transparent_hugepage/enabled=always",
    ]  # fmt: skip
    assert undo(kernel, places)["session"] == "second"
    assert tuned.everything() == first
    undo(kernel, places)
    assert tuned.everything() == before


def test_ways_are_not_mixed(kernel: FileKernel, places: Places, tuned: TunedMachine) -> None:
    do(kernel, places, swappiness=10)
    with pytest.raises(AgentError, match=r"already was applied by way of tuned, which cannot be mixed with sysctl\.d"):
        do(kernel, places, "second", via="sysctl.d", swappiness=20)
    undo(kernel, places)
    do(kernel, places, via="sysctl.d", swappiness=10)
    with pytest.raises(AgentError, match=r"by way of sysctl\.d, which cannot be mixed with tuned") as error:
        do(kernel, places, "second", swappiness=20)
    assert (error.value.code, error.value.hint) == (
        BAD_REQUEST, "Leave --via out, or undo that first: knobctl rollback.",
    )  # fmt: skip
    assert tuned.calls == ["profile knobctl", "profile base"]


def test_a_profile_of_that_name_which_is_not_ours_is_refused(
    kernel: FileKernel, places: Places, tuned: TunedMachine
) -> None:
    tuned.write("etc/tuned/knobctl/tuned.conf", "[main]\ninclude=base\n")
    tuned.choose("knobctl")
    with pytest.raises(AgentError, match="profile knobctl is active, and it is not from an apply") as error:
        do(kernel, places, swappiness=10)
    assert error.value.hint == "Choose another one first: tuned-adm profile NAME."
    tuned.choose("base")
    before = tuned.everything()
    do(kernel, places, swappiness=10)
    undo(kernel, places)
    assert tuned.everything() == before, "the administrator's own file is given back"


# --- what somebody else did since


def test_a_value_that_the_administrator_changed_since_is_left_alone(
    kernel: FileKernel, places: Places, tuned: TunedMachine
) -> None:
    do(kernel, places, swappiness=10, dirty_ratio=60)
    tuned.write(SWAPPINESS, "5\n")
    report = {entry["path"]: entry for entry in undo(kernel, places)["knobs"]}  # type: ignore[attr-defined]
    assert report["/proc/sys/vm/swappiness"]["outcome"] == "drifted"
    assert kernel.read("/proc/sys/vm/swappiness") == "5", "although TuneD wrote it when the profile was switched"
    assert kernel.read("/proc/sys/vm/dirty_ratio") == "40"


def test_a_repeated_rollback_leaves_alone_what_was_changed_before_the_first(
    kernel: FileKernel, places: Places, tuned: TunedMachine
) -> None:
    tuned.write("etc/tuned/knobctl/tuned.conf", "# mine\n")
    do(kernel, places, swappiness=10, dirty_ratio=60)
    tuned.write(SWAPPINESS, "5\n")
    folder = tuned.root / "etc/tuned/knobctl"
    (folder / "tuned.conf").unlink()
    folder.rmdir()
    folder.write_text("a file where the folder should be")
    with pytest.raises(AgentError, match="cannot write"):
        undo(kernel, places)
    folder.unlink()
    undo(kernel, places)
    assert kernel.read("/proc/sys/vm/swappiness") == "5"
    assert kernel.read("/proc/sys/vm/dirty_ratio") == "40"
    assert tuned.profile == "# mine\n"


def test_an_edited_profile_is_kept_beside_itself(kernel: FileKernel, places: Places, tuned: TunedMachine) -> None:
    do(kernel, places, swappiness=10)
    edited = tuned.profile + "vm.vfs_cache_pressure=50\n"
    tuned.write("etc/tuned/knobctl/tuned.conf", edited)
    assert undo(kernel, places)["kept"] == [f"{tuned.root}/etc/tuned/knobctl/tuned.conf.saved"]
    assert tuned.profile == ""
    assert tuned.text("etc/tuned/knobctl/tuned.conf.saved") == edited
    assert tuned.active == ("base", "manual")


def test_a_profile_that_the_administrator_chose_since_stays(
    kernel: FileKernel, places: Places, tuned: TunedMachine
) -> None:
    do(kernel, places, swappiness=10, thp="always")
    tuned.choose("other")
    with pytest.raises(AgentError, match="profile knobctl was applied, but other is active now"):
        do(kernel, places, "second", swappiness=20)
    undo(kernel, places)
    assert tuned.active == ("other", "manual")
    assert tuned.calls == []
    assert kernel.read("/proc/sys/vm/swappiness") == "77"
    assert not (tuned.root / "etc/tuned/knobctl").exists()


def test_a_daemon_that_was_stopped_since_is_not_started(
    kernel: FileKernel, places: Places, tuned: TunedMachine
) -> None:
    before = tuned.everything()
    do(kernel, places, swappiness=10)
    (tuned.root / "proc/4242/comm").unlink()
    undo(kernel, places)
    assert tuned.calls == ["profile knobctl"]
    tuned.write("proc/4242/comm", "tuned\n")
    assert tuned.everything() == before


# --- when it goes wrong


@pytest.mark.parametrize("state", ["stopped", "missing"])
def test_without_tuned_nothing_is_begun(kernel: FileKernel, places: Places, tuned: TunedMachine, state: str) -> None:
    (tuned.program if state == "missing" else tuned.root / "proc/4242/comm").unlink()
    before = tuned.everything()
    words = "its tuned-adm is not installed" if state == "missing" else "TuneD is not running here"
    with pytest.raises(AgentError, match=words) as error:
        do(kernel, places, swappiness=10)
    assert "--via" in error.value.hint
    assert tuned.everything() == before
    assert kernel.log == []


@pytest.mark.parametrize(
    ("trouble", "code", "words"),
    [
        ("fail", WRITE_FAILED, r"^`tuned-adm profile knobctl` failed with status 1:  \[31mCannot talk to TuneD daemon"),
        ("lie", WRITE_FAILED, r"^`tuned-adm profile knobctl` did not take effect: the active profile is base$"),
        ("hang-knobctl", WRITE_FAILED, r"^`tuned-adm profile knobctl` did not end within 0.5 seconds$"),
        ("hang-late-knobctl", WRITE_FAILED, r"did not end within 0.5 seconds$"),
        ("fail-late-knobctl", WRITE_FAILED, r"failed with status 1"),
        ("fail-late", WRITE_FAILED, r"failed with status 1"),
    ],
)
def test_a_switch_that_fails_leaves_everything_as_it_was(
    kernel: FileKernel, places: Places, tuned: TunedMachine, trouble: str, code: str, words: str
) -> None:
    before = tuned.everything()
    tuned.trouble(trouble)
    with pytest.raises(AgentError, match=words) as error:
        do(kernel, places, swappiness=10, dirty_ratio=60, thp="always")
    assert (error.value.code, error.value.hint) == (code, "Nothing was changed.")
    assert tuned.everything() == before


def test_a_tuned_that_cannot_be_told_to_go_back_is_named(
    kernel: FileKernel, places: Places, tuned: TunedMachine
) -> None:
    before = tuned.everything()
    do(kernel, places, swappiness=10, dirty_ratio=60)
    tuned.trouble("fail")
    with pytest.raises(AgentError) as error:
        undo(kernel, places)
    assert error.value.code == RESTORE_INCOMPLETE
    assert error.value.message.startswith("`tuned-adm profile base` failed with status 1: ")
    assert error.value.message.endswith(
        "; its files and the values are as they were, but what it has loaded is not known"
    )
    assert error.value.hint == "Restart TuneD."
    assert tuned.everything() == before


def test_a_file_that_wins_over_the_profile_is_noticed_by_reading_back(
    kernel: FileKernel, places: Places, tuned: TunedMachine
) -> None:
    tuned.write("etc/sysctl.conf", "vm.swappiness = 33\n")
    tuned.write(SWAPPINESS, "33\n")
    before = tuned.everything()
    with pytest.raises(AgentError, match="profile knobctl leaves /proc/sys/vm/swappiness at 33, not at 10") as error:
        do(kernel, places, swappiness=10)
    assert "wins over the profile" in error.value.hint
    assert tuned.everything() == before
    assert tuned.calls == ["profile knobctl", "profile base"]


def test_an_apply_that_was_killed_during_the_switch_is_undone_by_a_rollback(
    kernel: FileKernel, places: Places, tuned: TunedMachine
) -> None:
    before = tuned.everything()
    do(kernel, places, swappiness=10)
    document = json.loads(Path(places.applied).read_text())
    document["stack"][-1].update(complete=False, settings={})
    Path(places.applied).write_text(json.dumps(document))
    undo(kernel, places)
    assert tuned.everything() == before


def test_what_is_started_sees_nothing_of_the_callers_environment(
    kernel: FileKernel, places: Places, tuned: TunedMachine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    evil = tmp_path / "bin/tuned-adm"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/evil\n")
    evil.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("LD_PRELOAD", "")
    tuned.write(
        "usr/sbin/tuned-adm",
        f"#!/bin/sh\n/usr/bin/env > {tmp_path}/environment; pwd >> {tmp_path}/environment\nexit 1\n",
    )
    with pytest.raises(AgentError, match="it said nothing"):
        do(kernel, places, swappiness=10)
    seen = (tmp_path / "environment").read_text().splitlines()
    assert sorted(line.partition("=")[0] for line in seen if "=" in line and line[0] not in "_OPS") == [
        "LANG", "LC_ALL",
    ]  # fmt: skip
    assert seen[-1] == "/"
    assert not (tmp_path / "evil").exists()


def test_a_program_that_hangs_is_killed_with_its_children(
    kernel: FileKernel, places: Places, tuned: TunedMachine, tmp_path: Path
) -> None:
    tuned.write("usr/sbin/tuned-adm", f"#!/bin/sh\n(sleep 1; touch {tmp_path}/late) &\nsleep 60\n")
    started = time.monotonic()
    with pytest.raises(AgentError, match=r"did not end within 0\.5 seconds"):
        do(kernel, places, swappiness=10)
    assert time.monotonic() - started < 5
    time.sleep(1.1)
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize("name", ["--help", "a/../b", "a;b", "-p"])
def test_a_profile_with_a_strange_name_is_not_passed_on(tuned: TunedMachine, name: str) -> None:
    with pytest.raises(AgentError, match="is no name of a TuneD profile"):
        Tuned(str(tuned.root)).switch([name])
    assert tuned.calls == []


@pytest.mark.parametrize("value", ["a # b", "${x}", "=>5", '"a"', "a\nb", ""])
def test_a_value_that_tuned_would_take_for_more_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is not plain text for a TuneD profile"):
        tuned_text({"/proc/sys/vm/swappiness": value}, [], "session", DATE)


def test_a_name_with_a_dot_is_written_as_tuned_reads_it() -> None:
    text = tuned_text({"/proc/sys/net/ipv4/neigh/eth0.100/gc": "7"}, [], "session", DATE)
    assert text.endswith("\n[sysctl]\nnet.ipv4.neigh.eth0/100.gc=7\n")
    assert tuned_text({}, ["base"], "session", DATE) == ""
