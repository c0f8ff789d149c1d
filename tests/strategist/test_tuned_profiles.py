"""What TuneD's profiles on a machine add to a plan: knobs of the plan alone, with values that it explores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from knobctl import pipeline
from knobctl.knobs.files import catalogue
from knobctl.plan import Suggestion
from knobctl.safety import SafetyValidator
from knobctl.strategist import PlaybookStrategist, Proposal, TuningRequest
from knobctl.strategist.files import playbooks
from knobctl.strategist.tuned_profiles import MOST_PROFILES, MOST_SUGGESTIONS, OPTIONS, fitting, with_profiles
from knobctl.target.local import LocalTarget
from knobctl.target.profiles import Profile, ProfileSetting
from tests.strategist.machine import Machine, machine_of


def profile(*lines: str, name: str = "brisk", active: bool = False, problem: str = "") -> Profile:
    """A profile of lines such as ``sysctl vm.swappiness=10``."""
    settings = []
    for line in lines:
        kind, _, rest = line.partition(" ")
        key, _, value = rest.partition("=")
        settings.append(ProfileSetting(kind, key, value))
    return Profile(name, active, tuple(settings), problem)


def added(machine: Machine, *profiles: Profile, knobs: tuple[str, ...] = ()) -> list[Suggestion]:
    """What these profiles add to the plan for a database, or for these knobs."""
    before = machine.propose("PostgreSQL", knobs=knobs)
    after = with_profiles(before, profiles, machine.states, machine.catalogue)
    assert after.plan.suggestions[: len(before.plan.suggestions)] == before.plan.suggestions, "its own come first"
    return list(after.plan.suggestions[len(before.plan.suggestions) :])


def values(machine: Machine, *lines: str, knobs: tuple[str, ...] = ()) -> dict[str, int | str]:
    found = added(machine, profile(*lines), knobs=knobs)
    return dict(found[0].configuration) if found else {}


@pytest.fixture(scope="module")
def machine() -> Machine:
    return machine_of()


# --- lines


def test_a_profile_becomes_a_suggestion_that_names_it(machine: Machine) -> None:
    (suggestion,) = added(machine, profile("sysctl vm.dirty_ratio=30", "sysctl vm.dirty_background_ratio=4"))
    assert suggestion.configuration == {"vm.dirty_ratio": 30, "vm.dirty_background_ratio": 4}
    assert suggestion.reason == "TuneD's profile brisk (installed here)."


@pytest.mark.parametrize(
    ("line", "knob", "value"),
    [
        ("vm transparent_hugepages=never", "thp.enabled", "never"),
        ("vm transparent_hugepage.defrag=always", "thp.defrag", "always"),
        ("vm dirty_bytes=30%", "vm.dirty_ratio", 30),
        ("vm dirty_background_bytes=3 %", "vm.dirty_background_ratio", 3),
        ("vm dirty_bytes=536870912", "vm.dirty_bytes", 536_870_912),
        ("disk elevator=deadline", "block.scheduler", "mq-deadline"),
        ("disk elevator=bfq", "block.scheduler", "bfq"),
        ("disk readahead=>4096", "block.read_ahead_kb", 4096),
        ("disk readahead=>64", "block.read_ahead_kb", None),
        ("disk readahead=8192 s", "block.read_ahead_kb", 4096),
        ("disk readahead=0", "block.read_ahead_kb", 0),
        ("cpu governor=performance", "cpufreq.governor", None),
        ("cpu governor=powersave", "cpufreq.governor", "powersave"),
        ("scheduler sched_migration_cost_ns=5000000", "kernel.sched_migration_cost_ns", 5_000_000),
        ("sysctl vm.swappiness=10", "vm.swappiness", 10),
        ("sysctl vm/swappiness=10", "vm.swappiness", 10),
        ("sysctl vm.swappiness=<10", "vm.swappiness", 10),
        ("sysctl vm.swappiness=<90", "vm.swappiness", None),
        ("sysctl vm.swappiness=60", "vm.swappiness", None),
        ("sysctl vm.swappiness=ten", "vm.swappiness", None),
        ("sysctl vm.swappiness=10 20", "vm.swappiness", None),
        ("sysctl vm.swappiness=4000", "vm.swappiness", None),
        ("sysctl vm.swappiness=" + "9" * 190, "vm.swappiness", None),
        ("sysctl net.ipv4.tcp_rmem=4096 200000 16777216", "net.ipv4.tcp_rmem[max]", 16_777_216),
        ("sysctl net.ipv4.tcp_rmem=4096", "net.ipv4.tcp_rmem[max]", None),
        ("sysfs /sys/kernel/mm/transparent_hugepage/enabled=never", "thp.enabled", "never"),
        ("sysfs /sys/kernel/mm/*/enabled=never", "thp.enabled", "never"),
        ("vm transparent_hugepages=sometimes", "thp.enabled", None),
        ("bootloader cmdline=skew_tick=1", "thp.enabled", None),
        ("plugin vm.swappiness=10", "vm.swappiness", None),
    ],
)
def test_a_line_is_worth_what_tuned_makes_of_it(
    machine: Machine, line: str, knob: str, value: int | str | None
) -> None:
    swapping = machine_of(swap_gib=4) if "swappiness" in knob else machine
    assert values(swapping, line, knobs=(knob,)) == ({} if value is None else {knob: value})


def test_every_option_means_a_knob_of_the_catalogue() -> None:
    assert [name for name in OPTIONS.values() if catalogue().find(name) is None] == []


def test_only_knobs_of_the_plan_are_taken(machine: Machine) -> None:
    lines = ("sysctl vm.dirty_ratio=30", "sysctl kernel.sysrq=1", "sysctl vm.overcommit_memory=2", "sysctl vm.x=1")
    assert values(machine, *lines) == {"vm.dirty_ratio": 30}
    assert values(machine, *lines[1:]) == {}


def test_of_two_faces_of_a_setting_the_last_one_counts(machine: Machine) -> None:
    assert values(machine, "sysctl vm.dirty_ratio=40", "sysctl vm.dirty_bytes=536870912") == {}
    assert values(machine, "sysctl vm.dirty_bytes=536870912", "sysctl vm.dirty_ratio=40") == {"vm.dirty_ratio": 40}


# --- profiles


def test_profiles_that_say_the_same_are_one_with_both_names(machine: Machine) -> None:
    same = "sysctl vm.dirty_ratio=30"
    found = added(machine, profile(same, name="guest", active=True), profile(same, "sysctl kernel.sysrq=1"))
    assert [each.reason for each in found] == ["TuneD's profiles guest (active here) and brisk (installed here)."]


def test_no_more_than_three_different_ones_in_the_order_of_trust(machine: Machine) -> None:
    many = [profile(f"sysctl vm.dirty_ratio={value}", name=f"p{value}") for value in (30, 31, 32, 33)]
    again = profile("sysctl vm.dirty_ratio=32", name="late")
    found = added(machine, *many, again)
    assert [each.configuration["vm.dirty_ratio"] for each in found] == [30, 31, 32]
    assert len(found) == MOST_PROFILES
    assert "late" in found[2].reason


def test_a_broken_profile_is_a_note(machine: Machine) -> None:
    before = machine.propose("PostgreSQL")
    after = with_profiles(before, [profile(problem="it is no INI file")], machine.states, machine.catalogue)
    assert after.plan == before.plan
    assert after.notes[-1] == "TuneD's profile brisk is passed over: it is no INI file."


def test_a_plan_holds_no_more_suggestions_than_it_may(machine: Machine) -> None:
    before = machine.propose("PostgreSQL")
    own = tuple(Suggestion(configuration={"vm.dirty_ratio": 20 + number}) for number in range(MOST_SUGGESTIONS))
    full = replace(before, plan=before.plan.model_copy(update={"suggestions": own}))
    lines = [profile("sysctl vm.dirty_ratio=70")]
    assert with_profiles(full, lines, machine.states, machine.catalogue).plan.suggestions == own


def test_a_profile_that_says_what_the_playbook_says_is_one_suggestion_with_both_reasons(machine: Machine) -> None:
    lines = profile("sysctl vm.dirty_background_ratio=1", name="guest", active=True)
    proposal = with_profiles(machine.propose("PostgreSQL"), [lines], machine.states, machine.catalogue)
    safe = SafetyValidator(machine.catalogue, machine.facts, machine.states).validate(proposal.plan)
    (first, *others) = safe.suggestions
    assert first.configuration == {"vm.dirty_background_ratio": 1}
    assert first.reason.startswith("Playbook postgresql-write: ")
    assert first.reason.endswith(" TuneD's profile guest (active here).")
    assert all("guest" not in each.reason for each in others)


# --- which of them fit


def test_a_playbook_names_what_fits_and_a_guest_adds_its_own(machine: Machine) -> None:
    proposal = machine.propose("PostgreSQL")
    assert fitting(proposal, machine.facts) == (
        "postgresql", "throughput-performance", "mssql", "oracle", "virtual-guest",
    )  # fmt: skip
    assert "virtual-guest" not in fitting(proposal, replace(machine.facts, virtualization="none"))


def test_a_models_plan_is_known_by_its_command(machine: Machine) -> None:
    proposal = replace(machine.propose("nginx"), source="model:some")
    assert fitting(proposal, machine.facts)[:2] == ("network-latency", "network-throughput")


def test_a_command_of_ones_own_gets_what_is_for_everything(machine: Machine) -> None:
    proposal = machine.propose(
        "", command="mybench --fast", knobs=("vm.swappiness",), metric_pattern="(.*)", direction="maximize",
        metric="score",
    )  # fmt: skip
    assert fitting(proposal, replace(machine.facts, virtualization="")) == ("throughput-performance",)


def test_every_playbook_names_profiles_as_tuned_does() -> None:
    for playbook in playbooks():
        assert 1 <= len(playbook.tuned) <= 4
        assert all(name == name.lower() and name.replace("-", "").isalnum() for name in playbook.tuned)


# --- from the files to the plan


def test_profiles_on_the_machine_reach_the_plan(tmp_path: Path) -> None:
    shipped = tmp_path / "usr/lib/tuned"
    for name, text in {
        "throughput-performance": "[vm]\ndirty_bytes=40%\n[sysctl]\nvm.swappiness=10\n",
        "postgresql": "[main]\ninclude=throughput-performance\n[vm]\ndirty_background_bytes=2%\n",
        "oracle": "[main]\ninclude=absent\n",
    }.items():
        (shipped / name).mkdir(parents=True)
        (shipped / name / "tuned.conf").write_text(text)
    for name, value in {"dirty_ratio": 20, "dirty_background_ratio": 10, "dirty_bytes": 0}.items():
        file = tmp_path / "proc/sys/vm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    target = LocalTarget(str(tmp_path), str(tmp_path))
    proposal: Proposal = pipeline.propose(TuningRequest("PostgreSQL"), target, PlaybookStrategist())
    found = [each for each in proposal.plan.suggestions if each.reason.startswith("TuneD")]
    assert [dict(each.configuration) for each in found] == [
        {"vm.dirty_ratio": 40, "vm.dirty_background_ratio": 2}, {"vm.dirty_ratio": 40},
    ]  # fmt: skip
    assert found[0].reason == "TuneD's profile postgresql (installed here)."
    assert "TuneD's profile oracle is passed over: 'absent', which it needs, is not installed." in proposal.notes


def test_the_documentation_lists_the_same_profiles() -> None:
    page = (Path(__file__).parents[2] / "docs" / "suggestions.md").read_text(encoding="utf-8")
    for playbook in playbooks():
        assert f"| `{playbook.name}` | {', '.join(f'`{name}`' for name in playbook.tuned)} |" in page
