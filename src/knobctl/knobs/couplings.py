"""A configuration in, the nearest one in which every coupling holds out.

A coupling asks for ``left < right`` or ``left <= right``, so the configurations that satisfy several of them have a
smallest and a largest member below any bound. :func:`repair` uses both: it raises each knob just as far as the smallest
member demands, and then lowers each left side until it fits. That settles chains (min, default and max of a
vector) in one go, and a second repair changes nothing.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence

from knobctl.knobs.catalogue import Coupling
from knobctl.knobs.knob import Value
from knobctl.knobs.space import Dimension

_NO_DIMENSIONS: Mapping[str, Dimension] = {}


def violated(
    configuration: Mapping[str, Value],
    couplings: Sequence[Coupling],
    fixed: Mapping[str, Value],
    dimensions: Mapping[str, Dimension] = _NO_DIMENSIONS,
) -> List[Coupling]:
    """The couplings that do not hold.

    A coupling with an unknown side, a word or a special value of its dimension on one side has nothing to say.
    """
    values = {**configuration, **fixed}
    return [
        coupling
        for coupling in couplings
        if _applies(coupling, values, dimensions)
        and not coupling.holds(_int(values, coupling.left), _int(values, coupling.right))
    ]


def repair(
    configuration: Mapping[str, Value],
    couplings: Sequence[Coupling],
    dimensions: Mapping[str, Dimension],
    fixed: Mapping[str, Value],
) -> Dict[str, Value]:
    """The nearest configuration in which every coupling holds.

    The left side is lowered to fit the right one; where it cannot be (the end of its dimension, or it is not tuned),
    the right side is raised. A value moves only to an ordinary value of its dimension, never to a special one. A
    coupling that cannot hold is left as it is, and the others are still repaired; :func:`violated` tells.

    Args:
        configuration: The values of the tuned knobs; may hold values outside their dimensions, as they were found.
        couplings: The rules; those with an unknown side are ignored.
        dimensions: What each tuned knob may be; a knob without one stays as it is.
        fixed: Values of knobs that are not tuned. They count, and never move.

    Returns:
        The same knobs with their new values.
    """
    given = {**configuration, **fixed}
    applying = [coupling for coupling in couplings if _applies(coupling, given, dimensions)]
    names = {name for coupling in applying for name in (coupling.left, coupling.right)}
    sides = {name: _Side(_int(given, name), None if name in fixed else dimensions.get(name)) for name in names}

    possible: List[Coupling] = []
    least = _least(possible, sides) or {}
    for coupling in applying:
        attempt = _least([*possible, coupling], sides)
        if attempt is not None:
            possible.append(coupling)
            least = attempt

    values = {name: max(side.given, least[name]) for name, side in sides.items()}
    lowered = True
    while lowered:
        lowered = False
        for coupling in possible:
            if not coupling.holds(values[coupling.left], values[coupling.right]):
                fitting = sides[coupling.left].at_most(values[coupling.right] - _gap(coupling))
                assert fitting is not None, "the smallest solution fits, so something does"
                values[coupling.left] = fitting
                lowered = True
    return {name: values.get(name, value) for name, value in configuration.items()}


class _Side:
    """A knob as repair sees it: it may keep its given value or take an ordinary value of its dimension."""

    def __init__(self, given: int, dimension: Optional[Dimension]) -> None:
        self.given = given
        self._dimension = dimension

    def lowest(self) -> int:
        start = self._dimension.at_least(-(2**63)) if self._dimension else None
        return self.given if start is None else min(start, self.given)

    def at_least(self, limit: int) -> Optional[int]:
        found = self._dimension.at_least(limit) if self._dimension else None
        if self.given >= limit:
            return self.given if found is None else min(found, self.given)
        return found

    def at_most(self, limit: int) -> Optional[int]:
        found = self._dimension.at_most(limit) if self._dimension else None
        if self.given <= limit:
            return self.given if found is None else max(found, self.given)
        return found


def _least(couplings: Sequence[Coupling], sides: Mapping[str, _Side]) -> Optional[Dict[str, int]]:
    """The smallest value of each side with which the couplings hold; None when they cannot all hold."""
    values = {name: side.lowest() for name, side in sides.items()}
    # Without a circle every value settles within one round per coupling.
    for _ in range(len(couplings) + 1):
        settled = True
        for coupling in couplings:
            needed = values[coupling.left] + _gap(coupling)
            if values[coupling.right] < needed:
                raised = sides[coupling.right].at_least(needed)
                if raised is None:
                    return None
                values[coupling.right] = raised
                settled = False
        if settled:
            return values
    return None


def _applies(coupling: Coupling, values: Mapping[str, Value], dimensions: Mapping[str, Dimension]) -> bool:
    for name in (coupling.left, coupling.right):
        value = values.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        if name in dimensions and value in dimensions[name].special:
            return False
    return True


def _gap(coupling: Coupling) -> int:
    return 1 if coupling.kind == "below" else 0


def _int(values: Mapping[str, Value], name: str) -> int:
    value = values[name]
    assert isinstance(value, int), "couplings of words do not apply"
    return value
