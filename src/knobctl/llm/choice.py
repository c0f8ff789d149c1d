"""The flag, the environment and the configuration in, the language model that was chosen out; None without a choice.

Nothing is sent anywhere unless somebody asked for it: a provider's key in the environment is no choice.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, urlsplit

from knobctl.config import Config, ModelConfig
from knobctl.errors import KnobctlError, ModelError, UsageError
from knobctl.llm.keys import KEY_VARIABLE, OWN_VARIABLES, find_key

MODEL_VARIABLE = "KNOBCTL_MODEL"
URL_VARIABLE = "KNOBCTL_LLM_BASE_URL"
COMPATIBLE = "openai-compatible"
OLLAMA_PORT = 11434

PROVIDERS = {
    "openai": "OpenAI, needs OPENAI_API_KEY",
    "anthropic": "Anthropic, needs ANTHROPIC_API_KEY",
    "ollama": "a local Ollama",
    COMPATIBLE: f"llama.cpp's server, vLLM, LM Studio or any other server of this kind, needs {URL_VARIABLE}",
}
"""Every provider that can be named, and what it is."""

_OWN_HOSTS = {"openai": "api.openai.com", "anthropic": "api.anthropic.com"}
_MOST_NAME = 200


@dataclass(frozen=True)
class ModelChoice:
    """A language model, how to reach it, and how much may be asked of it. No text form of it shows the key.

    Attributes:
        provider: One of :data:`PROVIDERS`.
        name: The provider's name for the model; empty when the server is to be asked for its first one.
        base_url: Where the server is; None for the provider's own address.
        key: The secret key; None when there is none.
        timeout: Seconds for one request, retries included.
        requests: Most requests over the life of the model.
        tokens: Most tokens over the life of the model, in both directions.
    """

    provider: str
    name: str
    base_url: str | None = None
    key: str | None = field(default=None, repr=False)
    timeout: float = ModelConfig.timeout
    requests: int = ModelConfig.requests
    tokens: int = ModelConfig.tokens

    def __str__(self) -> str:
        place = f" at {self.base_url}" if self.base_url else ""
        return f"{self.provider}:{self.name or '(the first model there)'}{place}{' with a key' if self.key else ''}"


def choose_model(flag: str | None, environ: Mapping[str, str], config: Config) -> ModelChoice | None:
    """The language model that was asked for; None when nobody named one, nor an address.

    The name comes from the flag, else from ``KNOBCTL_MODEL``, else from the configuration. The address comes from
    ``KNOBCTL_LLM_BASE_URL``, else from the configuration. Which key wins: :func:`knobctl.llm.keys.find_key`. The
    address and the key file of a configuration that belongs to another provider are left alone, its key file counts
    for the server that it names, and a provider's own variable for that provider's server only, so that a key and a
    server which do not belong together never meet.

    Args:
        flag: What was typed as ``--model``: ``provider:name``, or a bare name beside an address.
        environ: The environment.
        config: What the configuration files say.

    Raises:
        UsageError: The name, the address or the key cannot be used as they are.
        ModelError: The provider needs a key and there is none that may go to this server.
    """
    wanted = flag if flag is not None else environ.get(MODEL_VARIABLE) or config.model.name
    address = environ.get(URL_VARIABLE) or None
    if wanted is None and not (address or config.model.base_url):
        return None
    provider, name = _spelled(wanted, has_address=bool(address or config.model.base_url))
    model = _belonging(config.model, provider)
    source = URL_VARIABLE if address else "[model] base_url"
    address = address or model.base_url
    if address is None and provider == "ollama":
        address, source = _ollama_address(environ.get("OLLAMA_HOST", "")), "OLLAMA_HOST"
    if address is None and provider == COMPATIBLE:
        raise UsageError(
            f"where is the server of {wanted}?", f"Set {URL_VARIABLE}, for example http://localhost:8080/v1."
        )
    own = OWN_VARIABLES.get(provider)
    elsewhere = address is not None and own is not None and not is_own_server(address, provider)
    configured = model.api_key_file if _is_configured(address, model, provider) else None
    key = find_key(environ, configured, None if elsewhere else own)
    if address is not None:
        address = _checked_address(address, provider, source, key is not None)
    if key is None and own is not None:
        raise _without_key(provider, own, source if elsewhere else "", model.api_key_file is not None)
    return ModelChoice(
        provider, name, address, key, timeout=model.timeout, requests=model.requests, tokens=model.tokens,
    )  # fmt: skip


def _is_configured(address: str | None, model: ModelConfig, provider: str) -> bool:
    """Whether an address is the one that a configuration speaks of: its own, else the provider's usual one."""
    if address is None:
        return True
    if model.base_url is not None:
        return _origin(address) == _origin(model.base_url)
    usual = provider == "ollama" and _origin(address) == _origin(_ollama_address(""))
    return usual or is_own_server(address, provider)


def _origin(address: str) -> tuple[str, str, int | None]:
    """What makes a server another one: scheme, host and port."""
    try:
        parts = urlsplit(address.strip())
        return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return address, "", None


