"""What is kept of a command and a machine, and above all what is not."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobctl.masking import mask_secrets
from knobctl.memory.fingerprint import WORDS, label
from tests.memory.sessions import FACTS, here


@pytest.mark.parametrize(
    ("command", "program", "options", "numbers"),
    [
        (
            "/usr/bin/pgbench -c50 -j 4 -S -M prepared -h db.example.org -U admin -p 5432 customers",
            "pgbench",
            ("-M", "-M=prepared", "-S", "-U", "-c", "-h", "-j", "-p"),
            {"-c": 50.0, "-j": 4.0},
        ),
        (
            "sysbench fileio --file-total-size=1G --file-test-mode=seqwr --pgsql-password=hunter2 run",
            "sysbench fileio",
            ("--file-test-mode", "--file-test-mode=seqwr", "--file-total-size", "--pgsql-password", "fileio", "run"),
            {"--file-total-size": 2.0**30},
        ),
        (
            "ab -k -n 1000 -A me:secretword -H 'Authorization: Bearer abcdefghijkl' http://10.1.2.3/private",
            "ab",
            ("-A", "-H", "-k", "-n"),
            {"-n": 1000.0},
        ),
        ("wrk -t2 -d30s http://h/", "wrk", ("-d", "-t"), {"-d": 30.0, "-t": 2.0}),
        ("fio --rw=write --bs=64k --filename=/srv/acme/x", "fio", ("--bs", "--filename", "--rw", "--rw=write"),
         {"--bs": 65536.0}),
        ("/opt/acme/bench.sh --customer acme --pin 1234 -phunter2 write", "bench.sh", ("--customer", "--pin"), {}),
        ("pgbench 'unfinished", "", (), {}),
        ("", "", (), {}),
    ],
)  # fmt: skip
def test_of_a_command_only_what_describes_the_load_is_kept(
    command: str, program: str, options: tuple[str, ...], numbers: dict[str, float]
) -> None:
    found = here(command=command)
    assert (found.program, found.options, dict(found.numbers)) == (program, options, numbers)


@settings(max_examples=40)
@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=20), max_size=6))
def test_no_word_of_a_known_program_is_kept_that_is_not_on_the_list(words: list[str]) -> None:
    found = here(command=shlex.join(["pgbench", *words]))
    for option in found.options:
        name, _, value = option.partition("=")
        assert (value or name) in WORDS or (not value and name.startswith("-"))
        assert not value or value in WORDS


@settings(max_examples=40)
@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=20), max_size=6))
def test_a_program_that_nobody_knows_keeps_no_value_at_all(words: list[str]) -> None:
    found = here(command=shlex.join(["./mine", *words]))
    assert dict(found.numbers) == {}
    assert all(option.startswith("-") and "=" not in option for option in found.options)


@pytest.mark.parametrize(
    "command",
    [
        "pgbench -c 8 postgresql://me:pass@127.0.0.1/x",
        "sysbench cpu --pgsql-password=4711 run",
        "ab -A me:4711 http://h/",
    ],
)
def test_it_is_the_same_whether_passwords_are_masked_or_not(command: str) -> None:
    assert mask_secrets(command) != command
    assert here(command=command) == here(command=mask_secrets(command))


def test_of_a_machine_nothing_is_kept_that_names_it() -> None:
    facts = replace(FACTS, kernel="6.18.5-acme-prod-17", boot_id="b-o-o-t", disk="acme-vg", distribution="ACME Linux")
    found = here(facts=facts)
    assert found.kernel == "6.18"
    assert "acme" not in str(found).lower()
    assert "b-o-o-t" not in str(found)
    assert here(facts=replace(FACTS, kernel="custom")).kernel == ""


def test_the_load_is_the_mean_of_the_baseline_and_knows_only_metrics_of_the_machine() -> None:
    runs = [{"iowait": 2.0, "cpu_user": float("nan")}, {"iowait": 4.0, "somebody_elses": 1.0}]
    assert dict(here(baseline=runs).load) == {"iowait": 3.0}
    assert here(baseline=[]).load == {}


def test_a_label_is_one_line_without_escapes_and_secrets() -> None:
    assert label("tps\x1b[31m\n of\u202e password=hunter2") == "tps of password=***"
    assert len(label("x" * 1000)) == 200


def test_only_a_simulated_machine_is_known_by_its_name() -> None:
    assert here().machine == ""
    assert not here().simulated
    invented = here(target="simulated:web", simulated=True)
    assert (invented.machine, invented.simulated) == ("simulated:web", True)
