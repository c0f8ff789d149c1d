"""A real Chromium, driven through chromedriver's own HTTP: no package, and no network but loopback."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromedriver")
STARTS_WITHIN = 30.0
_QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions",
    "--hide-scrollbars", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip


def missing() -> str:
    """What has to be installed; empty when nothing has."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"{' and '.join(absent)} not installed: apt-get install chromium chromium-driver" if absent else ""


class Browser:
    """One window of a browser that starts without any state and cannot resolve a name."""

    def __init__(self, port: int, profile: Path) -> None:
        self._base = f"http://127.0.0.1:{port}"
        wanted = {
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": [*_QUIET, f"--user-data-dir={profile}"]},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"
        self._call("POST", f"{self._session}/url", {"url": "about:blank"})
        self.console()  # what its own first page did
        self.requests()

    def close(self) -> None:
        """Ends the browser."""
        self._call("DELETE", self._session)

    def open(self, path: Path) -> None:
        """Shows a file and takes the network away; what the page asked for until then is among the requests."""
        self._call("POST", f"{self._session}/url", {"url": path.as_uri()})
        self.cdp("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)

    def run(self, script: str) -> Any:
        """What a script returns. It is the debugger's, so the page's own policy does not stop it."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def cdp(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's debugging protocol."""
        body = {"cmd": command, "params": parameters}
        return self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def show_as(self, *, width: int, height: int = 800, scheme: str = "light") -> None:
        """Sets the size of the window and the colour scheme; below 500 pixels it is a telephone."""
        mobile = width < 500
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.cdp("Emulation.setEmulatedMedia", features=features)

    def picture(self) -> bytes:
        """The whole page as PNG."""
        answer = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def printed(self) -> bytes:
        """The page on A4 paper, as PDF."""
        answer = self.cdp("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=False)
        return base64.b64decode(answer["data"])

    def console(self) -> list[str]:
        """What the console was told since the last look."""
        return [entry["message"] for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """Every address that was asked for since the last look."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._call("POST", f"{self._session}/se/log", {"type": kind})
        return entries

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._base + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode(errors='replace')[:2000]}") from None


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser for the length of a ``with`` statement; its profile is made in the folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "chromedriver.log").open("wb") as log:
        driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=log, stderr=log)
    try:
        _wait_for(port, driver)
        window = Browser(port, folder / "profile")
        try:
            yield window
        finally:
            window.close()
    finally:
        driver.terminate()
        driver.wait(timeout=20)


def _wait_for(port: int, driver: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        assert driver.poll() is None, "chromedriver ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError(f"chromedriver does not listen within {STARTS_WITHIN} s")
