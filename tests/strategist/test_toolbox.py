from __future__ import annotations

from typing import Any

import pytest

from knobctl.llm.base import Rejected
from knobctl.strategist.files import playbooks
from knobctl.strategist.toolbox import toolbox
from tests.strategist.machine import Machine


def use(machine: Machine, tool_name: str, looked_at: list[str] | None = None, **arguments: Any) -> str:
    seen = [] if looked_at is None else looked_at
    tools = toolbox(machine.facts, machine.states, machine.catalogue, lambda words: f"past {words}", seen.append)
    return next(tool for tool in tools if tool.name == tool_name).run(arguments)


def test_there_are_five_tools_and_all_only_look(machine: Machine) -> None:
    tools = toolbox(machine.facts, machine.states, machine.catalogue, lambda words: "")
    assert [tool.name for tool in tools] == [
        "describe_host",
        "list_knobs",
        "explain_knob",
        "list_workloads",
        "past_sessions",
    ]
    for tool in tools:
        assert tool.parameters["additionalProperties"] is False
        assert "pattern" not in str(tool.parameters)


def test_the_host(machine: Machine) -> None:
    assert "24.0 GiB of memory" in use(machine, "describe_host")


def test_knobs_of_an_area_are_listed_and_remembered(machine: Machine) -> None:
    seen: list[str] = []
    text = use(machine, "list_knobs", seen, area="vm")
    assert "\nvm.dirty_background_ratio | " in text
    assert "vm.swappiness" in seen
    assert "vm.min_free_kbytes" not in text


@pytest.mark.parametrize("area", ["", "nonsense", "; rm -rf /", "../../etc"])
def test_an_unknown_area_is_answered_with_those_that_exist(machine: Machine, area: str) -> None:
    with pytest.raises(Rejected, match=r"There is no area .* Areas with the number of their knobs: .*vm \("):
        use(machine, "list_knobs", area=area)


def test_a_knob_is_explained_and_remembered(machine: Machine) -> None:
    seen: list[str] = []
    assert "Source: " in use(machine, "explain_knob", seen, name="swap.vma_ra_enabled")
    assert seen == ["swap.vma_ra_enabled"]
    assert "There is no kernel knob" in use(machine, "explain_knob", seen, name="x" * 5000)
    assert seen == ["swap.vma_ra_enabled"]


def test_workloads(machine: Machine) -> None:
    text = use(machine, "list_workloads")
    for playbook in playbooks():
        assert playbook.title in text


def test_past_sessions(machine: Machine) -> None:
    assert use(machine, "past_sessions", words=" nginx ") == "past nginx"
    empty = toolbox(machine.facts, machine.states, machine.catalogue, lambda words: "")
    assert empty[-1].run({"words": "x"}) == "There is no past session."


@pytest.mark.parametrize("value", [None, 5, ["vm"], {"a": 1}])
def test_arguments_are_text_or_refused(machine: Machine, value: object) -> None:
    with pytest.raises(Rejected, match="area is text, not"):
        use(machine, "list_knobs", area=value)
