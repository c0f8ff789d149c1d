from __future__ import annotations

from dataclasses import replace

import pytest

from knobctl.strategist.draft_schema import draft_schema
from knobctl.strategist.files import playbooks
from knobctl.strategist.knob_table import shortlist
from tests.strategist.machine import Machine


def test_integers_share_one_shape_and_every_choice_has_its_own(machine: Machine) -> None:
    knobs = [machine.catalogue[name] for name in ("vm.dirty_ratio", "vm.swappiness", "block.scheduler")]
    machine = machine.with_state("block.scheduler", choices=("none", "kyber"))
    schema = draft_schema(knobs, machine.states, ("requests_per_second",))
    numbers, scheduler = schema["properties"]["action_space"]["items"]["anyOf"]
    assert numbers["properties"]["param"]["enum"] == ["vm.dirty_ratio", "vm.swappiness"]
    assert set(numbers["required"]) == {"param", "min", "max", "description"}
    assert scheduler["properties"]["param"]["enum"] == ["block.scheduler"]
    assert scheduler["properties"]["values"]["items"]["enum"] == ["none", "kyber"]
    assert schema["properties"]["reward_metric"]["enum"] == ["requests_per_second"]


def test_one_shape_needs_no_alternative(machine: Machine) -> None:
    schema = draft_schema([machine.catalogue["vm.swappiness"]], machine.states, ())
    assert "anyOf" not in str(schema)
    assert schema["properties"]["reward_metric"] == {"type": "string"}


@pytest.mark.parametrize("playbook", playbooks(), ids=lambda playbook: playbook.name)
def test_providers_can_enforce_it(playbook: object, machine: Machine) -> None:
    """Every object is closed with all keys required, as strict modes want it; and there is no pattern."""
    knobs = shortlist(playbook, machine.facts, machine.states, machine.catalogue)  # type: ignore[arg-type]
    found = [draft_schema(knobs, machine.states, ("a",))]
    while found:
        node = found.pop()
        if isinstance(node, list):
            found += node
        if not isinstance(node, dict):
            continue
        assert "pattern" not in node
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])
        found += node.values()


def test_states_that_are_missing_do_not_matter(machine: Machine) -> None:
    knob = replace(machine.catalogue["block.scheduler"])
    assert "mq-deadline" in str(draft_schema([knob], {}, ()))
