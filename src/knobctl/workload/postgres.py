"""A throw-away PostgreSQL server in the work folder: a number of clients in, a server that only this run can use out.

It listens on the loopback interface alone, with a random password. Durability is never touched: ``fsync`` and
``full_page_writes`` stay on. Autovacuum and timed checkpoints are off, because they would hit one trial and not the
next; :meth:`PostgresServer.reset` does their work between trials.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from knobctl.errors import ServiceFailed, ToolMissing, WorkloadError
from knobctl.target import Command, CommandOutcome, Service, Target
from knobctl.workload.service import LOOPBACK, start_on_free_port, start_service
from knobctl.workload.tool import failure_of, how_to_install, stop_if_tripped

SERVER_PACKAGES: Mapping[str, str] = {"apt": "postgresql", "dnf": "postgresql-server postgresql-contrib"}
_NEWEST, _OLDEST = 24, 10
BINARY_FOLDERS = tuple(
    folder
    for version in range(_NEWEST, _OLDEST - 1, -1)
    for folder in (f"/usr/lib/postgresql/{version}/bin", f"/usr/pgsql-{version}/bin")
)
"""Where distributions put the server's programs when they are not in PATH, newest version first."""

USER = "knobctl"
_MIB = 2**20


def find_binaries(target: Target) -> str:
    """The folder that holds ``initdb`` and ``postgres``, the newest version when there are several.

    Raises:
        ToolMissing: There is none.
    """
    for folder in BINARY_FOLDERS:
        if target.which(f"{folder}/initdb") and target.which(f"{folder}/postgres"):
            return folder
    in_path = target.which("initdb")
    if in_path and target.which("postgres"):
        return in_path.rpartition("/")[0]
    raise ToolMissing(
        "the PostgreSQL server is not installed: initdb and postgres are neither in PATH nor in"
        " /usr/lib/postgresql/*/bin nor in /usr/pgsql-*/bin",
        how_to_install(target, SERVER_PACKAGES) + " Or name your own server with -h, -p and -U.",
    )


class PostgresServer:
    """One throw-away server.

    Args:
        target: Where it runs; must be open before :meth:`create`.
        clients: Connections that the benchmark will open.
    """

    def __init__(self, target: Target, clients: int) -> None:
        self._target = target
        self._clients = clients
        self._binaries = ""
        self._port = 0
        self._password_file = ""

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to log in."""
        return {"PGPASSFILE": self._password_file, "PGCONNECT_TIMEOUT": "10"}

    @property
    def connection(self) -> tuple[str, ...]:
        """The arguments with which a client finds the server."""
        return ("-h", LOOPBACK, "-p", str(self._port), "-U", USER)

    def program(self, name: str) -> str:
        """Path of a client program of the server's own version."""
        return f"{self._binaries}/{name}"

    def create(self, database: str) -> None:
        """Makes an empty cluster, starts the server, and creates the database.

        Raises:
            ServiceFailed: Something did not work; the last words are in the message.
        """
        self._binaries = find_binaries(self._target)
        password = secrets.token_urlsafe(24)
        # libpq ignores a password file that others may read.
        self._password_file = self._target.put("postgres-passwords", f"{LOOPBACK}:*:*:{USER}:{password}\n")
        for_initdb = self._target.put("postgres-password", f"{password}\n")
        self._require("chmod", ("chmod", "0600", self._password_file, for_initdb))
        self._require("removing an old cluster", ("rm", "-rf", "--", self._data))
        self._require(
            "initdb",
            (self.program("initdb"), "-D", self._data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={for_initdb}",
             "-E", "UTF8", "--locale=C", "--no-sync"),
            timeout=120.0,
        )  # fmt: skip
        self._require("removing the password", ("rm", "-f", "--", for_initdb))
        pid_file = f"{self._data}/postmaster.pid"
        self._port = start_on_free_port(self._target, self._service, self._answers, pid_file)
        if database != "postgres":
            self.query(f'CREATE DATABASE "{database}"', database="postgres")

    def restart(self) -> None:
        """Stops the server cleanly and starts it again on the same port.

        Raises:
            ServiceFailed: It did not come back.
        """
        self._psql(("CHECKPOINT",), "postgres")
        self.stop()
        service = self._service(self._port)
        start_service(self._target, service, lambda: self._answers(self._port), f"{self._data}/postmaster.pid")

    def stop(self) -> None:
        """Ends the server."""
        self._target.stop("postgres")

    def query(self, *statements: str, database: str) -> str:
        """Runs SQL statements, one transaction each, and returns what they print.

        Raises:
            WorkloadError: One failed.
        """
        outcome = self._psql(statements, database)
        if not outcome.ok:
            raise WorkloadError(f"the throw-away PostgreSQL server refused: {failure_of(outcome, 'psql')}")
        return outcome.output

    @property
    def _data(self) -> str:
        return f"{self._target.folder}/postgres"

    def _service(self, port: int) -> Service:
        quarter = self._target.facts().memory_bytes // 4 // _MIB
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": str(self._clients + 20),
            "shared_buffers": f"{max(32, min(quarter, 512))}MB",
            "fsync": "on",
            "full_page_writes": "on",
            "autovacuum": "off",
            "checkpoint_timeout": "30min",
            "max_wal_size": "4GB",
            "min_wal_size": "512MB",
            "log_checkpoints": "off",
            "logging_collector": "off",
        }
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        argv = (self.program("postgres"), "-D", self._data, *arguments)
        return Service("postgres", argv, stop_signal="SIGINT")

    def _answers(self, port: int) -> bool:
        self._port = port
        return self._psql(("SELECT 1",), "postgres").ok

    def _psql(self, statements: Sequence[str], database: str) -> CommandOutcome:
        commands = [word for statement in statements for word in ("-c", statement)]
        argv = (self.program("psql"), "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", *self.connection,
                "-d", database, *commands)  # fmt: skip
        outcome = self._target.run(Command(argv, timeout=300.0, env=self.environment))
        stop_if_tripped(outcome, "psql")
        return outcome

    def _require(self, what: str, argv: Sequence[str], timeout: float = 30.0) -> None:
        outcome = self._target.run(Command(tuple(argv), timeout, self.environment))
        stop_if_tripped(outcome, what)
        if not outcome.ok:
            raise ServiceFailed(
                f"{what} failed for the throw-away PostgreSQL server: {failure_of(outcome, argv[0], timeout)}",
                "Its last words say why. The cluster is made in the session's work folder, which needs about 1 GiB.",
            )
