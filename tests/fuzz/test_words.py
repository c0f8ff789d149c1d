"""Whatever a person or a model wrote, its reader returns a value or raises its documented error, and does nothing."""

from __future__ import annotations

import functools
import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from knobctl.errors import ConsentMissing, PlanError, UsageError
from knobctl.llm.base import Rejected
from knobctl.masking import MASK, mask_secrets
from knobctl.plan import TuningPlan, parse_plan
from knobctl.safety import Consent, SafetyValidator
from knobctl.strategist import TuningRequest
from knobctl.strategist.brief import Brief
from knobctl.strategist.choice import choose
from knobctl.strategist.command import render
from knobctl.strategist.repair import repair
from knobctl.strategist.reply import read_object
from knobctl.strategist.request import CLIENTS, PORT, SECONDS, SIZE_MIB, THREADS, read_request
from knobctl.target.text import clean
from tests.fuzz.trying import (
    MARKS,
    NUMBERS,
    is_campaign,
    is_shown_safely,
    json_values,
    mutated_document,
    mutated_text,
    reading,
    sized,
    texts,
)
from tests.strategist.machine import machine_of

PLAN: dict[str, Any] = {
    "workload_name": "PostgreSQL OLTP",
    "reward_metric": "tps",
    "benchmark_command": "pgbench -c 50 -j 4 -T 30 testdb",
    "action_space": [
        {"param": "vm.dirty_ratio", "min": 5, "max": 80, "scale": "linear", "special": []},
        {"param": "net.ipv4.tcp_wmem[max]", "min": 262144, "max": 16777216, "scale": "log"},
        {"param": "thp.enabled", "values": ["always", "madvise", "never"]},
        {"param": "/sys/block/sda/queue/read_ahead_kb", "type": "int", "description": "Read ahead."},
    ],
    "state_space": [{"metric": "cpu_usage", "source": "/proc/stat"}, {"metric": "iowait"}],
    "training_config": {"total_timesteps": 40, "max_steps_per_episode": 10, "n_steps": 8, "learning_rate": 0.001},
    "direction": "maximize",
    "guardrails": [{"metric": "latency_average_ms", "tolerance_percent": 10}],
    "reward": {"performance_weight": 0.7, "penalty_weight": 0.3},
    "suggestions": [{"configuration": {"vm.dirty_ratio": 40}, "reason": "The data set is written once."}],
    "reset_command": "true",
    "metric_pattern": "tps = ([0-9.]+)",
}
COMMANDS = [
    "pgbench -c 50 -T 30", "sysbench cpu --threads=2 run", "fio --name=x --rw=write --size=1m",
    "ab -n 10 http://localhost/",
    "wrk http://localhost/", "sh -c 'rm -rf /'", "pgbench -f /etc/passwd", "fio --filename=/dev/sda", "../pgbench", "",
    "sysbench /tmp/x.lua run", "wrk -s x.lua http://10.0.0.1/", "pgbench -T 1 | sh", "env X=1 pgbench", '"',
    "sudo pgbench -T 3",
]  # fmt: skip
NAMES = [
    "vm.swappiness", "vm/dirty_ratio", "/proc/sys/vm/dirty_ratio", "kernel.core_pattern", "kernel.randomize_va_space",
    "/etc/passwd", "/sys/block/../../etc/passwd", "vm.*", "fs.file-max", "net.ipv4.tcp_wmem", "VM.SWAPPINESS",
    "vm.drop_caches",
]  # fmt: skip
ROUGH_PLANS = st.one_of(
    mutated_document(PLAN),
    st.builds(
        lambda command, name, low, high: {
            **PLAN, "benchmark_command": command, "action_space": [{"param": name, "min": low, "max": high}],
        },
        st.sampled_from(COMMANDS), st.sampled_from(NAMES), json_values, json_values,
    ),
)  # fmt: skip


@functools.cache
def validator() -> SafetyValidator:
    machine = machine_of()
    return SafetyValidator(machine.catalogue, machine.facts, machine.states, Consent())


