from __future__ import annotations

from typing import Any

import pytest

from knobctl.knobs.files import catalogue
from knobctl.strategist.repair_knobs import MOST_ENTRIES, RepairedKnobs, application_of, find_knob, repair_knobs
from tests.strategist.machine import Machine, machine_of
from tests.strategist.test_repair import brief_of


def knobs_of(raw: Any, text: str = "PostgreSQL", machine: Machine | None = None) -> RepairedKnobs:
    return repair_knobs(raw, brief_of(text, machine))


def names(repaired: RepairedKnobs) -> list[str]:
    return [spec.param for spec in repaired.specs]


class TestNames:
    """Names as models write them."""

    @pytest.mark.parametrize("knob", [knob.name for knob in catalogue()])
    def test_every_knob_is_found_by_its_own_name(self, knob: str) -> None:
        found, value = find_knob(knob, catalogue())
        assert found is not None
        assert found.name == knob
        assert value == ""

    @pytest.mark.parametrize(
        ("written", "name", "value"),
        [
            ("swappiness", "vm.swappiness", ""),
            ("vm.swappiness = 10", "vm.swappiness", "10"),
            ("sysctl -w vm.swappiness=10", "vm.swappiness", "10"),
            ("sudo sysctl -w vm.swappiness='10'", "vm.swappiness", "10"),
            ("`vm.swappiness`:", "vm.swappiness", ""),
            ("**vm.swappiness**", "vm.swappiness", ""),
            ("“vm.swappiness”", "vm.swappiness", ""),
            (" /proc/sys/vm/swappiness ", "vm.swappiness", ""),
            ("proc/sys/vm/swappiness", "vm.swappiness", ""),
            ("proc.sys.vm.swappiness", "vm.swappiness", ""),
            ("VM/SWAPPINESS", "vm.swappiness", ""),
            ("sched_nr_migrate", "kernel.sched_nr_migrate", ""),
            ("ipv4.tcp_retries2", "net.ipv4.tcp_retries2", ""),
            ("xfs.xfssyncd_centisecs", "fs.xfs.xfssyncd_centisecs", ""),
            ("/sys/kernel/mm/transparent_hugepage/enabled", "thp.enabled", ""),
            ("sys.kernel.mm.transparent_hugepage.enabled", "thp.enabled", ""),
            ("/sys/block/nvme0n1/queue/scheduler", "block.scheduler", ""),
            ("net.core.default-qdisc", "net.core.default_qdisc", ""),
            ("tcp_rmem[min]", "net.ipv4.tcp_rmem[min]", ""),
            ("net.ipv4.tcp_rmem", "net.ipv4.tcp_rmem[max]", ""),
        ],
    )
    def test_a_name_with_one_meaning(self, written: str, name: str, value: str) -> None:
        knob, said = find_knob(written, catalogue())
        assert knob is not None
        assert (knob.name, said) == (name, value)

    @pytest.mark.parametrize(
        "written",
        ["", ".", "/", "=", "=5", "vm", "vm.", "vm.*", "ratio", "swapiness", "enabled", "pages_to_scan", "governors",
         "ip_local_port_range", "vm.swappiness.max", "/etc/sysctl.conf", "vm swappiness", "ｖｍ.swappiness", "\x1b"],
    )  # fmt: skip
    def test_a_name_with_none_or_several(self, written: str) -> None:
        assert find_knob(written, catalogue())[0] is None


class TestApplications:
    """Names of settings that belong to applications."""

    @pytest.mark.parametrize(
        ("name", "title"),
        [
            ("shared_buffers", "PostgreSQL"),
            ("synchronous_commit", "PostgreSQL"),
            ("pg.anything_at_all", "PostgreSQL"),
            ("postgresql.conf/wal_buffers", "PostgreSQL"),
            ("max_connections", "PostgreSQL or MySQL"),
            ("InnoDB_Flush_Log_At_Trx_Commit", "MySQL"),
            ("worker-connections", "nginx"),
            ("MaxRequestWorkers", "Apache httpd"),
            ("appendfsync", "Redis"),
            ("-XX:MaxGCPauseMillis", "the Java virtual machine"),
            ("wiredTigerCacheSizeGB", "MongoDB"),
            ("vm.swappiness", ""),
            ("made_up", ""),
        ],
    )
    def test_whose_setting_it_is(self, name: str, title: str) -> None:
        assert application_of(name) == title

    @pytest.mark.parametrize("knob", [knob.name for knob in catalogue()])
    def test_no_knob_is_taken_for_one(self, knob: str) -> None:
        assert application_of(knob) == ""
        assert application_of(knob.rpartition(".")[2]) == ""


