"""A recorded session in, the text of its page out.

Everything that comes from a record is foreign: each piece of text loses control characters, keys and passwords on its
way into the page, and is escaped there. The page may load nothing, and run nothing but the script whose hash it names.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import metadata, resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from knobctl.errors import KnobctlError
from knobctl.events import NoiseMeasured, SessionStarted, Trial
from knobctl.knobs.files import catalogue
from knobctl.plan import ActionSpec, parse_plan
from knobctl.report.conversation_view import describe_conversation
from knobctl.report.page import contents
from knobctl.report.page.frame import Figure
from knobctl.report.page.importance import importance_figure
from knobctl.report.page.machine import machine_figure
from knobctl.report.page.scores import Baseline, baseline_of, scores_figure
from knobctl.report.page.slices import slices_figure, tuned_knobs
from knobctl.report.page.text import safe
from knobctl.report.page.verification import effect_figure, pairs_figure
from knobctl.report.page.within import within_figure
from knobctl.report.session_view import RecordedSession

MARK = '<meta name="generator" content="knobctl'
"""Stands near the beginning of every page, and of nothing else."""

_TEMPLATES = "templates"


def render(session: RecordedSession) -> str:
    """The page, complete. A session that is running, failed, was interrupted or has no trial has one too."""
    record, result = session.record, session.record.result
    started, noise = session.first(SessionStarted), session.first(NoiseMeasured)
    metric = result.metric if result else started.metric if started else "score"
    unit = result.unit if result else started.unit if started else ""
    direction = result.direction if result else started.direction if started else "maximize"
    baseline = baseline_of(session.trials, noise)
    script, style = _file("page.js"), _file("style.css")
    conversation = session.conversation
    return _environment().get_template("page.html").render(
        record=record,
        result=result,
        version=metadata.version("knobctl"),
        script=Markup(script),  # noqa: S704 - a file of this package
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(style),  # noqa: S704 - a file of this package
        headline=contents.headline(session),
        effect=effect_figure(result) if result else None,
        changes=contents.changes(result),
        commands=contents.commands(session),
        again=contents.commands_again(record),
        figures=_figures(session, baseline, metric, unit, direction),
        noise=contents.noise_facts(noise, result),
        rows=contents.trial_rows(session.trials, baseline, unit, direction),
        effort=contents.effort_facts(session),
        machine=contents.machine_facts(record),
        plan=contents.readable_plan(record.plan),
        conversation=describe_conversation(conversation) if conversation else "",
        notes=contents.notes(session),
    )  # fmt: skip


def _figures(
    session: RecordedSession, baseline: Baseline | None, metric: str, unit: str, direction: str
) -> tuple[Figure, ...]:
    result, trials = session.record.result, _without_holes(session.trials)
    found = {knob.name: knob.found for knob in result.knobs} if result else {}
    proposed = result.candidate_config if result else {}
    knobs = tuned_knobs(_actions(session), catalogue(), trials, found, proposed)
    importance = dict(result.importance) if result else {}
    ranked = sorted(knobs, key=lambda knob: -importance.get(knob.name, 0.0))
    none_yet = "The session has not come so far."
    return (
        scores_figure(trials, baseline, metric, unit, direction),
        pairs_figure(session.pairs, "Nothing was verified, so no gain can be claimed." if result else none_yet),
        importance_figure(
            importance,
            "There were too few runs to tell, or the session was recorded before this was kept."
            if result
            else none_yet,
        ),
        slices_figure(ranked, trials, baseline, direction),
        machine_figure(trials),
        within_figure(trials, f"{metric} ({unit})" if unit else metric),
    )


def _without_holes(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    """Trials whose numbers can be drawn."""
    largest = 1e300
    return tuple(trial for trial in trials if trial.score is None or abs(trial.score) < largest)


def _actions(session: RecordedSession) -> tuple[ActionSpec, ...]:
    """The knobs of the plan; none when the plan is from another version and cannot be read."""
    try:
        return parse_plan(session.record.plan).action_space
    except KnobctlError:
        return ()


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("knobctl.report.page", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_finalize,
    )


def _finalize(value: Any) -> Any:
    """What is put into the page: drawings as they are, everything else as clean text, which is escaped after this."""
    return value if hasattr(value, "__html__") else safe(str(value))


def _file(name: str) -> str:
    return (resources.files("knobctl.report.page") / _TEMPLATES / name).read_text(encoding="utf-8")
