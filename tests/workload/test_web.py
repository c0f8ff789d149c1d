from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.workload.web import all_failed, means_throwaway, url_problems


@pytest.mark.parametrize(
    "url",
    ["http://localhost/", "http://localhost", "http://127.0.0.1/", "http://[::1]/", "localhost/", "http://LOCALHOST/"],
)  # fmt: skip
def test_this_machine_without_port_and_path_means_the_throwaway_server(url: str) -> None:
    assert means_throwaway(url)


@pytest.mark.parametrize(
    "url",
    ["http://localhost:80/", "http://localhost/index.html", "http://localhost/?q=1", "https://localhost/",
     "http://example.org/", "http://me@localhost/", "http://[::1", "http://localhost:x/"],
)  # fmt: skip
def test_a_port_a_path_or_another_host_means_a_server_of_the_users(url: str) -> None:
    assert not means_throwaway(url)


@given(st.text(max_size=30))
def test_no_url_raises(url: str) -> None:
    means_throwaway(url)
    assert all(problem.startswith("ab ") for problem in url_problems("ab", [url]))


def test_a_host_is_named_in_words_even_when_there_is_none() -> None:
    assert url_problems("wrk", ["http:///x"]) == [
        "wrk 'http:///x' needs your own consent: it puts load on another machine, without a name"
    ]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1#.example.org/", "http://127.0.0.1?.example.org/", "http://localhost?q=1", "http://[::1]#/",
     "http://localhost/#x", "http://localhost\\@example.org/"],
)  # fmt: skip
def test_what_programs_read_differently_is_not_used(url: str) -> None:
    (problem,) = url_problems("ab", [url])
    assert "needs your own consent" in problem


@pytest.mark.parametrize(
    "url", ["http://localhost:8080/a/b?c=d&e=%20", "127.0.0.1:80/", "http://[::1]:80/~x", "http://LOCALHOST/"]
)
def test_a_plain_address_of_this_machine_has_no_problem(url: str) -> None:
    assert url_problems("ab", [url]) == []


def test_all_failed_needs_requests() -> None:
    assert all_failed("ab", 0.0, 0.0) == ""
    assert all_failed("ab", 10.0, 9.0) == ""
    assert all_failed("ab", 10.0, 12.0) == "all 10 requests of ab failed"
