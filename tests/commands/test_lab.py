"""``knobctl lab``: what there is, and sessions beside the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from knobctl.target.families import FAMILIES
from knobctl.target.noise import NOISES
from knobctl.target.surfaces import SURFACES
from tests.commands.conftest import CommandLine

QUICK = ("--searcher", "random", "--budget", "8", "--noise", "quiet")


def test_the_surfaces_are_listed(knobctl: CommandLine) -> None:
    done = knobctl("lab", "surfaces")
    assert (done.code, done.err) == (0, "")
    words = done.out.split()
    assert set(SURFACES) | {f"family:{name}" for name in FAMILIES} | set(NOISES) <= set(words)
    document = knobctl("lab", "surfaces", "--json").document
    assert [surface["name"] for surface in document["surfaces"]] == list(SURFACES)
    assert {surface["name"]: surface["optimum_percent"] for surface in document["surfaces"]}["postgresql"] == 23.2
    assert [noise["name"] for noise in document["noises"]] == list(NOISES)


def test_a_session_is_shown_beside_the_truth(knobctl: CommandLine) -> None:
    done = knobctl("lab", "session", "file-write", "--seed", "1", *QUICK)
    assert (done.code, done.err) == (0, "")
    first, truth, search, simulated = done.out.splitlines()
    assert first.startswith("file-write, seed 1: IMPROVED +")
    assert "95 % interval +" in first
    assert truth.startswith("  truth   +") and " of +205.9 % possible: vm." in truth
    assert search.startswith("  search  would have claimed +")
    assert simulated == "SIMULATED: nothing here was measured on a real machine."
    assert not knobctl.state.exists(), "sessions of the lab are kept nowhere"


def test_a_family_without_a_seed_draws_another_machine_each_time(knobctl: CommandLine) -> None:
    done = knobctl("lab", "session", "family:null", "--seed", "3", "--repeat", "2", *QUICK)
    assert [line.split(":")[2] for line in done.out.splitlines() if line.startswith("family:")] == [
        "3, seed 3", "4, seed 4",
    ]  # fmt: skip
    assert "2 sessions: " in done.out
    assert "; 0 untrue; recommended, at the median: +0.0 %" in done.out


def test_sessions_as_json(knobctl: CommandLine) -> None:
    done = knobctl("lab", "session", "family:few:1", "--repeat", "2", *QUICK, "--json")
    sessions = done.document["sessions"]
    assert [(session["surface"], session["seed"]) for session in sessions] == [("family:few:1", 0), ("family:few:1", 1)]
    assert {"true_percent", "optimum_percent", "announced_percent", "best_seen_percent"} <= set(sessions[0])
    assert sessions[0]["result"]["simulated"] is True


@pytest.mark.parametrize(
    ("surface", "words"),
    [
        ("nothing", "unknown simulated machine 'nothing'"),
        ("family:nothing", "unknown family of surfaces 'nothing'"),
        ("no_such_module:x", "cannot import the surface no_such_module:x"),
    ],
)
def test_an_unknown_surface_is_a_usage_error(knobctl: CommandLine, surface: str, words: str) -> None:
    done = knobctl("lab", "session", surface)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_the_page_of_the_lab_describes_every_family_and_noise() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "lab.md").read_text(encoding="utf-8")
    for name, family in FAMILIES.items():
        assert f"| `{name}` | {family.summary} |" in page
    for name, noise in NOISES.items():
        assert f"| `{name}` | {100.0 * noise.spread(30.0):.0f} % |" in page
