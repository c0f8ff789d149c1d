"""Knobs with new values in, the text of the files out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from knobctl.permanent.dropin import command_line, sysctl_key, sysctl_text, tmpfiles_text
from knobctl.errors import TargetError
from knobctl.knobs import Catalogue, KnobState, UnknownKnob
from knobctl.persist import drop_in, find_conflicts

NOW = datetime(2026, 11, 22, 18, 45, tzinfo=UTC)
DATE = "2026-11-22 18:45 UTC"
SESSION = "20261122-184500-a1b2"
STATES = {
    state.name: state
    for state in [
        KnobState("vm.dirty_ratio", True, True, 20, "20", ("/proc/sys/vm/dirty_ratio",)),
        KnobState("net.ipv4.tcp_wmem[min]", True, True, 4096, "4096\t16384\t4194304", ("/proc/sys/net/ipv4/tcp_wmem",)),
        KnobState("net.ipv4.tcp_wmem[max]", True, True, 1, "4096\t16384\t4194304", ("/proc/sys/net/ipv4/tcp_wmem",)),
        KnobState("net.ipv4.neigh.dot", True, True, 1, "1", ("/proc/sys/net/ipv4/neigh/eth0.100/gc",)),
        KnobState(
            "block.nr_requests", True, True, 64, "64",
            ("/sys/block/vda/queue/nr_requests", "/sys/block/vdb/queue/nr_requests"),
        ),
        KnobState(
            "thp.enabled", True, True, "madvise", "always [madvise] never",
            ("/sys/kernel/mm/transparent_hugepage/enabled",),
        ),
        KnobState("vm.swappiness", False, False),
    ]
}  # fmt: skip


def test_the_files_as_they_are_written(catalogue: Catalogue) -> None:
    made = drop_in(
        {"vm.dirty_ratio": 40, "thp.enabled": "always", "block.nr_requests": 256}, catalogue, STATES, SESSION, NOW
    )
    assert made.sysctl == (
        "# Written by `knobctl apply` on 2026-11-22 18:45 UTC, from the measurements of session 20261122-184500-a1b2.\n"
        "# Undo with `knobctl rollback`, which also puts the live values back.\n"
        "vm.dirty_ratio = 40\n"
    )
    assert made.tmpfiles == (
        "# Written by `knobctl apply` on 2026-11-22 18:45 UTC, from the measurements of session 20261122-184500-a1b2.\n"
        "# Undo with `knobctl rollback`, which also puts the live values back.\n"
        "w /sys/kernel/mm/transparent_hugepage/enabled - - - - always\n"
        "w /sys/block/vda/queue/nr_requests - - - - 256\n"
        "w /sys/block/vdb/queue/nr_requests - - - - 256\n"
    )
    assert made.commands == (
        "sysctl -w vm.dirty_ratio=40",
        "echo always > /sys/kernel/mm/transparent_hugepage/enabled",
        "echo 256 > /sys/block/vda/queue/nr_requests",
        "echo 256 > /sys/block/vdb/queue/nr_requests",
    )


def test_a_file_without_a_line_is_not_written(catalogue: Catalogue) -> None:
    assert drop_in({"vm.dirty_ratio": 40}, catalogue, STATES, SESSION, NOW).tmpfiles == ""
    assert drop_in({"thp.enabled": "never"}, catalogue, STATES, SESSION, NOW).sysctl == ""
    assert drop_in({}, catalogue, STATES, SESSION, NOW).settings == {}


def test_a_field_becomes_the_whole_vector(catalogue: Catalogue) -> None:
    made = drop_in({"net.ipv4.tcp_wmem": 8388608}, catalogue, STATES, SESSION, NOW)
    assert made.settings == {"/proc/sys/net/ipv4/tcp_wmem": "4096 16384 8388608"}
    assert made.sysctl.endswith("\nnet.ipv4.tcp_wmem = 4096 16384 8388608\n")
    assert made.commands == ("sysctl -w net.ipv4.tcp_wmem='4096 16384 8388608'",)


def test_two_fields_become_one_line(catalogue: Catalogue) -> None:
    configuration = {"net.ipv4.tcp_wmem[max]": 8388608, "vm.dirty_ratio": 40, "net.ipv4.tcp_wmem[min]": 8192}
    made = drop_in(configuration, catalogue, STATES, SESSION, NOW)
    assert made.sysctl.endswith("\nnet.ipv4.tcp_wmem = 8192 16384 8388608\nvm.dirty_ratio = 40\n")


def test_a_name_with_a_dot_is_written_with_slashes(catalogue: Catalogue) -> None:
    made = drop_in({"net.ipv4.neigh.dot": 7}, catalogue, STATES, SESSION, NOW)
    assert made.sysctl.endswith("\nnet/ipv4/neigh/eth0.100/gc = 7\n")


def test_what_is_written_is_read_back_as_the_same_key(catalogue: Catalogue, tmp_path: Path) -> None:
    names = ["vm.dirty_ratio", "net.ipv4.tcp_wmem[max]", "net.ipv4.neigh.dot"]
    made = drop_in(dict.fromkeys(names, 5), catalogue, STATES, SESSION, NOW)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/sysctl.conf").write_text(made.sysctl)
    assert [conflict.knob for conflict in find_conflicts(names, catalogue, tmp_path).conflicts] == [
        "vm.dirty_ratio", "net.ipv4.tcp_wmem", "net.ipv4.neigh.dot",
    ]  # fmt: skip


def test_specifiers_and_blanks_are_kept_out_of_tmpfiles() -> None:
    text = tmpfiles_text({"/sys/a b/50%": "10% x"}, SESSION, DATE)
    assert text.endswith('\nw "/sys/a b/50%%" - - - - 10%% x\n')


@pytest.mark.parametrize("value", ["always\nkernel.x = 1", "", "a\x1bb"])
def test_a_value_that_is_not_one_line_is_refused(catalogue: Catalogue, value: str) -> None:
    with pytest.raises(TargetError, match=r"cannot make this permanent: .* is not one line of text"):
        drop_in({"thp.enabled": value}, catalogue, STATES, SESSION, NOW)


def test_a_session_that_is_not_one_line_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(TargetError, match="is not one line of text"):
        drop_in({"vm.dirty_ratio": 1}, catalogue, STATES, "a\nkernel.panic = 1", NOW)


@pytest.mark.parametrize("name", ["vm.swappiness", "vm.dirty_bytes"])
def test_a_knob_that_is_not_there_is_refused(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(
        TargetError, match=rf"cannot make this permanent: {name} does not exist on this machine"
    ) as error:
        drop_in({name: 1}, catalogue, STATES, SESSION, NOW)
    assert "knobctl knobs" in error.value.hint


def test_an_unknown_knob_is_an_error(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownKnob):
        drop_in({"vm.nothing": 1}, catalogue, STATES, SESSION, NOW)


def test_keys_and_paste_able_lines() -> None:
    assert sysctl_key("/proc/sys/vm/dirty_ratio") == "vm.dirty_ratio"
    assert sysctl_key("/proc/sys/net/ipv4/neigh/eth0.100/gc") == "net/ipv4/neigh/eth0.100/gc"
    assert command_line("/sys/a", "1 2") == "echo '1 2' > /sys/a"
    assert command_line("/proc/sys/vm/swappiness", "1") == "sysctl -w vm.swappiness=1"


def test_no_setting_is_no_text() -> None:
    assert sysctl_text({}, SESSION, DATE) == ""
    assert tmpfiles_text({}, SESSION, DATE) == ""
