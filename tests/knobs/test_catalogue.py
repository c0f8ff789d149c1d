"""Looking knobs up, and records that must be refused."""

from typing import Any

import pytest

from knobctl.knobs import Catalogue, Coupling, UnknownKnob
from knobctl.knobs.files import catalogue


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("vm.dirty_ratio", "vm.dirty_ratio"),
        (" vm.dirty_ratio ", "vm.dirty_ratio"),
        ("VM.Dirty_Ratio", "vm.dirty_ratio"),
        ("vm/dirty_ratio", "vm.dirty_ratio"),
        ("/proc/sys/vm/dirty_ratio", "vm.dirty_ratio"),
        ("swappiness", "vm.swappiness"),
        ("vm.page_cluster", "vm.page-cluster"),
        ("block.read_ahead_kb", "block.read_ahead_kb"),
        ("read_ahead_kb", "block.read_ahead_kb"),
        ("/sys/block/sda/queue/read_ahead_kb", "block.read_ahead_kb"),
        ("/sys/block/nvme0n1/queue/scheduler", "block.scheduler"),
        ("/sys/class/block/vda/queue/nr_requests", "block.nr_requests"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "thp.enabled"),
        ("transparent_hugepage", "thp.enabled"),
        ("/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "cpufreq.governor"),
        ("/sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "cpufreq.governor"),
        ("net.ipv4.tcp_wmem", "net.ipv4.tcp_wmem[max]"),
        ("net.ipv4.tcp_wmem[default]", "net.ipv4.tcp_wmem[default]"),
        ("/proc/sys/net/ipv4/tcp_wmem", "net.ipv4.tcp_wmem[max]"),
        ("net.ipv4.ip_local_port_range[low]", "net.ipv4.ip_local_port_range[low]"),
        ("kernel.sem[semmni]", "kernel.sem[semmni]"),
        ("fs.aio_max_nr", "fs.aio-max-nr"),
    ],
)
def test_a_knob_is_found_by_every_spelling(spelling: str, name: str) -> None:
    found = catalogue().find(spelling)
    assert found is not None
    assert found.name == name
    assert catalogue()[spelling] is found
    assert spelling in catalogue()


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("vm.swapiness", "vm.swappiness"),
        ("vm.dirty_ration", "vm.dirty_ratio"),
        ("tcp_rmen", "net.ipv4.tcp_rmem[max]"),
        ("net.ipv4.ip_local_port_range", "net.ipv4.ip_local_port_range[low]"),
        ("/proc/sys/net/core/somaxcon", "net.core.somaxconn"),
    ],
)
def test_an_unknown_name_brings_names_that_look_like_it(name: str, suggestion: str) -> None:
    with pytest.raises(UnknownKnob) as caught:
        catalogue()[name]
    assert caught.value.name == name
    assert suggestion in caught.value.suggestions
    assert len(caught.value.suggestions) == len(set(caught.value.suggestions)) <= 3
    assert str(caught.value) == f"unknown knob {name}"


@pytest.mark.parametrize(
    "name",
    ["", "no.such.thing", "/etc/passwd", "/proc/sys/vm/../../../etc/passwd", "/sys/block/sda/device/delete", "vm"],
)
def test_what_is_not_in_the_catalogue_is_not_found(name: str) -> None:
    assert catalogue().find(name) is None
    assert name not in catalogue()


def test_patterns() -> None:
    assert {knob.name for knob in catalogue().matching("vm.dirty_*ratio")} == {
        "vm.dirty_ratio",
        "vm.dirty_background_ratio",
    }
    assert [knob.name for knob in catalogue().matching("swappiness")] == ["vm.swappiness"]
    assert catalogue().matching("nothing.*") == []
    with pytest.raises(UnknownKnob):
        catalogue().matching("nothing")


RECORD: dict[str, Any] = {
    "name": "vm.some",
    "path": "/proc/sys/vm/some",
    "kind": "integer",
    "summary": "s",
    "why": "w",
    "source": "d",
    "minimum": 0,
    "maximum": {"share": 0.5, "of": "cores", "at_least": 2, "at_most": 8},
}


