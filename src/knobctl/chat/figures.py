"""A text and what is known in; the figures in the text that nothing known stands behind out.

A figure is a number in digits or in words, a multiple (``2x``, ``doubled``, ``翻倍``) or a share (``half``,
``三成``). It is founded when the same number, rounded as the text shows it, is in a source; a multiple or a share only
when it stands in a source as such. Signs are ignored. What a figure is said *of* is not understood: a number of the
record beside the wrong noun passes, except that ``plain`` sources vouch for no percentages, multiples and shares.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from knobctl.chat.figure_text import MOST_DIGITS, Figure, figures_in, names_in


def unfounded(text: str, *sources: Any, plain: Sequence[Any] = ()) -> tuple[str, ...]:
    """The figures of a text that are in none of the sources, as they stand in it, each once.

    Versions, and names with digits in them (``ipv4``, ``x86_64``, ``P95``), are no figures; neither are the markers of
    an enumeration at the beginning of a line. A share is not founded by a percentage, or the other way round. Takes
    time in proportion to the length of the text.

    Args:
        text: The words, without control characters.
        sources: JSON-like documents (mappings, sequences, numbers, strings), or text. Numbers inside strings count.
        plain: More of them, that vouch for no multiple or share, and for no percentage but one with its percent sign.
    """
    known = _Known()
    for source in sources:
        known.learn(source, vouches=True)
    for source in plain:
        known.learn(source, vouches=False)
    known.close()
    found = dict.fromkeys(figure.text for figure in figures_in(text, known.names) if not known.holds(figure))
    return tuple(found)


class _Known:
    """What the sources hold."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._phrases: set[str] = set()
        self._exact: set[str] = set()
        self._all: list[float] = []
        self._percents: list[float] = []

    def learn(self, source: Any, *, vouches: bool) -> None:
        pending = [source]
        while pending:
            one = pending.pop()
            if isinstance(one, str):
                self._read(one, vouches)
            elif isinstance(one, Mapping):
                pending += [*one.keys(), *one.values()]
            elif isinstance(one, (list, tuple, set, frozenset)):
                pending += one
            elif isinstance(one, (int, float)) and not isinstance(one, bool):
                self._add(abs(one), vouches)

    def close(self) -> None:
        self._all.sort()
        self._percents.sort()

    def holds(self, figure: Figure) -> bool:
        if figure.value is None:
            return _phrase(figure.text) in self._phrases
        if not math.isfinite(figure.value):
            return False
        if figure.digits:
            return figure.digits in self._exact
        values = self._percents if figure.percent else self._all
        slack = 0.5 * 10.0**-figure.decimals * (1 + 1e-9) + 4e-16 * figure.value
        place = bisect_left(values, figure.value)
        return any(abs(value - figure.value) <= slack for value in values[max(0, place - 1) : place + 1])

    def _read(self, text: str, vouches: bool) -> None:
        for figure in figures_in(text, None):
            if figure.value is None:
                if vouches:
                    self._phrases.add(_phrase(figure.text))
                continue
            self._add(figure.value, vouches or figure.percent)
            if figure.digits:
                self._exact.add(figure.digits)
            bare = re.match(r"[0-9.]+(?=[kKMGBT])", figure.text)
            if bare:
                self._add(float(bare.group(0)), vouches)
        self.names.update(names_in(text))

    def _add(self, value: float, vouches: bool) -> None:
        try:
            number = float(value)
        except OverflowError:
            return
        if not math.isfinite(number):
            return
        if number >= 10**MOST_DIGITS:
            self._exact.add(str(int(value)))
        self._all.append(number)
        if vouches:
            self._percents.append(number)


def _phrase(text: str) -> str:
    return re.sub(r"[\s-]+", " ", text.lower()).strip()
