"""The user's and the system's ``config.toml`` in, one checked :class:`Config` out.

Two files are read, ``/etc/knobctl/config.toml`` and ``$XDG_CONFIG_HOME/knobctl/config.toml``; where both have a key,
the user's one counts. Either may be missing. Today there is one table::

    [model]
    name = "ollama:qwen2.5-coder:7b"        # provider:model
    base_url = "http://localhost:11434/v1"
    api_key_file = "~/.config/knobctl/key"  # never the key itself
    timeout = 300                           # seconds for one request
    requests = 60                           # most requests in one session
    tokens = 300000                         # most tokens in one session
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from knobctl.errors import UsageError

SYSTEM_FILE = Path("/etc/knobctl/config.toml")
MOST_SECONDS = 3600
_SECRETS = ("api_key", "apikey", "api-key", "key", "token", "password", "secret")


@dataclass(frozen=True)
class ModelConfig:
    """The table ``[model]``: which language model to ask, and how much.

    Attributes:
        name: ``provider:model``, or a bare name for an OpenAI-compatible server; None when the files name none.
        base_url: Where the server is; None for the provider's own address.
        api_key_file: A file that holds the key and nothing else.
        timeout: Seconds for one request, retries included.
        requests: Most requests in one session.
        tokens: Most tokens in one session, in both directions.
    """

    name: str | None = None
    base_url: str | None = None
    api_key_file: Path | None = None
    timeout: float = 300.0
    requests: int = 60
    tokens: int = 300_000


@dataclass(frozen=True)
class Config:
    """What the configuration files say, with defaults for what they leave out."""

    model: ModelConfig = field(default_factory=ModelConfig)


def load_config(environ: Mapping[str, str], system: Path = SYSTEM_FILE) -> Config:
    """Reads both files; the user's keys stand above the system's.

    Args:
        environ: The environment: ``XDG_CONFIG_HOME`` and ``HOME`` say where the user's file is.
        system: The system's file.

    Raises:
        UsageError: A file cannot be read, is no TOML, or holds an unknown key or an impossible value.
    """
    model: dict[str, Any] = {}
    for path in (system, user_file(environ)):
        model |= _model_table(path, environ)
    return Config(ModelConfig(**model))


def user_file(environ: Mapping[str, str]) -> Path:
    """``$XDG_CONFIG_HOME/knobctl/config.toml``, with ``~/.config`` where the variable is unset or relative."""
    folder = Path(environ.get("XDG_CONFIG_HOME") or "")
    if not folder.is_absolute():
        folder = _home(environ) / ".config"
    return folder / "knobctl" / "config.toml"


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def _model_table(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Checked keys of ``[model]`` in one file; empty when there is no such file."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", "Make it readable for this user, or move it away."
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", "Save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:  # tomllib lets huge numbers and deep nesting through as they are
        raise UsageError(f"{path} is not TOML: {error}", "Text values need quotes: name = 'ollama:llama3.2'.") from None
    _closed(path, "", document, ("model",))
    table = document.get("model", {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: model must be a table", "Write [model] on a line of its own, its keys below it.")
    if secret := next((key for key in table if key.lower() in _SECRETS), None):
        raise UsageError(
            f"{path}: a key does not belong into this file ([model] {secret})",
            "Put it alone into a file with mode 600 and name that as api_key_file, or set KNOBCTL_LLM_API_KEY.",
        )
    _closed(path, "[model] ", table, tuple(each.name for each in fields(ModelConfig)))
    return {key: _checked(path, key, value, environ) for key, value in table.items()}


def _closed(path: Path, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise UsageError(f"{path}: unknown key {where}{unknown[0]!r}", f"Known here: {', '.join(known)}.")


def _checked(path: Path, key: str, value: Any, environ: Mapping[str, str]) -> Any:
    def wrong(needed: str) -> UsageError:
        return UsageError(f"{path}: [model] {key} is {value!r}", f"It must be {needed}.")

    if key in ("name", "base_url", "api_key_file"):
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise wrong("text in quotes, on one line and not empty")
        return _file(path, value, environ) if key == "api_key_file" else value.strip()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong("a number")
    if key == "timeout":
        if not 0 < value <= MOST_SECONDS:
            raise wrong(f"a number of seconds, more than 0 and at most {MOST_SECONDS}")
        return float(value)
    if not isinstance(value, int) or value < 1:
        raise wrong("a whole number, at least 1")
    return value


def _file(path: Path, value: str, environ: Mapping[str, str]) -> Path:
    """``~/`` is the home folder; a relative name is looked for beside the configuration file."""
    if value.startswith("~/"):
        return _home(environ) / value[2:]
    return path.parent / value