def _without_key(provider: str, own: str, source: str, has_file: bool) -> KnobctlError:
    """Why there is no key to send.

    Args:
        provider: The provider.
        own: Its own variable.
        source: Where the address of a server comes from that is not the provider's; empty for its own server.
        has_file: The configuration names a key file, which is for another server than this one.
    """
    if not source:
        return ModelError(f"there is no key for {provider}", f"Set {own} or {KEY_VARIABLE}, or name a key file.")
    away = f"Unset {URL_VARIABLE}" if source == URL_VARIABLE else f"Take {source} out of the configuration"
    keys = f"neither {own} nor [model] api_key_file" if has_file else own
    return UsageError(
        f"{source} is not the server of {provider}, and {keys} is sent to {'another' if has_file else 'no other'} one",
        f"{away} to ask {provider} itself, or set {KEY_VARIABLE} to the key of that server.",
    )


def _spelled(wanted: str | None, *, has_address: bool) -> tuple[str, str]:
    """Provider and name. What stands before the first colon counts as a provider when it is one."""
    if wanted is None:
        return COMPATIBLE, ""
    text = wanted.strip()
    if not text.isprintable() or len(text) > _MOST_NAME:
        raise UsageError(
            f"the model's name is not printable or too long: {text[:40]!r}", "Write it as provider:name, on one line."
        )
    head, colon, tail = text.partition(":")
    provider, name = (head.lower(), tail.strip()) if colon and head.lower() in PROVIDERS else (COMPATIBLE, text)
    if not name and not (provider == COMPATIBLE and colon and has_address):
        raise UsageError(f"{wanted!r} names no model", f"Write {_spellings()}.")
    if provider == COMPATIBLE and head.lower() != COMPATIBLE and not has_address:
        raise UsageError(
            f"{text!r} names no provider that knobctl knows",
            f"Write {_spellings()}. A bare name needs {URL_VARIABLE} beside it.",
        )
    return provider, name


def _spellings() -> str:
    return "provider:name with one of " + "; ".join(f"{name} ({what})" for name, what in PROVIDERS.items())


def _belonging(model: ModelConfig, provider: str) -> ModelConfig:
    """The configuration, without address and key file when these belong to a model of another provider."""
    if model.name is None and model.base_url is None:
        return model
    configured, _ = _spelled(model.name, has_address=True)  # an address without a name is a compatible server's
    return model if configured == provider else replace(model, base_url=None, api_key_file=None)


def _ollama_address(host: str) -> str:
    """The address that Ollama's own variable names: ``host``, ``host:port``, ``:port`` or a whole URL."""
    text = host.strip().rstrip("/")
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "http", text
    if not rest or rest.startswith(":"):
        rest = "localhost" + rest
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = "" if parts.port or found else f":{OLLAMA_PORT}"
    except ValueError:
        raise UsageError(f"OLLAMA_HOST is {host!r}", "Write it as host:port.") from None
    if parts.hostname in ("0.0.0.0", "::"):  # noqa: S104 - where a server listens is no address to call
        port = f":{parts.port}" if parts.port else port
        return f"{scheme}://localhost{port}"
    return f"{scheme}://{rest}{port}"


def _checked_address(address: str, provider: str, source: str, has_key: bool) -> str:
    """The address as the provider's library wants it."""

    def wrong(why: str, hint: str = "Write it as http://host:port/v1 or https://host/v1.") -> UsageError:
        return UsageError(f"{source} {why}", hint)

    try:
        parts = urlsplit(address.strip())
        port = parts.port
    except ValueError:
        raise wrong("is not an address") from None
    if parts.username is not None or parts.password is not None:
        raise wrong("holds a user name or a password", f"Leave it out, and set {KEY_VARIABLE} when a key is needed.")
    if not address.isprintable() or " " in address.strip():
        raise wrong("holds spaces or control characters")
    if parts.scheme not in ("http", "https"):
        raise wrong(f"is {address!r}: neither http nor https")
    if not parts.hostname or port == 0:
        raise wrong(f"is {address!r}: it names no host" if not parts.hostname else f"is {address!r}: port 0")
    if parts.query or parts.fragment or "?" in address or "#" in address:
        raise wrong("holds a ? or a #")
    if has_key and parts.scheme == "http" and not is_loopback(parts.hostname):
        raise wrong(
            f"is {address!r}: a key would cross the network unencrypted",
            "Use https, or reach the server through a tunnel to localhost.",
        )
    return _with_path(parts, provider)


def _with_path(parts: SplitResult, provider: str) -> str:
    path = parts.path.rstrip("/")
    if provider == "anthropic":
        path = path.removesuffix("/v1")  # its library adds this itself
    elif provider == "ollama" and not path:
        path = "/v1"
    return parts._replace(path=path).geturl()


def is_own_server(address: str, provider: str) -> bool:
    """Whether an address is the provider's own: its host, or a region of it such as ``eu.api.openai.com``."""
    own = _OWN_HOSTS.get(provider)
    try:
        host = urlsplit(address.strip()).hostname or ""
    except ValueError:
        return False
    return own is not None and f".{host}".endswith(f".{own}")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine itself, so that nothing said to it crosses a network."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
