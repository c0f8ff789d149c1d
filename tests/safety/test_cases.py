"""Plans as files, judged with the shipped catalogue: every good one passes, every bad one says why it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knobctl.errors import ConsentMissing, PlanError, UsageError
from knobctl.plan import load_plan, parse_plan, plan_from
from knobctl.safety import Consent, SafePlan, SafetyValidator
from knobctl.target import HostFacts

CASES = Path(__file__).parent.parent / "cases" / "plan"
GOOD = sorted((CASES / "good").glob("*.json"))
BAD = sorted(path for path in (CASES / "bad").glob("*.json") if path.name != "expected.json")
EXPECTED = json.loads((CASES / "bad" / "expected.json").read_text(encoding="utf-8"))
CUSTOM = [path for path in GOOD if path.name.startswith("custom-command")]
FACTS = HostFacts("6.18.0", "x86_64", "Test Linux", "", cores=2, memory_bytes=24 * 2**30, swap_bytes=0)


def judge(path: Path, consent: Consent | None = None) -> SafePlan:
    return SafetyValidator(facts=FACTS, consent=consent).validate(load_plan(path))


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", GOOD, ids=name_of)
def test_good_plan_passes_and_survives_its_own_json(path: Path) -> None:
    plan = load_plan(path)
    consent = Consent(plan.benchmark_command, reset_command=plan.reset_command) if path in CUSTOM else None
    safe = judge(path, consent)
    assert safe.plan == plan
    assert len(safe.knobs) == len(plan.action_space), safe.dropped
    assert len(safe.suggestions) == len(plan.suggestions), safe.dropped
    assert parse_plan(plan.to_json()) == plan


@pytest.mark.parametrize("path", CUSTOM, ids=name_of)
def test_custom_command_needs_consent(path: Path) -> None:
    with pytest.raises(ConsentMissing, match="runs only when you typed it yourself"):
        judge(path)


def objects_in(document: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that is closed to unknown keys, with its place (a configuration is open: it names knobs)."""
    if isinstance(document, dict):
        yield place, document
        for key, value in document.items():
            if key != "configuration":
                yield from objects_in(value, f"{place}{key}.")
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from objects_in(value, f"{place}{number}.")


@pytest.mark.parametrize("path", GOOD, ids=name_of)
def test_unknown_key_is_refused_at_every_level(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    levels = list(objects_in(document))
    assert len(levels) > 1
    for place, record in levels:
        record["surprise"] = 1
        with pytest.raises(PlanError) as refused:
            plan_from(document)
        assert str(refused.value) == f"unknown key {place}surprise"
        del record["surprise"]


def test_every_bad_case_has_its_words() -> None:
    assert {path.stem for path in BAD} == set(EXPECTED)
    assert all(EXPECTED.values())


@pytest.mark.parametrize("path", BAD, ids=name_of)
def test_bad_plan_is_refused_with_its_reason_and_a_hint(path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        judge(path)
    error = refused.value
    assert EXPECTED[path.stem] in error.message
    assert error.exit_code == 2
    assert error.hint
    assert (error.message + error.hint).isprintable(), "nothing foreign may reach a terminal as it is"


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(PlanError) as refused:
        judge(CASES / "bad" / "several-problems.json")
    for problem in ("kernel.panic is never tuned", "unknown knob 'vm.nothing'", "prints no 'joy'"):
        assert problem in refused.value.message


def test_consent_does_not_open_what_is_forbidden() -> None:
    for path in BAD:
        if path.stem.startswith("forbidden-"):
            names = frozenset(spec.param for spec in load_plan(path).action_space)
            with pytest.raises(PlanError, match="is never tuned"):
                judge(path, Consent(knobs=names))
