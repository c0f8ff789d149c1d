"""A recorded session in, a page out that is complete, well-formed, says the numbers, and lets nothing foreign act."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from knobctl.events import MachineRestored, Notice, Trial
from knobctl.measure import GuardrailJudgement, Verdict
from knobctl.report.page import MARK, render
from knobctl.report.session_view import RecordedSession
from knobctl.store import KnobChange
from tests.report.page import recorded

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = ["effect", "scores", "pairs", "importance", "slices", "machine", "within"]
HOSTILE = "</title></svg><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202e\ufffe\x00\"'&{{ 7*7 }}"


class Reader(HTMLParser):
    """What a page is made of: its elements with their attributes, and its visible words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not {"style", "script"}.intersection(self.open):
            self.words += f"{data} "

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(self.words.split())


def drawings(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def hostile_session() -> RecordedSession:
    """Every text that anybody else could have written holds an attack."""
    whole = recorded.session()
    result = recorded.result(
        reason=f"ok; {HOSTILE}", metric=HOSTILE, unit=HOSTILE, notes=(HOSTILE,), target=HOSTILE, searcher=HOSTILE,
        guardrails=(GuardrailJudgement(HOSTILE, 5.0, "held", 0.0, HOSTILE),),
        knobs=(KnobChange(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),), candidate_config={HOSTILE: HOSTILE},
        importance={HOSTILE: 1.0},
    )  # fmt: skip
    facts = replace(recorded.FACTS, kernel=HOSTILE, cpu_model=HOSTILE, tuners=(HOSTILE,), disk=HOSTILE)
    record = replace(
        whole.record, request=HOSTILE, workload=HOSTILE, plan=HOSTILE, target=HOSTILE, searcher=HOSTILE,
        version=HOSTILE, facts=facts, result=result,
    )  # fmt: skip
    failed = recorded.trial(90, HOSTILE, None, {HOSTILE: HOSTILE}, failure=HOSTILE)
    scored = recorded.trial(91, "search", 4000.0, {HOSTILE: HOSTILE})
    events = (
        replace(recorded.STARTED, command=HOSTILE, metric=HOSTILE), recorded.NOISE, Notice(HOSTILE),
        MachineRestored(False, 1, (HOSTILE,), (HOSTILE,)),
    )  # fmt: skip
    said = recorded.conversation(HOSTILE)
    return RecordedSession(record, (*whole.trials, failed, scored), whole.pairs, events, said)


SESSIONS = {
    "whole": recorded.session,
    "simulated": recorded.simulated,
    "hostile": hostile_session,
    "running": lambda: recorded.without_a_result("running"),
    "failed": lambda: recorded.without_a_result("failed", "the benchmark fails", trials=3),
    "interrupted": lambda: recorded.without_a_result("interrupted", "interrupted by SIGTERM", trials=20),
}


@pytest.fixture(scope="module")
def page() -> str:
    return render(recorded.session())


@pytest.mark.parametrize("name", SESSIONS)
def test_every_page_is_well_formed_and_loads_nothing(name: str) -> None:
    page = render(SESSIONS[name]())
    assert MARK in page[:1000]
    reader = Reader(page)
    assert reader.open == [], "every element is closed"
    assert not {tag for tag, _ in reader.elements}.intersection(
        {"img", "link", "iframe", "object", "base", "form", "a"}
    )
    assert not {name for _, attributes in reader.elements for name in attributes}.intersection({"src", "href", "style"})
    assert not re.search(r"(?i)https?://", page.replace('xmlns="http://www.w3.org/2000/svg"', ""))
    assert "url(" not in page and "@import" not in page
    for drawing in drawings(page):
        if drawing.get("aria-hidden"):
            continue
        assert drawing.get("role") == "img"
        titled = {one.get("id"): one.text for one in (drawing[0], drawing[1])}
        assert list(titled) == (drawing.get("aria-labelledby") or "").split() and all(titled.values())
    identifiers = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_only_the_script_of_the_page_may_run(page: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in Reader(page).named("meta") if "http-equiv" in meta]
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert len(script) < 5000


def test_foreign_text_is_text() -> None:
    page = render(hostile_session())
    reader = Reader(page)
    assert len(reader.named("script")) == 1 and not reader.named("img")
    assert not any(name.startswith("on") for _, attributes in reader.elements for name in attributes)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ufffe]", page)
    assert "49" not in reader.text.split(), "nothing of a record is a template"
    assert reader.text.count("<script>alert(1)</script>") > 20, "it is shown as what it is"
    page.encode("utf-8")


def test_text_that_no_encoding_holds_does_not_keep_the_page_from_being_written() -> None:
    page = render(recorded.session(request="lone \ud800 surrogate"))
    assert "lone  surrogate" in page and page.encode("utf-8")


