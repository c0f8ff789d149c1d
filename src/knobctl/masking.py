"""Text in, the same text without what looks like a key or a password out. A record outlives the run by years.

The text may be prose, a command as a person types it, JSON, a header, an address or a connection string. What is
masked is only what is shown, kept, or sent to a language model: a benchmark gets the words that its user approved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

# Every repetition in front of a mark that may be missing has a limit, so that ten megabytes take no longer per
# character than ten bytes do.
_KEYS = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_-]{8,}|(?:gsk_|hf_|gh[opsur]_|github_pat_|glpat-|npm_|pypi-|xai-|AIza|xox[abeprs]-)"
    r"[A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{8,2000})"
)
_PRIVATE = re.compile(r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)[^-\"]{1,20000}")
_BEARER = re.compile(r"(?i)\b(bearer[ \t]{1,8})[A-Za-z0-9._~+/-]{8,}=*")
_HEADER = re.compile(
    r"(?i)((?<![A-Za-z0-9-])(?:(?:proxy-)?authorization|(?:set-)?cookie"
    r"|(?:x-[a-z0-9-]{0,40})?(?:api-?key|(?:auth|access|csrf|security|vault)-token)"
    r"|x-[a-z0-9-]{0,40}(?:token|secret|password|key))[ \t]{0,4}:[ \t]{0,4}+"
    r"(?:(?:bearer|basic|digest|negotiate|token|apikey)[ \t]{1,4}+)?+)[^\"'\\\r\n*][^\"'\\\r\n]{0,4000}"
)
_ADDRESS = re.compile(r"(://[^\s:/@\"']{0,256}:)[^\s/\"']{1,256}@")
_TOKEN_ADDRESS = re.compile(r"(://)[A-Za-z0-9_.~+%-]{20,256}@")

_NAME = (
    r"(?:password|passwd|passphrase|passcode|(?<![a-z])pwd|(?<![a-z])pass|api[_-]?key"
    r"|(?:access|secret|private|account)[_-]?key|token|secret|credentials?|(?<![a-z])auth|signature|(?<![a-z])sig)"
)
"""The end of a name whose value is nobody's business."""

_NAMED = re.compile(
    rf"(?i)(\\?\"[a-z0-9_.-]{{0,60}}(?:{_NAME}|authorization|cookie)\\?\""
    r"[ \t]{0,8}:[ \t]{0,8}\\?\")[^\"\\\n]{1,4000}"
)
_QUOTED = re.compile(rf"(?i)({_NAME}[ \t]{{0,4}}=[ \t]{{0,4}})(\\?[\"'])[^\"'\\\n]{{1,4000}}\2")
_ASSIGNED = re.compile(rf"(?i)({_NAME}=)[^\s\"'\\&;,)}}\]]{{1,4000}}")
_SPACED = re.compile(r"(?i)(password[ \t]{0,4}=[ \t]{0,4})[^\s\"'\\&;,)}\]=]{1,4000}")
_QUERY = re.compile(r"(?i)([?&](?:key|code|session|sid|jwt|hmac|x-amz-signature)=)[^\s\"'\\&#]{1,4000}")
_OPTION = re.compile(
    rf"(?i)((?<![\w-])--?[a-z0-9_-]{{0,60}}{_NAME}[ \t]{{1,4}})"
    r"(?!(?:is|was|are|has|and|or|needs?|takes?|must|may|cannot|for|in|of|to|with)\b)"  # a sentence about the option
    r"(?:(['\"])[^'\"\\\n]{1,4000}\2|[^\s'\"=:-][^\s'\"\\]{0,4000})"
)
_LOGIN = r"(?<![\w-])(?:-[AaPuU]|--(?:user|proxy-user|auth|basic))[ =]{0,2}"
_USER = r"[^\s:/'\"-][^\s:/'\"]{0,100}:(?!//)"
_QUOTED_LOGIN = re.compile(rf"({_LOGIN}(['\"]){_USER})[^'\"\\\n]{{1,256}}(?=\2)")
_USER_AND_PASSWORD = re.compile(rf"({_LOGIN}{_USER})[^\s'\"\\]{{1,256}}")
_OF_A_PROGRAM = re.compile(
    r"((?:\bredis-(?:cli|benchmark)\b[^\n]{0,120}?[ \t]-a[ \t]{0,4}"
    r"|\b(?:mysql|mariadb)[a-z]{0,10}+(?![a-z-])[^\n]{0,120}?[ \t]-p"
    r"|\bsshpass[ \t]{1,4}-p[ \t]{0,4})['\"]?)[^\s'\"\\-][^\s'\"\\]{0,256}"
)

_LOAD = re.compile(r"(?<![\w-])ab[ \t][^\n]{1,4000}")
_COOKIE = re.compile(
    r"((?<![\w-])-C[ \t]{0,4})"
    r"(?:(\\?['\"])[^'\"\\\s=]{1,200}=[^'\"\\\n]{1,4000}\2|[^'\"\\\s=]{1,200}=[^\s'\"\\]{1,4000})"
)
"""A cookie on the command line of ``ab``, which may have several."""


def mask_secrets(text: str) -> str:
    """Replaces keys and passwords by ``***`` and leaves everything else as it is.

    Masked are keys of known providers (``sk-...``) and signed tokens, ``Bearer ...``, headers that log in
    (``Authorization:``, ``Cookie:``, ``X-Api-Key:``), the password of an address (``postgres://user:...@host``), the
    value of a name that ends in password, API key, token or secret, however it is given (``PGPASSWORD=...``,
    ``--pgsql-password=...``, ``--token ...``, ``?token=...``, ``"api_key": "..."``), the password of
    ``-A user:...``, ``-P user:...`` and ``-u user:...``, and the cookies of ``ab -C ...``. Prose is not understood:
    "my password is ..." stays.
    """
    text = _KEYS.sub(MASK, text)
    text = _PRIVATE.sub(rf"\1{MASK}", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    text = _HEADER.sub(rf"\1{MASK}", text)
    text = _ADDRESS.sub(rf"\1{MASK}@", text)
    text = _TOKEN_ADDRESS.sub(rf"\1{MASK}@", text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    text = _QUOTED.sub(rf"\1\2{MASK}\2", text)
    text = _ASSIGNED.sub(rf"\1{MASK}", text)
    text = _SPACED.sub(rf"\1{MASK}", text)
    text = _QUERY.sub(rf"\1{MASK}", text)
    text = _OPTION.sub(_option, text)
    text = _QUOTED_LOGIN.sub(rf"\1{MASK}", text)
    text = _USER_AND_PASSWORD.sub(rf"\1{MASK}", text)
    text = _OF_A_PROGRAM.sub(rf"\1{MASK}", text)
    return _LOAD.sub(lambda command: _COOKIE.sub(_option, command.group(0)), text)


def mask_document(value: Any) -> Any:
    """The same plain JSON types with every text in them masked; names of keys and numbers stay."""
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, Mapping):
        return {name: mask_document(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [mask_document(each) for each in value]
    return value


def _option(match: re.Match[str]) -> str:
    quote = match.group(2) or ""
    return f"{match.group(1)}{quote}{MASK}{quote}"
