"""The data files: complete, consistent, and safe on every machine from 1 GB with one core to 1 TB with 256."""

import os
from collections import Counter
from pathlib import Path

import pytest

from knobctl.knobs import Catalogue, Knob, codec
from knobctl.knobs.files import catalogue, records

GIB = 1 << 30
SIZES = [(1, 1), (2, 2), (4, 2), (16, 8), (64, 32), (256, 64), (1024, 256)]
KNOBS = list(catalogue())
TUNABLE = [knob for knob in KNOBS if knob.risk != "forbidden"]

FORBIDDEN = """
kernel.randomize_va_space kernel.panic kernel.panic_on_oops kernel.panic_on_warn kernel.panic_on_rcu_stall
kernel.panic_on_unrecovered_nmi kernel.panic_on_io_nmi kernel.panic_print kernel.softlockup_panic
kernel.hardlockup_panic kernel.hung_task_panic kernel.sysrq kernel.sched_rt_runtime_us kernel.sched_rt_period_us
kernel.core_pattern kernel.modprobe kernel.modules_disabled kernel.kexec_load_disabled kernel.kptr_restrict
kernel.dmesg_restrict kernel.yama.ptrace_scope kernel.unprivileged_bpf_disabled kernel.perf_event_paranoid
kernel.watchdog vm.panic_on_oom vm.drop_caches vm.compact_memory vm.overcommit_ratio vm.overcommit_kbytes
vm.nr_hugepages vm.nr_hugepages_mempolicy vm.nr_overcommit_hugepages vm.hugetlb_shm_group vm.laptop_mode
vm.admin_reserve_kbytes vm.mmap_min_addr net.core.bpf_jit_harden net.ipv4.ip_forward net.ipv4.tcp_syncookies
net.ipv4.conf.all.rp_filter net.ipv4.conf.default.rp_filter net.ipv4.icmp_echo_ignore_all net.ipv4.icmp_ratelimit
net.ipv4.icmp_ratemask net.ipv4.tcp_tw_recycle net.ipv4.tcp_allowed_congestion_control fs.protected_hardlinks
fs.protected_symlinks fs.protected_fifos fs.protected_regular fs.suid_dumpable block.write_cache
""".split()  # noqa: SIM905

CAUTION = """
vm.min_free_kbytes vm.overcommit_memory kernel.nmi_watchdog kernel.sem[semmsl] kernel.sem[semmns] kernel.sem[semopm]
kernel.sem[semmni] net.ipv4.tcp_mem[min] net.ipv4.tcp_mem[pressure] net.ipv4.tcp_mem[max] net.ipv4.tcp_timestamps
cpufreq.boost fs.file-max
""".split()  # noqa: SIM905

OUTSIDE_TUNING = (
    "net.ipv4.conf.",
    "net.ipv6.conf.",
    "net.ipv4.icmp_",
    "net.ipv4.ip_forward",
    "kernel.panic",
    "fs.protected_",
)


def quantities(gib: int, cores: int) -> dict[str, int]:
    memory = gib * GIB
    return {
        "memory_bytes": memory,
        "memory_kib": memory // 1024,
        "memory_pages": memory // 4096,
        "cores": cores,
    }


def ids(knob: Knob) -> str:
    return knob.name


def test_there_are_enough() -> None:
    assert len(KNOBS) >= 80
    assert len(TUNABLE) >= 60
    rooms = Counter(knob.name.split(".")[0] for knob in TUNABLE)
    assert {"vm", "kernel", "net", "fs", "thp", "khugepaged", "block", "cpufreq"} <= set(rooms)


def test_the_records_are_plain_data_that_makes_the_same_catalogue() -> None:
    again = Catalogue.from_records(records())
    assert list(again) == KNOBS
    assert again.couplings == catalogue().couplings


@pytest.mark.parametrize("knob", KNOBS, ids=ids)
def test_a_knob_says_what_it_is_why_it_matters_and_where_that_can_be_checked(knob: Knob) -> None:
    assert knob.summary.endswith(".")
    assert knob.why.endswith(".")
    assert knob.source.startswith(("Documentation/", "kernel/", "net/", "block/", "mm/")) or knob.source.split(",")[
        0
    ].endswith(tuple(f"({section})" for section in range(1, 9)))
    assert all(version.replace(".", "").isdigit() for version in (knob.since, knob.until) if version)


