"""The words of a request in, typed and bounded :class:`Hints` out.

Every value is checked before it leaves: a number is inside its bounds, a database name is an identifier, a web address
is rebuilt from its checked parts. What is out of bounds or malformed becomes a note, and the default is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from knobctl.strategist.files import intents
from knobctl.strategist.numbers import NUMBER, parse_number
from knobctl.strategist.wording import Wording, found, read_words

CLIENTS = (1, 1000)
THREADS = (1, 256)
SECONDS = (2, 600)
SIZE_MIB = (64, 65_536)
PORT = (1, 65_535)
LOOPBACK = ("localhost", "127.0.0.1")

READ_ONLY = (
    "read only", "readonly", "select only", "only reads", "only read", "only selects", "only select", "read heavy",
    "read mostly", "mostly reads", "mostly read", "read intensive", "lookups", "select queries", "只读", "仅查询",
    "只查询", "读为主", "读多写少", "查询", "读密集",
)  # fmt: skip
WRITE_HEAVY = (
    "write heavy", "write intensive", "heavy writes", "many writes", "lots of writes", "insert*", "update*",
    "write only", "writes", "写入", "大量写", "写密集", "写为主", "写多读少", "插入", "更新数据",
)  # fmt: skip
_NO_WRITING = re.compile(
    r"(?:do\s+not|don['’]?t|not|never|no|without)(?:\s+(?:do|doing))?(?:\s+any)?\s+(?:writes|writing)(?:\s+at\s+all)?\W*"
    r"|(?:不要?|没有|无|不需要|不想|不用|不必|无需|无须)(?:做|进行)?(?:任何)?写(?:入|操作|入操作)?\W*",
    re.IGNORECASE,
)
"""Nothing but “no writes”: “can not keep up with writes” complains about them, “do not write logs” is about logs."""


@dataclass(frozen=True)
class Hints:
    """What a request says about how to run the workload. None where it says nothing usable.

    Attributes:
        wording: The text that was read.
        clients: Concurrent clients or connections.
        threads: Threads of the benchmark.
        seconds: Length of one benchmark run.
        size_mib: Size of the benchmark's files together, in MiB.
        database: Name of a database: an identifier.
        host: Name or IPv4 address of the user's own server.
        port: Port of the user's own server.
        url: Checked ``http`` address.
        read_only: It speaks of reading alone.
        write_heavy: It speaks of much writing.
        notes: What was out of bounds or not understood, one sentence each.
    """

    wording: Wording
    clients: int | None = None
    threads: int | None = None
    seconds: int | None = None
    size_mib: int | None = None
    database: str | None = None
    host: str | None = None
    port: int | None = None
    url: str | None = None
    read_only: bool = False
    write_heavy: bool = False
    notes: tuple[str, ...] = ()


def read_request(text: str) -> Hints:
    """The hints in a request in English or Chinese.

    Raises:
        UsageError: The request is too long.
    """
    wording = read_words(text)
    meant = wording.meant
    notes = [f"Read as not wanted: “{part[:120]}”." for part in wording.negated]
    url = _url(meant, notes)
    host, port = _server(meant, notes)
    return Hints(
        wording=wording,
        clients=_whole(meant, _CLIENTS, CLIENTS, "clients", notes),
        threads=_whole(meant, _THREADS, THREADS, "threads", notes),
        seconds=_seconds(meant, notes),
        size_mib=_size(meant, notes),
        database=_database(meant, notes),
        host=host,
        port=port,
        url=url,
        read_only=bool(found(READ_ONLY, meant)) or any(map(_NO_WRITING.fullmatch, wording.negated)),
        write_heavy=bool(found(WRITE_HEAVY, meant)),
        notes=tuple(notes),
    )


_FLAGS = re.IGNORECASE | re.ASCII
"""Under ``ASCII`` a Chinese character is no part of a word, so ``优化database`` has a word boundary in it."""


def outside_urls(text: str) -> str:
    """The text without web addresses, whose words are names and say nothing about what is wanted."""
    return _URL.sub(" ", text)


def outside_counts(text: str) -> str:
    """The text without its numbers of clients and threads, which say how the work is run and not what it is."""
    for pattern in (*_CLIENTS, *_THREADS):
        text = pattern.sub(lambda match: f" {' '.join(_WORK.findall(match.group(0)))} ", text)
    return text


def _patterns(*sources: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(source.replace("NUMBER", f"({NUMBER})"), _FLAGS) for source in sources)


_IS = r"\s*(?:=|:|of|is|to|at|为|是|设为|达到|约)?\s*"
_CLIENTS = _patterns(
    r"NUMBER\s*(?:or\s+so\s+)?(?:(?:concurrent|parallel|simultaneous|database|db|active|web|http)\s+){0,2}"
    r"(?:clients?|connections?|users|sessions)\b",
    rf"\b(?:clients|concurrency|connections|concurrent\s+users){_IS}NUMBER",
    r"NUMBER\s*(?:个|名|路|条)?\s*(?:并发|同时)?的?\s*(?:客户端|连接|用户|会话|并发)",
    rf"(?:并发连接数|并发数|并发量|并发|客户端数量|客户端数|客户端|连接数|用户数){_IS}NUMBER(?!\s*(?:秒|分|线程|个线程))",
)
_THREADS = _patterns(
    r"NUMBER\s*(?:(?:worker|parallel|concurrent|cpu|benchmark)\s+)?threads?\b",
    rf"\bthreads{_IS}NUMBER",
    r"NUMBER\s*(?:个|条)?\s*(?:并发|工作)?线程",
    rf"线程(?:数量|数)?{_IS}NUMBER(?!\s*(?:秒|分|个客户端|个连接))",
)
_WORK = re.compile(r"\b(?:database|db|web|http)\b", _FLAGS)
_DURATION = re.compile(
    rf"(?P<before>every\s+|within\s+|\bin\s+(?:total\s+)?|total\s+(?:of\s+)?|每隔?\s*|总共\s*|一共\s*|在\s*)?(?P<number>{NUMBER})[\s-]*"
    r"(?P<unit>seconds?\b|secs?\b|s\b|minutes?\b|mins?\b|hours?\b|hrs?\b|h\b|days?\b|weeks?\b|秒钟?|分钟|个?小时|天|周)"
    r"(?P<after>\s*(?:以?内|之内|in\s+total|altogether))?",
    _FLAGS,
)
_UNIT_SECONDS = (("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800), ("秒", 1), ("分", 60), ("小时", 3600),
                 ("个小时", 3600), ("天", 86_400), ("周", 604_800))  # fmt: skip
_SIZE_UNIT = r"(?:gib|gb|g|mib|mb|m|tib|tb|t)\b"
_SIZE = _patterns(
    rf"NUMBER\s*-?({_SIZE_UNIT})\s*(?:large\s+|big\s+|of\s+|大小?的?\s*|的\s*)?(?:files?\b|data\b|dataset\b|文件|数据)",
    rf"(?:\bfiles?|\bdata|\bdataset|\bsize|文件|数据|大小)(?:\s+(?:size|of|with|total|totall?ing|together))*{_IS}(?:总共|共|总计)?\s*"
    rf"NUMBER\s*({_SIZE_UNIT})",
)
_UNIT_MIB = {"m": 1, "g": 1024, "t": 1024 * 1024}

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_NAMED = re.compile(
    r"(?:\b(?:database|db)\s+(?:named|called|name\s+is|name)\b\s*[=:]?|\b(?:database|db|dbname)\s*(?:=|:(?=\S))"
    r"|(?:数据库|库)\s*(?:名为|名叫|名称为|名称是|名字叫|名是|名|叫做|叫|=|:(?=\S))\s*[=:]?)\s*"
    r"(?P<token>[\"'“‘`]?[!-+\--~]+)",
    _FLAGS,
)
_BARE = re.compile(
    r"(?:\b(?:database|db)\s+|数据库\s*)(?P<quote>[\"'“‘`]?)(?P<token>[A-Za-z_][A-Za-z0-9_]*)[\"'”’`]?"
    r"(?=\s*(?:$|[\n,.;!?]|[^\x00-\x7f]|\b(?:with|on|for|at|using|under|and|port|host|by|in|over|through|via)\b))",
    _FLAGS,
)
_URL = re.compile(r"https?://[!-+\--~]+", _FLAGS)
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,62})(?:\.[a-z0-9-]{1,63})*", _FLAGS)
_URL_REST = re.compile(r"[A-Za-z0-9._~/%+=&?-]*")
_ELSEWHERE = (
    "{} is not this machine: the plan puts load on it and tunes this machine, and its command needs your own consent."
)
_IPV4 = r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
_SERVER = re.compile(
    rf"(?:\b(?:host|hostname)\s*[=:]?\s*|主机\s*[=:]?\s*)(?P<named>{_IPV4}|localhost|[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)+)"
    rf"(?![\w.-]*\w)(?::(?P<named_port>[0-9]+))?"
    rf"|(?:\b(?:at|on|server)\s+|服务器\s*|在\s*|\b)(?P<plain>{_IPV4}|localhost)(?![\w.-]*\w)(?::(?P<plain_port>[0-9]+))?",
    _FLAGS,
)
_PORT = _patterns(r"(?:\bport|端口号?)\s*(?:=|:|为|是|is|number)?\s*(-?\d+)")


def _whole(
    text: str, patterns: tuple[re.Pattern[str], ...], bounds: tuple[int, int], what: str, notes: list[str]
) -> int | None:
    for pattern in patterns:
        if match := pattern.search(text):
            return _bounded(parse_number(match.group(1)), match.group(0), bounds, what, notes)
    return None


def _bounded(value: float, said: str, bounds: tuple[int, int], what: str, notes: list[str]) -> int | None:
    if bounds[0] <= value <= bounds[1] and value == int(value):
        return int(value)
    notes.append(f"“{_short(said)}” is not between {bounds[0]} and {bounds[1]} {what}; the default is used.")
    return None


def _seconds(text: str, notes: list[str]) -> int | None:
    for match in _DURATION.finditer(text):
        unit = match["unit"].lower()
        seconds = parse_number(match["number"]) * next(
            length for name, length in _UNIT_SECONDS if unit.startswith(name)
        )
        before = (match["before"] or "").strip().lower()
        if before in ("every", "每", "每隔"):
            continue
        if before or match["after"]:
            notes.append(f"“{_short(match.group(0))}” looks like a limit for the whole run: give it as --time-budget.")
            continue
        return _bounded(seconds, match.group(0), SECONDS, "seconds per run", notes)
    return None


def _size(text: str, notes: list[str]) -> int | None:
    for pattern in _SIZE:
        if match := pattern.search(text):
            size = parse_number(match.group(1)) * _UNIT_MIB[match.group(2)[0].lower()]
            return _bounded(size, match.group(0), SIZE_MIB, "MiB of files", notes)
    return None


def _database(text: str, notes: list[str]) -> str | None:
    if match := _NAMED.search(text):
        token = match["token"].strip("\"'“”‘’`").rstrip(".,;:!?)")
        if _IDENTIFIER.fullmatch(token):
            return token
        notes.append(
            f"“{_short(token)}” is no database name that knobctl uses (letters, digits and _); the default is used."
        )
        return None
    for match in _BARE.finditer(text):
        token = match["token"]
        if _IDENTIFIER.fullmatch(token) and (match["quote"] or token.lower() not in intents().beside_database):
            return token
    return None


def _url(text: str, notes: list[str]) -> str | None:
    match = _URL.search(text)
    if match is None:
        return None
    said = match.group(0).rstrip(".;:!?)]}'\"")
    checked = _checked_url(said)
    if checked is None:
        notes.append(
            f"“{_short(said)}” is no address that knobctl uses (plain http://host:port/path); the default is used."
        )
    elif urlsplit(checked).hostname not in LOOPBACK:
        notes.append(_ELSEWHERE.format(urlsplit(checked).hostname))
    return checked


def _checked_url(said: str) -> str | None:
    try:
        parts = urlsplit(said)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    rest = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    allowed = (
        len(said) <= 200
        and parts.scheme.lower() == "http"
        and "@" not in parts.netloc
        and not parts.fragment
        and _HOST_NAME.fullmatch(host)
        and _URL_REST.fullmatch(rest)
        and port != 0
    )
    return f"http://{host}{f':{port}' if port is not None else ''}{rest}" if allowed else None


def _server(text: str, notes: list[str]) -> tuple[str | None, int | None]:
    text = outside_urls(text)
    host: str | None = None
    port_match = _PORT[0].search(text)
    port_text = port_match.group(1) if port_match else None
    if match := _SERVER.search(text):
        host = (match["named"] or match["plain"]).lower()
        port_text = match["named_port"] or match["plain_port"] or port_text
        if not _possible(host):
            notes.append(f"“{_short(host)}” is no address; knobctl uses a server of its own.")
            host = None
    port = None if port_text is None else _bounded(float(port_text), f"port {port_text}", PORT, "as a port", notes)
    if host in LOOPBACK and port is None:
        host = None
    elif host is not None and host not in LOOPBACK:
        notes.append(_ELSEWHERE.format(host))
    return host, port


def _possible(host: str) -> bool:
    if re.fullmatch(_IPV4, host):
        return all(int(part) <= 255 for part in host.split("."))
    return bool(_HOST_NAME.fullmatch(host))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."
