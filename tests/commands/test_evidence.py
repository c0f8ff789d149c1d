"""``report --bundle`` and ``verify --bundle``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from knobctl.evidence.bundle import PLAN, RESULT, SESSION, TRIALS
from tests.commands.conftest import CommandLine
from tests.commands.plans import COMMANDS, document, plan_file
from tests.evidence.forging import changed_json, forge, members_of, zip_again

SIMULATED = ("--target", "simulated:file-write")
QUICK = ("--searcher", "random", "--budget", "6", "--seed", "1", "--yes", "-q")


@pytest.fixture(scope="module")
def states() -> list[Path]:
    """The state folder after a session with a proven gain, which is run once."""
    return []


@pytest.fixture
def session(knobctl: CommandLine, tmp_path: Path, states: list[Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A session with a proven gain."""
    if not states:
        folder = tmp_path_factory.mktemp("once")
        path = str(plan_file(folder, document("file-write")))
        assert CommandLine(folder / "state")("run", path, *SIMULATED, *QUICK).code == 0
        states.append(folder / "state")
    shutil.copytree(states[0], knobctl.state)
    with knobctl.store() as store:
        return store.session("last").id


@pytest.fixture
def bundle(knobctl: CommandLine, session: str, tmp_path: Path) -> Path:
    """Its bundle."""
    path = tmp_path / "gain.knobctl.zip"
    assert knobctl("report", session, "--bundle", str(path)).code == 0
    return path


# --- report --bundle


def test_report_writes_a_bundle_and_says_what_to_do_with_it(knobctl: CommandLine, session: str, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    done = knobctl("report", session, "--bundle", str(path), "--json")
    assert (done.code, path.exists()) == (0, True)
    assert done.document["bundle"] == str(path)
    assert done.document["session_id"] == session
    assert f"wrote {path}: {done.document['runs']} runs of session {session}" in done.err
    assert f"fingerprint {done.document['fingerprint']}" in done.err
    assert f"knobctl verify --bundle {path}" in done.err
    first = path.read_bytes()
    assert knobctl("report", session, "--bundle", str(path)).code == 0
    assert path.read_bytes() == first


def test_report_keeps_what_is_there(knobctl: CommandLine, session: str, tmp_path: Path) -> None:
    path = tmp_path / "thesis"
    path.write_text("years of work")
    done = knobctl("report", session, "--bundle", str(path), "--json")
    assert (done.code, path.read_text()) == (2, "years of work")
    assert done.document["error"] == f"{path} exists, and is no bundle of session {session}"
    assert knobctl("report", session, "--bundle", str(path), "--force").code == 0
    done = knobctl("report", session, "--bundle", str(path), "--html", str(tmp_path / "page"), "--json")
    assert (done.code, done.document["error"]) == (2, "both --html and --bundle were given")


# --- verify --bundle


def test_the_verdict_is_recomputed_without_a_record(bundle: Path, session: str, tmp_path: Path) -> None:
    elsewhere = CommandLine(tmp_path / "another machine")
    done = elsewhere("verify", "--bundle", str(bundle))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Bundle of session {session}: the file-write surface, measured ")
    assert "SIMULATED IMPROVED: " in done.out
    assert "95 % interval" in done.out
    assert done.out.endswith(" raw runs; same as recorded\n")
    assert not elsewhere.state.exists()


def test_the_verdict_as_json(knobctl: CommandLine, bundle: Path, session: str) -> None:
    done = knobctl("verify", "--bundle", str(bundle), "--json")
    assert done.code == 0
    answer = done.document
    assert (answer["success"], answer["exit_code"], answer["differences"]) == (True, 0, [])
    assert answer["session"]["id"] == session
    assert answer["facts"]["simulated"] is True
    assert "error" not in answer
    with knobctl.store() as store:
        record = store.session(session)
        assert record.result is not None
        assert answer["result"] == record.result.to_dict()
        assert answer["runs"] == record.trials
    assert "same as recorded" in done.err


def test_what_is_reproduced_and_no_gain_is_three(knobctl: CommandLine, tmp_path: Path) -> None:
    path = str(plan_file(tmp_path, document("null")))
    assert knobctl("run", path, "--target", "simulated:null", *QUICK).code == 3
    assert knobctl("report", "last", "--bundle", str(tmp_path / "b")).code == 0
    done = knobctl("verify", "--bundle", str(tmp_path / "b"), "--json")
    assert (done.code, done.document["success"], done.document["exit_code"]) == (3, True, 3)


def test_a_forged_result_does_not_follow(knobctl: CommandLine, bundle: Path) -> None:
    forge(bundle, {RESULT: changed_json(members_of(bundle)[RESULT], improvement=99.0, pairs=40, metric="\x1b[2Jx")})
    done = knobctl("verify", "--bundle", str(bundle))
    assert done.code == 1
    assert "the result does not follow from its samples:\n" in done.out
    assert "  improvement: 99 is recorded, the samples give " in done.out
    assert "IMPROVED" not in done.out and "\x1b" not in done.out
    done = knobctl("verify", "--bundle", str(bundle), "--json")
    assert (done.code, done.document["success"], done.document["exit_code"]) == (1, False, 1)
    assert done.document["error"] == "the result does not follow from its samples"
    assert done.document["hint"] == "Do not rely on this bundle."
    assert len(done.document["differences"]) == 3


def test_a_changed_run_names_the_member(knobctl: CommandLine, bundle: Path) -> None:
    members = members_of(bundle)
    zip_again(bundle, members | {TRIALS: members[TRIALS].replace(b"9", b"8")})
    done = knobctl("verify", "--bundle", str(bundle), "--json")
    assert done.code == 1
    assert done.document["error"] == f"{bundle}: trials.jsonl is not what the manifest says: it was changed or damaged"
    assert done.document["hint"] == "Get the file again from where it came."


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--bundle", "/nowhere/x.zip"), "there is no file /nowhere/x.zip"),
        (("--again",), "--again and --knobs are about a bundle, and none was given"),
        (("--knobs", "vm.swappiness"), "--again and --knobs are about a bundle, and none was given"),
        (("20260101", "--bundle", "x"), "both a bundle and the session '20260101' were given"),
    ],
)
def test_what_cannot_be_meant(knobctl: CommandLine, arguments: tuple[str, ...], error: str) -> None:
    done = knobctl("verify", *arguments, "--json")
    assert (done.code, done.document["error"]) == (2, error)


