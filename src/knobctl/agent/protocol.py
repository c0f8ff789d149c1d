"""The agent's wire format: one JSON object per line, in both directions.

A request is ``{"id": 7, "op": "write", ...}``. Its answer is ``{"id": 7, "ok": true, ...}`` or
``{"id": 7, "ok": false, "code": "write-failed", "message": "...", "hint": "..."}``. While a command runs, its output
comes as ``{"id": 7, "line": "...", "at": 1.25}`` before the answer.
"""

import json
from typing import Any, Dict

MAX_LINE = 4_000_000
HEARTBEAT_SECONDS = 60.0
"""The agent restores and ends when it hears nothing for this long while a session is open."""

BAD_REQUEST = "bad-request"
BUSY = "busy"
NOT_PERMITTED = "not-permitted"
WRITE_FAILED = "write-failed"
CHANGED_BY_OTHER = "changed-by-other"
RESTORE_INCOMPLETE = "restore-incomplete"
NO_SPACE = "no-space"
UNHEALTHY = "unhealthy"
FAILED = "failed"


class AgentError(Exception):
    """A request that the agent answers with ``ok: false``."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def encode(message: Dict[str, Any]) -> bytes:
    """One line on the wire."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> Dict[str, Any]:
    """A message from one line.

    Raises:
        AgentError: The line is no JSON object.
    """
    if len(line) > MAX_LINE:
        raise AgentError(BAD_REQUEST, "a message of %d bytes is too long" % len(line))
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise AgentError(BAD_REQUEST, "a message that is not JSON") from None
    if not isinstance(message, dict):
        raise AgentError(BAD_REQUEST, "a message that is not an object")
    return message
