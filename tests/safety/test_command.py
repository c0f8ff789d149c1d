from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.errors import ConsentMissing, PlanError, UsageError
from knobctl.safety import Consent, SafePlan
from knobctl.safety.command import words_of
from knobctl.safety.findings import Findings
from knobctl.workload.registry import adapter_for
from tests.safety.machine import validate

CUSTOM = {"metric_pattern": "score ([0-9]+)", "reward_metric": "score", "direction": "maximize"}


def custom(command: str, consent: Consent | None = None, **keys: str) -> SafePlan:
    return validate(benchmark_command=command, consent=consent, **CUSTOM, **keys)


def words(text: str) -> tuple[tuple[str, ...], str]:
    findings = Findings()
    found = words_of("benchmark_command", text, findings)
    return found, "; ".join(problem.message for problem in findings.problems)


def test_words_of_a_plain_command() -> None:
    assert words("ab -n 10 -H 'Accept: text/html' http://127.0.0.1/") == (
        ("ab", "-n", "10", "-H", "Accept: text/html", "http://127.0.0.1/"),
        "",
    )


@pytest.mark.parametrize("text", ["a 'x;y'", 'a "x|y"', r"a x\;y", "a 'x$(y)'", "a '`y`'", r'a "\$(y)"', "a $ 5$"])
def test_quoted_marks_are_plain_characters(text: str) -> None:
    found, problem = words(text)
    assert found == tuple(shlex.split(text))
    assert problem == ""


@pytest.mark.parametrize("mark", ["|", ";", "&", "<", ">", "`", "$(", "(", ")", "${", "$HOME"])
@pytest.mark.parametrize("shape", ["a %s b", "a b%s", "%s a", 'a "x" %s'])
def test_unquoted_marks_are_refused(mark: str, shape: str) -> None:
    found, problem = words(shape % mark)
    assert found == ()
    assert "knobctl never uses a shell" in problem


@pytest.mark.parametrize("word", ["<db>", "{db}", "{{ db }}", "your_db", "http://127.0.0.1/YOUR_PATH", "CHANGEME"])
def test_placeholders_are_named(word: str) -> None:
    found, problem = words(f"pgbench {word}")
    assert found == ()
    assert "is a placeholder" in problem


@pytest.mark.parametrize("word", ["yourself", "'{\"a\": 1}'", "{}", "/srv/yours"])
def test_what_only_looks_like_a_placeholder(word: str) -> None:
    assert words(f"tool {word}")[1] == ""


@given(st.text(max_size=80))
def test_any_text_gives_words_or_one_printable_problem(text: str) -> None:
    found, problem = words(text)
    assert bool(found) != bool(problem)
    assert problem.isprintable()
    if found:
        assert found == tuple(shlex.split(text))


@given(st.lists(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=10), min_size=1))
def test_quoting_every_word_is_always_understood(argv: list[str]) -> None:
    found, problem = words(shlex.join(["tool", *argv]))
    assert found == ("tool", *argv) or "placeholder" in problem or "invisible" in problem


@pytest.mark.parametrize(
    "program",
    ["sudo", "su", "doas", "pkexec", "/usr/bin/sudo", "runuser -u x", "setpriv --reuid=0", "sg root", "env -i sudo",
     "nice -n 5 /usr/bin/sudo", "ssh host su"],
)  # fmt: skip
def test_other_users_programs_are_refused_with_consent_too(program: str) -> None:
    text = f"{program} ./mine"
    with pytest.raises(PlanError, match="is never run: a benchmark runs as an ordinary user"):
        custom(text, Consent(command=text))


def test_a_word_of_that_name_is_an_argument_like_any_other() -> None:
    assert custom("./mine sudo", Consent(command="./mine sudo")).command.argv == ("./mine", "sudo")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bash run.sh", "'bash' is a shell, which runs whatever its arguments say"),
        ("/bin/sh -c 'x; y'", "'sh' is a shell"),
        ("env A=b ./mine", "'env' starts another program, whose arguments knobctl does not check"),
        ("timeout 5 ./mine", "'timeout' starts another program"),
        ("ssh host pgbench", "'ssh' starts programs where knobctl neither sees nor ends them"),
        ("docker run x", "'docker' starts programs where knobctl neither sees nor ends them"),
        ("systemd-run ./mine", "'systemd-run' starts programs where"),
    ],
)
def test_people_are_told_what_they_consent_to(text: str, reason: str) -> None:
    with pytest.raises(ConsentMissing) as missing:
        custom(text)
    assert reason in missing.value.message
    assert custom(text, Consent(command=text)).command.text == text


