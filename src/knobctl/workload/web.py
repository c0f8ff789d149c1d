"""Load on a web server: which server a URL means, and the workload around it.

The server is a throw-away nginx when the URL names this machine without a port and without a path
(``http://localhost/``). A URL with a port or a path means a server of the
user's, which is measured as it is: write ``http://localhost:80/`` for your own server on the usual port.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from knobctl.errors import KnobctlError
from knobctl.target import Command, Target
from knobctl.workload.nginx import NGINX_PACKAGES, NginxServer
from knobctl.workload.tool import ToolAdapter, ToolWorkload, locate, stop_if_tripped

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_PLAIN_URL = re.compile(
    r"(?:http://)?(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?",
    re.IGNORECASE,
)
"""In this form every program reads the same host: ab takes all that stands before the first slash for it, wrk and
Python do not, and disagree about ``http://127.0.0.1#.example.org/``."""


def means_throwaway(url: str) -> bool:
    """The URL stands for the throw-away server."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        plain = parts.scheme == "http" and parts.port is None and not parts.username
    except ValueError:
        return False
    return plain and parts.hostname in _THIS_MACHINE and parts.path in ("", "/") and not parts.query


def url_problems(program: str, words: Sequence[str]) -> list[str]:
    """What is wrong with the words of a command that should be one URL of this machine."""
    if len(words) != 1:
        return [f"{program} takes one URL, not {len(words)}: write http://localhost/ for a throw-away server"]
    url = words[0]
    shown = repr(url[:80])
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, _port = parts.hostname, parts.port
    except ValueError:
        return [f"{program} was given {shown}, which is no URL"]
    if any(character <= " " or character > "~" for character in url):
        return [f"{program} was given {shown}, which is no URL"]
    if parts.scheme != "http":
        return [f"{program} {shown} needs your own consent: only http is used without asking"]
    if host not in _THIS_MACHINE:
        return [
            f"{program} {shown} needs your own consent: it puts load on another machine, {host or 'without a name'}"
        ]
    if parts.username or parts.password:
        return [f"{program} {shown} needs your own consent: it holds a user name or password"]
    if not _PLAIN_URL.fullmatch(url):
        return [f"{program} {shown} needs your own consent: programs do not agree about its host"]
    return []


class ThrowawayWeb(ToolWorkload):
    """Load on a throw-away nginx.

    Args:
        adapter: Reads the output.
        argv: The command; every word in ``urls`` is replaced by the server's address.
        target: Where to run.
        objective: Metric to follow.
        reset_command: Runs before each trial.
        urls: The words of the command that stand for the address.
        probe: The arguments, before the URL, with which the program asks one page.
    """

    def __init__(
        self,
        adapter: ToolAdapter,
        argv: Sequence[str],
        target: Target,
        objective: str,
        reset_command: Sequence[str],
        urls: Sequence[str],
        probe: Sequence[str],
    ) -> None:
        super().__init__(adapter, argv, target, objective, reset_command)
        self._urls = frozenset(urls)
        self._probe = tuple(probe)
        self._server = NginxServer(target, self._answers)

    def check(self) -> None:
        """Makes sure that the program and nginx are installed."""
        super().check()
        locate(self.target, "nginx", NGINX_PACKAGES)

    def prepare(self) -> None:
        """Starts the server."""
        self._server.create()

    def restart(self) -> None:
        """Restarts the server, so that it opens its listening socket under the knobs of now."""
        self._server.restart()

    def cleanup(self) -> None:
        """Ends the server."""
        try:
            self._server.stop()
        except KnobctlError:
            return

    def run_argv(self) -> tuple[str, ...]:
        """The command with the address of the throw-away server."""
        return (self.program(), *(self._server.url if word in self._urls else word for word in self.argv[1:]))

    def _answers(self, url: str) -> bool:
        outcome = self.target.run(Command((self.program(), *self._probe, url), timeout=10.0))
        stop_if_tripped(outcome, "asking the web server")
        return outcome.ok


def web_workload(
    reader: ToolAdapter,
    argv: Sequence[str],
    target: Target,
    objective: str,
    reset_command: Sequence[str],
    words: Sequence[str],
    probe: Sequence[str],
) -> ToolWorkload:
    """The workload for the URL among the words of a command."""
    urls = [word for word in words if means_throwaway(word)]
    if urls:
        return ThrowawayWeb(reader, argv, target, objective, reset_command, urls, probe)
    return ToolWorkload(reader, argv, target, objective, reset_command)


def all_failed(program: str, requests: float, failed: float) -> str:
    """A complaint when no request of a run was answered well."""
    return f"all {requests:.0f} requests of {program} failed" if requests and failed >= requests else ""