def test_keys_and_passwords_are_masked_again() -> None:
    session = recorded.session(request="use PGPASSWORD=hunter2 please")
    assert "hunter2" not in render(replace(session, conversation=recorded.conversation("api_key=verysecretvalue")))
    assert "verysecretvalue" not in render(
        replace(session, conversation=recorded.conversation("api_key=verysecretvalue"))
    )


def test_the_page_says_the_verdict_first_with_its_proof(page: str) -> None:
    text = Reader(page).text
    order = [
        "IMPROVED transactions_per_second +8.1 % (95 % interval +5.2 % to +11.0 %, 8 fresh interleaved pairs).",
        f"To make it permanent: knobctl apply {recorded.SESSION}",
        "+13.4 % is what the search alone would have claimed. That is no evidence:",
        "Change", "vm.dirty_ratio 20 70 percent +6.2 % (+2.1 % to +10.4 %) lets bursts of writes run",
        "thp.enabled madvise always not known fewer misses",
        f"knobctl apply {recorded.SESSION} makes the change permanent", "knobctl rollback undoes the last apply",
        f"knobctl verify {recorded.SESSION} measures the change again",
        "Guardrails", "latency_average_ms held 5 % latency_average_ms is 1.0 % worse",
        "Evidence", "Scores over time", "Verification, pair by pair", "Importance of the knobs", "Knob by knob",
        "The machine over time", "Within a run",
        "Noise", "between runs 3.1 %", "from within a run 1.4 %", "drift -2.1 %", "carry-over +0.4 %",
        "length of a run 30 s", "smallest provable effect gains from about 5.2 % what 8 pairs can prove",
        "All runs", "49 runs",
        "Session", "request make the database fast", "command pgbench -c 50 -j 4 -T 30 testdb",
        "searcher ppo, 20 trials, seed 7", "runs cut short 1, which saved 22 s",
        "machine afterwards every knob has the value that was found",
        "Machine", "kernel 6.18.5", "memory 23.3 GiB", "other tuners none",
        "Plan", '"benchmark_command": "pgbench -c 50 -j 4 -T 30 testdb"',
        "Notes", "the disk is virtual", "the disk is slow",
        "Look again", "knobctl run PLAN.json --budget 20 --seed 7 --searcher ppo the whole run again",
    ]  # fmt: skip
    place = 0
    for words in order:
        found = text.find(words, place)
        assert found >= 0, f"{words!r} is not behind {text[max(0, place - 80) : place]!r}"
        place = found + len(words)


def test_every_figure_says_what_is_to_be_seen(page: str) -> None:
    reader = Reader(page)
    assert [figure["id"] for figure in reader.named("figure")] == FIGURES
    assert len(reader.named("figcaption")) == len(FIGURES)
    knobs = 6
    assert len([one for one in drawings(page) if one.get("role") == "img"]) == 2 * (len(FIGURES) - 1) + knobs


@pytest.mark.parametrize("name", ["whole", "failed", "hostile"])
def test_every_run_is_in_the_table(name: str) -> None:
    session = SESSIONS[name]()
    rows = re.findall(r"<tr><td class=\"number\">(\d+)</td>", render(session))
    assert [int(row) for row in rows] == [trial.number for trial in session.trials]


def test_the_table_tells_estimates_and_failures_from_measurements(page: str) -> None:
    text = Reader(page).text
    assert "failed 30.0 s" in text and "exit code 1" in text
    assert "200.0 1/s -95 % 30.0 s" in text or "200.0 1/s -94.9 % 30.0 s" in text
    assert "cut short, score estimated" in text


def test_a_simulation_says_so_everywhere() -> None:
    page = render(recorded.simulated())
    text = Reader(page).text
    assert "<title>SIMULATED IMPROVED: " in page
    for words in (
        "SIMULATED nothing on this page was measured on a real machine", "SIMULATED IMPROVED",
        "SIMULATED +13.4 % is what the search alone", "SIMULATED Change", "SIMULATED Guardrails", "SIMULATED Evidence",
        "SIMULATED Noise", "SIMULATED All runs", "SIMULATED Session", "SIMULATED Machine", "SIMULATED Made by knobctl",
        "simulated:postgresql (SIMULATED: nothing was measured)", "(virtual)",
        "Nothing to apply: a simulation says nothing about this machine.",
    ):  # fmt: skip
        assert words in text, words
    assert "knobctl apply" not in text