def judge(plan: TuningPlan) -> None:
    """A plan passes, and then holds nothing but safe ranges; or it is refused in words."""
    machine = machine_of()
    try:
        safe = validator().validate(plan)
    except (PlanError, ConsentMissing) as error:
        assert is_shown_safely(f"{error.message} {error.hint}")
        return
    assert safe.knobs
    for tuned in safe.knobs:
        assert tuned.knob.risk == "safe"
        for value in tuned.dimension.special:
            assert tuned.knob.allows(value, machine.facts.quantities)


@sized(60)
@given(document=ROUGH_PLANS)
def test_a_rough_plan(document: Any) -> None:
    with reading("plan and validator: documents"):
        try:
            plan = parse_plan(json.dumps(document))
        except PlanError as error:
            assert is_shown_safely(f"{error.message} {error.hint}")
            return
        judge(plan)


@sized(80)
@given(text=st.one_of(mutated_text(json.dumps(PLAN)), texts, st.binary(max_size=300)))
@example(text="[" * 100_000)
@example(text='{"a":' * 50_000)
@example(text=b"\xff\xfe{\x00}\x00")
@example(text='{"workload_name": ' + "9" * 5000 + "}")
def test_the_text_of_a_plan(text: str | bytes) -> None:
    with reading("plan and validator: texts"):
        try:
            plan = parse_plan(text)
        except PlanError as error:
            assert is_shown_safely(f"{error.message} {error.hint}")
            return
        judge(plan)


@functools.cache
def brief(text: str) -> Brief:
    machine = machine_of()
    hints = read_request(text)
    playbook = choose(hints, [], False).playbook
    assert playbook is not None
    command = render(playbook, hints, machine.facts).text
    return Brief(TuningRequest(text), hints, playbook, command, machine.facts, machine.states, machine.catalogue)


def mended(document: dict[str, Any], about: str, last: bool) -> None:
    known = brief(about)
    try:
        repaired = repair(document, known, last=last)
    except Rejected as rejected:
        assert str(rejected)
        return
    except UsageError as error:
        assert is_shown_safely(f"{error.message} {error.hint}")
        return
    consent = Consent(command=known.command)
    machine = machine_of()
    assert SafetyValidator(machine.catalogue, machine.facts, machine.states, consent).validate(repaired.plan).knobs
    for words in (*repaired.why, *repaired.notes, *(part for pair in repaired.dropped for part in pair)):
        assert is_shown_safely(words)


@sized(60)
@given(
    document=st.one_of(ROUGH_PLANS, st.dictionaries(st.sampled_from([*PLAN, *NAMES, "plan", "knobs"]), json_values)),
    about=st.sampled_from(["PostgreSQL", "a web server", "write many files with fio"]),
    last=st.booleans(),
)
def test_what_a_model_proposes(document: dict[str, Any], about: str, last: bool) -> None:
    brief(about)
    with reading("a model's plan: documents"):
        mended(document, about, last)


WRAPPED = [
    json.dumps(PLAN), f"<think>hm {{</think>```json\n{json.dumps(PLAN, indent=1)}\n```\nDone {{}}",
    json.dumps([{"plan": PLAN}]),
    json.dumps(json.dumps(PLAN)), str(PLAN), "{action_space: ['vm.dirty_ratio'], // why\n reward_metric: “tps”,}",
]  # fmt: skip


@sized(80)
@given(text=st.one_of(*map(mutated_text, WRAPPED), texts))
@example(text="{" * 50_000)
@example(text='{"a": ' * 8_000 + "1" + "}" * 8_000)
@example(text="{'a': " + "[" * 10_000)
@example(text='{"a": "' + "\\" * 49_000)
@example(text="{a:1}" * 9_000)
def test_what_a_model_says(text: str) -> None:
    brief("PostgreSQL")
    with reading("a model's reply: texts"):
        try:
            document = read_object(text)
        except Rejected as rejected:
            assert str(rejected)
            return
        assert isinstance(document, dict)
        mended(document, "PostgreSQL", False)


