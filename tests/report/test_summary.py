"""A result in, the words at the end of a run out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from knobctl.measure import Verdict
from knobctl.report.summary import next_step, summarize, verdict_lines
from knobctl.report.wording import apply_line, apply_words
from knobctl.store import Result

Make = Callable[..., Result]


def test_an_improvement_word_for_word(result: Make) -> None:
    assert summarize(result()) == (
        "IMPROVED: transactions_per_second +8.1 % (95 % interval +5.2 % to +11.0 %, 12 fresh interleaved pairs).\n"
        "\n"
        "Evidence:\n"
        "  score   4,000 1/s -> 4,324 1/s (higher is better)\n"
        "  search  would have claimed +13.0 % by itself; that is no evidence, the best of many noisy runs is partly "
        "luck\n"
        "  noise   3.1 % between runs; these pairs can prove gains from about 5.2 %\n"
        "  effort  45 runs, 6 min of benchmark in 8 min, searcher ppo, on local\n"
        "\n"
        "Change:\n"
        "  knob            found  proposed  unit     why it matters\n"
        "  vm.dirty_ratio  20     40        percent  lets bursts of writes run at memory speed\n"
        "\n"
        "Guardrails:\n"
        "  held: latency_average is 1 % worse\n"
        "\n"
        "Notes:\n"
        "  - the disk is virtual\n"
        "\n"
        "Machine: every knob has the value that was found. Session 20261122-184500-a1b2.\n"
        "\n"
        "To make it permanent: knobctl apply 20261122-184500-a1b2"
    )


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (
            Verdict.NO_CHANGE,
            "NO CHANGE: no measurable gain in transactions_per_second (estimate +8.1 %, 95 % interval",
        ),
        (Verdict.WORSE, "WORSE: the candidate does harm to transactions_per_second or to a guardrail (estimate +8.1 %"),
        (Verdict.INCONCLUSIVE, "INCONCLUSIVE: nothing is proven about transactions_per_second (estimate +8.1 %, 95 %"),
    ],
)
def test_without_an_improvement_there_is_nothing_to_apply(result: Make, verdict: Verdict, words: str) -> None:
    text = summarize(result(verdict=verdict, best_config={}, reason="after 12 pairs ..."))
    assert text.startswith(words)
    assert "  Why: after 12 pairs ...." in text
    assert "4,324" not in text, "a score that is not proven is no result"
    assert "tried" in text and "proposed" not in text
    assert text.endswith("Nothing to apply: the best thing to do is nothing.")
    assert "knobctl apply" not in text


def test_a_simulation_is_labelled_and_cannot_be_applied(result: Make) -> None:
    text = summarize(result(simulated=True, target="simulated:postgresql"))
    assert text.startswith("SIMULATED: nothing here was measured on a real machine.\nSIMULATED IMPROVED: ")
    titles = [group.splitlines()[0] for group in text.split("\n\n")[:-1]]
    assert len(titles) == 6
    assert all(title.startswith("SIMULATED") for title in titles)
    assert "knobctl apply" not in text


def test_a_machine_that_is_not_back_comes_before_everything_else(result: Make) -> None:
    broken = result(restored=False)
    assert next_step(broken) == "Look now: `knobctl restore` puts back what is left."
    assert "NOT EVERY KNOB IS BACK" in summarize(broken)


def test_a_run_without_pairs_shows_no_proof(result: Make) -> None:
    text = summarize(
        result(
            verdict=Verdict.NO_CHANGE, reason="the search proposes nothing but what was found", pairs=0,
            improvement_interval=None, improvement=0.0, best_config={}, candidate_config={}, knobs=(), guardrails=(),
            notes=(), claimed_by_search=None, noise_percent=None, baseline_score=None,
        )
    )  # fmt: skip
    nothing = "no configuration looked better than what was found, so nothing was verified"
    assert text.startswith(f"NO CHANGE: {nothing}.\n")
    for absent in ("search  would", "noise", "score", "Guardrails", "Notes", "Change", "why it matters"):
        assert absent not in text


def test_an_interval_without_bounds_is_said(result: Make) -> None:
    text = summarize(result(verdict=Verdict.INCONCLUSIVE, improvement_interval=None, pairs=1))
    assert "(no interval yet, 1 fresh interleaved pair)" in text


def test_an_open_guardrail_stands_under_the_headline(result: Make) -> None:
    text = summarize(result(reason="after 12 pairs ...; latency_p99 was not printed in at least two pairs"))
    assert text.splitlines()[1] == "  But: latency_p99 was not printed in at least two pairs."


def test_noise_that_hides_everything(result: Make) -> None:
    assert "these pairs can prove nothing" in summarize(result(smallest_percent=None))


def test_foreign_text_cannot_draw_on_the_terminal(result: Make) -> None:
    text = summarize(result(notes=("\x1b[2Jgone\nIMPROVED: +900 %",), metric="tps\x07\r"))
    assert "\x1b" not in text and "\x07" not in text and "\r" not in text
    assert "\nIMPROVED: +900" not in text


@pytest.mark.parametrize(
    ("workdir", "more"),
    [("", ""), ("/var/tmp", ""), ("/mnt/disk 2", " --workdir '/mnt/disk 2'"), ("/a\x1b[31m", " --workdir '/a'")],
)
def test_the_command_to_apply_names_the_work_folder_of_the_session(result: Make, workdir: str, more: str) -> None:
    improved = result()
    line = f"knobctl apply {improved.session_id}{more}"
    assert next_step(improved, workdir) == f"To make it permanent: {line}"
    assert summarize(improved, workdir).endswith(f"\nTo make it permanent: {line}")
    assert apply_line(improved.session_id, workdir) == line
    if workdir == "/mnt/disk 2":
        assert apply_words("SESSION", workdir) == ["apply", "SESSION", "--workdir", workdir], "no shell reads these"


def test_a_gain_that_is_ruled_out_says_nothing_about_harm(result: Make) -> None:
    """NO_CHANGE rules out a gain above the margin; a loss of 15 % may still be the truth."""
    unlike = result(verdict=Verdict.NO_CHANGE, best_config={}, improvement=-7.0, improvement_interval=(-15.0, 0.9))
    (first, *_) = verdict_lines(unlike)
    assert first.startswith("NO CHANGE: no measurable gain in transactions_per_second (estimate -7.0 %, 95 % interval")
    assert "effect" not in first