# --- verify --bundle --again


def test_the_candidate_is_measured_again_after_a_yes(
    knobctl: CommandLine, bundle: Path, session: str, tmp_path: Path
) -> None:
    elsewhere = CommandLine(tmp_path / "another machine")
    arguments = ("verify", "--bundle", str(bundle), "--again", *SIMULATED, "--seed", "7")
    asked = elsewhere(*arguments, "--json")
    assert (asked.code, asked.document["hint"]) == (2, "Add --yes to confirm in advance.")
    assert not elsewhere.state.exists()
    rehearsed = elsewhere(*arguments, "--dry-run", "--json")
    assert (rehearsed.code, rehearsed.document["dry_run"]) == (0, True)
    done = elsewhere(*arguments, "--yes", "--json")
    assert done.code == 0
    assert (done.document["verdict"], done.document["searcher"]) == ("IMPROVED", "none")
    assert f"(bundle of session {session})" in done.err
    assert "This machine is like the one of the bundle, and its knobs have the same values." in done.err
    with knobctl.store() as store:
        assert done.document["candidate_config"] == store.session(session).result.candidate_config  # type: ignore[union-attr]
    with elsewhere.store() as store:
        assert store.session("last").request == f"verify bundle of {session}"


def test_only_the_knobs_of_the_candidate_are_touched(knobctl: CommandLine, bundle: Path) -> None:
    done = knobctl("verify", "--bundle", str(bundle), "--again", *SIMULATED, "--dry-run", "--json")
    candidate = json.loads(members_of(bundle)[RESULT])["candidate_config"]
    assert {action["param"] for action in done.document["plan"]["action_space"]} == set(candidate)


def test_another_machine_is_a_new_experiment(knobctl: CommandLine, bundle: Path) -> None:
    members = members_of(bundle)
    result = json.loads(members[RESULT])
    result["knobs"][0]["found"] = 77
    facts = changed_json(members["facts.json"], cores=99)
    settings = json.loads(members[SESSION])["settings"]
    settings["found"][result["knobs"][0]["name"]] = 77
    session = changed_json(members[SESSION], settings=settings)
    forge(bundle, {"facts.json": facts, RESULT: json.dumps(result).encode(), SESSION: session})
    done = knobctl("verify", "--bundle", str(bundle), "--again", *SIMULATED, "--dry-run")
    assert done.code == 0
    assert "This is another machine, so this is a new experiment and no repetition:\n  cores: 99 there, " in done.err
    assert f"  {result['knobs'][0]['name']}: 77 there, " in done.err


