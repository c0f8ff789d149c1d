"""Knobs with new values in, the text of the files out."""

from __future__ import annotations

from pathlib import Path

import pytest

from knobctl.knobs import Catalogue, KnobState, Value
from knobctl.permanent.dropin import command_line, settings, sysctl_key, sysctl_text, tmpfiles_text
from knobctl.persist import find_conflicts
from tests.persist.conftest import RECORDS

DATE = "2026-11-22 18:45 UTC"
SESSION = "20261122-184500-a1b2"
CATALOGUE = Catalogue.from_records(RECORDS)
HEADER = (
    "# Written by `knobctl apply` on 2026-11-22 18:45 UTC, from the measurements of session 20261122-184500-a1b2.\n"
    "# Undo with `knobctl rollback`, which also puts the live values back.\n"
)
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


def made(configuration: dict[str, Value]) -> dict[str, str]:
    return settings([(CATALOGUE[name], value) for name, value in configuration.items()], STATES)


def test_a_choice_and_every_disk_behind_a_pattern() -> None:
    assert made({"vm.dirty_ratio": 40, "thp.enabled": "always", "block.nr_requests": 256}) == {
        "/proc/sys/vm/dirty_ratio": "40",
        "/sys/kernel/mm/transparent_hugepage/enabled": "always",
        "/sys/block/vda/queue/nr_requests": "256",
        "/sys/block/vdb/queue/nr_requests": "256",
    }


def test_the_files_as_they_are_written() -> None:
    assert sysctl_text({"/proc/sys/vm/dirty_ratio": "40"}, SESSION, DATE) == f"{HEADER}vm.dirty_ratio = 40\n"
    assert tmpfiles_text(made({"thp.enabled": "always", "block.nr_requests": 256}), SESSION, DATE) == (
        f"{HEADER}"
        "w /sys/kernel/mm/transparent_hugepage/enabled - - - - always\n"
        "w /sys/block/vda/queue/nr_requests - - - - 256\n"
        "w /sys/block/vdb/queue/nr_requests - - - - 256\n"
    )


def test_a_field_becomes_the_whole_vector() -> None:
    assert made({"net.ipv4.tcp_wmem": 8388608}) == {"/proc/sys/net/ipv4/tcp_wmem": "4096 16384 8388608"}


def test_two_fields_become_one_line() -> None:
    configuration = {"net.ipv4.tcp_wmem[max]": 8388608, "vm.dirty_ratio": 40, "net.ipv4.tcp_wmem[min]": 8192}
    assert sysctl_text(made(configuration), SESSION, DATE) == (
        f"{HEADER}net.ipv4.tcp_wmem = 8192 16384 8388608\nvm.dirty_ratio = 40\n"
    )


def test_a_name_with_a_dot_is_written_with_slashes() -> None:
    assert sysctl_text(made({"net.ipv4.neigh.dot": 7}), SESSION, DATE).endswith("\nnet/ipv4/neigh/eth0.100/gc = 7\n")


def test_what_is_written_is_read_back_as_the_same_key(tmp_path: Path) -> None:
    names = ["vm.dirty_ratio", "net.ipv4.tcp_wmem[max]", "net.ipv4.neigh.dot"]
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/sysctl.conf").write_text(sysctl_text(made(dict.fromkeys(names, 5)), SESSION, DATE))
    assert [conflict.knob for conflict in find_conflicts(names, CATALOGUE, tmp_path).conflicts] == [
        "vm.dirty_ratio", "net.ipv4.tcp_wmem", "net.ipv4.neigh.dot",
    ]  # fmt: skip


def test_specifiers_and_blanks_are_kept_out_of_tmpfiles() -> None:
    text = tmpfiles_text({"/sys/a b/50%": "10% x"}, SESSION, DATE)
    assert text.endswith('\nw "/sys/a b/50%%" - - - - 10%% x\n')


@pytest.mark.parametrize("value", ["always\nkernel.x = 1", "", "a\x1bb"])
def test_a_value_that_is_not_one_line_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is not one line of text"):
        tmpfiles_text({"/sys/kernel/mm/transparent_hugepage/enabled": value}, SESSION, DATE)
    with pytest.raises(ValueError, match="is not one line of text"):
        sysctl_text({"/proc/sys/vm/swappiness": value}, SESSION, DATE)


def test_a_session_that_is_not_one_line_is_refused() -> None:
    with pytest.raises(ValueError, match="is not one line of text"):
        sysctl_text({"/proc/sys/vm/swappiness": "1"}, "a\nkernel.panic = 1", DATE)


@pytest.mark.parametrize("name", ["vm.swappiness", "vm.dirty_bytes"])
def test_a_knob_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} does not exist on this machine$"):
        made({name: 1})


def test_keys_and_paste_able_lines() -> None:
    assert sysctl_key("/proc/sys/vm/dirty_ratio") == "vm.dirty_ratio"
    assert sysctl_key("/proc/sys/net/ipv4/neigh/eth0.100/gc") == "net/ipv4/neigh/eth0.100/gc"
    assert command_line("/sys/a", "1 2") == "echo '1 2' > /sys/a"
    assert command_line("/proc/sys/vm/swappiness", "1") == "sysctl -w vm.swappiness=1"


def test_no_setting_is_no_text() -> None:
    assert sysctl_text({}, SESSION, DATE) == ""
    assert tmpfiles_text({}, SESSION, DATE) == ""