def test_a_whole_record_is_taken() -> None:
    knob = Catalogue.from_records({"knob": [RECORD]})["vm.some"]
    assert knob.range_on({"cores": 1}) == (0, 2)
    assert knob.range_on({"cores": 10}) == (0, 5)
    assert knob.range_on({"cores": 64}) == (0, 8)
    assert knob.maximum is not None
    assert knob.maximum.describe() == "0.5 x cores (at least 2, at most 8)"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "vm.some: unknown key colour"),
        ({"summary": None}, "vm.some: missing key summary"),
        ({"kind": "float"}, "vm.some: kind is one of integer, choice"),
        ({"scale": "cubic"}, "vm.some: scale is one of linear, log"),
        ({"effect": "soon"}, "vm.some: effect is one of hot, warm, cold"),
        ({"risk": "mild", "risk_reason": "x"}, "vm.some: risk is one of safe, caution, forbidden"),
        ({"risk": "caution"}, "vm.some: every risk but safe has a risk_reason"),
        ({"risk_reason": "x"}, "vm.some: every risk but safe has a risk_reason"),
        ({"path": "/etc/passwd"}, "vm.some: path is below /proc/sys or /sys"),
        ({"path": "/proc/sys/../kcore"}, "vm.some: path has no .."),
        ({"step": 0}, "vm.some: step is at least 1"),
        ({"minimum": None}, "vm.some: an integer has minimum and maximum"),
        ({"kind": "choice", "choices": ["one"]}, "vm.some: a choice has at least two choices"),
        ({"aliases": "some"}, "vm.some: aliases is a list"),
        ({"minimum": "low"}, "a bound is an integer or a table"),
        ({"minimum": True}, "a bound is an integer or a table"),
        ({"minimum": {"share": 0.5, "of": "disks"}}, "a bound has share and of"),
        ({"minimum": {"of": "cores"}}, "a bound has share and of"),
        ({"minimum": {"share": 0.5, "of": "cores", "least": 1}}, "a bound has share and of"),
        ({"twin": "vm.other"}, "vm.some refers to unknown knob vm.other"),
        ({"affects": ["vm.other"]}, "vm.some refers to unknown knob vm.other"),
    ],
)
def test_a_malformed_record_is_refused(change: dict[str, Any], words: str) -> None:
    record = {key: value for key, value in {**RECORD, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=words):
        Catalogue.from_records({"knob": [record]})


def test_a_name_or_an_alias_stands_for_one_knob() -> None:
    with pytest.raises(ValueError, match=r"vm\.some stands twice in the catalogue"):
        Catalogue.from_records({"knob": [RECORD, RECORD]})
    other = {**RECORD, "name": "vm.other", "path": "/proc/sys/vm/other", "aliases": ["vm.some"]}
    with pytest.raises(ValueError, match=r"vm\.some stands for both vm\.some and vm\.other"):
        Catalogue.from_records({"knob": [RECORD, other]})


def test_a_malformed_coupling_is_refused() -> None:
    whole = {"kind": "below", "left": "vm.some", "right": "vm.other", "reason": "r"}
    with pytest.raises(ValueError, match=r"coupling of unknown knob vm\.other"):
        Catalogue.from_records({"knob": [RECORD], "coupling": [whole]})
    with pytest.raises(ValueError, match="a coupling is below or at_most, not above"):
        Coupling.from_record({**whole, "kind": "above"})
    with pytest.raises(ValueError, match="a coupling has kind, left, right, reason, not kind, left, right"):
        Coupling.from_record({key: value for key, value in whole.items() if key != "reason"})


def test_what_a_knob_allows() -> None:
    knob = Catalogue.from_records({"knob": [{**RECORD, "maximum": 9, "special": [-1]}]})["vm.some"]
    assert [knob.allows(value, {}) for value in (-1, 0, 9)] == [True] * 3
    assert [knob.allows(value, {}) for value in (-2, 10, True, "5")] == [False] * 4
    forbidden = Catalogue.from_records({"knob": [{**RECORD, "risk": "forbidden", "risk_reason": "r"}]})["vm.some"]
    assert not forbidden.allows(5, {"cores": 64})