@pytest.mark.parametrize("knob", KNOBS, ids=ids)
def test_name_and_path_agree(knob: Knob) -> None:
    plain = knob.name.split("[")[0]
    if knob.path.startswith("/proc/sys/"):
        assert knob.path == "/proc/sys/" + plain.replace(".", "/")
    else:
        assert knob.path.startswith(("/sys/kernel/mm/", "/sys/block/{disk}/queue/", "/sys/devices/system/cpu/"))
    assert (knob.field is not None) == ("[" in knob.name)


@pytest.mark.parametrize(("gib", "cores"), SIZES)
def test_every_range_is_a_range_and_holds_the_default(gib: int, cores: int) -> None:
    machine = quantities(gib, cores)
    for knob in TUNABLE:
        if knob.kind == "choice":
            assert knob.default is None or knob.default in knob.choices, knob.name
            continue
        assert knob.minimum is not None
        assert knob.maximum is not None
        assert knob.minimum.on(machine) < knob.maximum.on(machine), knob.name
        idle_face = bool(knob.twin) and knob.default == 0
        assert knob.default is None or idle_face or knob.allows(knob.default, machine), knob.name


def test_bounds_grow_with_the_machine() -> None:
    for knob in TUNABLE:
        for bound in (knob.minimum, knob.maximum):
            if bound is not None:
                values = [bound.on(quantities(gib, cores)) for gib, cores in SIZES]
                assert values == sorted(values), knob.name


def test_special_values_lie_outside_the_range() -> None:
    for knob in TUNABLE:
        if knob.special:
            for gib, cores in SIZES:
                low, high = knob.range_on(quantities(gib, cores))
                assert not any(low <= value <= high for value in knob.special), knob.name


def test_memory_that_a_range_can_take_leaves_the_machine_enough() -> None:
    for gib, cores in SIZES:
        machine = quantities(gib, cores)
        assert catalogue()["vm.min_free_kbytes"].range_on(machine)[1] <= machine["memory_kib"] // 10
        assert catalogue()["vm.dirty_bytes"].range_on(machine)[1] <= machine["memory_bytes"] // 2
        assert catalogue()["net.ipv4.tcp_mem[max]"].range_on(machine)[1] <= machine["memory_pages"] // 3
        assert catalogue()["net.ipv4.udp_mem[max]"].range_on(machine)[1] <= machine["memory_pages"] // 3


def test_values_that_stop_or_starve_a_machine_are_not_offered() -> None:
    machine = quantities(16, 8)
    for name, value in [
        ("vm.dirty_writeback_centisecs", 0),
        ("vm.vfs_cache_pressure", 0),
        ("vm.dirty_ratio", 0),
        ("vm.dirty_ratio", 100),
        ("vm.dirty_background_ratio", 0),
        ("vm.dirty_bytes", 0),
        ("vm.overcommit_memory", 2),
        ("vm.min_free_kbytes", 1024),
        ("net.core.somaxconn", 1),
        ("net.ipv4.tcp_synack_retries", 0),
        ("net.ipv4.ip_local_port_range[low]", 1024),
        ("kernel.pid_max", 301),
        ("fs.nr_open", 1024),
    ]:
        assert not catalogue()[name].allows(value, machine), name


def test_a_wounded_machine_can_be_described() -> None:
    machine = quantities(16, 8)
    assert catalogue()["vm.dirty_ratio"].allows(2, machine)
    assert catalogue()["vm.dirty_background_ratio"].allows(1, machine)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_never_tuned(name: str) -> None:
    knob = catalogue()[name]
    assert knob.risk == "forbidden"
    assert knob.risk_reason.endswith(".")


@pytest.mark.parametrize("name", CAUTION)
def test_what_is_tuned_only_when_named(name: str) -> None:
    assert catalogue()[name].risk == "caution"
    assert catalogue()[name].risk_reason.endswith(".")


