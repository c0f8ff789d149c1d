"""Text in, the same text without what looks like a key or a password out. A record outlives the run by years."""

from __future__ import annotations

import re

MASK = "***"

# Every repetition in front of a mark that may be missing has a limit, so that ten megabytes take no longer per
# character than ten bytes do.
_KEYS = re.compile(r"(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_-]{8,}|(?:gsk_|hf_|ghp_|xai-|AIza)[A-Za-z0-9_-]{16,})")
_BEARER = re.compile(r"(?i)\b(bearer[ \t]{1,8})[A-Za-z0-9._~+/-]{8,}=*")
_ADDRESS = re.compile(r"(://[^\s:/@\"']{0,256}:)[^\s/\"']{1,256}@")
_NAMED = re.compile(
    r"(?i)(\\?\"[a-z_-]{0,60}(?:password|passwd|api_?key|token|secret)\\?\"[ \t]{0,8}:[ \t]{0,8}\\?\")[^\"\\\n]{1,256}"
)
_QUOTED = re.compile(r"(?i)((?:password|passwd|api_?key|token|secret)=)(\\?[\"'])[^\"'\\\n]{1,256}\2")
_ASSIGNED = re.compile(r"(?i)((?:password|passwd|api_?key|token|secret)=)[^\s\"'\\&;,)}\]]{1,256}")


def mask_secrets(text: str) -> str:
    """Replaces keys and passwords by ``***`` and leaves everything else as it is.

    Masked are keys of known providers (``sk-...``), ``Bearer ...``, the password of an address
    (``postgres://user:...@host``), and what is given to a name that ends in password, API key, token or secret
    (``PGPASSWORD=...``, ``--pgsql-password=...``, ``"api_key": "..."``). Prose is not understood: "my password is ..."
    stays.
    """
    text = _KEYS.sub(MASK, text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    text = _ADDRESS.sub(rf"\1{MASK}@", text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    text = _QUOTED.sub(rf"\1\2{MASK}\2", text)
    return _ASSIGNED.sub(rf"\1{MASK}", text)
