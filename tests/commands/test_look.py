"""``knobs``, ``workloads`` and ``doctor``."""

from __future__ import annotations

from pathlib import Path

import pytest

from knobctl.strategist.files import playbooks
from knobctl.workload.registry import adapters
from tests.commands.conftest import CommandLine

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
    assert {"machine", "rights", "knobs", "pgbench", "other tuners", "record", "work folder"} <= set(subjects)
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
