"""Three checks of the whole tool on this kernel, whose numbers are recorded: nothing is claimed where there is nothing,
a healed machine is as much faster as its interval says, and it is healed after few runs.

    scripts/real_checks.py                              all; writes docs/real-checks.json and docs/real-checks.md
    scripts/real_checks.py --nulls 3                    with fewer null runs
    scripts/real_checks.py --nulls 0 --tries 0          one of them alone; what is recorded of the others stays

Root only. The null: ``knobctl tune`` with memory knobs for a benchmark that computes. The wounded machine:
``vm.dirty_ratio`` 2 and ``vm.dirty_background_ratio`` 1 for sequential file writes, tuned by knobctl, then measured by
this script itself, without knobctl: pairs in ABBA order, the files made once, each run as knobctl's were. The tries:
the same wound, three searchers in turn, each with 12 runs, ten knobs, without a suggestion and without a memory; what
each one offers is then measured by this script beside the full cure, which is 20 and 10.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from scipy import stats  # type: ignore[import-untyped]

from knobctl.env.bench import SEARCH_KINDS
from knobctl.knobs.files import catalogue
from knobctl.target.facts import collect

DOCS = Path(__file__).resolve().parent.parent / "docs"
NULL_COMMAND = "sysbench cpu --threads=2 --time=2 run"
FILES = "--file-total-size=1G --file-num=16 --file-test-mode=seqwr --file-fsync-freq=0"
WOUNDED_COMMAND = f"sysbench fileio {FILES} --threads=2 --time=4 run"
WOUND = {"vm.dirty_background_ratio": "1", "vm.dirty_ratio": "2"}
CURE = {"vm.dirty_ratio": "20", "vm.dirty_background_ratio": "10"}
SEARCHERS, SEARCH_RUNS = ("sappo", "tpe", "random"), 12
SHORT_COMMAND = WOUNDED_COMMAND.replace("--time=4", "--time=2")
TEN_KNOBS = (
    "vm.dirty_ratio", "vm.dirty_background_ratio", "vm.dirty_expire_centisecs", "vm.dirty_writeback_centisecs",
    "vm.swappiness", "vm.vfs_cache_pressure", "vm.page-cluster", "vm.watermark_scale_factor",
    "vm.watermark_boost_factor", "vm.compaction_proactiveness",
)  # fmt: skip
HEALED = 0.9
"""Of the full cure."""
PAIRS, NULLS, TRIES, TRY_PAIRS = 30, 10, 10, 3


def main() -> int:
    """Measures, writes, and says whether the checks hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nulls", type=int, default=NULLS, help="runs where there is nothing to find")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of the long measurement; 0 for none")
    parser.add_argument("--tries", type=int, default=TRIES, help="tries of each searcher; goes on where it stopped")
    parser.add_argument("-o", "--output", type=Path, default=DOCS / "real-checks.json")
    parser.add_argument("--page", type=Path, default=DOCS / "real-checks.md")
    chosen = parser.parse_args()
    if os.geteuid() != 0:
        print("real_checks.py sets kernel parameters: run it as root", file=sys.stderr)
        return 1
    record: dict[str, Any] = json.loads(chosen.output.read_text()) if chosen.output.exists() else {}
    facts = collect("")
    memory = round(facts["memory_bytes"] / 2**30)
    record["machine"] = {"cores": facts["cores"], "memory_gib": memory, "kernel": facts["kernel"]}
    if chosen.nulls:
        record["null"] = {"date": _now(), "command": NULL_COMMAND, "runs": []}
        for seed in range(1, chosen.nulls + 1):
            words = ("make computation fast", "--command", NULL_COMMAND, "--knobs", "vm.*", "--budget", "12")
            record["null"]["runs"].append(_summary(seed, _tune(*words, "--seed", str(seed))))
            print(f"null {seed}: {record['null']['runs'][-1]}", flush=True)
            _write(chosen.output, chosen.page, record)
    if chosen.pairs:
        record["wounded"] = _wounded(chosen.pairs)
        _write(chosen.output, chosen.page, record)
    if chosen.tries:
        healing = record.setdefault("healing", {"date": _now(), "command": SHORT_COMMAND, "tries": []})
        known = {(each["searcher"], each["seed"]) for each in healing["tries"]}
        for seed in range(1, chosen.tries + 1):
            for turn in range(len(SEARCHERS)):
                searcher = SEARCHERS[(seed + turn) % len(SEARCHERS)]
                if (searcher, seed) not in known:
                    healing["tries"].append(_try(searcher, seed))
                    print(f"try: {healing['tries'][-1]}", flush=True)
                    _write(chosen.output, chosen.page, record)
    holds = _holds(record)
    print(json.dumps(holds, indent=2))
    return 0 if all(holds.values()) else 1


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _tune(*words: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="knobctl-checks-") as folder:
        return _knobctl(folder, "tune", *words, "--yes", "--force")


