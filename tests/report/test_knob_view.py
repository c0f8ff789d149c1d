"""Knobs and their states in, a table or an explanation out."""

from __future__ import annotations

from knobctl.knobs import KnobState
from knobctl.knobs.files import catalogue
from knobctl.report.knob_view import describe_knob, describe_knobs

QUANTITIES = {"memory_bytes": 24 * 2**30, "memory_kib": 24 * 2**20, "memory_pages": 6 * 2**20, "cores": 2}


def here(name: str, value: int | str, raw: str = "", **more: str) -> KnobState:
    knob = catalogue()[name]
    return KnobState(knob.name, True, not more, value, raw or str(value), (knob.path,), knob.choices, **more)


def test_the_table_says_what_can_be_tuned_here_and_why_not() -> None:
    knobs = catalogue()
    caution = next(knob for knob in knobs if knob.risk == "caution")
    forbidden = next(knob for knob in knobs if knob.risk == "forbidden")
    states = {
        "vm.dirty_ratio": here("vm.dirty_ratio", 20),
        "vm.swappiness": here("vm.swappiness", 60, reason="/proc/sys is read-only"),
        "thp.enabled": KnobState("thp.enabled", False, False),
        caution.name: KnobState(caution.name, True, True, caution.default or 0, "1", (caution.path,), caution.choices),
        forbidden.name: KnobState(forbidden.name, True, True, 1, "1", (forbidden.path,)),
    }
    table = describe_knobs([knobs[name] for name in states], states, QUANTITIES).splitlines()
    assert table[0].split() == [
        "knob", "now", "range", "here", "unit", "effect", "risk", "can", "be", "tuned", "here",
    ]  # fmt: skip
    rows = {line.split()[0]: line for line in table[1:]}
    assert rows["vm.dirty_ratio"].split() == ["vm.dirty_ratio", "20", "2", "..", "80", "percent", "hot", "safe", "yes"]
    assert rows["vm.swappiness"].endswith("no: /proc/sys is read-only")
    assert rows["thp.enabled"].endswith("no: this kernel does not have it")
    assert " absent " in rows["thp.enabled"]
    assert rows[caution.name].endswith(f"when named: {caution.risk_reason}")
    assert rows[forbidden.name].endswith(f"never: {forbidden.risk_reason}")


def test_one_knob_is_explained_with_lines_to_paste() -> None:
    knob = catalogue()["vm.dirty_ratio"]
    text = describe_knob(knob, here("vm.dirty_ratio", 20), QUANTITIES, catalogue())
    assert text.startswith(f"vm.dirty_ratio: {knob.summary}\n")
    for words in (
        "now             20", "range here      2 .. 80", "unit            percent", knob.why, knob.source,
        "other face      vm.dirty_bytes (writing one zeroes the other)",
        "rules           vm.dirty_background_ratio < vm.dirty_ratio (",
        "set it to this  sysctl -w vm.dirty_ratio=20", "look at it      cat /proc/sys/vm/dirty_ratio",
    ):  # fmt: skip
        assert words in text


def test_a_vector_is_pasted_whole() -> None:
    knobs = catalogue()
    state = here("net.ipv4.tcp_wmem[max]", 4194304, "4096\t16384\t4194304")
    text = describe_knob(knobs["net.ipv4.tcp_wmem[max]"], state, QUANTITIES, knobs)
    assert "sysctl -w net.ipv4.tcp_wmem='4096 16384 4194304'" in text


def test_a_choice_below_sys_is_pasted_as_echo() -> None:
    knobs = catalogue()
    text = describe_knob(
        knobs["thp.enabled"], here("thp.enabled", "madvise", "always [madvise] never"), QUANTITIES, knobs
    )
    assert "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled" in text
    assert "range here      always, madvise, never" in text


def test_the_face_that_is_not_in_use_has_no_line_to_paste() -> None:
    knobs = catalogue()
    text = describe_knob(knobs["vm.dirty_bytes"], here("vm.dirty_bytes", 0), QUANTITIES, knobs)
    assert "sysctl -w" not in text


def test_every_knob_of_the_catalogue_can_be_shown() -> None:
    knobs = catalogue()
    for knob in knobs:
        absent = KnobState(knob.name, False, False, reason="not in this kernel")
        assert "not in this kernel" in describe_knob(knob, absent, QUANTITIES, knobs) or knob.risk == "forbidden"
    states = {knob.name: KnobState(knob.name, False, False) for knob in knobs}
    assert len(describe_knobs(list(knobs), states, QUANTITIES).splitlines()) == len(knobs) + 1
