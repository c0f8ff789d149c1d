"""A recorded session in, everything that its page says in words out, in the order of the page."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from knobctl.errors import UsageError
from knobctl.events import Event, MachineRestored, NoiseMeasured, Notice, SessionStarted, Trial
from knobctl.measure import Verdict
from knobctl.report.narration import KINDS
from knobctl.report.page.scores import Baseline, relative
from knobctl.report.page.text import shortened
from knobctl.report.session_view import RecordedSession
from knobctl.report.summary import next_step, verdict_lines
from knobctl.report.wording import SIMULATED, assignments, duration, one_line, percent, score
from knobctl.search.registry import SEARCHERS
from knobctl.settings import Settings, settings_of
from knobctl.store import KnobChange, Result, SessionRecord

_SIGNS = {
    Verdict.IMPROVED: "good",
    Verdict.WORSE: "bad",
    Verdict.NO_CHANGE: "calm",
    Verdict.INCONCLUSIVE: "open",
}
_NOT_MEASURED = "not measured"

_ONLY_VERIFIED = "none"
"""The searcher of a session that had a candidate from the start."""


@dataclass(frozen=True)
class Headline:
    """The verdict.

    Attributes:
        sign: ``good``, ``bad``, ``calm`` or ``open``: how it looks.
        word: It in one or two words.
        sentence: It with its proof.
        further: What qualifies it, sentence by sentence.
        next_step: What to do now.
        claim: What the search alone would have claimed, and that it is no evidence; empty without a claim.
    """

    sign: str
    word: str
    sentence: str
    further: tuple[str, ...]
    next_step: str
    claim: str


@dataclass(frozen=True)
class Fact:
    """One line of a list: what it is, what it is here, and what that means."""

    name: str
    value: str
    meaning: str = ""


@dataclass(frozen=True)
class Command:
    """A command to type, and what it does."""

    line: str
    purpose: str


@dataclass(frozen=True)
class Change:
    """One knob of the candidate, in words."""

    name: str
    unit: str
    found: str
    candidate: str
    share: str
    why: str


@dataclass(frozen=True)
class TrialRow:
    """One trial in the table of all; ``order`` and ``effect_order`` are what a column is sorted by."""

    number: int
    kind: str
    started: str
    started_order: float
    score: str
    score_order: float | None
    effect: str
    effect_order: float | None
    configuration: str
    seconds: str
    seconds_order: float
    remark: str


def headline(session: RecordedSession) -> Headline:
    """The verdict, or how far a session without one came."""
    record, result = session.record, session.record.result
    if result is None:
        word = record.status.upper()
        sentence = {
            "running": "This session is running: there is no result yet, and nothing below is proven.",
            "failed": "This session failed: there is no result, and nothing below is proven.",
            "finished": "The result of this session cannot be read, so nothing below is proven.",
        }.get(record.status, "This session was interrupted: there is no result, and nothing below is proven.")
        why = (f"Why: {_sentence(record.reason)}",) if record.reason else ()
        return Headline("open", _labelled(record, word), sentence, why, _plain(_unfinished(session)), "")
    lines = verdict_lines(result)
    first = 1 if result.simulated else 0
    _, _, sentence = lines[first].partition(": ")
    sentence = f"{sentence[:1].upper()}{sentence[1:]}" if result.verdict is not Verdict.IMPROVED else sentence
    claim = ""
    if result.claimed_by_search is not None:
        claim = percent(result.claimed_by_search)
    word = str(result.verdict).replace("_", " ")
    further = (*lines[:first], *(line.strip() for line in lines[first + 1 :]))
    return Headline(
        _SIGNS[result.verdict], _labelled(record, word), sentence, further, _plain(next_step(result)), claim
    )


def changes(result: Result | None) -> tuple[Change, ...]:
    """The candidate knob by knob."""
    return tuple(
        Change(knob.name, knob.unit, str(knob.found), str(knob.candidate), _share(knob), knob.why)
        for knob in (result.knobs if result else ())
    )


def commands(session: RecordedSession) -> tuple[Command, ...]:
    """What can be done with this session, each as it is typed."""
    record, result = session.record, session.record.result
    found = []
    if result is not None and result.verdict is Verdict.IMPROVED and not result.simulated:
        found += [
            Command(f"knobctl apply {record.id}", "makes the change permanent: now and at every boot"),
            Command("knobctl rollback", "undoes the last apply"),
        ]
    if result is not None and result.candidate_config:
        found.append(Command(_verify_line(record), "measures the change again, with fresh pairs"))
    if session.restored is False:
        found.insert(0, Command("knobctl restore", "puts back what is left of the run"))
    return tuple(found)


def commands_again(record: SessionRecord) -> tuple[Command, ...]:
    """How this session can be repeated, checked and read by programs."""
    found = [
        *_whole_run(record),
        Command(f"knobctl report {record.id} --json", "every run, pair and raw sample of this page as one document"),
    ]
    if record.result is not None:
        bundle = "all evidence as one file: whoever has it recomputes the verdict from the raw samples"
        found += [
            Command(f"knobctl report {record.id} --bundle gain.knobctl.zip", bundle),
            Command(
                "knobctl verify --bundle gain.knobctl.zip",
                "recomputes the verdict, on any machine, and touches nothing",
            ),
        ]
    if record.result is not None and record.result.candidate_config:
        again = "measures what was found against the machine as it is, with fresh pairs"
        given = _given(_settings(record)) if record.searcher == _ONLY_VERIFIED else []
        found.insert(0, Command(_verify_line(record, given), again))
    return tuple(found)


def _verify_line(record: SessionRecord, given: Sequence[str] = ()) -> str:
    return shlex.join(["knobctl", "verify", record.id, *given, *_where(record)])


def _whole_run(record: SessionRecord) -> list[Command]:
    """The line that runs the plan as this session did; none where nothing was searched, or nobody can type who did."""
    if record.searcher not in SEARCHERS:
        return []
    settings = _settings(record)
    words = ["knobctl", "run", "PLAN.json", "--budget", str(record.budget), "--seed", str(record.seed)]
    words += ["--searcher", record.searcher]
    words += [] if settings.actor else ["--no-actor"]
    words += [] if settings.memory else ["--no-memory"]
    purpose = "the whole run again, from the plan above: the same seed, fresh measurements"
    if settings.lengthen:
        purpose += "; a run lasts as long as its command says, and was allowed to last longer"
    if not settings.cut_short:
        purpose += "; hopeless runs of the search are cut short, and were not"
    return [Command(shlex.join([*words, *_given(settings), *_where(record)]), purpose)]


def _settings(record: SessionRecord) -> Settings:
    """How the session was run; the usual way where its record does not say."""
    try:
        return settings_of(record)[0]
    except UsageError:
        return Settings()


def _given(settings: Settings) -> list[str]:
    """The options that whatever measures has in common."""
    words = [] if settings.seconds is None else ["--time-budget", _seconds(settings.seconds)]
    words += [] if settings.pairs is None else ["--pairs", str(settings.pairs)]
    words += [] if settings.run_timeout is None else ["--timeout", _seconds(settings.run_timeout)]
    return words + (["--force"] if settings.force else [])


def _seconds(seconds: float) -> str:
    """As it is typed, to the millisecond."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def _where(record: SessionRecord) -> list[str]:
    return [] if record.target == "local" else ["--target", record.target]


