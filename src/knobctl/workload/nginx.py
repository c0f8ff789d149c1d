"""A throw-away nginx that serves one small static file from the work folder, on the loopback interface."""

from __future__ import annotations

from collections.abc import Callable

from knobctl.target import Service, Target
from knobctl.workload.service import LOOPBACK, start_on_free_port, start_service

NGINX_PACKAGES = {"apt": "nginx", "dnf": "nginx"}
_PAGE_BYTES = 4096

# The listen queue is as long as the kernel allows, so that net.core.somaxconn decides and not nginx's own 511.
_CONFIGURATION = """\
daemon off;
master_process on;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{
    worker_connections 4096;
}}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    default_type text/html;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    server {{
        listen {address}:{port} backlog=65535;
        root {folder};
        location = / {{
            try_files /nginx-page.html =404;
        }}
        location / {{
            return 404;
        }}
    }}
}}
"""


class NginxServer:
    """One throw-away server.

    Args:
        target: Where it runs; must be open before :meth:`create`.
        answers: Asks a URL once; True when the server answers.
    """

    def __init__(self, target: Target, answers: Callable[[str], bool]) -> None:
        self._target = target
        self._ask = answers
        self._port = 0

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{LOOPBACK}:{self._port}/"

    def create(self) -> None:
        """Starts the server on a free port.

        Raises:
            ServiceFailed: It did not come up.
        """
        line = "<p>knobctl serves this page to measure how fast it is served.</p>\n"
        self._target.put("nginx-page.html", (line * (_PAGE_BYTES // len(line) + 1))[:_PAGE_BYTES])
        self._port = start_on_free_port(self._target, self._service, self._answers, self._pid_file)

    def restart(self) -> None:
        """Stops the server and starts it again on the same port.

        Raises:
            ServiceFailed: It did not come back.
        """
        self.stop()
        start_service(self._target, self._service(self._port), lambda: self._answers(self._port), self._pid_file)

    def stop(self) -> None:
        """Ends the server."""
        self._target.stop("nginx")

    @property
    def _pid_file(self) -> str:
        return f"{self._target.folder}/nginx.pid"

    def _service(self, port: int) -> Service:
        folder = self._target.folder
        text = _CONFIGURATION.format(folder=folder, address=LOOPBACK, port=port)
        path = self._target.put("nginx.conf", text)
        program = self._target.which("nginx") or "nginx"
        return Service("nginx", (program, "-p", folder, "-c", path), stop_signal="SIGTERM")

    def _answers(self, port: int) -> bool:
        self._port = port
        return self._ask(self.url)
