"""The environment and a key file's name in, the provider's secret key out.

A key is never put into a message, a log or a record: the errors here name the variable or the file that it came from.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from knobctl.errors import UsageError

KEY_VARIABLE = "KNOBCTL_LLM_API_KEY"
KEY_FILE_VARIABLE = "KNOBCTL_LLM_API_KEY_FILE"
CREDENTIAL = "knobctl-llm-api-key"
"""Name of the credential in a systemd unit: ``LoadCredential=knobctl-llm-api-key:/path``."""

OWN_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""Where a provider's own tools look for its key."""

_MOST_BYTES = 16_384


def find_key(environ: Mapping[str, str], configured: Path | None, own_variable: str | None) -> str | None:
    """The key to send; None when there is none.

    The first of these that is there wins: ``KNOBCTL_LLM_API_KEY``; the provider's own variable; the file that
    ``KNOBCTL_LLM_API_KEY_FILE`` names; the file that the configuration names;
    ``$CREDENTIALS_DIRECTORY/knobctl-llm-api-key``, which systemd provides.

    Args:
        environ: The environment.
        configured: ``[model] api_key_file`` of the configuration.
        own_variable: One of :data:`OWN_VARIABLES`, for the server of that provider itself; None for every other one,
            so that a provider's key never reaches it.

    Raises:
        UsageError: The first source that is there holds nothing that can be a key, or others may read the file.
    """
    for variable in (KEY_VARIABLE, own_variable):
        if variable and (value := environ.get(variable, "").strip()):
            return _sound(value, f"the key in {variable}")
    if named := environ.get(KEY_FILE_VARIABLE):
        return _from_file(Path(named), guarded=True)
    if configured:
        return _from_file(configured, guarded=True)
    if folder := environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(folder) / CREDENTIAL
        if credential.exists():
            return _from_file(credential, guarded=False)  # systemd guards the folder, and sets modes of its own inside
    return None


def _from_file(path: Path, guarded: bool) -> str:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # no wait at a pipe
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"the key file {path} is not a regular file", "Name a file that holds the key alone.")
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the key file {path}: {error.strerror}",
            f"Write the key into it and run: chmod 600 {path}",
        ) from None
    if guarded and status.st_mode & 0o077:
        raise UsageError(
            f"others may read the key file {path} (mode {stat.S_IMODE(status.st_mode):o})", f"Run: chmod 600 {path}"
        )
    lines = content.decode("utf-8", "replace").strip().splitlines()
    if not lines:
        raise UsageError(f"the key file {path} is empty", "Write the key into it, and nothing else.")
    if len(lines) > 1:
        raise UsageError(f"the key file {path} has more than one line", "Leave the key in it, and nothing else.")
    return _sound(lines[0], f"the key in {path}")


def _sound(key: str, source: str) -> str:
    """The key, when it can be sent in a header."""
    if len(key) > _MOST_BYTES or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"{source} is no key: it holds spaces or other characters that no key has", "Paste it again.")
    return key
