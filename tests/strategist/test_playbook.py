from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.errors import ConsentMissing, RequestNotUnderstood, UsageError
from knobctl.plan import parse_plan
from knobctl.safety import SafetyValidator
from knobctl.strategist.files import playbooks
from knobctl.strategist.request import read_request
from knobctl.workload.registry import adapter_for
from tests.strategist.machine import Machine, machine_of

CASES = tomllib.loads((Path(__file__).parent / "cases" / "requests.toml").read_text(encoding="utf-8"))
SEQUENTIAL = (
    "sysbench fileio --file-total-size=1G --file-num=16 --file-test-mode=seqwr --file-fsync-freq=0"
    " --threads=2 --time=4 run"
)


def names(case: dict[str, Any]) -> str:
    return str(case["text"]) or "empty"


@pytest.mark.parametrize("case", CASES["understood"], ids=names)
def test_a_request_chooses_its_playbook(case: dict[str, Any], machine: Machine) -> None:
    proposal = machine.propose(case["text"])
    assert proposal.source == f"playbook:{case['playbook']}"
    assert case.get("note", "") in " ".join(proposal.notes)
    hints = read_request(case["text"])
    assert {name: getattr(hints, name) for name in case.get("hints", {})} == case.get("hints", {})
    unsaid = {"clients", "threads", "seconds", "size_mib", "database", "host", "port", "url"} - set(
        case.get("hints", {})
    )
    assert {name: getattr(hints, name) for name in unsaid} == dict.fromkeys(unsaid)


@pytest.mark.parametrize("case", CASES["refused"], ids=names)
def test_a_request_that_is_not_understood_is_refused(case: dict[str, Any], machine: Machine) -> None:
    with pytest.raises(RequestNotUnderstood) as caught:
        machine.propose(case["text"])
    assert case["says"] in caught.value.message
    assert caught.value.exit_code == 2
    for playbook in playbooks():
        assert playbook.name in caught.value.hint
        assert playbook.examples[0] in caught.value.hint


def test_there_are_enough_cases() -> None:
    assert len(CASES["understood"]) + len(CASES["refused"]) >= 60
    assert len(CASES["refused"]) >= 15
    assert {case["playbook"] for case in CASES["understood"]} == {playbook.name for playbook in playbooks()}


@pytest.mark.parametrize("example", [(p.name, text) for p in playbooks() for text in (*p.examples, p.ask)])
def test_every_example_and_advice_chooses_its_playbook(example: tuple[str, str], machine: Machine) -> None:
    assert machine.propose(example[1]).source == f"playbook:{example[0]}"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("PostgreSQL", "pgbench -c 8 -j 2 -T 5 -P 1 bench"),
        ("PostgreSQL database shop with 50 clients for 30 seconds", "pgbench -c 50 -j 2 -T 30 -P 1 shop"),
        ("PostgreSQL with 1 client", "pgbench -c 1 -j 1 -T 5 -P 1 bench"),
        ("PostgreSQL on port 5433", "pgbench -c 8 -j 2 -T 5 -P 1 -p 5433 bench"),
        ("read-only PostgreSQL", "pgbench -S -M prepared -c 8 -j 2 -T 5 -P 1 bench"),
        ("web server", "ab -t 5 -n 1000000 -c 50 http://localhost/"),
        ("web server on port 8080", "ab -t 5 -n 1000000 -c 50 http://localhost:8080/"),
        ("make nginx on 192.168.1.20 answer more requests", "ab -t 5 -n 1000000 -c 50 http://192.168.1.20/"),
        ("web server at 192.168.1.20:8080", "ab -t 5 -n 1000000 -c 50 http://192.168.1.20:8080/"),
        ("web server http://localhost:80/a?b=1", "ab -t 5 -n 1000000 -c 50 'http://localhost:80/a?b=1'"),
        ("large sequential file writes", SEQUENTIAL),
        ("large sequential writes of 700 MB files", SEQUENTIAL.replace("=1G", "=700M")),
        ("cpu", "sysbench cpu --threads=2 --time=4 run"),
        ("threads", "sysbench threads --thread-locks=4 --thread-yields=100 --threads=32 --time=4 run"),
    ],
)
def test_words_fill_the_command(text: str, command: str, machine: Machine) -> None:
    assert machine.propose(text).plan.benchmark_command == command


def test_cores_are_the_default_threads_of_computation() -> None:
    command = machine_of(cores=16).propose("speed up computation").plan.benchmark_command
    assert command == "sysbench cpu --threads=16 --time=4 run"


