"""A text in; whether it claims a gain that is not proven, a deed that nobody did, or looks like a prompt, out.

A heuristic of word lists in English and Chinese, strict rather than clever: it looks at one clause at a time, and a
clause with a negation in it claims nothing. Irony, other languages and rare words pass; the verdict of the record
stands above a model's words in any case. Takes time in proportion to the length of the text.
"""

from __future__ import annotations

import re

from knobctl.chat.figure_text import plain
from knobctl.measure.verdict import Verdict


def _words(*alternatives: str) -> str:
    """Whole Latin words."""
    return rf"(?<![a-z])(?:{'|'.join(alternatives)})(?![a-z])"


_CLAUSE = re.compile(rf"[.;:!?](?=\s|$)|,(?=\s)|[\n。；：！？，]|{_words('but', 'however', 'yet')}|但是?|不过|然而")
_HARMLESS = re.compile(
    r"(?:higher|lower|more|less) (?:is|are) better|better (?:to|not)(?![a-z])|越[高低大小]越好"
    r"|(?<![a-z])search[^.;\n]{0,40}claim(?:s|ed)?[^.;\n]{0,60}|claimed by[^.;\n]{0,60}"
)
_NO_NEGATION = re.compile(
    _words(
        "not (?:only|just|merely|least)", "no doubt", "without (?:a |any )?doubt", "never been",
        "nothing (?:less|but)", "if (?:any|not)",
    )
    + "|毫无疑问|无疑|不仅|不但|不只|不光|非常|无论|不少"
)  # fmt: skip
_NEGATION = re.compile(
    _words(
        "no", "not", "cannot", "never", "nothing", "none", "neither", "nor", "without", "unproven", "unclear",
        "uncertain", "unknown", "whether", "if", "unless", "hardly", "fail(?:s|ed)?", "lacks?", "inconclusive",
        "insufficient", "impossible", "ruled out", "rules? out", "excludes?", "excluded",
    )
    + "|n['’]t(?![a-z])|没|未|不|无|非|否|难以|如果|若|排除"
)  # fmt: skip
_THING = "(?:throughput|performance|speed|tps|qps|iops|latency|response|score|bandwidth|transactions?|requests?)"
_MORE = "(?:throughput|performance|speed|tps|qps|iops|score|bandwidth|transactions?|requests?)"
_LESS = "(?:latency|latencies|responses?|response times?|score)"
_THERE = "(?! (?:with|at|under) the default)"
_PAST_GAIN = (
    "improved", "gained", "boosted", "accelerated", "outperformed", "sped up", "optimi[sz]ed", "enhanced", "benefited",
    "doubled", "tripled", "quadrupled", "halved",
    rf"{_THING}[a-z_ ]{{0,30}} (?:rose|increased|grew|climbed|jumped|went up|fell|dropped|decreased|went down)",
    rf"(?:increased|raised|reduced|lowered|cut)[a-z ]{{0,20}} {_THING}",
    rf"{_MORE}(?: [a-z_]{{1,12}}){{0,3}} (?:is|are|was|were)(?: now| clearly)? (?:up(?! to)|higher){_THERE}",
    rf"{_LESS}(?: [a-z_]{{1,12}}){{0,3}} (?:is|are|was|were)(?: now| clearly)? (?:down(?! to)|lower){_THERE}",
    "beat", "beaten", "helped", "worked(?! (?:on|with|through)(?![a-z]))", "(?:paid|pays|paying) off", "worthwhile",
    "(?:handled|served|sustained) more", "worth (?:keeping|applying|adopting|it)",
    "(?:candidate|changes?|tuning)(?: (?:has|have|clearly|easily)){0,2} (?:wins|won)",
)  # fmt: skip
_GAIN = re.compile(
    _words(
        *_PAST_GAIN, "faster", "fastest", "quicker", "quickest", "better", "best result", "speed[ -]?ups?",
        "speeds? up", "improv(?:e|es|ing|ement|ements)", "gains?", "gaining", "boosts?", "boosting",
        "outperforms?", "accelerat(?:e|es|ing|ion)", "success", "successful", "successfully", "enhanc[a-z]{1,6}",
        "benefits?", "doubl(?:e|es|ing)", "tripl(?:e|es|ing)", "halv(?:e|es|ing)",
        rf"(?:higher|increases?|more|lower|less)[a-z ]{{0,20}} {_THING}",
        rf"{_THING} (?:increases|rises|drops|falls|goes up|goes down)", "beats",
    )
    + "|更快|更好|提升|提高|改善|改进|改良|加快|加速|变快|快了|增长|增加了|优化了|好转|增益|收益|降低了|翻倍|翻番|奏效"
    "|见效|优于|胜过|胜出|值得(?:保留|应用|采用)"
)  # fmt: skip
_TRIED = (
    "(?:candidate|changes?|tuning|configuration|settings?|it|this|that|(?:at|to|of) [0-9.]{1,20}"
    r"|[a-z0-9]{1,30}\.[a-z0-9_.]{1,60})"
)
_FAVOUR = re.compile(
    _words(
        rf"{_TRIED}(?: (?:now|also|do|does|really|clearly)){{0,2}} helps?", "wins", "won", "winner", "a win",
        "(?:handles?|serves?|sustains?) more",
    )
)  # fmt: skip
"""Said of a result, a claim; said of settings in general, mostly none: “the last file wins”, “this helps to avoid”."""

