"""What looks like a key or a password does not get into the record; everything else does."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.masking import mask_document, mask_secrets

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
        ("ab -A me:hunter2 -P me:hunter2 http://h/", "ab -A me:*** -P me:*** http://h/"),
        ("curl --user 'me:two words' http://h/", "curl --user 'me:***' http://h/"),
        ("wrk -H 'Authorization: Bearer x' http://h/", "wrk -H 'Authorization: Bearer ***' http://h/"),
        ('wrk -H "authorization: Basic bWU6cHc=" -d 5', 'wrk -H "authorization: Basic ***" -d 5'),
        ("-H 'Proxy-Authorization: Digest a, b=c' x", "-H 'Proxy-Authorization: Digest ***' x"),
        ('-H "X-Api-Key: a b" -H \'X-Auth-Token:c\' x', '-H "X-Api-Key: ***" -H \'X-Auth-Token:***\' x'),
        ("-H 'Cookie: a=b; session=c' x", "-H 'Cookie: ***' x"),
        ("http://h/?api-key=a&key=b&sig=c", "http://h/?api-key=***&key=***&sig=***"),
        ("https://ghp_abcdefghijklmnopqrst@host/x", "https://***@host/x"),
        ("https://0123456789abcdefghij0123@host/x", "https://***@host/x"),
        ("host=h password = pw dbname=bench", "host=h password = *** dbname=bench"),
        ("sysbench --mysql-password x --threads=2", "sysbench --mysql-password *** --threads=2"),
        ("tool --api-token 'a b' --secret=c", "tool --api-token '***' --secret=***"),
        ("MYSQL_PWD=a REDISCLI_AUTH=b f", "MYSQL_PWD=*** REDISCLI_AUTH=*** f"),
        ("AWS_SECRET_ACCESS_KEY=c/d+e f", "AWS_SECRET_ACCESS_KEY=*** f"),
        ("ab -C session=abcdef -n 5 http://localhost/", "ab -C *** -n 5 http://localhost/"),
        ("/usr/bin/ab -n 5 -Csid=a -C 'b=c d; e=f' http://h/", "/usr/bin/ab -n 5 -C*** -C '***' http://h/"),
        (r'{"run": "ab -n 5 -C \"b=c d\" http://h/"}', r'{"run": "ab -n 5 -C \"***\" http://h/"}'),
        ("redis-benchmark -h localhost -a pw -n 5", "redis-benchmark -h localhost -a *** -n 5"),
        ("mysqlslap -u root -ppw --iterations=5", "mysqlslap -u root -p*** --iterations=5"),
        ("AKIAABCDEFGHIJKLMNOP and xoxb-0123456789abcdef", "*** and ***"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2lnbmF0dXJl", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END", "-----BEGIN RSA PRIVATE KEY-----***-----END"),
        ('{"Authorization": "Basic x", "cookie": "y"}', '{"Authorization": "***", "cookie": "***"}'),
        ("PGPASSWORD='it\"s' x=\"it's\"", "PGPASSWORD='***' x=\"it's\""),
        ('PGPASSWORD="it\'s \\" one" x', 'PGPASSWORD="***" x'),
        (r"PGPASSWORD='a\b' x", "PGPASSWORD='***' x"),
        ("PGPASSWORD=p@ss,word x", "PGPASSWORD=*** x"),
        ("PGPASSWORD='not closed", "PGPASSWORD=*** closed"),
        ("(PGPASSWORD=x), [token=a]b]; token=a, b", "(PGPASSWORD=***), [token=***]; token=***, b"),
        ("Server=h;Password=a;b;Database=x", "Server=h;Password=***;Database=x"),
        ("--password 'it\"s' --threads=2", "--password '***' --threads=2"),
        ("tool '--db-password=a b' -n 5", "tool '--db-password=***' -n 5"),
        ('tool "--db-password=a b" -n 5', 'tool "--db-password=***" -n 5'),
        ("env 'PGPASSWORD=a b' pgbench", "env 'PGPASSWORD=***' pgbench"),
        ("sh -c 'PGPASSWORD=a pgbench -c 8'", "sh -c 'PGPASSWORD=*** pgbench -c 8'"),
        ("postgres://u:pa\"ss'word@host/db", "postgres://u:***@host/db"),
        ("curl -H 'X-Api-Key: ab\"cd' -d 'x'", "curl -H 'X-Api-Key: ***' -d 'x'"),
        ("curl -u 'me:a\"b' -d 'x'", "curl -u 'me:***' -d 'x'"),
        ("curl '--user=me:a b' -d 'x'", "curl '--user=me:***' -d 'x'"),
        ("ab -C 'sid=a\"b c' http://h/", "ab -C '***' http://h/"),
        ("sshpass -p 'a b' ssh h; mysql -p'c d' bench", "sshpass -p '***' ssh h; mysql -p'***' bench"),
        ('{"api_key": "a\\"b", "n": "c"}', '{"api_key": "***", "n": "c"}'),
        ('The plan:\n["PGPASSWORD=\'a\\"b\' x", "it\'s"]\n', 'The plan:\n["PGPASSWORD=\'***\' x", "it\'s"]\n'),
        ('["token=a é", "token=\\u003c \\u003c", 1]', '["token=*** é", "token=*** \\u003c", 1]'),
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
        "pgbench -P 1 -U app -p 5432 -h localhost bench",
        "ab -n 10 -H 'Accept: text/html' http://127.0.0.1:8080/?n=1&page=2",
        "sysbench --pgsql-password is not an option that knobctl runs without asking",
        "nginx -u http://localhost:80/ and bypass=1, compass=2, tokens=3",
        'FATAL: password authentication failed for user "app"',
        "vm.nr_hugepages: keys and tokens: two",
        "rustc -C opt-level=3 and make -C folder all, ab -c 5 -C",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_secrets(text) == text


@given(st.text(max_size=40), st.text(alphabet="abcXYZ0189", min_size=16, max_size=40), st.text(max_size=40))
def test_a_key_is_found_wherever_it_stands(before: str, secret: str, after: str) -> None:
    assert f"sk-{secret}" not in mask_secrets(f"{before} sk-{secret} {after}")
    assert f"={secret}" not in mask_secrets(f"{before} PGPASSWORD={secret} {after}")


@pytest.mark.parametrize(
    "password",
    ["a&S", "a;S", "a,S", "a)S", "a}S", "a'S", 'a"S', "a\\S", "a<S", "a S", '"a S"', "'a S'", "a\\'S", "S'", "''S"],
)  # fmt: skip
@pytest.mark.parametrize(
    "command",
    [
        lambda password: f"/opt/bench {shlex.quote('--db-password=' + password)} -n 5",
        lambda password: f"/opt/bench --db-password={shlex.quote(password)} -n 5",
        lambda password: f"/opt/bench --db-password {shlex.quote(password)} -n 5",
        lambda password: f"env {shlex.quote('PGPASSWORD=' + password)} pgbench -n 5",
        lambda password: f"curl -H {shlex.quote('X-Api-Key: ' + password)} -n 5",
        lambda password: f"curl -u {shlex.quote('me:' + password)} -n 5",
    ],
)
def test_no_part_of_a_password_is_left(password: str, command: Callable[[str], str]) -> None:
    text = command(password)
    masked = mask_secrets(text)
    assert "S" not in masked.replace("PGPASSWORD", "")
    assert shlex.split(masked)[-2:] == ["-n", "5"], "what stands behind it stays"
    in_json = json.loads(mask_secrets(json.dumps({"command": text, "name": 'it\'s "it"'})))
    assert in_json == {"command": masked, "name": 'it\'s "it"'}


@pytest.mark.parametrize(
    "unit",
    ["postgres://a:", "://", "password=", "token='", '"a', "bearer \t", "sk-", '\\"', "--token ", "mysql -p",
     "redis-cli ", "-u a", "x-a", "eyJaaaaaaaa", "password =", "-----BEGIN PRIVATE KEY-----", "ab ",
     "ab -C a=", "-C a", "token='\"'\"", "'--token=", '"--token=\\', "token=a;", "token=\\", "-u 'a:", "'cookie:",
     "{}\n", '"a"\n'],
)  # fmt: skip
def test_no_text_takes_long(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    assert len(mask_secrets(text)) <= 2 * len(text), "a pattern that looks back and forth would not come back"


def test_every_text_of_a_document_is_masked_and_its_form_stays() -> None:
    document = {"password=x": 1, "a": ["PGPASSWORD=x y", ("token=z", None, True, 1.5)], "b": {"c": "-A me:pw"}}
    assert mask_document(document) == {
        "password=x": 1,
        "a": ["PGPASSWORD=*** y", ["token=***", None, True, 1.5]],
        "b": {"c": "-A me:***"},
    }


@given(st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=30) | st.integers() | st.none())))
def test_a_masked_document_is_still_one(document: dict[str, list[str | int | None]]) -> None:
    masked = mask_document(document)
    assert json.loads(json.dumps(masked)) == masked
    assert masked.keys() == document.keys()


@given(st.text(alphabet='\\":,{}=- @/abptoken\n', max_size=60))
def test_a_text_of_json_is_json_still(words: str) -> None:
    text = json.dumps({"command": f"PGPASSWORD=a {words} --token b", "n": 1})
    assert json.loads(mask_secrets(text))["n"] == 1