def test_known_tool_runs_without_asking() -> None:
    command = validate().command
    assert command.argv == ("pgbench", "-c", "10", "-T", "30", "testdb")
    assert command.adapter.program == "pgbench"


def test_anything_else_needs_exactly_the_typed_text() -> None:
    with pytest.raises(ConsentMissing) as missing:
        custom("./mine --fast")
    assert "benchmark_command './mine --fast' runs only when you typed it yourself" in missing.value.message
    assert missing.value.hint == "If you trust it, type it yourself: --command './mine --fast'"
    for other in ("./mine", "./mine --fast --more", "./mine  --fast", ""):
        with pytest.raises(ConsentMissing):
            custom("./mine --fast", Consent(command=other))
    assert custom("./mine --fast", Consent(command=" ./mine --fast\n")).command.argv == ("./mine", "--fast")


def test_consent_does_not_bring_a_shell() -> None:
    with pytest.raises(PlanError, match="knobctl never uses a shell"):
        custom("./mine | tee x", Consent(command="./mine | tee x"))


def test_known_tool_with_an_unchecked_argument_needs_consent() -> None:
    text = "pgbench -T 5 -f mine.sql testdb"
    with pytest.raises(ConsentMissing):
        validate(benchmark_command=text)
    assert validate(benchmark_command=text, consent=Consent(command=text)).command.text == text


def test_quoted_shell_in_a_known_tool_needs_consent() -> None:
    text = "ab -n 10 -c 1 'http://127.0.0.1:8080/?a=1&b=2'"
    with pytest.raises(ConsentMissing, match="looks like shell"):
        validate(benchmark_command=text, reward_metric="rps")
    assert validate(benchmark_command=text, reward_metric="rps", consent=Consent(command=text)).objective


def test_reset_command_has_a_consent_of_its_own() -> None:
    with pytest.raises(ConsentMissing) as missing:
        custom("./mine", Consent(command="./mine"), reset_command="./clean")
    assert "reset_command './clean' runs only when you typed it yourself" in missing.value.message
    safe = custom("./mine", Consent(command="./mine", reset_command="./clean"), reset_command="./clean")
    assert safe.command.reset_argv == ("./clean",)


def test_reset_command_of_a_known_tool_is_dropped() -> None:
    safe = validate(reset_command="rm -rf /")
    assert safe.command.reset_argv == ()
    assert safe.dropped == (("reset_command", "pgbench is reset by knobctl itself"),)


def test_other_problems_come_before_consent() -> None:
    with pytest.raises(PlanError) as refused:
        validate("a.never", benchmark_command="./mine", **CUSTOM)
    assert "a.never is never tuned" in refused.value.message
    assert "'./mine' runs only when you typed it yourself" in refused.value.message


@pytest.mark.parametrize(("seconds", "timeout"), [(2, 60.0), (30, 300.0), (3000, 3600.0)])
def test_timeout_follows_the_expected_seconds(seconds: int, timeout: float) -> None:
    assert validate(benchmark_command=f"pgbench -T {seconds} testdb").command.timeout == timeout


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        ("pgbench -T 3600 testdb", 3600),
        ("wrk -d 1h http://localhost/", 3600),
        ("ab -t 3600 -n 1000 http://localhost/", 3600),
        ("fio --name=a --size=1M --rw=read --time_based --runtime=3600 --ramp_time=600", 4200),
        ("sysbench cpu --time=3600 --warmup-time=600 run", 4200),
    ],
)
def test_the_longest_run_that_is_allowed_reaches_its_own_end(command: str, seconds: int) -> None:
    metric = adapter_for(shlex.split(command)).metrics(shlex.split(command))[0].name
    timeout = validate(benchmark_command=command, reward_metric=metric).command.timeout
    assert timeout == pytest.approx(1.1 * seconds + 60)


def test_timeout_of_an_unknown_duration() -> None:
    assert custom("./mine", Consent(command="./mine")).command.timeout == 600.0


def test_every_refusal_is_a_usage_error() -> None:
    with pytest.raises(UsageError) as refused:
        validate(benchmark_command="''")
    assert refused.value.message == "benchmark_command names no program"