def noise_facts(noise: NoiseMeasured | None, result: Result | None) -> tuple[Fact, ...]:
    """What the preflight found out about the noise of this machine; nothing when it did not come that far."""
    between = noise.noise_percent if noise else result.noise_percent if result else None
    if between is None:
        return ()
    smallest = noise.smallest_percent if noise else result.smallest_percent if result else None
    within = noise.within_percent if noise else None
    carried = noise.carry_over_percent if noise else None
    hopeless = smallest is None or smallest > 1000
    facts = [
        Fact("between runs", f"{between:.1f} %", "how much runs of one configuration differ, as a standard deviation"),
        Fact(
            "from within a run",
            _NOT_MEASURED if within is None else f"{within:.1f} %",
            "the part of it that longer runs would make smaller",
        ),
    ]
    if noise is not None:
        facts += [
            Fact("drift", f"{noise.drift_percent:+.1f} %", "how far the score moved while nothing was changed"),
            Fact(
                "carry-over",
                _NOT_MEASURED if carried is None else f"{carried:+.1f} %",
                "what a very different configuration leaves in the next run",
            ),
        ]
        if noise.run_seconds:
            facts.append(Fact("length of a run", duration(noise.run_seconds), "chosen by the preflight"))
    can = "nothing" if hopeless or smallest is None else f"gains from about {smallest:.1f} %"
    most = f"what {noise.pairs} pairs can prove" if noise else "what the pairs can prove"
    return (*facts, Fact("smallest provable effect", can, f"{most}, four times in five"))