WORDS = st.sampled_from(
    [
        *(
            "optimize",
            "for",
            "a",
            "database",
            "named",
            "with",
            "clients",
            "and",
            "connections",
            "threads",
            "on",
            "port",
        ),
        *("port", "host", "at", "every", "minutes", "seconds", "of", "files", "not", "without", "only", "reads"),
        *(
            "http://localhost:8080/x",
            "https://10.0.0.1",
            "nginx",
            "fio",
            "并发",
            "个",
            "客户端",
            "秒",
            "数据库",
        ),
        *(
            "名为",
            "线程",
            "只读",
            "不要",
            "大小",
            "GB",
            "MiB",
            "10k",
            "1e9",
            "½",
            "one",
            "hundred",
            "thousand",
            "twenty",
            "-5",
        ),
        *NUMBERS,
        *MARKS,
    ]
)


@sized(100)
@given(text=st.one_of(st.lists(WORDS, max_size=30).map(" ".join), st.lists(WORDS, max_size=12).map("".join), texts))
@example(text="1" * 4000)
@example(text="in " * 1300)
@example(text="a." * 2000)
@example(text="database named " * 260)
@example(text="localhost" + "." * 3900)
def test_a_request(text: str) -> None:
    with reading("a request"):
        try:
            hints = read_request(text)
        except UsageError as error:
            assert error.hint
            return
        for value, bounds in (
            (hints.clients, CLIENTS), (hints.threads, THREADS), (hints.seconds, SECONDS),
            (hints.size_mib, SIZE_MIB), (hints.port, PORT),
        ):  # fmt: skip
            assert value is None or (type(value) is int and bounds[0] <= value <= bounds[1])
        assert hints.database is None or hints.database.isidentifier()
        for address in (hints.url, hints.host):
            assert address is None or (address.isascii() and not set(address) & set(" ;|$`\"'\\<>"))


@sized(200)
@given(
    text=st.one_of(texts, st.lists(st.sampled_from([*MARKS, "\x1b", "[", "]", "0;1", "m", "\x07", "a"])).map("".join))
)
def test_clean_text(text: str) -> None:
    with reading("clean"):
        cleaned = clean(text)
        assert clean(cleaned) == cleaned
        assert is_shown_safely(cleaned)
        assert not set(cleaned) & set("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff")


SECRETS = [
    ("sk-{}", "abcdefgh12345678"), ("Bearer {}", "abcdefgh12345678"), ("postgres://me:{}@host/db", "pa.ss!word"),
    ('{{"api_key": "{}"}}', "value of it"), ("PGPASSWORD={}", "hunter2"),
    ("--pgsql-password='{}'", "with blanks in it"),
]  # fmt: skip


@sized(100)
@given(
    before=texts.map(lambda text: text + " "),
    after=texts.map(lambda text: "\n" + text),
    secret=st.sampled_from(SECRETS),
)
def test_a_secret_between_any_words(before: str, after: str, secret: tuple[str, str]) -> None:
    with reading("masking"):
        masked = mask_secrets(before + secret[0].format(secret[1]) + after)
        assert MASK in masked
        assert secret[1] not in masked or secret[1] in before + after


LONG = [
    "\x1b[" + "0" * 50, "\x1b]", "\x1b[0;", "\x1b", "\x9d", "\x9b1", "a", "\u202e", "x=", "password=",
    '"token": "', "bearer ",
    "://u:", "sk-", "-a", "x-", "eyJabcdefgh.", "authorization: ", "mysql ", "redis-cli ", "--p", '\\"a',
    "://aaaaaaaaaaaaaaaaaaaaaaa",
    "-----BEGIN PRIVATE KEY-----", "password ='", "-u a:", "é", "_token",
]  # fmt: skip


@pytest.mark.parametrize("reader", [clean, mask_secrets], ids=lambda reader: reader.__name__)
@pytest.mark.parametrize("piece", LONG)
def test_ten_times_the_text_takes_ten_times_as_long(reader: Any, piece: str) -> None:
    """A reader that takes the square of it would need minutes for a megabyte."""
    length = 1_000_000 if is_campaign() else 30_000
    with reading(f"{reader.__name__}: long texts"):
        began = time.process_time()
        reader((piece * length)[: length // 10])
        tenth = time.process_time() - began
        began = time.process_time()
        reader((piece * length)[:length])
        whole = time.process_time() - began
    assert whole < 30 * tenth + 0.3, f"{tenth:.2f} s for a tenth, {whole:.2f} s for all of it"
