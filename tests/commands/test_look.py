"""``knobs``, ``workloads`` and ``doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect
import pytest

from knobctl.persist.small_root import AGENT_FILE, SUDOERS_FILE, TIMER_LINK
from knobctl.strategist.files import playbooks
from knobctl.workload.registry import adapters
from tests.commands.conftest import CommandLine
from tests.persist import small_root

SIMULATED = ("--target", "simulated")


def test_knobs_lists_what_can_be_tuned(knobctl: CommandLine) -> None:
    done = knobctl("knobs", *SIMULATED)
    assert done.code == 0
    assert done.out.splitlines()[0].split()[:2] == ["knob", "now"]
    assert any(line.startswith("vm.dirty_ratio ") for line in done.out.splitlines())


def test_knobs_on_this_machine_hides_what_cannot_be_tuned_and_says_so(knobctl: CommandLine) -> None:
    some, everything = knobctl("knobs"), knobctl("knobs", "--all")
    hidden = len(everything.out.splitlines()) - len(some.out.splitlines())
    assert hidden > 0, "address randomisation at least"
    assert some.err == f"{hidden} more cannot be tuned here; --all shows them and why\n"
    assert everything.err == ""
    assert "forbidden  never: " in everything.out


def test_one_knob_is_explained(knobctl: CommandLine) -> None:
    done = knobctl("knobs", "vm.dirty_ratio", *SIMULATED)
    assert done.code == 0
    assert "/proc/sys/vm/dirty_ratio" in done.out
    assert knobctl("knobs", "/proc/sys/vm/dirty_ratio", *SIMULATED) == done
    assert knobctl("knobs", "vm/dirty_ratio", *SIMULATED) == done


def test_a_pattern_lists_knobs(knobctl: CommandLine) -> None:
    names = [knob["name"] for knob in knobctl("knobs", "vm.dirty_*", *SIMULATED, "--json").document]
    assert "vm.dirty_ratio" in names
    assert all(name.startswith("vm.dirty_") for name in names)


def test_knobs_as_json_know_their_range_here(knobctl: CommandLine) -> None:
    (knob,) = knobctl("knobs", "vm.dirty_ratio", *SIMULATED, "--json").document
    assert (knob["name"], knob["value"], knob["unit"], knob["risk"]) == ("vm.dirty_ratio", 20, "percent", "safe")
    assert knob["minimum"] < knob["value"] < knob["maximum"]
    assert knob["tunable"] is True
    (choice,) = knobctl("knobs", "thp.enabled", *SIMULATED, "--json").document
    assert choice["choices"] == ["always", "madvise", "never"]
    assert (choice["minimum"], choice["maximum"]) == (None, None)
    (never,) = knobctl("knobs", "kernel.randomize_va_space", *SIMULATED, "--json").document
    assert never["tunable"] is False
    assert never["reason"]


@pytest.mark.parametrize(
    ("name", "error", "hint"),
    [
        ("vm.dirty_ratoi", "unknown knob 'vm.dirty_ratoi'", "Close: vm.dirty_ratio"),
        ("swapines", "unknown knob 'swapines'", "Close: vm.swappiness"),
        ("/etc/passwd", "unknown knob '/etc/passwd'", "`knobctl knobs` lists all."),
        ("nosuch.*", "no knob matches 'nosuch.*'", "`knobctl knobs` lists all."),
    ],
)
def test_an_unknown_knob_comes_with_close_names(knobctl: CommandLine, name: str, error: str, hint: str) -> None:
    done = knobctl("knobs", name, *SIMULATED, "--json")
    assert (done.code, done.document["error"]) == (2, error)
    assert done.document["hint"].startswith(hint)


def test_workloads_shows_every_playbook_with_an_example(knobctl: CommandLine) -> None:
    done = knobctl("workloads")
    assert done.code == 0
    for playbook in playbooks():
        assert f"  {playbook.name} " in done.out
        assert f"e.g. {playbook.examples[0]}" in done.out
    for adapter in adapters():
        assert f"  {adapter.title}\n" in done.out


def test_workloads_as_json_know_every_metric(knobctl: CommandLine) -> None:
    answer = knobctl("workloads", "--json").document
    assert [playbook["name"] for playbook in answer["playbooks"]] == [playbook.name for playbook in playbooks()]
    metrics = {tool["program"]: {metric["name"] for metric in tool["metrics"]} for tool in answer["benchmarks"]}
    assert "transactions_per_second" in metrics["pgbench"]
    assert all(metrics.values())


def test_every_example_is_understood(knobctl: CommandLine) -> None:
    for playbook in knobctl("workloads", "--json").document["playbooks"]:
        for example in playbook["examples"]:
            done = knobctl("plan", example, *SIMULATED, "--json")
            assert done.document["source"] == f"playbook:{playbook['name']}", example


def test_doctor_speaks_to_people_and_to_programs(knobctl: CommandLine, tmp_path: Path) -> None:
    findings = knobctl("doctor", "--workdir", str(tmp_path), "--json")
    subjects = {finding["subject"]: finding for finding in findings.document}
    assert {"machine", "rights", "knobs", "pgbench", "sudo rule", "record", "work folder"} <= set(subjects)
    assert subjects["record"]["text"] == str(knobctl.state / "knobctl.db")
    said = knobctl("doctor", "--workdir", str(tmp_path))
    problems = any(finding["level"] == "problem" for finding in findings.document)
    assert said.code == findings.code == (1 if problems else 0)
    assert "ok      machine: " in said.out
    assert ("PROBLEM " in said.out) == problems


def test_doctor_names_a_problem_with_its_way_out(knobctl: CommandLine, tmp_path: Path) -> None:
    done = knobctl("doctor", "--workdir", str(tmp_path / "nowhere"))
    assert done.code == 1
    assert f"PROBLEM work folder: {tmp_path}/nowhere: No such file or directory\n" in done.out
    assert "        -> Choose another with --workdir.\n" in done.out


def test_fix_without_a_terminal_needs_yes_and_leaves_everything_as_it_is(knobctl: CommandLine, tmp_path: Path) -> None:
    root = small_root.machine(tmp_path / "root")
    before = small_root.everything(root)
    done = knobctl("doctor", "--fix", "--user", "daemon", "--root", str(root))
    assert done.code == 2
    assert "a confirmation is needed, and there is no terminal to ask at" in done.err
    assert "Add --yes to confirm in advance." in done.err
    assert small_root.everything(root) == before


def test_fix_shows_every_file_before_it_writes_it_and_remove_takes_all_away(
    knobctl: CommandLine, tmp_path: Path
) -> None:
    root = small_root.machine(tmp_path / "root")
    before = small_root.everything(root)
    done = knobctl("doctor", "--fix", "--user", "daemon", "--root", str(root), "--yes", "--json")
    assert done.code == 0
    written = done.document["written"]
    assert [Path(path).name for path in written] == [
        "knobctl-agent", "knobctl", "knobctl-restore.service", "knobctl-restore.timer",
    ]  # fmt: skip
    for path in written[1:]:
        assert f"\n{path} (root, mode 0" in done.err
        assert (root / path[1:]).read_text() in done.err
    assert "a Python zipapp of " in done.err
    assert "Without a password, and for as long as a run of theirs lasts, daemon may then set the knobs" in done.err
    assert "then: systemctl enable --now knobctl-restore.timer" in done.err
    again = knobctl("doctor", "--fix", "--root", str(root), "--json")  # nothing to confirm
    assert (again.code, again.document["written"], again.document["there"]) == (0, [], written)
    refused = knobctl("doctor", "--remove", "--root", str(root))
    assert refused.code == 2
    assert (root / written[0][1:]).exists()
    gone = knobctl("doctor", "--remove", "--root", str(root), "--yes", "--json")
    assert (gone.code, set(gone.document["removed"])) == (0, set(written))
    assert set(small_root.everything(root)) - set(before) <= small_root.LEFT
    assert "nothing is installed" in knobctl("doctor", "--remove", "--root", str(root)).err


def test_fix_asks_for_each_part_and_takes_a_no(tmp_path: Path) -> None:
    root = small_root.machine(tmp_path / "root")
    words = [sys.executable, "-m", "knobctl.main", "doctor", "--fix", "--user", "daemon", "--root", str(root)]
    child = pexpect.spawn(words[0], words[1:], encoding="utf-8", timeout=30)
    child.expect(r"Install the agent\? \[y/N\]: ")
    assert not (root / AGENT_FILE[1:]).exists()
    child.sendline("y")
    child.expect(r"Let daemon start the agent without a password\? \[y/N\]: ")
    child.sendline("n")
    child.expect(r"Install and start the timer\? \[y/N\]: ")
    child.sendline("y")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert (root / AGENT_FILE[1:]).exists()
    assert not (root / SUDOERS_FILE[1:]).exists()
    assert (root / TIMER_LINK[1:]).is_symlink()


def test_a_no_to_the_agent_is_a_no_to_the_rest(tmp_path: Path) -> None:
    root = small_root.machine(tmp_path / "root")
    before = small_root.everything(root)
    words = ["-m", "knobctl.main", "doctor", "--fix", "--user", "daemon", "--root", str(root)]
    child = pexpect.spawn(sys.executable, words, encoding="utf-8", timeout=30)
    child.expect(r"Install the agent\? \[y/N\]: ")
    child.sendline("n")
    child.expect("not confirmed, nothing was changed")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2
    assert small_root.everything(root) == before


@pytest.mark.parametrize("words", [("--fix", "--remove"), ("--user", "daemon"), ("--remove", "--user", "daemon")])
def test_options_of_doctor_that_make_no_sense_together(knobctl: CommandLine, words: tuple[str, ...]) -> None:
    done = knobctl("doctor", *words)
    assert done.code == 2
    assert "--fix and --remove exclude each other, and --user belongs to --fix" in done.err