def test_nothing_that_reaches_or_guards_the_machine_is_tunable() -> None:
    assert not [knob.name for knob in TUNABLE if knob.name.startswith(OUTSIDE_TUNING)]


def test_twins_know_each_other() -> None:
    twins = {knob.name: knob.twin for knob in KNOBS if knob.twin}
    assert twins["vm.dirty_ratio"] == "vm.dirty_bytes"
    assert twins["vm.dirty_background_ratio"] == "vm.dirty_background_bytes"
    assert all(twins[twin] == name for name, twin in twins.items())


def test_side_effects_of_the_kernel() -> None:
    assert catalogue()["thp.enabled"].affects == ("vm.min_free_kbytes",)
    assert set(catalogue()["block.scheduler"].affects) == {"block.nr_requests", "block.wbt_lat_usec"}
    assert catalogue()["net.ipv4.tcp_congestion_control"].affects == ("net.ipv4.tcp_allowed_congestion_control",)
    assert catalogue()["cpufreq.governor"].affects == ("cpufreq.energy_performance_preference",)
    assert catalogue()["intel_pstate.no_turbo"].affects == ("intel_pstate.min_perf_pct",)


def test_settings_that_left_the_kernel_are_known_with_the_version() -> None:
    gone = {knob.name: knob.until for knob in KNOBS if knob.until}
    assert gone["kernel.sched_migration_cost_ns"] == "5.13"
    assert gone["kernel.sched_child_runs_first"] == "6.7"
    assert gone["net.ipv4.tcp_tw_recycle"] == "4.12"


def test_fields_of_a_vector_are_numbered_without_a_gap() -> None:
    fields: dict[str, list[int]] = {}
    for knob in KNOBS:
        if knob.field is not None:
            fields.setdefault(knob.path, []).append(knob.field)
    assert fields["/proc/sys/net/ipv4/tcp_rmem"] == [0, 1, 2]
    assert all(numbers == list(range(len(numbers))) for numbers in fields.values())


def test_couplings_can_hold_and_do_hold_for_the_defaults() -> None:
    names = {(coupling.left, coupling.right) for coupling in catalogue().couplings}
    assert ("vm.dirty_background_ratio", "vm.dirty_ratio") in names
    assert ("net.ipv4.tcp_rmem[default]", "net.ipv4.tcp_rmem[max]") in names
    for coupling in catalogue().couplings:
        left, right = catalogue()[coupling.left], catalogue()[coupling.right]
        assert coupling.reason.endswith(".")
        if isinstance(left.default, int) and isinstance(right.default, int) and not left.default == right.default == 0:
            assert coupling.holds(left.default, right.default), coupling
        for gib, cores in SIZES:
            machine = quantities(gib, cores)
            assert coupling.holds(left.range_on(machine)[0], right.range_on(machine)[1]), coupling


def test_a_change_of_one_end_of_the_port_range_never_crosses_the_other() -> None:
    machine = quantities(16, 8)
    low = catalogue()["net.ipv4.ip_local_port_range[low]"].range_on(machine)
    high = catalogue()["net.ipv4.ip_local_port_range[high]"].range_on(machine)
    assert low[1] < high[0]


@pytest.mark.skipif(not os.access("/proc/sys/vm/swappiness", os.R_OK), reason="needs a Linux /proc/sys")
def test_files_of_this_kernel_exist_and_are_understood() -> None:
    always_there = [
        knob for knob in TUNABLE if knob.path.startswith("/proc/sys/") and not knob.since and not knob.until
    ]
    reachable = [knob for knob in always_there if Path(knob.path).parent.is_dir()]
    missing = [knob.name for knob in reachable if not Path(knob.path).exists()]
    # Some depend on how the kernel was built (NUMA, message queues, watchdogs), but a wrong path shows up as one more.
    assert len(missing) <= len(reachable) // 10, missing
    for knob in TUNABLE:
        if os.access(knob.path, os.R_OK):
            assert codec.parse(knob, Path(knob.path).read_text(encoding="utf-8")) is not None
