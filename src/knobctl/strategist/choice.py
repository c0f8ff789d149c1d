"""What a request says (words, and the command given beside them) in, the playbook that fits and the reasons out.

Nothing is guessed: words that fit no playbook are refused with the list of what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from knobctl.errors import RequestNotUnderstood
from knobctl.strategist.files import Playbook, Unsupported, intents, playbooks
from knobctl.strategist.request import Hints, outside_counts, outside_urls
from knobctl.strategist.wording import found

_CLOSE = 2
"""Playbooks whose scores are this close are both mentioned."""


@dataclass(frozen=True)
class Choice:
    """The playbook that was chosen.

    Attributes:
        playbook: The playbook; None when only the options beside the words say what to do.
        why: The reasons, one sentence each.
        notes: What else the words could mean, one sentence each.
    """

    playbook: Playbook | None
    why: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What the words and the command say by themselves.

    Attributes:
        choice: The playbook that they choose; None when they do not say enough.
        candidates: All playbooks that the words allow, best first; empty when they allow any.
        problem: Why there is no choice; empty when there is one.
        hint: What could be said instead.
        hopeless: No reading of these words is something that knobctl does, so nobody else needs to be asked.
    """

    choice: Choice | None
    candidates: tuple[Playbook, ...]
    problem: str = ""
    hint: str = ""
    hopeless: bool = False

    def allows(self, playbook: Playbook, hints: Hints) -> bool:
        """Whether the words leave room for this playbook: it fits them, or is of the same kind as what fits best."""
        if found(playbook.excluded, outside_urls(hints.wording.meant)):
            return False
        return not self.candidates or playbook in self.candidates or playbook.kind == self.candidates[0].kind


@dataclass(frozen=True)
class _Fit:
    playbook: Playbook
    score: int
    matched: tuple[str, ...]
    named: bool


def choose(hints: Hints, argv: Sequence[str], has_knobs: bool) -> Choice:
    """The playbook for a request.

    Args:
        hints: What was read from the words.
        argv: The command that was given beside the words; empty when there is none.
        has_knobs: Knobs were named beside the words, so a command needs no playbook.

    Raises:
        RequestNotUnderstood: Neither the words nor the options say what to tune for.
    """
    reading = read_choice(hints, argv, has_knobs)
    if reading.choice is None:
        raise RequestNotUnderstood(reading.problem, reading.hint)
    return reading.choice


def read_choice(hints: Hints, argv: Sequence[str], has_knobs: bool) -> Reading:
    """As :func:`choose`, with everything that was seen on the way, and nothing raised."""
    text = outside_urls(hints.wording.meant)
    by_command = playbook_of_command(argv) if argv else None
    refusal = _refusal(text)
    fits = [] if refusal else _fits(hints)
    strangers = tuple(product for product in intents().unsupported if found(product.words, text))
    if strangers:
        fits = [fit for fit in fits if fit.named]
    candidates = tuple(fit.playbook for fit in fits)
    hopeless = bool(found(intents().never, text)) or bool(strangers and not fits and not argv)
    if fits:
        return Reading(_chosen(fits, strangers, by_command, text), candidates)
    if by_command:
        why = f"The command is the workload of playbook {by_command.name}."
        return Reading(Choice(by_command, (why,)), (by_command,))
    if argv and has_knobs:
        return Reading(Choice(None, ("The command and the knobs were given, so no playbook was needed.",)), ())
    if argv:
        problem = f"neither the words nor the command {argv[0][:80]!r} say which knobs may matter"
        hint = "Add --knobs, for example --knobs 'vm.*', or say what kind of work the command does."
        return Reading(None, (), problem, hint, hopeless)
    if strangers:
        problem = f"knobctl knows of {_listed(strangers)}, but has no workload for it: {strangers[0].advice}."
        return Reading(None, (), problem, _abilities(), hopeless)
    said = " ".join(hints.wording.text.split())[:80]
    problem = (
        f"{f'“{said}”' if said else 'an empty request'} does not say which workload to tune for"
        f"{f' ({refusal})' if refusal else ''}"
    )
    return Reading(None, (), problem, _abilities(), hopeless or not said)


def _chosen(fits: list[_Fit], strangers: Sequence[Unsupported], by_command: Playbook | None, text: str) -> Choice:
    best, *others = fits
    why = [f"The words {_quoted(best.matched)} choose playbook {best.playbook.name}: {best.playbook.title}."]
    notes = [
        f"Playbook {other.playbook.name} is close: ask for “{other.playbook.ask}” to get it."
        for other in others
        if best.score - other.score <= _CLOSE
    ]
    if best.playbook.unnamed and not best.named:
        notes.append(best.playbook.unnamed)
    if strangers:
        notes.append(f"Nothing is done for {_listed(strangers)}: knobctl has no workload for it.")
    if said := found(intents().deeds, text):
        notes.append(f"knobctl measures and turns kernel settings; what {_quoted(said)} asks for is not done.")
    if by_command and by_command is not best.playbook:
        notes.append(
            f"The command is the workload of playbook {by_command.name}, the words chose {best.playbook.name}: "
            "the command is measured, the knobs are those of the words."
        )
    return Choice(best.playbook, tuple(why), tuple(notes))


def _fits(hints: Hints) -> list[_Fit]:
    """Playbooks that fit, best first. “64 threads” chooses one only when nothing else in the words does."""
    text = outside_urls(hints.wording.meant)
    fits = _fitting(outside_counts(text), hints) or _fitting(text, hints)
    names = {fit.playbook.name for fit in fits}
    return sorted(fits, key=lambda fit: (not names.isdisjoint(fit.playbook.behind), -fit.score, fit.playbook.order))


def _fitting(text: str, hints: Hints) -> list[_Fit]:
    fits = []
    for playbook in playbooks():
        if found(playbook.excluded, text):
            continue
        score, named, matched = 0, False, []
        for group in playbook.words:
            words = found(group.any, text)
            if words or (group.hint and getattr(hints, group.hint)):
                score += group.weight
                named = named or group.named
                matched += [word for word in words or (group.hint.replace("_", " "),) if word not in matched]
            elif group.required:
                break
        else:
            fits.append(_Fit(playbook, score, tuple(matched), named))
    return fits


def playbook_of_command(argv: Sequence[str]) -> Playbook | None:
    """The playbook whose workload a command is: the one that recognises most of it. There has to be a first word."""
    words = {PurePosixPath(argv[0]).name, *argv[1:]}
    known = [each for each in playbooks() if all(words.intersection(tell) for tell in each.tells)]
    return max(known, key=lambda each: (len(each.tells), -each.order), default=None)


def _refusal(text: str) -> str:
    """Why this is no request to tune anything; empty when it may be one."""
    words = intents()
    if said := found(words.never, text):
        return f"knobctl has nothing to do with {_quoted(said)}"
    if (said := found((*words.questions, *words.deeds), text)) and not found(words.tuning, text):
        return f"knobctl tunes kernel settings and does nothing about {_quoted(said)}"
    return ""


def _abilities() -> str:
    lines = "\n".join(f"  {each.name:<22} {' / '.join(each.examples)}" for each in playbooks())
    return (
        f"knobctl can tune for these workloads; say for example:\n{lines}\n"
        "Or give a benchmark of your own: --command, --metric-pattern, --direction and --knobs."
    )


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f"“{word.rstrip('*')}”" for word in words[:5])


def _listed(products: Sequence[Unsupported]) -> str:
    return " and ".join(product.title for product in products[:3])
