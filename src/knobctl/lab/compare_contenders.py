"""Who is compared: a name in, the searcher with its settings out."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from knobctl.errors import UsageError
from knobctl.search.registry import OPTIONAL, SEARCHERS


@dataclass(frozen=True)
class Contender:
    """A searcher with its settings.

    Attributes:
        name: In tables.
        searcher: As in ``--searcher``, or ``module:object``.
        summary: What it is, a few words.
        options: Further arguments of :func:`~knobctl.lab.session.run_session`.
        needs: A module that has to be installed for it.
        remembers: What it has from earlier sessions: one of :data:`~knobctl.lab.compare_memory.KINDS`, or nothing.
    """

    name: str
    searcher: str
    summary: str
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    remembers: str = ""


CONTENDERS: Mapping[str, Contender] = {
    contender.name: contender
    for contender in (
        Contender("sappo", "sappo", "PPO trained in a surrogate, the surrogate chooses"),
        Contender("sappo-no-actor", "sappo", "the same without PPO", {"actor": False}),
        Contender("ppo-8", "ppo", "PPO on the real runs, an update every 8", {"training": {"n_steps": 8}}),
        Contender("ppo-2048", "ppo", "the same as SB3 has it: an update every 2048", {"training": {"n_steps": 2048}}),
        Contender("tpe", "tpe", "Optuna's TPE, multivariate"),
        Contender("gp", "gp", "Optuna's Gaussian process"),
        Contender("cmaes", "cmaes", "Optuna's CMA-ES"),
        Contender("smac", "smac", "SMAC3, random forest", needs="smac"),
        Contender("random", "random", "anywhere"),
        Contender("one-at-a-time", "one-at-a-time", "each knob alone, then the best together, then finer"),
        Contender(
            "sappo-related",
            "sappo",
            "sappo that remembers ten sessions on machines of the same kind",
            remembers="related",
        ),
        Contender(
            "sappo-unrelated", "sappo", "sappo that remembers ten sessions which mislead it", remembers="unrelated"
        ),
    )
}
"""By name."""

FLAGSHIP, ABLATED = "sappo", "sappo-no-actor"
RELATED, UNRELATED = "sappo-related", "sappo-unrelated"
VANILLA = ("ppo-8", "ppo-2048")
PEERS = ("tpe", "gp", "cmaes", "smac")
"""The model-based searchers that the flagship is measured against."""


def contender(name: str) -> Contender:
    """The contender of this name; ``module:object`` is one of your own.

    Raises:
        UsageError: There is none, or what it needs is not installed.
    """
    if ":" in name:
        return Contender(name, name, "a searcher of your own")
    found = CONTENDERS.get(name)
    if found is None or found.searcher not in SEARCHERS + OPTIONAL:
        raise UsageError(f"unknown contender {name!r}", f"Known: {', '.join(known())}; or module:object.")
    if found.needs and importlib.util.find_spec(found.needs) is None:
        raise UsageError(f"{name} needs {found.needs}, which is not installed", f"pip install 'knobctl[{found.needs}]'")
    return found


def known() -> tuple[str, ...]:
    """The names that this version knows."""
    return tuple(name for name, each in CONTENDERS.items() if each.searcher in SEARCHERS + OPTIONAL)


def usual() -> tuple[str, ...]:
    """The names of those that play when nobody is named: all that can play here and remember nothing."""
    return tuple(
        name
        for name in known()
        if not CONTENDERS[name].remembers
        and (not CONTENDERS[name].needs or importlib.util.find_spec(CONTENDERS[name].needs))
    )


def contenders(names: Sequence[str]) -> list[Contender]:
    """The contenders of these names, each once.

    Raises:
        UsageError: As :func:`contender`.
    """
    return [contender(name) for name in dict.fromkeys(names)]