def test_what_the_words_changed_and_what_was_not_used_is_said(machine: Machine) -> None:
    proposal = machine.propose("large file writes to disk, database shop, 4 threads, 1 second")
    assert "From the request: threads 4." in proposal.why
    assert "The workload file-sequential-write has no setting for database shop." in proposal.notes
    assert "“1 second” is not between 2 and 600 seconds per run; the default is used." in proposal.notes


def test_a_web_server_on_another_machine_is_measured_there_and_only_with_consent(machine: Machine) -> None:
    proposal = machine.propose("make nginx on 192.168.1.20 answer more requests per second")
    assert not any("throw-away" in note for note in proposal.notes)
    assert any("192.168.1.20 is not this machine" in note for note in proposal.notes)
    with pytest.raises(ConsentMissing, match=r"it puts load on another machine, 192\.168\.1\.20"):
        SafetyValidator(machine.catalogue, machine.facts, machine.states).validate(proposal.plan)


@pytest.mark.parametrize(
    "text",
    [
        "PostgreSQL database x; rm -rf /",
        "PostgreSQL database named x;rm",
        "PostgreSQL db='x y'",
        "PostgreSQL db named --version",
        "PostgreSQL at 10.0.0.5;reboot port 1;reboot",
        "nginx at http://localhost/$(reboot)",
        "nginx at http://localhost/`reboot`",
        "nginx at http://localhost/;reboot|rm",
        "nginx at http://localhost/\u202eabc",
        "large file writes --file-test-mode=$(reboot) 2 GB files; rm",
    ],
)
def test_an_injection_never_reaches_the_command(text: str, machine: Machine) -> None:
    command = machine.propose(f"speed up {text}").plan.benchmark_command
    assert not set(command) & set(";|&$`()<>\\\n")
    assert not any(word in command for word in ("rm", "reboot", "version"))


@given(st.text(max_size=60))
def test_whatever_follows_a_clear_request_the_command_stays_known(text: str) -> None:
    try:
        proposal = machine_of().propose(f"PostgreSQL database {text}")
    except RequestNotUnderstood:
        return
    argv = shlex.split(proposal.plan.benchmark_command)
    assert adapter_for(argv).problems(argv) == []


