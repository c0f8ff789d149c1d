from __future__ import annotations

import shlex
from typing import Any

import pytest

from knobctl.knobs.files import catalogue
from knobctl.strategist.files import Playbook, playbooks
from knobctl.target.metrics import find_machine_metric
from knobctl.workload.registry import adapter_for
from tests.strategist.machine import Machine, machine_of

MACHINES = [
    machine_of(memory_gib=1, cores=1),
    machine_of(memory_gib=24, cores=2, swap_gib=4),
    machine_of(memory_gib=512, cores=64),
]


@pytest.mark.parametrize("playbook", playbooks(), ids=lambda playbook: playbook.name)
class TestEveryPlaybook:
    """What is written in the data files holds in the rooms that it speaks of."""

    @pytest.mark.parametrize("machine", MACHINES, ids=["small", "middle", "large"])
    def test_its_command_is_one_that_the_workload_room_runs_without_asking(
        self, playbook: Playbook, machine: Machine
    ) -> None:
        argv = shlex.split(machine.propose(playbook.examples[0]).plan.benchmark_command)
        adapter = adapter_for(argv)
        printed = {metric.name for metric in adapter.metrics(argv)}
        assert adapter.problems(argv) == []
        assert playbook.metric in printed
        assert {guardrail.metric for guardrail in playbook.guardrails} <= printed

    def test_its_command_tells_the_playbook(self, playbook: Playbook, machine: Machine) -> None:
        command = machine.propose(playbook.examples[0]).plan.benchmark_command
        assert machine.propose("x", command=command).source == f"playbook:{playbook.name}"

    def test_its_knobs_are_safe_and_known_by_these_names(self, playbook: Playbook) -> None:
        assert 6 <= len(playbook.knobs) <= 12
        assert len({entry.name for entry in playbook.knobs}) == len(playbook.knobs)
        for entry in playbook.knobs:
            knob = catalogue()[entry.name]
            assert knob.name == entry.name
            assert knob.risk == "safe"
            assert set(entry.values) <= set(knob.choices)
            assert entry.why
            assert (knob.effect == "cold") == bool(entry.cold), entry.name

    @pytest.mark.parametrize("machine", MACHINES, ids=["small", "middle", "large"])
    def test_its_ranges_lie_inside_the_safe_ones(self, playbook: Playbook, machine: Machine) -> None:
        quantities = machine.facts.quantities
        for entry in playbook.knobs:
            knob = catalogue()[entry.name]
            assert all(end is None or knob.allows(end, quantities) for end in (entry.min, entry.max)), entry.name
        for spec in machine.propose(playbook.examples[0]).plan.action_space:
            knob = catalogue()[spec.param]
            values = spec.values or (spec.min, spec.max)
            assert all(value is not None and knob.allows(value, quantities) for value in values), spec
            assert spec.values or (spec.min is not None and spec.max is not None and spec.min < spec.max)

    @pytest.mark.parametrize("machine", MACHINES, ids=["small", "middle", "large"])
    def test_its_suggestions_can_be_tried(self, playbook: Playbook, machine: Machine) -> None:
        assert 1 <= len(playbook.suggestions) <= 3
        names = {entry.name for entry in playbook.knobs}
        for suggestion in playbook.suggestions:
            assert suggestion.source
            assert suggestion.reason
            assert set(suggestion.configuration) <= names
            for name, value in suggestion.configuration.items():
                assert catalogue()[name].allows(value, machine.facts.quantities), (name, value)

    def test_it_has_examples_in_both_languages(self, playbook: Playbook) -> None:
        assert playbook.examples[0].isascii()
        assert not all(example.isascii() for example in playbook.examples)

    def test_it_observes_metrics_that_exist(self, playbook: Playbook) -> None:
        names = [metric.name for name in playbook.state if (metric := find_machine_metric(name))]
        assert list(playbook.state) == names

    def test_it_stands_behind_others_that_exist_and_do_not_stand_behind_it(self, playbook: Playbook) -> None:
        others = {each.name: each for each in playbooks()}
        assert all(playbook.name not in others[name].behind for name in playbook.behind)


def test_there_is_a_playbook_for_every_kind_of_workload() -> None:
    assert [playbook.name for playbook in playbooks()] == [
        "postgresql-write",
        "postgresql-read",
        "web-server",
        "file-sequential-write",
        "file-sequential-read",
        "file-random",
        "file-fsync",
        "cpu",
        "memory",
        "threads",
    ]


def document(**changes: Any) -> dict[str, Any]:
    """The smallest data file, decoded, with some keys changed."""
    return {
        "name": "x",
        "order": 1,
        "title": "X",
        "examples": ["x"],
        "ask": "x",
        "words": [{"any": ["x"], "required": True}],
        "command": {"tells": [["x"]], "argv": ["x", ["-p", "{port}"]], "port": {"min": 1}},
        "metric": "score",
        "knob": [{"name": "vm.swappiness", "why": "because"}],
        "state": ["iowait"],
        **changes,
    }


def test_a_playbook_is_read() -> None:
    playbook = Playbook.from_document(document())
    assert playbook.argv == ("x", ("-p", "{port}"))
    assert playbook.parameters[0].hints == ("port",)
    assert playbook.words[0].required
    assert not playbook.words[0].named


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "x: unknown key colour"),
        ({"words": [{"anny": ["x"]}]}, "x: .*anny"),
        ({"knob": [{"name": "vm.swappiness"}]}, "x: .*why"),
        ({"command": {"argv": ["x"]}}, "x: 'tells'"),
    ],
)
def test_a_misspelt_key_is_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Playbook.from_document(document(**changes))