@pytest.mark.parametrize(
    ("verdict", "word", "sentence", "sign"),
    [
        (Verdict.NO_CHANGE, "NO CHANGE", "No measurable gain in transactions_per_second (estimate +8.1 %", "calm"),
        (Verdict.WORSE, "WORSE", "The candidate does harm to transactions_per_second or to a guardrail", "bad"),
        (Verdict.INCONCLUSIVE, "INCONCLUSIVE", "Nothing is proven about transactions_per_second (estimate", "open"),
    ],
)
def test_without_proof_there_is_nothing_to_apply(verdict: Verdict, word: str, sentence: str, sign: str) -> None:
    page = render(recorded.session(result=recorded.result(verdict=verdict, best_config={})))
    text = Reader(page).text
    assert f'class="verdict {sign}"' in page
    assert f"{word} {sentence}" in text
    assert "Nothing to apply: the best thing to do is nothing." in text
    assert "knobctl apply" not in text and "rollback" not in text
    assert "tried unit" in text and "proposed unit" not in text
    assert f"knobctl verify {recorded.SESSION}" in text


@pytest.mark.parametrize(
    ("status", "reason", "trials", "words"),
    [
        ("running", "", 0, "RUNNING This session is running: there is no result yet, and nothing below is proven."),
        ("failed", "no space left", 3, "FAILED This session failed: there is no result, and nothing below is proven. "
         "Why: no space left."),
        ("interrupted", "its process is gone", 20, "INTERRUPTED This session was interrupted: there is no result, and "
         "nothing below is proven. Why: its process is gone. knobctl status says whether every knob is back."),
    ],
)  # fmt: skip
def test_a_session_without_a_result_says_how_far_it_came(status: str, reason: str, trials: int, words: str) -> None:
    text = Reader(render(recorded.without_a_result(status, reason, trials))).text
    assert words in text
    assert "Without a result there is no change to propose." in text
    assert "Verification, pair by pair The session has not come so far." in text
    assert ("No trial is recorded." in text) == (trials == 0)
    assert ("The noise of this machine was not measured." in text) and "knobctl verify" not in text


def test_what_was_not_recorded_is_said_and_not_invented() -> None:
    """A session from before importance, shares, samples and machine metrics were kept."""
    whole = recorded.session(result=recorded.result(importance={}, knobs=(), guardrails=(), claimed_by_search=None))
    bare = tuple(replace(trial, samples=(), machine={}) for trial in whole.trials)
    old = replace(recorded.NOISE, within_percent=None, carry_over_percent=None, run_seconds=0.0)
    text = Reader(render(replace(whole, trials=bare, events=(recorded.STARTED, old)))).text
    for words in (
        "There were too few runs to tell, or the session was recorded before this was kept.",
        "This benchmark printed no progress while it ran.", "No machine metrics are recorded.",
        "from within a run not measured", "carry-over not measured", "No guardrail was judged in this session.",
    ):  # fmt: skip
        assert words in text, words
    assert "would have claimed. That" not in text and "length of a run" not in text


def test_a_machine_that_is_not_back_comes_first() -> None:
    session = recorded.session(result=recorded.result(restored=False))
    events = (*session.events, MachineRestored(False, 1, (), ("echo '20' > /proc/sys/vm/dirty_ratio",)))
    text = Reader(render(replace(session, events=events))).text
    assert "Look now: knobctl restore puts back what is left." in text
    assert text.index("knobctl restore puts back") < text.index("knobctl verify")
    assert "NOT EVERY KNOB IS BACK" in text
    assert "not back, paste as root: echo '20' > /proc/sys/vm/dirty_ratio" in text


@pytest.mark.parametrize("score", [0.0, -5.0, 1e-300, 1.7e308, float("inf")])
def test_strange_scores_do_not_break_the_page(score: float) -> None:
    whole = recorded.session()
    odd = Trial(
        99, "search", {"vm.dirty_ratio": 7}, score, {}, {"iowait": float("nan")}, ((1.0, score),), 1.0, None, "", 1e4
    )
    page = render(replace(whole, trials=(*whole.trials, odd)))
    assert "nan" not in "".join(ElementTree.tostring(one, encoding="unicode") for one in drawings(page))
    assert '<td class="number">99</td>' in page


def test_a_command_to_paste_is_one_command_whatever_the_record_says() -> None:
    text = Reader(render(recorded.session(target="simulated:x; reboot"))).text
    line = "knobctl run PLAN.json --budget 20 --seed 7 --searcher ppo --target 'simulated:x; reboot' the whole run"
    assert line in text
    assert f"knobctl verify {recorded.SESSION} --target 'simulated:x; reboot' measures the change again" in text


def test_one_trial_is_enough_for_a_page() -> None:
    text = Reader(render(recorded.without_a_result("interrupted", trials=1))).text
    assert "All runs 1 run, in the order in which they ran" in text


def test_a_result_that_cannot_be_read_is_no_interruption() -> None:
    why = "its result cannot be read: the result document is not complete"
    text = Reader(render(recorded.without_a_result("finished", why, trials=3))).text
    assert "FINISHED The result of this session cannot be read, so nothing below is proven." in text
    assert f"Why: {why}." in text