class TestWhatIsDropped:
    """Reasons that the machine gives."""

    def test_a_knob_that_the_machine_does_not_have_or_cannot_write(self) -> None:
        machine = machine_of().without("vm.stat_interval")
        machine = machine.with_state("vm.vfs_cache_pressure", writable=False, reason="read-only file system")
        machine = machine.with_state("block.scheduler", choices=("none",), value="none")
        repaired = knobs_of(["vm.stat_interval", "vm.vfs_cache_pressure", "scheduler", "dirty_ratio"], machine=machine)
        assert names(repaired) == ["vm.dirty_ratio"]
        assert repaired.dropped == (
            ("vm.stat_interval", "this kernel does not have it"),
            ("vm.vfs_cache_pressure", "read-only file system"),
            ("block.scheduler", "the kernel offers nothing but none"),
        )

    def test_of_two_faces_the_one_in_force_stays(self) -> None:
        by_bytes = machine_of().with_state("vm.dirty_ratio", value=0).with_state("vm.dirty_bytes", value=2**28)
        both = {"vm.dirty_ratio": 10, "vm.dirty_bytes": "256 MiB"}
        repaired = knobs_of(both, machine=by_bytes)
        assert names(repaired) == ["vm.dirty_bytes"]
        assert repaired.recommended == {"vm.dirty_bytes": 2**28}
        assert names(knobs_of(both)) == ["vm.dirty_ratio"]

    def test_the_suggestion_for_a_wrong_name_is_a_knob_that_may_be_tuned(self) -> None:
        repaired = knobs_of(["vm.nr_hugepage", "vm.swapiness"])
        assert dict(repaired.dropped) == {
            "vm.nr_hugepage": "no such kernel knob",
            "vm.swapiness": "no such kernel knob; did you mean vm.swappiness?",
        }

    def test_a_list_without_end_is_read_to_a_limit(self) -> None:
        repaired = knobs_of([f"x.{number}" for number in range(1000)] + ["vm.dirty_ratio"])
        assert len(repaired.dropped) == MOST_ENTRIES
        assert repaired.notes == (f"Only the first {MOST_ENTRIES} entries of the action space were read.",)

    @pytest.mark.parametrize("raw", [None, [], {}, "", " , "])
    def test_nothing_is_nothing(self, raw: Any) -> None:
        assert repair_knobs(raw, brief_of()) == RepairedKnobs((), {}, (), ())


