"""Text in, the same text without what looks like a key or a password out. A record outlives the run by years.

The text may be prose, a command as a person types it, JSON, a header, an address or a connection string. What is
masked is only what is shown, kept, or sent to a language model: a benchmark gets the words that its user approved.
"""

from __future__ import annotations

import json
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
_QUOTED = r"(?:[^'\n]|'\"'\"'|'\\\\'')"
"""A character between single quotes, or a single quote there as shells want it written."""
_ESCAPED = r"(?:[^\"\\\n]|\\[^\n])"
"""A character between double quotes."""
_MIDDLE = r"'\"'\"'|'\\\\''|\\?[\"'](?![\s\"'\\,:;.)}\]|&<>!?]|\Z)|\\[^\n\"']"
"""A quote or a backslash in the middle of a word, where it ends nothing."""
_BARE = rf"(?:[^\s\"'\\]|{_MIDDLE})"
"""A character of a word without quotes around it."""
_LISTED = (
    rf"(?:[^\s\"'\\&;,)}}\]]|{_MIDDLE}|[&;,](?![\s\"'\\&;,]|[\w. -]{{1,40}}=|\Z)"
    r"|[)}\]](?![\s\"'\\)}\],;.:]|\Z))"
)
"""The same in a list of values, where a mark in front of the next value, or of nothing, ends the word."""


def _value(before: str, bare: str, inside: str = "") -> re.Pattern[str]:
    """Finds these words with a value behind them, in quotes or ``bare``; what its first part is, ``inside`` says."""
    return re.compile(
        rf"(?i)({before})(?:('){inside}{_QUOTED}{{1,4000}}'|(\"){inside}{_ESCAPED}{{1,4000}}\""
        rf"|(\\[\"']){inside}[^\"'\\\n]{{1,4000}}\4|{bare})"
    )


def _rest(single: str, double: str) -> re.Pattern[str]:
    """Finds the beginning of something in quotes, with all that follows up to the quote's end."""
    return re.compile(rf"(?i)({single}){_QUOTED}{{1,4000}}(?=')|({double}){_ESCAPED}{{1,4000}}(?=\")")


_HEAD = (
    r"(?<![A-Za-z0-9-])(?:(?:proxy-)?authorization|(?:set-)?cookie"
    r"|(?:x-[a-z0-9-]{0,40})?(?:api-?key|(?:auth|access|csrf|security|vault)-token)"
    r"|x-[a-z0-9-]{0,40}(?:token|secret|password|key))[ \t]{0,4}:[ \t]{0,4}+"
    r"(?:(?:bearer|basic|digest|negotiate|token|apikey)[ \t]{1,4}+)?+"
)
_QUOTED_HEADER = _rest(rf"'{_HEAD}", rf"(?<!\\)\"{_HEAD}")
_HEADER = re.compile(rf"(?i)({_HEAD})[^\"'\\\r\n*](?:[^\"'\\\r\n]|(?<=\S)(?:{_MIDDLE})){{0,4000}}")
_ADDRESS = re.compile(r"(://[^\s:/@\"']{0,256}:)[^\s/]{1,256}@")
_TOKEN_ADDRESS = re.compile(r"(://)[A-Za-z0-9_.~+%-]{20,256}@")

_NAME = (
    r"(?:password|passwd|passphrase|passcode|(?<![a-z])pwd|(?<![a-z])pass|api[_-]?key"
    r"|(?:access|secret|private|account)[_-]?key|token|secret|credentials?|(?<![a-z])auth|signature|(?<![a-z])sig)"
)
"""The end of a name whose value is nobody's business."""

_NAMED = re.compile(
    rf"(?i)((\\)?\"[a-z0-9_.-]{{0,60}}(?:{_NAME}|authorization|cookie)\\?\""
    rf"[ \t]{{0,8}}:[ \t]{{0,8}}\\?\")(?(2)[^\"\\\n]|{_ESCAPED}){{1,4000}}"
)
_LONG = rf"--?[a-z0-9_-]{{0,60}}{_NAME}="
_WHOLE_WORD = _rest(rf"'{_LONG}|(?<!-c )'[a-z0-9_]{{0,60}}{_NAME}=", rf"(?<!\\)\"{_LONG}")
_ASSIGNED = _value(rf"{_NAME}[ \t]{{0,4}}=[ \t]{{0,4}}", rf"(?<=[a-z]=){_LISTED}{{1,4000}}")
_SPACED = re.compile(rf"(?i)(password(?:[ \t]{{1,4}}=[ \t]{{0,4}}|=[ \t]{{1,4}}))(?!\\?[\"'=]){_LISTED}{{1,4000}}")
_QUERY = re.compile(r"(?i)([?&](?:key|code|session|sid|jwt|hmac|x-amz-signature)=)[^\s\"'\\&#]{1,4000}")
_OPTION = _value(
    rf"(?<![\w-])--?[a-z0-9_-]{{0,60}}{_NAME}[ \t]{{1,4}}"
    r"(?!(?:is|was|are|has|and|or|needs?|takes?|must|may|cannot|for|in|of|to|with)\b)",  # a sentence about the option
    rf"(?![=:-]){_BARE}{{1,4000}}",
)
_LOGIN = r"(?<![\w-])(?-i:-[AaPuU]|--(?:user|proxy-user|auth|basic))[ =]{0,2}"
_ATTACHED_LOGIN = r"(?-i:-[AaPuU]|--(?:user|proxy-user|auth|basic)=)"
_USER = r"[^\s:/'\"-][^\s:/'\"]{0,100}:(?!//)"
_QUOTED_LOGIN = _rest(
    rf"{_LOGIN}'{_USER}|'{_ATTACHED_LOGIN}{_USER}", rf"(?<!\\)(?:{_LOGIN}\"{_USER}|\"{_ATTACHED_LOGIN}{_USER})"
)
_USER_AND_PASSWORD = re.compile(rf"({_LOGIN}{_USER}){_BARE}{{1,256}}")
_OF_A_PROGRAM = _value(
    r"(?-i:\bredis-(?:cli|benchmark)\b[^\n]{0,120}?[ \t]-a[ \t]{0,4}"
    r"|\b(?:mysql|mariadb)[a-z]{0,10}+(?![a-z-])[^\n]{0,120}?[ \t]-p"
    r"|\bsshpass[ \t]{1,4}-p[ \t]{0,4})",
    rf"(?!-){_BARE}{{1,256}}",
)

