"""The same sessions twice, with and without cutting runs short: time saved, and gain lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from knobctl.lab.study_case import Case, Played
from knobctl.lab.study_figures import Average, Check, Findings, Session, Table, noises_of
from knobctl.stats import log_effect

PART = "search"
FAMILIES = ("few", "many", "cliff", "crash", "wounded", "single")
SEARCHERS = ("tpe", "random")
LEAST_SAVED, MOST_LOST = 20.0, 3.0


@dataclass(frozen=True)
class Pair:
    """A session with cutting short, and the same one without.

    Attributes:
        case: What was played.
        cut: With cutting short.
        whole: Without.
    """

    case: Case
    cut: Played
    whole: Played

    @property
    def saved(self) -> float:
        """Share of the search's time that was saved, percent."""
        return 100.0 * (1.0 - self.cut.search_seconds / self.whole.search_seconds)

    @property
    def gained(self) -> float:
        """Gain of the candidate with cutting short less that without, in log score, times 100."""
        return 100.0 * (_gain(self.cut) - _gain(self.whole))

    @property
    def gained_share(self) -> float:
        """The same in percent of what there was to gain."""
        return self.gained / log_effect(self.whole.optimum)


def cases(sessions: int, noises: Sequence[str], seed: int) -> list[Case]:
    """So many pairs under each noise."""
    found = []
    for noise in noises:
        for number in range(sessions):
            family = FAMILIES[number % len(FAMILIES)]
            searcher = SEARCHERS[number // len(FAMILIES) % len(SEARCHERS)]
            case = Case(PART, PART, family, noise, seed + number, searcher)
            found += [case, replace(case, cut_short=False)]
    return found


def pairs_of(sessions: Sequence[Session]) -> list[Pair]:
    """Sessions that were played both ways and began in both."""
    known = dict(sessions)
    pairs = []
    for case, played in sessions:
        other = known.get(replace(case, cut_short=False))
        if case.cut_short and other is not None and other.search_seconds > 0 and played.search_seconds > 0:
            pairs.append(Pair(case, played, other))
    return pairs


def findings(sessions: Sequence[Session]) -> Findings:
    """Time saved and gain lost, by noise, searcher and family."""
    checks: list[Check] = []
    rows = []
    for noise in noises_of(sessions):
        pairs = [pair for pair in pairs_of(sessions) if pair.case.noise == noise]
        saved = Average.over([pair.saved for pair in pairs])
        share = Average.over([pair.gained_share for pair in pairs])
        checks += [
            Check(
                f"{noise}: cutting short saves at least {LEAST_SAVED:g} % of the search's time",
                f"{saved.text()}, {saved.of} pairs",
                None if saved.mean is None else saved.mean >= LEAST_SAVED,
            ),
            Check(
                f"{noise}: without loss: the interval of the difference, in percent of the gain that was possible, "
                f"holds 0 or more, and excludes a loss of {MOST_LOST:g}",
                share.text(),
                None if share.mean is None else share.high >= 0.0 and share.low > -MOST_LOST,
            ),
        ]
        rows.append(_row(noise, "all", pairs))
        rows += [_row(noise, name, [pair for pair in pairs if pair.case.searcher == name]) for name in SEARCHERS]
        rows += [_row(noise, name, [pair for pair in pairs if pair.case.family == name]) for name in FAMILIES]
    return Findings(
        tuple(checks),
        (
            Table(
                "The same sessions with cutting short, against without",
                ("noise", "searcher or family", "pairs", "runs cut", "search time saved", "gain of the candidate",
                 "in percent of what was possible"),
                tuple(rows),
                "The gain is the true one, as a difference of log scores times 100, about percent; a session without "
                "a candidate, or whose candidate makes the benchmark fail, gains 0.",
            ),
        ),
    )  # fmt: skip


def _row(noise: str, group: str, pairs: Sequence[Pair]) -> tuple[str, ...]:
    cut = sum(pair.cut.cut for pair in pairs) / len(pairs) if pairs else 0.0
    return (
        noise,
        group,
        str(len(pairs)),
        f"{cut:.1f}",
        Average.over([pair.saved for pair in pairs]).text(),
        Average.over([pair.gained for pair in pairs]).text(""),
        Average.over([pair.gained_share for pair in pairs]).text(),
    )


def _gain(played: Played) -> float:
    return 0.0 if played.true is None else log_effect(played.true)
