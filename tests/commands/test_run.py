"""``tune``, ``plan``, ``run`` and ``verify`` on simulated machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from knobctl.plan import load_plan
from tests.commands.conftest import CommandLine, Done
from tests.commands.plans import FIVE_KEYS, document, plan_file

SIMULATED = ("--target", "simulated")
QUICK = ("--searcher", "random", "--budget", "6", "--seed", "1", "--yes")
REQUEST = "optimize this system for a PostgreSQL database"
OWN = {
    **FIVE_KEYS,
    "benchmark_command": "./my-benchmark --fast",
    "metric_pattern": "score: ([0-9]+)",
    "reward_metric": "score",
    "direction": "maximize",
}


def labelled(done: Done) -> bool:
    """Whether no group of what people see could be taken for a measurement."""
    titles = [line for line in done.err.splitlines() if line.endswith(":") or line.startswith("Plan")]
    return "SIMULATED" in done.err and not any(line.startswith(("Plan", "Evidence", "Change")) for line in titles)


# --- tune


def test_tune_shows_the_plan_the_run_and_the_result(knobctl: CommandLine) -> None:
    done = knobctl("tune", REQUEST, *SIMULATED, *QUICK)
    assert done.code in (0, 3)
    assert done.out == ""
    for words in (
        "SIMULATED Plan: PostgreSQL, short transactions that write (TPC-B-like) (playbook:postgresql-write)",
        "choose playbook postgresql-write",
        "6 of the search, preflight and verification on top: 84 runs",
        "SIMULATED preflight: measuring the machine as it is, and its noise, 6 runs",
        "SIMULATED search: random tries up to 6 configurations",
        "SIMULATED restore: putting every knob back",
        "SIMULATED: nothing here was measured on a real machine.",
        "SIMULATED Machine: every knob has the value that was found.",
    ):
        assert words in done.err
    assert labelled(done)


def test_tune_as_json_is_the_result_document_alone(knobctl: CommandLine) -> None:
    done = knobctl("tune", REQUEST, *SIMULATED, *QUICK, "--json")
    with knobctl.store() as store:
        record = store.session("last")
        assert record.result is not None
        assert done.document == record.result.to_dict()
    assert record.request == REQUEST
    assert (record.seed, record.budget, record.searcher) == (1, 6, "random")
    assert done.code == (0 if done.document["verdict"] == "IMPROVED" else 3)


def test_the_same_seed_says_the_same(knobctl: CommandLine) -> None:
    words = ("tune", REQUEST, *SIMULATED, *QUICK, "--no-memory", "--json")
    first, second = (knobctl(*words).document for _ in range(2))
    assert first.pop("session_id") != second.pop("session_id")
    assert first == second


def test_quiet_is_only_the_result(knobctl: CommandLine) -> None:
    done = knobctl("tune", REQUEST, *SIMULATED, *QUICK, "-q")
    assert done.err.startswith("SIMULATED: nothing here was measured on a real machine.")
    assert "preflight" not in done.err
    assert "Plan:" not in done.err


def test_verbose_says_what_every_trial_printed(knobctl: CommandLine) -> None:
    done = knobctl("tune", REQUEST, *SIMULATED, *QUICK, "-v")
    assert "printed transactions_per_second=" in done.err
    assert "machine cpu_utilization=" in done.err


def test_a_dry_run_shows_the_plan_and_stores_nothing(knobctl: CommandLine) -> None:
    done = knobctl("tune", REQUEST, *SIMULATED, "--dry-run", "--json")
    assert done.code == 0
    assert set(done.document) == {"dry_run", "plan"}
    assert done.document["plan"]["benchmark_command"].startswith("pgbench ")
    assert done.err.endswith("dry run: nothing was touched\n")
    assert labelled(done)
    assert not knobctl.state.exists()


def test_a_time_budget_is_kept(knobctl: CommandLine) -> None:
    done = knobctl("tune", REQUEST, *SIMULATED, *QUICK, "--budget", "500", "--time-budget", "3m", "--json")
    assert done.document["seconds"] <= 180
    assert "about 3 min" in done.err


def test_a_command_of_ones_own_needs_no_further_word(knobctl: CommandLine) -> None:
    done = knobctl(
        "tune", "make my program fast", *SIMULATED, *QUICK, "--command", "./bench --fast", "--metric-pattern",
        "score: ([0-9]+)", "--direction", "maximize", "--knobs", "vm.swappiness,vm.dirty_ratio", "--json",
    )  # fmt: skip
    assert done.code in (0, 3)
    assert "the command and the knobs were given" in done.err.lower()
    assert set(done.document["candidate_config"]) <= {"vm.swappiness", "vm.dirty_ratio"}


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("make me a sandwich",), "“make me a sandwich” does not say which workload to tune for", "postgresql-write"),
        (("",), "an empty request does not say which workload to tune for", "web-server"),
        ((REQUEST, "--knobs", "vm.swapiness"), "unknown knob 'vm.swapiness'", "Did you mean vm.swappiness?"),
        ((REQUEST, "--knobs", "nosuch.*"), "no knob that can be tuned freely here matches 'nosuch.*'", "knobctl knobs"),
        ((REQUEST, "--knobs", "kernel.randomize_va_space"), "kernel.randomize_va_space", ""),
        ((REQUEST, "--metric", "beauty"), "pgbench prints no 'beauty'; it prints transactions_per_second", "Use one"),
        ((REQUEST, "--direction", "sideways"), "'sideways' is no direction", "Say maximize or minimize."),
        ((REQUEST, "--command", "pgbench | tee x"), "knobctl never uses a shell", "Give one program"),
        ((REQUEST, "--command", "sudo pgbench"), "'sudo' is no benchmark that knobctl knows", "--metric-pattern"),
        (
            (REQUEST, "--command", "sudo x", "--metric-pattern", "([0-9]+)", "--direction", "maximize"),
            "benchmark_command: 'sudo' is never run: a benchmark runs as an ordinary user",
            "Give the benchmark itself.",
        ),
        ((REQUEST, "--metric-pattern", "tps = [0-9]+"), "has no group", "whose first group is the number"),
    ],
)
def test_what_cannot_be_tuned_is_one_line_and_a_hint(
    knobctl: CommandLine, arguments: tuple[str, ...], error: str, hint: str
) -> None:
    done = knobctl("tune", *arguments, *SIMULATED, *QUICK, "--json")
    assert done.code == 2
    assert error in done.document["error"]
    assert hint in done.document["hint"]
    assert "\n" not in done.document["error"]
    assert f"knobctl: {done.document['error']}\n" in done.err
    assert not knobctl.state.exists()


# --- plan


def test_plan_shows_what_would_be_tried_and_touches_nothing(knobctl: CommandLine) -> None:
    done = knobctl("plan", REQUEST, *SIMULATED)
    assert (done.code, done.out) == (0, "")
    assert "SIMULATED Plan: PostgreSQL" in done.err
    assert "vm.dirty_ratio" in done.err
    assert labelled(done)
    assert not knobctl.state.exists()


def test_plan_as_json(knobctl: CommandLine) -> None:
    answer = knobctl("plan", REQUEST, *SIMULATED, "--budget", "7", "--seed", "3", "--json").document
    assert set(answer) == {"plan", "source", "dropped", "notes"}
    assert answer["source"] == "playbook:postgresql-write"
    assert answer["plan"]["training_config"]["total_timesteps"] == 7
    assert answer["plan"]["training_config"]["seed"] == 3
    assert all(len(pair) == 2 for pair in answer["dropped"])
    assert any("choose playbook" in note for note in answer["notes"])


def test_a_written_plan_runs(knobctl: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    done = knobctl("plan", REQUEST, *SIMULATED, "-o", str(path), "--json")
    assert done.err.endswith(f"wrote {path}; run it with: knobctl run {path}\n")
    assert load_plan(path).model_dump(mode="json", by_alias=True, exclude_defaults=True) == done.document["plan"]
    ran = knobctl("run", str(path), *SIMULATED, *QUICK, "--json")
    assert ran.code in (0, 3)
    assert ran.document["workload_name"] == done.document["plan"]["workload_name"]


def test_a_plan_that_cannot_be_written_says_why(knobctl: CommandLine, tmp_path: Path) -> None:
    done = knobctl("plan", REQUEST, *SIMULATED, "-o", str(tmp_path / "nowhere" / "plan.json"), "--json")
    assert done.code == 2
    assert done.document["error"] == f"cannot write {tmp_path}/nowhere/plan.json: No such file or directory"


# --- run


def test_the_plan_of_five_keys_runs(knobctl: CommandLine, tmp_path: Path) -> None:
    words = ("--searcher", "ppo", "--seed", "1", "--yes", "--json")
    done = knobctl("run", str(plan_file(tmp_path, FIVE_KEYS)), *SIMULATED, *words)
    assert done.code in (0, 3)
    assert (done.document["searcher"], done.document["policy_updates"]) == ("ppo", 5)
    with knobctl.store() as store:
        kinds = [trial.kind for trial in store.trials(done.document["session_id"])]
    assert kinds.count("search") == 40


def test_the_budget_of_a_plan_can_be_changed_and_is_shown(knobctl: CommandLine, tmp_path: Path) -> None:
    path = str(plan_file(tmp_path, FIVE_KEYS))
    done = knobctl("run", path, *SIMULATED, "--budget", "4", "--dry-run", "--json")
    assert "trials   4 of the search, preflight and verification on top: 82 runs" in done.err
    assert done.document["plan"]["training_config"]["total_timesteps"] == 4


def test_a_plan_can_be_restricted_to_some_of_its_knobs(knobctl: CommandLine, tmp_path: Path) -> None:
    path = str(plan_file(tmp_path, document("postgresql")))
    done = knobctl("run", path, *SIMULATED, "--knobs", "vm.dirty_*", "--dry-run", "--json")
    assert [knob["param"] for knob in done.document["plan"]["action_space"]] == [
        "vm.dirty_background_ratio", "vm.dirty_ratio",
    ]  # fmt: skip
    done = knobctl("run", path, *SIMULATED, "--knobs", "net.core.somaxconn", "--dry-run", "--json")
    assert (done.code, done.document["error"]) == (2, "none of the plan's knobs is among net.core.somaxconn")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "the plan is empty"),
        ("{", "the plan is not JSON: "),
        ("[]", "a plan is a JSON object, not []"),
        (json.dumps({**FIVE_KEYS, "reward_metrc": "x"}), "unknown key reward_metrc; did you mean reward_metric?"),
        (json.dumps({**FIVE_KEYS, "\x1b[31mkey": 1}), "unknown key '\\x1b[31mkey'"),
        (json.dumps({k: v for k, v in FIVE_KEYS.items() if k != "benchmark_command"}), "missing key benchmark_command"),
        (json.dumps({**FIVE_KEYS, "workload_name": "\x1b[31m"}), "workload_name: holds the control character U+001B"),
        (json.dumps({**FIVE_KEYS, "reward_metric": "beauty"}), "beauty"),
        (json.dumps({**FIVE_KEYS, "action_space": [{"param": "vm.swapiness"}]}), "vm.swapiness"),
        (
            json.dumps({**FIVE_KEYS, "action_space": [{"param": "vm.dirty_ratio", "min": 80, "max": 5}]}),
            "action_space.0: min 80 is above max 5",
        ),
        (
            json.dumps({**FIVE_KEYS, "action_space": [{"param": "vm.dirty_ratio", "min": 0, "max": 100}]}),
            "vm.dirty_ratio: 0 to 100 is not inside what is allowed here",
        ),
        (json.dumps({**FIVE_KEYS, "action_space": [{"param": "vm.panic_on_oom"}]}), "vm.panic_on_oom"),
    ],
)  # fmt: skip
def test_a_bad_plan_is_one_line_and_a_hint(knobctl: CommandLine, tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    done = knobctl("run", str(path), *SIMULATED, *QUICK, "--json")
    assert done.code == 2
    assert error in done.document["error"]
    assert done.document["hint"]
    assert "\n" not in done.document["error"]
    assert done.err.count("knobctl: ") == 1
    assert "\x1b" not in done.out + done.err
    assert not knobctl.state.exists()


@pytest.mark.parametrize("name", ["nowhere.json", "."])
def test_a_plan_file_that_cannot_be_read(knobctl: CommandLine, tmp_path: Path, name: str) -> None:
    done = knobctl("run", str(tmp_path / name), *SIMULATED, *QUICK, "--json")
    assert done.code == 2
    assert done.document["error"].startswith(f"cannot read the plan {tmp_path}")
    assert done.document["hint"] == "Give the path of a JSON file."


def test_yes_is_no_consent_to_a_command_that_a_plan_brings(knobctl: CommandLine, tmp_path: Path) -> None:
    path = str(plan_file(tmp_path, OWN))
    done = knobctl("run", path, *SIMULATED, *QUICK, "--json")
    assert done.code == 2
    assert "./my-benchmark --fast" in done.document["error"] + done.document["hint"]
    assert "--command" in done.document["hint"]
    assert not knobctl.state.exists()


@pytest.mark.parametrize("text", ["./my-benchmark", "./my-benchmark --fast --really", "", "./my-benchmark  --fast"])
def test_another_text_is_no_consent(knobctl: CommandLine, tmp_path: Path, text: str) -> None:
    done = knobctl("run", str(plan_file(tmp_path, OWN)), *SIMULATED, *QUICK, "--command", text, "--json")
    assert done.code == 2
    assert done.document["error"] == "--command is not the plan's command: ./my-benchmark --fast"
    assert done.document["hint"] == "Consent means typing exactly its text."
    assert not knobctl.state.exists()


def test_exactly_the_text_is_consent(knobctl: CommandLine, tmp_path: Path) -> None:
    path = str(plan_file(tmp_path, OWN))
    done = knobctl("run", path, *SIMULATED, *QUICK, "--command", "./my-benchmark --fast", "--json")
    assert done.code in (0, 3)
    assert done.document["metric"] == "score"


def test_a_caution_knob_of_a_plan_needs_to_be_named(knobctl: CommandLine, tmp_path: Path) -> None:
    record: dict[str, Any] = {**FIVE_KEYS, "action_space": [{"param": "vm.min_free_kbytes"}]}
    path = str(plan_file(tmp_path, record))
    refused = knobctl("run", path, *SIMULATED, "--dry-run", "--json")
    assert refused.code == 2
    assert "vm.min_free_kbytes" in refused.document["error"]
    assert knobctl("run", path, *SIMULATED, "--dry-run", "--json", "--knobs", "vm.*").code == 2, "a pattern names none"
    assert knobctl("run", path, *SIMULATED, "--dry-run", "--json", "--knobs", "vm.min_free_kbytes").code == 0


# --- verify


@pytest.fixture
def improved(knobctl: CommandLine, tmp_path: Path) -> str:
    """A session with a candidate."""
    path = str(plan_file(tmp_path, document("file-write")))
    done = knobctl("run", path, "--target", "simulated:file-write", *QUICK, "--json")
    assert done.code == 0
    return str(done.document["session_id"])


def test_verify_measures_the_last_candidate_again(knobctl: CommandLine, improved: str) -> None:
    done = knobctl("verify", "--target", "simulated:file-write", "--seed", "7", "--yes", "--json")
    assert done.code == 0
    assert done.document["session_id"] != improved
    assert (done.document["searcher"], done.document["verdict"]) == ("none", "IMPROVED")
    assert "(session " + improved + ")" in done.err
    assert labelled(done)
    with knobctl.store() as store:
        assert done.document["candidate_config"] == store.session(improved).result.candidate_config  # type: ignore[union-attr]


def test_verify_asks_first_and_can_be_rehearsed(knobctl: CommandLine, improved: str) -> None:
    done = knobctl("verify", improved[:15], "--target", "simulated:file-write", "--json")
    assert (done.code, done.document["hint"]) == (2, "Add --yes to confirm in advance.")
    done = knobctl("verify", improved, "--target", "simulated:file-write", "--dry-run", "--json")
    assert done.code == 0
    assert done.document["dry_run"] is True
    assert done.err.endswith("dry run: nothing was touched\n")
    with knobctl.store() as store:
        assert [record.id for record in store.sessions()] == [improved]


def test_verify_stays_on_the_machine_of_the_session(knobctl: CommandLine, improved: str) -> None:
    done = knobctl("verify", improved, "--target", "simulated:web", "--yes", "--json")
    assert done.code == 2
    assert done.document["error"] == f"session {improved} was made on simulated:file-write, not on simulated:web"
    assert done.document["hint"] == "Add --target simulated:file-write."


def test_verify_without_a_session(knobctl: CommandLine) -> None:
    done = knobctl("verify", "20260101", *SIMULATED, "--yes", "--json")
    assert done.code == 2
    assert done.document["error"].startswith("there is no session '20260101' in ")
    assert done.document["hint"] == "`knobctl sessions` lists them all."