class TestOptions:
    """What is typed beside the words."""

    def test_a_command_replaces_the_template(self, machine: Machine) -> None:
        command = "pgbench -c 50 -j 4 -T 30 testdb"
        proposal = machine.propose("optimize PostgreSQL with 10 clients", command=command)
        assert proposal.plan.benchmark_command == command
        assert proposal.plan.reward_metric == "transactions_per_second"
        assert proposal.source == "playbook:postgresql-write"
        assert "The command runs as you typed it; from the request, not used: clients 10." in proposal.notes
        assert not any("throw-away" in note for note in proposal.notes)

    @pytest.mark.parametrize(
        ("command", "playbook"),
        [
            (SEQUENTIAL, "file-sequential-write"),
            (SEQUENTIAL.replace("seqwr", "seqrd"), "file-sequential-read"),
            (SEQUENTIAL.replace("seqwr", "rndrw"), "file-random"),
            (SEQUENTIAL.replace("--file-fsync-freq=0", "--file-fsync-all=on"), "file-fsync"),
            ("sysbench cpu --time=3 run", "cpu"),
            ("sysbench memory --time=3 run", "memory"),
            ("sysbench mutex run", "threads"),
            ("pgbench -T 5 bench", "postgresql-write"),
            ("pgbench -S -T 5 bench", "postgresql-read"),
            ("wrk -d 5s http://localhost/", "web-server"),
        ],
    )
    def test_a_command_alone_tells_its_playbook(self, command: str, playbook: str, machine: Machine) -> None:
        proposal = machine.propose("make this fast", command=command)
        assert proposal.source == f"playbook:{playbook}"
        assert proposal.plan.benchmark_command == command
        assert proposal.why[0] == f"The command is the workload of playbook {playbook}."

    def test_words_and_command_may_differ(self, machine: Machine) -> None:
        proposal = machine.propose("large sequential file writes", command="sysbench cpu --threads=2 --time=3 run")
        assert proposal.source == "playbook:file-sequential-write"
        assert proposal.plan.reward_metric == "events_per_second"
        assert any("The command is the workload of playbook cpu" in note for note in proposal.notes)

    def test_guardrails_are_those_that_the_command_prints(self, machine: Machine) -> None:
        by_template = machine.propose("nginx").plan.guardrails
        assert [spec.metric for spec in by_template] == ["failed_requests", "latency_p99_ms"]
        by_command = machine.propose("nginx", command="sysbench cpu --time=3 run").plan.guardrails
        assert by_command == ()

    def test_command_and_knobs_need_no_words(self, machine: Machine) -> None:
        proposal = machine.propose(
            "try it",
            command="my-bench --fast",
            metric_pattern="score: ([0-9.]+)",
            direction="up",
            knobs=("vm.swappiness",),
        )
        assert proposal.source == "playbook:custom"
        assert proposal.plan.workload_name == "my-bench (your own command)"
        assert proposal.plan.reward_metric == "metric"
        assert proposal.plan.direction == "maximize"
        assert proposal.plan.metric_pattern == "score: ([0-9.]+)"
        assert [spec.param for spec in proposal.plan.action_space] == ["vm.swappiness"]

    def test_an_unknown_command_needs_knobs_or_words(self, machine: Machine) -> None:
        with pytest.raises(RequestNotUnderstood, match="neither the words nor the command 'my-bench' say") as caught:
            machine.propose("try it", command="my-bench", metric_pattern="(x)")
        assert "--knobs" in caught.value.hint

    def test_an_unknown_product_runs_with_command_and_knobs(self, machine: Machine) -> None:
        proposal = machine.propose(
            "make redis faster",
            command="redis-benchmark -q",
            metric="requests_per_second",
            metric_pattern=r"SET: ([0-9.]+)",
            knobs=("net.core.somaxconn",),
        )
        assert proposal.source == "playbook:custom"
        assert proposal.plan.reward_metric == "requests_per_second"

    def test_a_metric_may_be_named_by_a_synonym(self, machine: Machine) -> None:
        assert machine.propose("PostgreSQL", metric="latency").plan.reward_metric == "latency_average_ms"
        assert machine.propose("PostgreSQL", metric="latency").plan.guardrails == ()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"metric": "beauty"}, "pgbench prints no 'beauty'; it prints transactions_per_second,"),
            ({"direction": "sideways"}, "'sideways' is no direction"),
            ({"command": "pgbench 'x"}, "cannot be read: No closing quotation"),
            ({"command": "  "}, "the command is empty"),
            ({"metric_pattern": "("}, "is no regular expression"),
            ({"budget": 0}, "total_timesteps"),
            ({"seed": -1}, "seed"),
        ],
    )
    def test_an_option_that_cannot_be_used_is_refused(
        self, options: dict[str, object], message: str, machine: Machine
    ) -> None:
        with pytest.raises(UsageError) as caught:
            machine.propose("PostgreSQL", **options)
        assert message in caught.value.message
        assert caught.value.hint

    @pytest.mark.parametrize(
        ("budget", "n_steps", "episode"),
        [(None, 8, 8), (24, 8, 8), (12, 4, 8), (6, 2, 6), (4, 2, 4), (1, 2, 1), (99, 8, 8)],
    )
    def test_two_policy_updates_fit_into_the_budget(
        self, budget: int | None, n_steps: int, episode: int, machine: Machine
    ) -> None:
        training = machine.propose("PostgreSQL", budget=budget, seed=7).plan.training_config
        assert training.total_timesteps == (budget or 24)
        assert (training.n_steps, training.max_steps_per_episode, training.seed) == (n_steps, episode, 7)
        assert budget is None or budget < 4 or budget // training.n_steps >= 2


@pytest.mark.parametrize("playbook", playbooks(), ids=lambda playbook: playbook.name)
def test_a_plan_survives_being_written_and_read(playbook: Any, machine: Machine) -> None:
    plan = machine.propose(playbook.examples[0]).plan
    assert parse_plan(plan.to_json()) == plan
    assert plan.suggestions


def test_equal_requests_give_equal_proposals(machine: Machine) -> None:
    assert machine.propose("PostgreSQL with 9 clients") == machine_of().propose("PostgreSQL with 9 clients")


@pytest.mark.parametrize("playbook", playbooks(), ids=lambda playbook: playbook.name)
def test_the_validator_takes_every_plan_without_asking(playbook: Any, machine: Machine) -> None:
    plan = machine.propose(playbook.examples[0]).plan
    safe = SafetyValidator(machine.catalogue, machine.facts, machine.states).validate(plan)
    assert [tuned.knob.name for tuned in safe.knobs] == [spec.param for spec in plan.action_space]
    assert len(safe.suggestions) == len(plan.suggestions)
    assert safe.objective.name == plan.reward_metric
