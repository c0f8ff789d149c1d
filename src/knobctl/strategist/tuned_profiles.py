"""A proposal and the TuneD profiles of its machine in, the proposal with what they set among its suggestions out.

A profile is somebody's considered configuration for a kind of work, so it is worth a trial. Only knobs of the plan's
action space are taken from it, with values that the plan explores; the profile itself is never switched on.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from knobctl.knobs import Catalogue, Knob, KnobState, Value, codec
from knobctl.plan import ActionSpec, Suggestion
from knobctl.strategist.actions import inside
from knobctl.strategist.base import Proposal
from knobctl.strategist.choice import playbook_of_command
from knobctl.strategist.files import playbooks
from knobctl.target import HostFacts
from knobctl.target.profiles import Profile, ProfileSetting

MOST_PROFILES = 3
"""So many different configurations of profiles are suggested; each costs a trial."""

MOST_SUGGESTIONS = 20
"""A plan holds no more."""

_FOR_ANY_WORK = ("throughput-performance",)
_FOR_A_GUEST = ("virtual-guest",)
_NO_GUEST = ("", "none", "container")

OPTIONS = {
    ("vm", "transparent_hugepages"): "thp.enabled",
    ("vm", "transparent_hugepage"): "thp.enabled",
    ("vm", "transparent_hugepage.defrag"): "thp.defrag",
    ("vm", "dirty_ratio"): "vm.dirty_ratio",
    ("vm", "dirty_background_ratio"): "vm.dirty_background_ratio",
    ("vm", "dirty_bytes"): "vm.dirty_bytes",
    ("vm", "dirty_background_bytes"): "vm.dirty_background_bytes",
    ("disk", "elevator"): "block.scheduler",
    ("disk", "readahead"): "block.read_ahead_kb",
    ("cpu", "governor"): "cpufreq.governor",
    ("cpu", "energy_performance_preference"): "cpufreq.energy_performance_preference",
    ("cpu", "min_perf_pct"): "intel_pstate.min_perf_pct",
}
"""Options of TuneD's plugins vm, disk and cpu that set a knob of the catalogue: by section and key."""

_SECTORS = re.compile(r"([<>]?)(\d{1,9})\s*s")
_PERCENT = re.compile(r"(\d{1,3})\s*%")


def fitting(proposal: Proposal, facts: HostFacts) -> tuple[str, ...]:
    """Names of the profiles that were made for the work of a plan, the best fit first, then for such a machine."""
    kind, _, name = proposal.source.partition(":")
    playbook = next((each for each in playbooks() if (kind, name) == ("playbook", each.name)), None)
    if playbook is None:
        playbook = playbook_of_command(shlex.split(proposal.plan.benchmark_command))
    guest = () if facts.virtualization in _NO_GUEST else _FOR_A_GUEST
    return tuple(dict.fromkeys((*(playbook.tuned if playbook else _FOR_ANY_WORK), *guest)))


def with_profiles(
    proposal: Proposal, profiles: Sequence[Profile], states: Mapping[str, KnobState], catalogue: Catalogue
) -> Proposal:
    """The proposal with up to :data:`MOST_PROFILES` suggestions behind its own, and a note on each broken profile.

    Args:
        proposal: Any.
        profiles: Of its machine, the most trusted first.
        states: How each knob stands there; what a profile sets and the machine has already is no suggestion.
        catalogue: The knobs.
    """
    plan = proposal.plan
    specs = {spec.param: spec for spec in plan.action_space}
    found: list[tuple[dict[str, Value], list[Profile]]] = []
    for profile in profiles:
        changes = _changes(profile, specs, states, catalogue)
        alike = next((who for configuration, who in found if configuration == changes), None)
        if alike is not None:
            alike.append(profile)
        elif changes and len(found) < MOST_PROFILES:
            found.append((changes, [profile]))
    notes = [f"TuneD's profile {each.name} is passed over: {each.problem}." for each in profiles if each.problem]
    more = [Suggestion(configuration=configuration, reason=_reason(who)) for configuration, who in found]
    suggestions = (*plan.suggestions, *more)[:MOST_SUGGESTIONS]
    return replace(proposal, plan=plan.model_copy(update={"suggestions": suggestions}), notes=(*proposal.notes, *notes))


def _reason(profiles: Sequence[Profile]) -> str:
    names = [f"{each.name} ({'active' if each.active else 'installed'} here)" for each in profiles]
    return f"TuneD's profile{'s' if len(names) > 1 else ''} {' and '.join(names)}."


def _changes(
    profile: Profile, specs: Mapping[str, ActionSpec], states: Mapping[str, KnobState], catalogue: Catalogue
) -> dict[str, Value]:
    """What a profile would change of the knobs of the plan."""
    wanted: dict[str, Value] = {}
    for setting in profile.settings:
        for knob, text in _assignments(setting, states, catalogue):
            value = _value(knob, text, states.get(knob.name))
            if value is not None:
                wanted.pop(knob.twin, None)  # the face that is written last is in force
                wanted[knob.name] = value
    return {
        name: value
        for name, value in wanted.items()
        if name in specs and inside(specs[name], value) and states[name].value != value
    }


def _assignments(
    setting: ProfileSetting, states: Mapping[str, KnobState], catalogue: Catalogue
) -> Iterator[tuple[Knob, str]]:
    """The knobs that a line sets, each with the text of its file."""
    key, value = setting.key, setting.value
    if setting.kind in ("sysctl", "scheduler"):
        path = _sysctl_path(key if setting.kind == "sysctl" else f"kernel.{key}")
        yield from ((knob, value) for knob in catalogue if knob.path == path)
    elif setting.kind == "sysfs":
        for knob in catalogue:
            state = states.get(knob.name)
            if state is not None and any(fnmatchcase(path, key) for path in state.paths):
                yield knob, value
    elif name := OPTIONS.get((setting.kind, key)):
        if (share := _PERCENT.fullmatch(value)) and name.endswith("_bytes"):
            name, value = name.replace("_bytes", "_ratio"), share[1]
        elif (sectors := _SECTORS.fullmatch(value)) and name == "block.read_ahead_kb":
            value = f"{sectors[1]}{int(sectors[2]) // 2}"
        if (known := catalogue.find(name)) is not None:
            yield known, value


def _sysctl_path(key: str) -> str:
    """The kernel file of a key: the first separator says whether dots or slashes separate (sysctl.d(5))."""
    first = next((mark for mark in key if mark in "./"), "/")
    if first == ".":
        key = key.translate(str.maketrans("./", "/."))
    return f"/proc/sys/{key}"


def _value(knob: Knob, text: str, state: KnobState | None) -> Value | None:
    """The value that a line gives a knob; None when it leaves the knob alone, or has none."""
    if knob.kind == "choice":
        # The kernel knows mq-deadline by its old name too (block/mq-deadline.c, elevator_alias).
        return "mq-deadline" if (knob.name, text) == ("block.scheduler", "deadline") else text
    only, number = (text[0], text[1:]) if text[0] in "<>" else ("", text)
    if knob.field is None and len(number.split()) != 1:
        return None
    try:
        value = codec.parse(knob, number)
    except ValueError:
        return None
    now = state.value if state is not None else None
    if only and isinstance(value, int) and isinstance(now, int) and (value < now if only == ">" else value > now):
        return None
    return value