def test_it_is_measured_where_it_was_measured(knobctl: CommandLine, bundle: Path, session: str) -> None:
    done = knobctl("verify", "--bundle", str(bundle), "--again", "--target", "simulated:web", "--yes", "--json")
    assert done.code == 2
    assert done.document["error"] == (f"session {session} was measured on simulated:file-write, not on simulated:web")


def test_what_does_not_follow_is_not_measured(knobctl: CommandLine, bundle: Path) -> None:
    forge(bundle, {RESULT: changed_json(members_of(bundle)[RESULT], improvement=99.0)})
    done = knobctl("verify", "--bundle", str(bundle), "--again", *SIMULATED, "--yes", "--json")
    assert done.code == 1
    assert "the result does not follow from its samples: improvement: 99 is recorded" in done.document["error"]


def test_the_word_of_a_file_is_not_the_users(knobctl: CommandLine, tmp_path: Path) -> None:
    own = {
        **document("file-write"), "benchmark_command": "./my-benchmark --fast", "metric_pattern": "score: ([0-9]+)",
        "reward_metric": "score", "direction": "maximize",
    }  # fmt: skip
    typed = ("--command", "./my-benchmark --fast")
    assert knobctl("run", str(plan_file(tmp_path, own)), *SIMULATED, *QUICK, *typed).code == 0
    path = str(tmp_path / "b")
    assert knobctl("report", "--bundle", path).code == 0
    assert knobctl("verify", "--bundle", path).code == 0
    arguments = ("verify", "--bundle", path, "--again", *SIMULATED, "--yes", "--json")
    refused = knobctl(*arguments)
    assert refused.code == 2
    assert "runs only when you typed it yourself" in refused.document["error"]
    refused = knobctl(*arguments, "--command", "./my-benchmark")
    assert refused.document["error"] == "--command is not the bundle's command: ./my-benchmark --fast"
    assert knobctl(*arguments, *typed).code == 0


def test_a_knob_that_has_to_be_named_is_not_named_by_a_file(knobctl: CommandLine, bundle: Path) -> None:
    """A forger swaps the candidate for a knob that needs its user's word, everywhere."""
    members = members_of(bundle)
    result = json.loads(members[RESULT])
    before = result["candidate_config"]
    swapped = {
        name: content.replace(json.dumps(before, separators=(",", ":")).encode(), b'{"vm.min_free_kbytes":70000}')
        for name, content in members.items()
    }
    knobs = [{**result["knobs"][0], "name": "vm.min_free_kbytes", "candidate": 70000}]
    change = {"vm.min_free_kbytes": 70000}
    plan = json.loads(members[PLAN])
    plan["action_space"] = [{"param": "vm.min_free_kbytes"}]
    plan.pop("suggestions", None)
    settings = json.loads(members[SESSION])["settings"] | {"found": {"vm.min_free_kbytes": knobs[0]["found"]}}
    forge(
        bundle,
        swapped | {
            RESULT: changed_json(members[RESULT], knobs=knobs, candidate_config=change, best_config=change),
            PLAN: json.dumps(plan).encode(),
            SESSION: changed_json(members[SESSION], settings=settings),
        },
    )  # fmt: skip
    assert knobctl("verify", "--bundle", str(bundle)).code == 0
    arguments = ("verify", "--bundle", str(bundle), "--again", *SIMULATED, "--dry-run", "--json")
    refused = knobctl(*arguments)
    assert refused.code == 2
    assert "vm.min_free_kbytes is tuned only when you name it yourself" in refused.document["error"]
    assert knobctl(*arguments, "--knobs", "vm.min_free_kbytes").code == 0


def test_a_masked_command_has_to_be_typed_whole(knobctl: CommandLine, bundle: Path) -> None:
    members = members_of(bundle)
    masked = f"{COMMANDS['file-write']} --pgsql-password=***"
    forge(bundle, {PLAN: changed_json(members[PLAN], benchmark_command=masked)})
    done = knobctl("verify", "--bundle", str(bundle), "--again", *SIMULATED, "--yes", "--json")
    assert done.code == 2
    assert done.document["error"].startswith("the record keeps no passwords and keys, and the session's command holds")
    assert done.document["hint"] == "Type it whole: --command TEXT."
