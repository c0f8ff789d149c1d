"""What a validation finds on its way: problems, missing consent, what is dropped, and what people should know."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from knobctl.errors import ConsentMissing, PlanError


@dataclass(frozen=True)
class Problem:
    """One reason why a plan may not run, and what can be done about it."""

    message: str
    hint: str = ""


@dataclass(frozen=True)
class Unconsented:
    """A command that only its user can approve, in exactly this form.

    Attributes:
        key: The plan's key that holds it.
        text: The command.
        reason: Why knobctl does not approve it by itself.
    """

    key: str
    text: str
    reason: str

    @property
    def problem(self) -> Problem:
        """The same as an error, with the way to give consent."""
        message = f"{self.key} {self.text!r} runs only when you typed it yourself: {self.reason}"
        if self.key == "benchmark_command":
            return Problem(message, f"If you trust it, type it yourself: --command {shlex.quote(self.text)}")
        return Problem(message, "If you trust it, run the plan at a terminal and confirm it there.")


@dataclass
class Findings:
    """Collects while a plan is checked; :meth:`stop_if_any` is the only way past."""

    problems: list[Problem] = field(default_factory=list)
    unconsented: list[Unconsented] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, message: str, hint: str = "") -> None:
        """Records a problem."""
        self.problems.append(Problem(message, hint))

    def drop(self, what: str, why: str) -> None:
        """Records a part of the plan that will not be used."""
        self.dropped.append((what, why))

    def stop_if_any(self) -> None:
        """Raises what was found.

        Raises:
            PlanError: There is a problem; the message names all of them.
            ConsentMissing: Nothing is missing but the user's own consent; the message holds the exact text.
        """
        found = [*self.problems, *(item.problem for item in self.unconsented)]
        if not found:
            return
        message = "; ".join(problem.message for problem in found)
        hint = " ".join(dict.fromkeys(problem.hint for problem in found if problem.hint))
        if self.problems:
            raise PlanError(message, hint)
        raise ConsentMissing(message, hint)