def _knobctl(folder: str, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "knobctl.main", *words, "--json"],
        env={**os.environ, "KNOBCTL_STATE_DIR": folder},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode not in (0, 3):
        raise SystemExit(f"knobctl ended with {done.returncode}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))


def _summary(seed: int, result: Mapping[str, Any]) -> dict[str, Any]:
    names = ("verdict", "improvement", "improvement_interval", "smallest_percent", "claimed_by_search", "pairs",
             "best_config", "candidate_config", "seconds")  # fmt: skip
    return {"seed": seed, **{name: result.get(name) for name in names}}


def _wounded(pairs: int) -> dict[str, Any]:
    with _set(WOUND):
        words = ("make large sequential file writes fast", "--command", WOUNDED_COMMAND, "--budget", "24")
        result = _tune(*words, "--knobs", ",".join(TEN_KNOBS), "--seed", "1")
        print(f"wounded: {_summary(1, result)}", flush=True)
        found = {name: _read(name) for name in result["candidate_config"]}
        healed = {name: str(value) for name, value in result["candidate_config"].items()}
        logs = list(_measured(pairs, found, healed))
    mean, error = float(stats.tmean(logs)), float(stats.sem(logs))
    reach = float(stats.t.ppf(0.975, len(logs) - 1)) * error
    return {
        "date": _now(),
        "command": WOUNDED_COMMAND,
        "knobctl": _summary(1, result),
        "pairs": len(logs),
        "log_ratios": logs,
        "percent": 100.0 * math.expm1(mean),
        "interval": [100.0 * math.expm1(mean - reach), 100.0 * math.expm1(mean + reach)],
    }


def _measured(pairs: int, found: Mapping[str, str], healed: Mapping[str, str]) -> Iterator[float]:
    """Log-ratios of pairs, healed to wounded."""
    for number, (wounded, cured) in enumerate(_pairs(WOUNDED_COMMAND, pairs, found, healed)):
        print(f"pair {number + 1}/{pairs}: {wounded:.0f} wounded, {cured:.0f} healed", flush=True)
        yield math.log(cured / wounded)


def _pairs(command: str, pairs: int, one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[tuple[float, float]]:
    """Scores under one setting and under the other, in ABBA order; both name the same knobs. Ends under the one."""
    program = shlex.split(command)[:-1]
    with tempfile.TemporaryDirectory(prefix="knobctl-checks-", dir="/var/tmp") as folder:

        def run(step: str) -> float:
            done = subprocess.run([*program, step], cwd=folder, capture_output=True, text=True, check=True)
            rate = re.search(r"written, MiB/s:\s+([0-9.]+)", done.stdout)
            return float(rate.group(1)) if rate else math.nan

        run("prepare")
        run("run")  # a warm-up
        for number in range(pairs):
            scores: dict[bool, float] = {}
            for is_other in (False, True) if number % 2 == 0 else (True, False):
                _write_all(other if is_other else one)
                scores[is_other] = run("run")
            _write_all(one)
            yield scores[False], scores[True]


def _try(searcher: str, seed: int) -> dict[str, Any]:
    """One session on the wounded machine, and what it offers beside the full cure."""
    with _set(WOUND), tempfile.TemporaryDirectory(prefix="knobctl-checks-") as folder:
        words = ("make large sequential file writes fast", "--command", SHORT_COMMAND, "--knobs", ",".join(TEN_KNOBS))
        plan = {**_knobctl(folder, "plan", *words)["plan"], "suggestions": []}
        file = Path(folder) / "plan.json"
        file.write_text(json.dumps(plan))
        result = _knobctl(
            folder, "run", str(file), "--command", SHORT_COMMAND, "--searcher", searcher, "--seed", str(seed),
            "--budget", str(SEARCH_RUNS), "--pairs", "5", "--no-memory", "--yes", "--force",
        )  # fmt: skip
        trials = _knobctl(folder, "report", result["session_id"])["trials"]
        scores = [trial["score"] for trial in trials if trial["kind"] in SEARCH_KINDS]
        offered = {name: str(value) for name, value in result["candidate_config"].items()}
        touched = {name: _read(name) for name in {**offered, **CURE}}
        with _set(touched):
            both = list(_pairs(SHORT_COMMAND, TRY_PAIRS, {**touched, **offered}, {**touched, **CURE}))
        cured = math.exp(stats.tmean([math.log(cure) for _, cure in both]))
        healed = [number for number, score in enumerate(scores, 1) if score and score >= HEALED * cured]
        return {
            "searcher": searcher,
            **_summary(seed, result),
            "scores": scores,
            "cured": cured,
            "healed_after": healed[0] if healed else None,
            "share": math.exp(stats.tmean([math.log(score / cure) for score, cure in both])),
        }


@contextmanager
def _set(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: _read(name) for name in values}
    _write_all(values)
    try:
        yield
    finally:
        _write_all(dict(reversed(before.items())))


def _path(name: str) -> Path:
    return Path(catalogue()[name].path)


def _read(name: str) -> str:
    return _path(name).read_text().strip()


def _write_all(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        _path(name).write_text(value)


def _holds(record: Mapping[str, Any]) -> dict[str, bool]:
    """Which checks hold, of those that were made."""
    holds: dict[str, bool] = {}
    if "null" in record:
        holds["no null run says IMPROVED"] = all(run["verdict"] != "IMPROVED" for run in record["null"]["runs"])
    if "wounded" in record:
        wounded, said = record["wounded"], record["wounded"]["knobctl"]
        low, high = said["improvement_interval"] or (math.nan, math.nan)
        holds["the wounded machine is healed"] = said["verdict"] == "IMPROVED"
        holds["the interval holds the truth of the long measurement"] = low <= wounded["percent"] <= high
    if own := [each for each in record.get("healing", {}).get("tries", ()) if each["searcher"] == SEARCHERS[0]]:
        share, after = _medians(own)
        within = f"{SEARCH_RUNS} runs of {SEARCHERS[0]} heal to within {100 * (1 - HEALED):.0f} % of the full cure"
        holds[f"{within}, at the median"] = share >= HEALED and after <= SEARCH_RUNS
    return holds


def _medians(tries: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Of the share of the cure, and of the first run that was as good; that of one without any is infinite."""
    after = [math.inf if each["healed_after"] is None else each["healed_after"] for each in tries]
    return median(each["share"] for each in tries), median(after)


def _write(output: Path, page: Path, record: Mapping[str, Any]) -> None:
    output.write_text(json.dumps(record, indent=1) + "\n")
    page.write_text(_page(record))


def _page(record: Mapping[str, Any]) -> str:
    machine = record["machine"]
    lines = [
        "# Checks on a real kernel",
        "",
        "The whole tool on a real machine, where the truth is known or can be measured. Made by",
        f"`scripts/real_checks.py` on {machine['cores']} cores and {machine['memory_gib']} GiB,",
        f"Linux {machine['kernel']}; every number is in `docs/real-checks.json`.",
        "",
        *(f"* {'holds' if held else '**does not hold**'}: {what}" for what, held in _holds(record).items()),
        "",
    ]
    if "null" in record:
        lines += [
            "## Nothing to find",
            "",
            f"`{record['null']['command']}` with the knobs `vm.*`, 12 trials each, {record['null']['date']}.",
            "Memory knobs do nothing for a benchmark that computes. Played with `--force`: where the smallest provable",
            "gain is above 50 %, knobctl would not have begun by itself.",
            "",
            "| seed | verdict | estimate | 95 % interval | pairs | provable from | the search alone would have said |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *(_row(run) for run in record["null"]["runs"]),
            "",
        ]
    if "wounded" in record:
        wounded = record["wounded"]
        low, high = wounded["interval"]
        lines += [
            "## A wounded machine",
            "",
            f"`{wounded['command']}`",
            "on a machine that was set to `vm.dirty_ratio` 2 and `vm.dirty_background_ratio` 1, 24 trials, "
            f"{wounded['date']}.",
            "",
            "| measured by | estimate | 95 % interval | pairs |",
            "| --- | --- | --- | --- |",
            f"| knobctl ({wounded['knobctl']['verdict']}) | {_percent(wounded['knobctl']['improvement'])} | "
            f"{_interval(wounded['knobctl']['improvement_interval'])} | {wounded['knobctl']['pairs']} |",
            f"| by hand, afterwards | {_percent(wounded['percent'])} | {_interval((low, high))} | {wounded['pairs']} |",
            "",
            "What knobctl changed: "
            + ", ".join(f"`{name}` {value}" for name, value in wounded["knobctl"]["candidate_config"].items())
            + ". The interval by hand is Student's, for log-ratios of pairs.",
            "",
        ]
    if "healing" in record:
        lines += _healing(record["healing"])
    return "\n".join(lines).rstrip() + "\n"


def _healing(healing: Mapping[str, Any]) -> list[str]:
    rows = []
    for searcher in SEARCHERS:
        tries = [each for each in healing["tries"] if each["searcher"] == searcher]
        if tries:
            share, after = _medians(tries)
            shares = sorted(each["share"] for each in tries)
            cells = (
                searcher, str(len(tries)), f"{after:g}", f"{100 * share:.0f} %",
                f"{100 * shares[0]:.0f} to {100 * shares[-1]:.0f} %",
                str(sum(each["verdict"] == "IMPROVED" for each in tries)),
            )  # fmt: skip
            rows.append(f"| {' | '.join(cells)} |")
    return [
        "## How soon it is healed",
        "",
        f"`{healing['command']}`",
        f"with the same wound, begun {healing['date']}: {SEARCH_RUNS} search runs each, {len(TEN_KNOBS)} knobs,",
        "no suggestion, no memory, 5 pairs at most, the searchers in turn. The cure is `vm.dirty_ratio` 20 and",
        "`vm.dirty_background_ratio` 10. What a session offers is measured beside it afterwards, in"
        f" {TRY_PAIRS} pairs by hand. Almost any larger share heals this wound, so it shows that the whole tool does",
        "its work on a real kernel, and hardly which searcher is the better one.",
        "",
        f"| searcher | tries | first run within {100 * (1 - HEALED):.0f} % of the cure (median) | "
        "what is offered, against the cure (median) | all of them | IMPROVED |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
    ]


def _row(run: Mapping[str, Any]) -> str:
    cells = (
        str(run["seed"]), run["verdict"], _percent(run["improvement"]), _interval(run["improvement_interval"]),
        str(run["pairs"] or 0), _percent(run["smallest_percent"]), _percent(run["claimed_by_search"]),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f} %"


def _interval(ends: Sequence[float] | None) -> str:
    return "-" if not ends else f"{ends[0]:+.1f} to {ends[1]:+.1f} %"


if __name__ == "__main__":
    sys.exit(main())