_HAPPENED = re.compile(
    _words(*_PAST_GAIN, "now", "was", "were", "has", "have", "had", "got", "became", "did", "run", "your", "this")
    + "|[了已]"
)
_VERBS = (
    "appl(?:y|ied)", "set", "changed?", "writ(?:e|ten)", "wrote", "made", "updated?", "modified", "enabled?",
    "disabled?", "configured", "install(?:ed)?", "deleted?", "persisted", "saved", "ran", "executed?", "restart(?:ed)?",
    "roll(?:ed)? back", "tuned", "restored",
)  # fmt: skip
_DEED = re.compile(
    _words(
        rf"(?:i|we)(?:['’]ve|['’]ll| have| had| am| will)?(?: now| just| already| also)? (?:{'|'.join(_VERBS)})",
        "(?:has|have|is|are|was|were)(?: now| already| just| all)?(?: been)?(?: now| already)?"
        " (?:applied|made permanent|permanent|persisted|written|saved|set permanently|installed|live)",
    )
    + "|已经?(?:应用|生效|设置|修改|写入|永久|执行|完成设置|保存|更改|调整)|我(?:已|会|将|把)|现已|永久生效了"
)
_PROMPT = re.compile(
    r"[\[(]\s?(?:y|yes|n|no|是|否)\s?[/|]\s?(?:y|yes|n|no|是|否)\s?[\])]"
    r"|(?<![a-z])(?:type|enter|answer|press|say) ['\"“`]?(?:y|yes|enter)(?![a-z])"
    r"|^[ \t]{0,8}(?:knobctl|you|user|assistant|system|password|[a-z0-9_.-]{1,30}@[a-z0-9_.-]{1,60})[ \t]{0,2}[>:#$]",
    re.MULTILINE,
)
_COMMAND = re.compile(
    r"(?<![a-z/])(?:"
    r"(?:sudo|curl|wget|mkfs[.a-z0-9]{0,8}|chmod|chown|bash -c|sh -c|systemctl|sed -i|rm -[a-z]{1,4}|dd if=)(?![a-z])"
    r"|tee[ \t]{1,4}(?:-{1,2}[a-z]{1,10}[ \t]{1,4})?[\"']?/|sysctl[ \t]{1,4}(?:--?[a-z]|[^\s=]{1,100}[ \t]?=)"
    r"|(?:cp|mv|ln|rsync)[ \t][^\n]{0,200}?[ \t][\"']?/(?:proc|sys|etc|dev)/)"
    r"|>[ \t]{0,4}[\"']?/(?:proc|sys|etc|dev)/"
)


def overclaims(text: str, verdict: Verdict | None, *, of_the_past: bool = False) -> bool:
    """Whether a text says that something got better while the verdict is not ``IMPROVED``.

    Args:
        text: The words.
        verdict: Of the run that is spoken of; None without one.
        of_the_past: Only what is said to have happened counts, so that “a large read-ahead is faster” may be said.
    """
    if verdict is Verdict.IMPROVED:
        return False
    if of_the_past:
        return any(_HAPPENED.search(clause) for clause in claiming(text).splitlines())
    return bool(claiming(text)) or any(_FAVOUR.search(clause) for clause in _clauses(text))


def claiming(text: str) -> str:
    """The clauses of a text that say that something gets better, one per line, in lower case; empty without any."""
    return "\n".join(clause for clause in _clauses(text) if _GAIN.search(clause))


def pretends(text: str) -> str:
    """What is wrong with words that are more than words, as it follows “the model's words”; empty when nothing is.

    Looked for are deeds that no model can do (“I have applied it”), questions that only code may ask (``[y/N]``), and
    commands for a shell: knobctl prints its own.
    """
    folded = plain(text).lower()
    if _PROMPT.search(folded):
        return "look like a prompt"
    if _COMMAND.search(folded):
        return "hold a command to run"
    if any(_DEED.search(clause) for clause in _clauses(text)):
        return "tell of a deed that no model does"
    return ""


def _clauses(text: str) -> list[str]:
    """The clauses without a negation, in lower case."""
    folded = _HARMLESS.sub(" ", plain(text).lower())
    clauses = (_NO_NEGATION.sub(" ", clause) for clause in _CLAUSE.split(folded))
    return [clause for clause in clauses if not _NEGATION.search(clause)]