def effort_facts(session: RecordedSession) -> tuple[Fact, ...]:
    """How the session was run and what it cost."""
    record, result = session.record, session.record.result
    started = session.first(SessionStarted)
    facts = [
        Fact("request", record.request or "a plan file"),
        Fact("command", started.command if started else ""),
        Fact("target", f"{record.target}{f' ({SIMULATED}: nothing was measured)' if record.simulated else ''}"),
        Fact("searcher", f"{record.searcher}, {record.budget} trials, seed {record.seed}"),
        Fact("status", record.status),
        Fact("trials", str(len(session.trials))),
    ]
    if result is not None:
        spent = f"{duration(result.benchmark_seconds)} of benchmark in {duration(result.seconds)}"
        facts.append(Fact("time", f"{spent}{' (virtual)' if result.simulated else ''}"))
        if result.baseline_score is not None:
            facts.append(Fact("score as found", score(result.baseline_score, result.unit)))
        if result.verdict is Verdict.IMPROVED and result.best_score is not None:
            facts.append(Fact("score of the candidate", score(result.best_score, result.unit)))
        if result.cut_short:
            saved = f"{result.cut_short}, which saved {duration(result.seconds_saved)}"
            facts.append(Fact("runs cut short", saved))
        if result.policy_updates is not None:
            facts.append(Fact("updates of the policy", str(result.policy_updates)))
        back = "every knob has the value that was found" if result.restored else "NOT EVERY KNOB IS BACK"
        facts.append(Fact("machine afterwards", back))
    facts.append(Fact("knobctl", record.version))
    return tuple(fact for fact in facts if fact.value)


def machine_facts(record: SessionRecord) -> tuple[Fact, ...]:
    """What the machine is."""
    facts = record.facts
    found = [
        Fact("kernel", facts.kernel),
        Fact("architecture", facts.architecture),
        Fact("distribution", facts.distribution),
        Fact("processor", facts.cpu_model),
        Fact("cores", str(facts.cores)),
        Fact("memory", _gibibytes(facts.memory_bytes)),
        Fact("swap", _gibibytes(facts.swap_bytes) if facts.swap_bytes else "none"),
        Fact("virtualization", facts.virtualization),
        Fact("disk", " ".join(filter(None, (facts.disk, facts.disk_kind)))),
        Fact("other tuners", ", ".join(facts.tuners) or "none"),
    ]
    return tuple(fact for fact in found if fact.value)


def notes(session: RecordedSession) -> tuple[str, ...]:
    """What people should know, each once: the notes of the result, and what was said on the way."""
    told = list(session.record.result.notes) if session.record.result else []
    for event in session.events:
        told += _told(event)
    return tuple(dict.fromkeys(one_line(text, 2000) for text in told))


def trial_rows(trials: Sequence[Trial], baseline: Baseline | None, unit: str, direction: str) -> tuple[TrialRow, ...]:
    """Every trial."""
    rows = []
    for trial in trials:
        effect = None if trial.score is None else relative(trial.score, baseline, direction)
        remark = "cut short, score estimated" if trial.cut_short else trial.failure
        rows.append(
            TrialRow(
                number=trial.number,
                kind=KINDS.get(trial.kind, trial.kind),
                started=duration(trial.started),
                started_order=trial.started,
                score="failed" if trial.score is None else score(trial.score, unit),
                score_order=trial.score,
                effect="" if effect is None else percent(effect),
                effect_order=effect,
                configuration=assignments(trial.configuration) if trial.configuration else "as found",
                seconds=f"{trial.seconds:.1f} s",
                seconds_order=trial.seconds,
                remark=shortened(remark, 600),
            )
        )
    return tuple(rows)


def readable_plan(text: str) -> str:
    """The plan, indented; as it is when it is no JSON."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _told(event: Event) -> list[str]:
    if isinstance(event, Notice):
        return [event.text]
    if isinstance(event, MachineRestored):
        return [
            *(f"{path} was changed by somebody else; left alone" for path in event.drifted),
            *(f"not back, paste as root: {line}" for line in event.left),
        ]
    return []


def _unfinished(session: RecordedSession) -> str:
    if session.record.status == "running":
        return "Wait for its end, and make this page again."
    if session.restored is False:
        return "Look now: `knobctl restore` puts back what is left."
    if session.restored is None and not session.record.simulated:
        return "`knobctl status` says whether every knob is back."
    return "Nothing to apply: the best thing to do is nothing."


def _plain(text: str) -> str:
    """A sentence of the terminal without the marks around a command."""
    return text.replace("`", "")


def _share(knob: KnobChange) -> str:
    if knob.share_percent is None:
        return "not known"
    if knob.share_interval is None:
        return percent(knob.share_percent)
    low, high = knob.share_interval
    return f"{percent(knob.share_percent)} ({percent(low)} to {percent(high)})"


def _labelled(record: SessionRecord, word: str) -> str:
    return f"{SIMULATED} {word}" if record.simulated else word


def _sentence(text: str) -> str:
    line = one_line(text, 2000)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
