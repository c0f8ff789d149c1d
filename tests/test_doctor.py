"""A look at an invented machine in, findings out: their levels, their words, and what to do about each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from knobctl.doctor import Finding, examine
from knobctl.persist.small_root import AGENT_FILE, SUDOERS_FILE, TIMER_FILE, TIMER_LINK
from knobctl.target.local import LocalTarget
from tests.persist import small_root

QUIET = {
    "proc/meminfo": "MemTotal: 4194304 kB\nMemAvailable: 2097152 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    "proc/loadavg": "0.05 0.10 0.20 1/100 4242\n",
    "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "proc/sys/vm/swappiness": "60\n",
    "proc/sys/vm/dirty_ratio": "20\n",
    "etc/os-release": 'PRETTY_NAME="Example Linux 1"\n',
}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def look(tmp_path: Path, workdir: str = "", **changes: str) -> dict[str, Finding]:
    """Findings by subject on the quiet machine, with files changed (``proc__loadavg="..."``; empty removes one)."""
    root = tmp_path / "root"
    files = {**QUIET, **{name.replace("__", "/"): text for name, text in changes.items()}}
    for name, text in files.items():
        if text:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    findings = examine(LocalTarget(base=str(tmp_path), root=str(root)), workdir or str(tmp_path))
    assert len({finding.subject for finding in findings}) == len(findings)
    return {finding.subject: finding for finding in findings}


def test_a_quiet_machine(tmp_path: Path, state: Path) -> None:
    found = look(tmp_path)
    assert found["machine"].level == "ok"
    assert found["machine"].text.startswith(f"Example Linux 1, Linux {os.uname().release}, {os.cpu_count()} cores, 4.0")
    assert "no swap" in found["machine"].text
    assert found["other tuners"] == Finding("ok", "other tuners", "none is running")
    assert found["record"] == Finding("ok", "record", str(state / "knobctl.db"))
    assert found["rights"].level == "ok"
    assert "journal" not in found
    assert {finding.level for finding in found.values()} <= {"ok", "note", "warning"}
    if os.cpu_count() != 1:
        assert found["noise"] == Finding("ok", "noise", "no source of noise in sight")


def test_knobs_are_counted(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert found["knobs"].level == "ok"
    assert found["knobs"].text.startswith("2 of ")
    assert found["knobs"].text.endswith(" knobs exist and can be tuned here")


def test_a_machine_without_any_knob_is_a_problem(tmp_path: Path) -> None:
    found = look(tmp_path, proc__sys__vm__swappiness="", proc__sys__vm__dirty_ratio="")
    assert found["knobs"].level == "problem"
    assert found["knobs"].text.startswith("0 of ")


def test_every_benchmark_is_looked_for(tmp_path: Path) -> None:
    found = look(tmp_path)
    for program in ("pgbench", "ab", "wrk", "sysbench", "fio"):
        finding = found[program]
        if finding.level == "ok":
            assert os.access(finding.text, os.X_OK) and finding.text.endswith(f"/{program}")
        else:
            assert finding.level == "note"
            assert finding.text.startswith(f"not installed ({program}: ")
            assert finding.advice.startswith(("apt-get install ", "dnf install "))


def test_a_tuner_of_everything_is_a_problem_with_a_way_out(tmp_path: Path) -> None:
    found = look(tmp_path, proc__41__comm="tuned\n", proc__43__comm="bash\n")
    assert "other tuners" not in found
    assert found["tuned"] == Finding(
        "problem",
        "tuned",
        "is running and may set any knob; a run that tunes anything is refused",
        "Pause it for a run: `systemctl stop tuned`, and afterwards `systemctl start tuned`; or use --force.",
    )


def test_a_tuner_of_some_knobs_is_a_warning_that_names_them(tmp_path: Path) -> None:
    found = look(tmp_path, proc__41__comm="bpftune\n", proc__42__comm="ksmtuned\n")
    assert (found["bpftune"].level, found["ksmtuned"].level) == ("warning", "warning")
    assert found["bpftune"].text == "is running and sets net.*; a run that tunes one of them is refused"
    assert found["ksmtuned"].text == "is running and sets ksm.*; a run that tunes one of them is refused"


def test_a_source_of_noise_that_sets_no_knob_is_good_to_know(tmp_path: Path) -> None:
    found = look(tmp_path, proc__41__comm="irqbalance\n")
    assert found["irqbalance"] == Finding(
        "note", "irqbalance", "is running: it moves interrupts between the cores, and sets no knob"
    )
    assert found["other tuners"] == Finding("ok", "other tuners", "none is running")


def test_nothing_installed_is_good_to_know(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert (found["installed agent"].level, found["sudo rule"]) == ("note", Finding("note", "sudo rule", "none"))
    assert found["installed agent"].advice == "`sudo knobctl doctor --fix` lets one user tune without either."
    assert "restore timer" not in found  # no systemd


def test_a_small_root_as_it_should_be(tmp_path: Path) -> None:
    root = small_root.machine(tmp_path / "root")
    small_root.install(root)
    found = look(tmp_path)
    assert found["installed agent"] == Finding("ok", "installed agent", AGENT_FILE)
    assert found["sudo rule"] == Finding("ok", "sudo rule", "daemon may start the agent without a password")
    assert found["restore timer"] == Finding(
        "ok", "restore timer", "a run that is cut off is put back within about a minute"
    )


def test_an_outdated_agent_is_a_warning(tmp_path: Path) -> None:
    root = small_root.machine(tmp_path / "root")
    small_root.install(root)
    with (root / AGENT_FILE[1:]).open("ab") as handle:
        handle.write(b"older")
    assert look(tmp_path)["installed agent"] == Finding(
        "warning",
        "installed agent",
        f"{AGENT_FILE} is another version's and is not used",
        "`sudo knobctl doctor --fix` replaces it.",
    )


def test_an_agent_that_others_can_change_is_a_warning(tmp_path: Path) -> None:
    root = small_root.machine(tmp_path / "root")
    small_root.install(root)
    (root / AGENT_FILE[1:]).parent.chmod(0o777)
    finding = look(tmp_path)["installed agent"]
    assert finding.level == "warning"
    assert finding.text == f"{AGENT_FILE} or a folder above it can be changed by others than root"


@pytest.mark.parametrize(
    ("delete", "level", "words"),
    [
        (SUDOERS_FILE, "note", "none"),
        (AGENT_FILE, "warning", "daemon may start an agent that is not installed"),
    ],
)
def test_a_rule_and_an_agent_belong_together(tmp_path: Path, delete: str, level: str, words: str) -> None:
    root = small_root.machine(tmp_path / "root")
    small_root.install(root)
    (root / delete[1:]).unlink()
    finding = look(tmp_path)["sudo rule"]
    assert (finding.level, finding.text) == (level, words)


def test_a_rule_with_another_line_is_a_warning(tmp_path: Path) -> None:
    root = small_root.machine(tmp_path / "root")
    (root / SUDOERS_FILE[1:]).write_text("daemon ALL=(root) NOPASSWD: ALL\n")
    finding = look(tmp_path)["sudo rule"]
    assert (finding.level, finding.text) == ("warning", f"{SUDOERS_FILE} is not as knobctl writes it")


def test_a_timer_that_is_missing_or_stopped(tmp_path: Path) -> None:
    root = small_root.machine(tmp_path / "root")
    missing = look(tmp_path)["restore timer"]
    assert (missing.level, missing.advice) == ("note", "`sudo knobctl doctor --fix` installs and starts it.")
    assert missing.text == "none: after a run that is cut off, `knobctl restore` is up to you"
    small_root.install(root)
    (root / TIMER_LINK[1:]).unlink()
    stopped = look(tmp_path)["restore timer"]
    assert (stopped.level, stopped.text) == ("warning", "knobctl-restore.timer is there, but not enabled")
    (root / TIMER_FILE[1:]).write_text("[Timer]\n")
    assert look(tmp_path)["restore timer"].text == "knobctl-restore.timer is not as knobctl writes it"


def test_a_run_that_goes_on_or_was_cut_off_is_named(tmp_path: Path) -> None:
    found = look(tmp_path, var__lib__knobctl__journal="anything")
    assert found["journal"] == Finding(
        "warning",
        "journal",
        "a run is going on, or was cut off",
        "See `knobctl status`; `knobctl restore` finishes a run that was cut off.",
    )


def test_a_record_that_cannot_be_opened_is_a_problem(tmp_path: Path, state: Path) -> None:
    state.mkdir()
    (state / "knobctl.db").mkdir()
    finding = look(tmp_path)["record"]
    assert finding.level == "problem"
    assert str(state / "knobctl.db") in finding.text
    assert "KNOBCTL_STATE_DIR" in finding.advice


def test_a_work_folder_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    finding = look(tmp_path, workdir=str(tmp_path / "nowhere"))["work folder"]
    assert (finding.level, finding.text) == ("problem", f"{tmp_path / 'nowhere'}: No such file or directory")
    assert finding.advice == "Choose another with --workdir."


def test_room_in_the_work_folder_is_measured(tmp_path: Path) -> None:
    finding = look(tmp_path)["work folder"]
    free = shutil.disk_usage(tmp_path).free / 2**30
    assert finding.text.endswith(f" GiB free in {tmp_path}")
    assert float(finding.text.split()[0]) == pytest.approx(free, abs=1.0)
    assert finding.level == ("ok" if free > 3.5 else finding.level)


def test_a_busy_machine_is_a_warning(tmp_path: Path) -> None:
    cores = os.cpu_count() or 1
    finding = look(tmp_path, proc__loadavg=f"{cores}.50 1 1 2/3 4\n")["load"]
    assert finding == Finding(
        "warning", "load", f"load average {cores}.5 on {cores} cores", "Wait for a quieter moment."
    )  # fmt: skip


def test_a_virtual_machine_is_good_to_know(tmp_path: Path) -> None:
    finding = look(tmp_path, sys__class__dmi__id__sys_vendor="QEMU\n")["virtual machine"]
    assert finding.level == "note"
    assert finding.text == "neighbours on the host add noise of 5 to 20 percent"


def test_swapped_memory_is_a_warning(tmp_path: Path) -> None:
    memory = "MemTotal: 4194304 kB\nSwapTotal: 1048576 kB\nSwapFree: 524288 kB\n"
    finding = look(tmp_path, proc__meminfo=memory)["swap"]
    assert (finding.level, finding.text) == ("warning", "memory was swapped out")


def test_a_little_swap_in_use_is_not_worth_a_word(tmp_path: Path) -> None:
    memory = "MemTotal: 4194304 kB\nSwapTotal: 1048576 kB\nSwapFree: 1000000 kB\n"
    found = look(tmp_path, proc__meminfo=memory)
    assert "swap" not in found
    assert "1.0 GiB swap" in found["machine"].text


def test_a_kernel_without_pressure_information_is_good_to_know(tmp_path: Path) -> None:
    finding = look(tmp_path, proc__pressure__memory="")["pressure"]
    assert (finding.level, finding.advice) == ("note", "Boot with psi=1 to have it in rewards and reports.")


def test_findings_are_plain_json() -> None:
    assert Finding("ok", "noise", "none").to_dict() == {"level": "ok", "subject": "noise", "text": "none", "advice": ""}
