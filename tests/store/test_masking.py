"""What looks like a key or a password does not get into the record; everything else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.store.masking import mask_secrets

KEY = "sk-ant-api03-abcDEF_123-456"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"use {KEY} please", "use *** please"),
        (f'OPENAI_API_KEY="{KEY}"', 'OPENAI_API_KEY="***"'),
        ("gsk_abcdefghijklmnop1234 and AIzaSyA-abcdefghijklmnop", "*** and ***"),
        ("Authorization: Bearer abc.def-ghi123==", "Authorization: Bearer ***"),
        ("postgres://me:p@ss:w0rd@db.example:5432/bench?x=1", "postgres://me:***@db.example:5432/bench?x=1"),
        ("postgresql://:pw@localhost/db, mysql://root:pw@h", "postgresql://:***@localhost/db, mysql://root:***@h"),
        ("PGPASSWORD=hunter2 pgbench -c 8 bench", "PGPASSWORD=*** pgbench -c 8 bench"),
        ("PGPASSWORD='two words' pgbench", "PGPASSWORD='***' pgbench"),
        ("sysbench --pgsql-password=x --threads=2", "sysbench --pgsql-password=*** --threads=2"),
        ("host=h password=pw, dbname=bench", "host=h password=***, dbname=bench"),
        ("curl 'http://h/?token=abc&n=1'", "curl 'http://h/?token=***&n=1'"),
        ('{"run": "PGPASSWORD=x pgbench", "api_key": "ab"}', '{"run": "PGPASSWORD=*** pgbench", "api_key": "***"}'),
        (r'{\"db_password\": \"abc\", \"n\": \"d\"}', r'{\"db_password\": \"***\", \"n\": \"d\"}'),
    ],
)  # fmt: skip
def test_secrets_are_masked_and_their_surroundings_stay(text: str, masked: str) -> None:
    assert mask_secrets(text) == masked
    assert mask_secrets(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "optimize this system for a PostgreSQL database",
        "pgbench -c 50 -j 4 -T 30 testdb",
        "ab -n 1000 -c 10 http://127.0.0.1:8080/@home",
        '{"max_tokens": 512, "passwordless": true, "reward_metric": "transactions_per_second"}',
        "max_tokens=512",
        "task-scheduler and disk-cached-things, sk-SK",
        "the bearer of bad news",
        "/proc/sys/vm/dirty_ratio = 40 @ 17:45",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_secrets(text) == text


@given(st.text(max_size=40), st.text(alphabet="abcXYZ0189", min_size=16, max_size=40), st.text(max_size=40))
def test_a_key_is_found_wherever_it_stands(before: str, secret: str, after: str) -> None:
    assert f"sk-{secret}" not in mask_secrets(f"{before} sk-{secret} {after}")
    assert f"={secret}" not in mask_secrets(f"{before} PGPASSWORD={secret} {after}")


@pytest.mark.parametrize("unit", ["postgres://a:", "://", "password=", "token='", '"a', "bearer \t", "sk-", '\\"'])
def test_no_text_takes_long(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert len(mask_secrets(text)) <= 2 * len(text), "a pattern that looks back and forth would not come back"