_LOAD = re.compile(r"(?<![\w-])ab[ \t][^\n]{1,4000}")
_CRUMB = r"[^'\"\\\s=]{1,200}="
_COOKIE = _value(r"(?<![\w-])(?-i:-C)[ \t]{0,4}", f"{_CRUMB}{_BARE}{{1,4000}}", inside=_CRUMB)
"""A cookie on the command line of ``ab``, which may have several."""

_JSON_LINE = re.compile(r"^[ \t]*[\[{\"].*[\]}\"][ \t\r]*$", re.MULTILINE)
_JSON_TEXT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')


def mask_secrets(text: str) -> str:
    """Replaces keys and passwords by ``***`` and leaves everything else as it is.

    Masked are keys of known providers (``sk-...``) and signed tokens, ``Bearer ...``, headers that log in
    (``Authorization:``, ``Cookie:``, ``X-Api-Key:``), the password of an address (``postgres://user:...@host``), the
    value of a name that ends in password, API key, token or secret, however it is given (``PGPASSWORD=...``,
    ``--pgsql-password=...``, ``--token ...``, ``?token=...``, ``"api_key": "..."``), the password of
    ``-A user:...``, ``-P user:...`` and ``-u user:...``, and the cookies of ``ab -C ...``. A value in quotes is masked
    up to the quote that ends it. Prose is not understood: "my password is ..." stays.

    A text, or a line of it, that is JSON is JSON still: every text in it is masked by itself.
    """
    if _is_json(text):
        return _in_json(text)
    parts, end = [], 0
    for line in _JSON_LINE.finditer(text):
        if _is_json(line.group(0)):
            parts += [_in_words(text[end : line.start()]), _in_json(line.group(0))]
            end = line.end()
    return "".join([*parts, _in_words(text[end:])])


def _in_words(text: str) -> str:
    if text.isspace():
        return text
    text = _KEYS.sub(MASK, text)
    text = _PRIVATE.sub(rf"\1{MASK}", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    text = _QUOTED_HEADER.sub(_kept, text)
    text = _HEADER.sub(rf"\1{MASK}", text)
    text = _ADDRESS.sub(rf"\1{MASK}@", text)
    text = _TOKEN_ADDRESS.sub(rf"\1{MASK}@", text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    text = _WHOLE_WORD.sub(_kept, text)
    text = _ASSIGNED.sub(_quoted, text)
    text = _SPACED.sub(rf"\1{MASK}", text)
    text = _QUERY.sub(rf"\1{MASK}", text)
    text = _OPTION.sub(_quoted, text)
    text = _QUOTED_LOGIN.sub(_kept, text)
    text = _USER_AND_PASSWORD.sub(rf"\1{MASK}", text)
    text = _OF_A_PROGRAM.sub(_quoted, text)
    return _LOAD.sub(lambda command: _COOKIE.sub(_quoted, command.group(0)), text)


def _is_json(text: str) -> bool:
    bare = text.strip()
    if bare[:1] not in ("{", "[", '"') or bare[-1:] not in ("}", "]", '"'):
        return False
    try:
        json.loads(bare)
    except (ValueError, RecursionError):
        return False
    return True


def _in_json(text: str) -> str:
    return _JSON_TEXT.sub(_in_json_text, _NAMED.sub(rf"\1{MASK}", text))


def _in_json_text(match: re.Match[str]) -> str:
    """One text of JSON, masked as what it stands for, and spelled as it was."""
    spelled = match.group(0)
    text = json.loads(spelled)
    masked = mask_secrets(text)
    if masked == text:
        return spelled
    again = json.dumps(masked, ensure_ascii=spelled.isascii())
    return again if "<" in spelled else again.replace("<", "\\u003c")


def mask_document(value: Any) -> Any:
    """The same plain JSON types with every text in them masked; names of keys and numbers stay."""
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, Mapping):
        return {name: mask_document(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [mask_document(each) for each in value]
    return value


def _kept(match: re.Match[str]) -> str:
    return f"{match.group(1) or match.group(2)}{MASK}"


def _quoted(match: re.Match[str]) -> str:
    quote = match.group(2) or match.group(3) or match.group(4) or ""
    return f"{match.group(1)}{quote}{MASK}{quote}"