class TestEntries:
    """One entry, in the shapes that models use."""

    @pytest.mark.parametrize(
        "raw",
        [
            [{"param": "vm.dirty_ratio", "min": 10, "max": 40}],
            {"param": "vm.dirty_ratio", "min": 10, "max": 40},
            {"vm.dirty_ratio": {"min": 10, "max": 40}},
            {"vm.dirty_ratio": [10, 40]},
            {"vm.dirty_ratio": "10-40"},
            {"vm.dirty_ratio": {"range": [40, 10]}},
            {"vm.dirty_ratio": {"values": [10, 20, 40]}},
            {"vm.dirty_ratio": {"values": "10, 40"}},
            {"vm": {"dirty_ratio": [10, 40]}},
            {"sysctl": {"vm": {"dirty_ratio": {"lower": 10, "upper": "40%"}}}},
            {"knobs": [{"name": "dirty_ratio", "bounds": "10 to 40"}]},
            [["vm.dirty_ratio", 10, 40]],
            [{"vm.dirty_ratio": {"low": 10, "high": 40}}],
            [{"knob": "vm.dirty_ratio", "range": {"minimum": 10, "maximum": 40}}],
            [{"param": "vm.dirty_ratio", "value": [10, 40]}],
        ],
    )
    def test_the_same_range(self, raw: Any) -> None:
        (spec,) = knobs_of(raw).specs
        assert (spec.param, spec.min, spec.max) == ("vm.dirty_ratio", 10, 40)

    @pytest.mark.parametrize(
        "raw", ["vm.dirty_ratio", ["vm.dirty_ratio"], {"vm.dirty_ratio": None}, {"vm.dirty_ratio": {}}]
    )
    def test_a_name_alone_gets_the_playbooks_range(self, raw: Any) -> None:
        (spec,) = knobs_of(raw).specs
        assert (spec.min, spec.max) == (5, 80)
        (spec,) = knobs_of(raw, "nginx").specs
        assert (spec.min, spec.max) == (2, 80)

    def test_names_in_one_text(self) -> None:
        assert names(knobs_of("vm.dirty_ratio, vm.stat_interval\nblock.nomerges")) == [
            "vm.dirty_ratio", "vm.stat_interval", "block.nomerges",
        ]  # fmt: skip

    def test_one_end_is_enough(self) -> None:
        (spec,) = knobs_of({"vm.dirty_ratio": {"max": 30}}).specs
        assert (spec.min, spec.max) == (2, 30)

    def test_the_value_that_is_recommended_beside_a_range(self) -> None:
        repaired = knobs_of([{"param": "vm.dirty_ratio", "min": 5, "max": 60, "default": 20, "recommended": 40}])
        assert repaired.recommended == {"vm.dirty_ratio": 40}

    def test_a_range_that_touches_what_is_safe_at_one_point(self) -> None:
        repaired = knobs_of([{"param": "vm.dirty_ratio", "min": 80, "max": 95}])
        assert (repaired.specs[0].min, repaired.specs[0].max) == (2, 80)
        assert repaired.notes == ("vm.dirty_ratio: 80 to 95 is outside of what is safe here; 2 to 80 is explored.",)

    def test_numbers_beyond_any_kernel_setting(self) -> None:
        (spec,) = knobs_of([{"param": "net.core.rmem_max", "min": -(10**30), "max": 1e300}]).specs
        assert (spec.min, spec.max) == (212992, 134217728)

    def test_a_scale_is_kept_when_there_is_such_a_one(self) -> None:
        def scale(said: Any) -> str | None:
            return knobs_of([{"param": "vm.dirty_ratio", "scale": said}]).specs[0].scale

        assert [scale(said) for said in ("log", "linear", "cubic", ["log"], None)] == ["log", None, None, None, None]

    def test_a_unit_word_that_is_no_unit_is_ignored(self) -> None:
        (spec,) = knobs_of([{"param": "vm.dirty_ratio", "min": 10, "max": 40, "unit": "% of memory"}]).specs
        assert (spec.min, spec.max) == (10, 40)

    def test_a_unit_of_another_kind_makes_a_value_unclear(self) -> None:
        repaired = knobs_of([{"param": "vm.dirty_ratio", "min": 10, "unit": "MB"}])
        assert repaired.notes == ("vm.dirty_ratio: min 10 is not understood.",)

    @pytest.mark.parametrize("said", [True, "true", "ON", "enabled", "yes", 1, "1"])
    def test_switches(self, said: Any) -> None:
        assert knobs_of({"kernel.numa_balancing": said}).recommended == {"kernel.numa_balancing": 1}

    def test_a_switch_word_is_no_number_elsewhere(self) -> None:
        repaired = knobs_of({"vm.dirty_ratio": True})
        assert repaired.recommended == {}
        assert repaired.notes == ("vm.dirty_ratio: value true is not understood.",)

    @pytest.mark.parametrize(
        "said", ["none", "[none]", "NONE", ["none"], {"values": ["none"]}, {"value": "none"}, {"choices": "none"}]
    )
    def test_a_choice_of_one_is_a_recommendation(self, said: Any) -> None:
        repaired = knobs_of({"block.scheduler": said})
        assert repaired.specs[0].values == ("none", "mq-deadline", "kyber", "bfq")
        assert repaired.recommended == {"block.scheduler": "none"}

    def test_numbers_that_are_choices(self) -> None:
        (spec,) = knobs_of([{"param": "net.core.rps_sock_flow_entries", "values": [0, 32768, 5]}]).specs
        assert spec.values == ("0", "32768")
