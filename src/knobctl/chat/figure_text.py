"""A text in, the figures in it out: numbers in digits and in words, multiples and shares, in English and Chinese.

What is no figure: a version, a name with digits in it, an ordinal, the marker of an enumeration, ``one`` by itself.
Reading takes time in proportion to the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from knobctl.strategist.numbers import parse_number

MOST_DIGITS = 15
"""What a float holds exactly; longer whole numbers are compared digit by digit."""

_LONGEST = 400
"""Digits that are read; a number that has more is none that a record holds."""

_MOST_POWER = 300
_ENOUGH_DIGITS = 2
"""More of them in front of an exponent are compared as they are shown; fewer have to be exact."""

_ORDINALS = ("st", "nd", "rd", "th")
_SMALL = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_SUFFIXES = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}
_HANS = "零〇一二两三四五六七八九十百千万亿"
_FORMAL = str.maketrans("壹贰叁肆伍陆柒捌玖拾佰仟萬億兩點", "一二三四五六七八九十百千万亿两点")

_GROUP_SPACE = re.compile(r"(?<=\d)[\u00a0\u2007\u2009\u202f'’](?=\d{3}(?!\d))")
_MARKER = re.compile(r"^[ \t]{0,8}(?:[-*•#>][ \t]{0,4})?(?:\*\*)?\(?(?:1?[0-9]|20)[.)、](?:\*\*)?(?=\s)", re.MULTILINE)
_TOKEN = re.compile(r"[A-Za-z0-9_./@,+~-]+")
_LETTER = re.compile("[A-Za-z_@]")
_IDENTIFIER = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]+")
_SEPARATOR = re.compile("[./-]")
_DIGIT = re.compile("[0-9]")
_TOKENS_EDGE = "./@,+~-_"
_PART = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_.]*)"
    r"|(?<![0-9.,/])(?P<fraction>(?P<over>[1-9])/(?P<under>[2-9]|10))(?![0-9.,/]*[0-9])"
    r"|(?P<number>\.?[0-9]+(?:[.,][0-9]+)*)(?:[eE](?P<exponent>[+-]?[0-9]{1,3})(?![A-Za-z0-9]))?(?P<unit>[A-Za-z]*)"
)
_TAIL = re.compile(
    r"[\s-]{0,2}(?:(?P<percent>%|个?百分点|(?:percent|per[ -]cent|pct|percentage|pp)(?![a-z0-9_]))"
    r"|(?P<multiple>×|✕|‰|倍|(?:x|times|fold|basis\s+points?)(?![a-z0-9_]))"
    r"|(?P<scale>(?:hundred|thousand|million|billion)s?(?![a-z0-9_])|[百千万亿]{1,2})|(?P<bits>bit(?![a-z0-9_])))",
    re.IGNORECASE,
)
_WORD = "|".join([*sorted(_SMALL, key=len, reverse=True), *_SCALES])
_WORDS = re.compile(rf"(?<![a-z0-9_])(?:{_WORD})(?:(?:[ -]| ?and )(?:{_WORD}))*(?![a-z0-9_])")
_TIMES_IN_FRONT = re.compile(r"[xX][0-9]{1,6}(?:\.[0-9]{1,6})?")
_MULTIPLE = re.compile(r"[0-9.,+-]+(?:x|fold|times)")
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_POINTED_THOUSANDS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3}){2,}")
_WIDEST_RANGE = 8
_RANGE = re.compile(r"\s{0,2}(?:-|–|—|~|to|and|至|到|和)\s{0,2}", re.IGNORECASE)
_HANS_NUMBER = re.compile(
    rf"(?P<of>百分之)?(?P<number>[{_HANS}]{{1,12}}(?:点[{_HANS}]{{1,8}})?)(?P<counted>(?:\s?%|个?百分点|毫?秒|分钟|[个次对项组轮台核条种]))?"
)
_HANS_IDIOMS = ("万一", "一一", "千万", "百万", "千", "万", "百", "亿", "零", "一", "十", "十万", "一千万", "万万")
_PHRASE = re.compile(
    r"(?<![a-z0-9_])(?:half|halves|halved|halving|twice|thrice|doubl(?:e|es|ed|ing)(?![ -]?check)|tripl(?:e|es|ed|ing)"
    r"|trebl(?:e|es|ed|ing)|quadrupl(?:e|es|ed|ing)|quintupl(?:e|es|ed|ing)|orders?\s+of\s+magnitude"
    r"|(?:a|one|two|three)[ -](?:third|quarter|fifth|tenth)s?|thirds|quarters?|dozens?|hundreds|thousands|millions"
    rf"|(?:several|many|{_WORD})[ -]?(?:times|fold)|(?:few|several|some|many)\s+(?:percent|per\s+cent|%)"
    r"|(?:single|double|triple)[ -]digits?)(?![a-z0-9_])"
    r"|(?:factor|multiple)\s+of\s+[0-9][0-9.]{0,8}"
    r"|[一减过大多]半|半数|翻倍|翻番|翻了?[一两二三四几]番|加倍|成倍|倍增|数量级|百分之几|几个百分点"
    rf"|[{_HANS}几数多若干]{{1,4}}倍|[一二两三四五六七八九几数]成(?![功为本立员果绩熟长不])"
    r"|[一二两三四五六七八九十千几]分之[一二两三四五六七八九十几]{1,3}"
)


class Figure(NamedTuple):
    """One figure of a text.

    Attributes:
        start: Where it begins.
        end: Where it ends, its percent sign included.
        text: As it stands there.
        value: Its absolute value; None for what only counts literally.
        decimals: To how many decimals it is shown.
        digits: All digits of a whole number that has more of them than a float can hold.
        percent: It is a percentage.
    """

    start: int
    end: int
    text: str
    value: float | None = None
    decimals: int = 0
    digits: str = ""
    percent: bool = False


def figures_in(text: str, names: Collection[str] | None) -> list[Figure]:
    """All figures, in order, without those inside of one of the ``names``; in a source (None), of an identifier."""
    text = _MARKER.sub(lambda match: " " * len(match.group(0)), plain(text))
    folded = _lower(text)
    found = [Figure(match.start(), match.end(), match.group(0)) for match in _PHRASE.finditer(folded)]
    found += _digits(text, names)
    found += _words(folded)
    found += _hans(folded)
    found.sort(key=lambda figure: (figure.start, -figure.end))
    return _ranges(text, _apart(found))


def plain(text: str) -> str:
    """The text with one form for every digit, and nothing in it that cannot be seen."""
    if text.isascii():
        return text
    text = _GROUP_SPACE.sub(",", text)
    text = text.translate({ord(character): _visible(character) for character in set(text) if not character.isascii()})
    return unicodedata.normalize("NFKC", text).translate(_FORMAL)


def _visible(character: str) -> str:
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if unicodedata.decomposition(character).startswith("<fraction>"):
        return f" {unicodedata.numeric(character, 0.0):.4g}"
    return "" if unicodedata.category(character) in ("Cf", "Mn", "Me") else character


def _lower(text: str) -> str:
    """Lower case, of the same length."""
    if text.isascii():
        return text.lower()
    return text.translate({ord(character): character.lower() for character in set(text) if len(character.lower()) == 1})


def _digits(text: str, names: Collection[str] | None) -> Iterator[Figure]:
    for token in _TOKEN.finditer(text):
        words = token.group(0)
        if not _DIGIT.search(words):
            continue
        if words.isdigit() and len(words) <= MOST_DIGITS:
            yield from _plain_number(text, words, token.start(), token.end())
            continue
        name = words.strip(_TOKENS_EDGE)
        if _IDENTIFIER.fullmatch(name) if names is None else name.lower() in names:
            tail = _TAIL.match(text, token.end())
            if tail is None or tail.lastgroup != "percent":
                continue
        for part in _PART.finditer(words):
            start, end = token.start() + part.start(), token.start() + part.end()
            if part["name"]:
                yield from _number_in_name(text, part["name"], start, end)
            elif part["fraction"]:
                yield from _fraction(text, part, start, end)
            else:
                yield from _number(text, part, start, end)


def _plain_number(text: str, digits: str, start: int, end: int) -> Iterator[Figure]:
    """Nearly every number is digits and nothing else, and there may be very many of them."""
    tail = _TAIL.match(text, end)
    if tail is None:
        yield Figure(start, end, digits, float(digits), percent=_after_percent_of(text, start))
    elif tail.lastgroup == "percent":
        yield Figure(start, tail.end(), text[start : tail.end()], float(digits), percent=True)
    else:
        part = _PART.match(digits)
        assert part is not None, "digits are a number"
        yield from _number(text, part, start, end)


def _number_in_name(text: str, name: str, start: int, end: int) -> Iterator[Figure]:
    """A name is no figure, but ``x17`` is one, and so is the end of a name before a percent sign."""
    if _TIMES_IN_FRONT.fullmatch(name) and name.lower() != "x86":
        yield Figure(start, end, name)
    elif name[-1].isdigit():
        tail = _TAIL.match(text, end)
        if tail and tail.lastgroup == "percent":
            yield Figure(start, tail.end(), text[start : tail.end()])


def _fraction(text: str, part: re.Match[str], start: int, end: int) -> Iterator[Figure]:
    """A proper fraction is a share; “20/10” are two numbers."""
    over, under = int(part["over"]), int(part["under"])
    if over < under:
        yield Figure(start, end, part["fraction"])
    else:
        yield _ended(text, start, start + 1, float(over), 0)
        yield _ended(text, start + 2, end, float(under), 0)


def _number(text: str, part: re.Match[str], start: int, end: int) -> Iterator[Figure]:
    unit, digits, exponent = part["unit"], part["number"], part["exponent"]
    if unit in _ORDINALS:
        return
    tail = _TAIL.match(text, end - len(unit))
    kind = tail.lastgroup if tail else None
    if kind == "bits" and digits in ("32", "64"):
        return
    if tail and kind == "multiple":
        yield Figure(start, tail.end(), text[start : tail.end()])
        return
    form = _form(digits)
    if form == "version" and kind != "percent":
        return
    if form in ("list", "version"):
        yield Figure(start, end, text[start:end])
        return
    value, decimals = float(form[:_LONGEST]), len(form.partition(".")[2])
    shown = len(form.replace(".", "").lstrip("0"))
    scale = _SUFFIXES.get(unit)
    if tail and kind == "scale" and tail.start() == end:
        word, end = tail["scale"].lower().removesuffix("s"), tail.end()
        scale = _SCALES[word] if word in _SCALES else int(parse_number(f"1{word}"))
    if exponent:
        power = max(-_MOST_POWER, min(_MOST_POWER, int(exponent)))
        value *= 10.0**power
        decimals -= power
        if shown <= _ENOUGH_DIGITS:
            decimals = max(0, decimals)
    if scale:
        value, decimals = value * scale, 0
    exact = form if shown > MOST_DIGITS and form.isdigit() and not exponent and not scale else ""
    yield _ended(text, start, end, value, decimals, exact)


def _form(digits: str) -> str:
    """Digits with points and commas as a float is written; or ``version``, or ``list``."""
    if digits.isdigit():
        return digits.lstrip("0") or "0"
    if _THOUSANDS.fullmatch(digits):
        return digits.replace(",", "")
    if _POINTED_THOUSANDS.fullmatch(digits):
        return digits.replace(".", "")
    points, commas = digits.count("."), digits.count(",")
    if points + commas == 1:
        return digits.replace(",", ".")
    return "version" if not commas else "list"


def _ended(text: str, start: int, end: int, value: float, decimals: int, digits: str = "") -> Figure:
    """With its percent sign, if it has one."""
    tail = _TAIL.match(text, end)
    percent = tail is not None and tail.lastgroup == "percent"
    end = tail.end() if tail and percent else end
    return Figure(start, end, text[start:end], value, decimals, digits, percent or _after_percent_of(text, start))


def _after_percent_of(text: str, start: int) -> bool:
    return text.startswith("百分之", max(0, start - 3))


def _words(text: str) -> Iterator[Figure]:
    for match in _WORDS.finditer(text):
        value = _value(re.findall(_WORD, match.group(0)))
        start, end = match.span()
        figure = _ended(text, start, end, float(value), 0)
        if value == 1 and not figure.percent:
            continue
        yield figure


def _value(words: Sequence[str]) -> int:
    total, part = 0, 0
    for word in words:
        if word in _SMALL:
            part += _SMALL[word]
        elif word == "hundred":
            part = max(1, part) * 100
        else:
            total, part = total + max(1, part) * _SCALES[word], 0
    return total + part


def _hans(text: str) -> Iterator[Figure]:
    for match in _HANS_NUMBER.finditer(text):
        whole, _, decimals = match["number"].partition("点")
        counted = match["counted"] or ""
        percent = bool(match["of"]) or "百分点" in counted or "%" in counted
        idiom = match["number"] in _HANS_IDIOMS and not (counted and match["number"] in ("十", "十万", "百万"))
        single = len(match["number"]) == 1 or not re.search("[十百千万亿]", whole)
        if not percent and (idiom or (single and not counted)):
            continue
        value = parse_number(whole)
        for place, digit in enumerate(decimals, 1):
            value += parse_number(digit) / 10**place
        yield Figure(match.start(), match.end(), match.group(0), value, len(decimals), "", percent)


def _apart(figures: Sequence[Figure]) -> list[Figure]:
    """Without those that begin inside of an earlier one: “two” in “two times”."""
    kept: list[Figure] = []
    for figure in figures:
        if not kept or figure.start >= kept[-1].end:
            kept.append(figure)
    return kept


def _ranges(text: str, figures: list[Figure]) -> list[Figure]:
    """``3-5 %`` are two percentages."""
    marked = list(figures)
    for place in range(len(marked) - 2, -1, -1):
        first, second = marked[place], marked[place + 1]
        if second.percent and first.value is not None and second.start - first.end <= _WIDEST_RANGE:
            between = _RANGE.match(text, first.end)
            if between and between.end() == second.start:
                marked[place] = first._replace(percent=True)
    return marked


def names_in(text: str) -> Iterator[str]:
    """What is no number in the words with digits in them: sessions, versions, paths, dates, parts of names."""
    for token in _TOKEN.findall(plain(text)):
        if _DIGIT.search(token):
            word = token.strip(_TOKENS_EDGE).lower()
            if _MULTIPLE.fullmatch(word):
                continue
            if _LETTER.search(word) or len(_SEPARATOR.findall(word)) > 1:
                yield word
                yield from (part for part in word.split(".") if _LETTER.search(part) and _DIGIT.search(part))
