"""Take off a text what its way through web pages and word processors has put on it."""

import codecs
import html
import re

from loraforge.advice.importer.findings import found
from loraforge.config.launch import LOGIN
from loraforge.findings import Finding

_QUOTES = str.maketrans(dict.fromkeys("“”„‟″〝〞", '"') | dict.fromkeys("‘’‚‛′", "'"))
_SPACES = str.maketrans(
    dict.fromkeys("\xa0\u2002\u2003\u2009\u202f\u3000\t\v\f", " ")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\xad", "")
)
_DASH = re.compile(r"(?:(?<=\s)|^)(?:[—―–−‒]{2}|-[—―–−‒]|[—―–−‒]-?)(?=[A-Za-z])", re.MULTILINE)
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{1,7}|#x[0-9a-fA-F]{1,6});")
_TAG = re.compile(r"</?(?:p|pre|code|span|div|br|b|i|em|strong)(?:\s[^<>\n]{0,200})?/?>", re.IGNORECASE)
FENCE = re.compile(r"^\s*(?:```|~~~)[\w+-]*\s*$", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def decoded(data: bytes) -> str:
    """Return bytes as text, whatever editor wrote them; never raises."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def plain(text: str) -> str:
    """Return a text with one kind of line end, without control characters and logins in addresses."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return LOGIN.sub("", text).encode("utf-8", "replace").decode()


def cleaned(text: str) -> tuple[str, list[Finding]]:
    """Return a command as it was before it was published, and what publishing had done to it."""
    findings = []
    text = FENCE.sub("", text)
    if _ENTITY.search(text) or _TAG.search(text):
        text = html.unescape(_TAG.sub(_line_end, text))
        fix = "copy from the page's source, or from its copy button"
        findings.append(
            found(
                "html-entities",
                "the text",
                "HTML tags or entities such as &quot; were read as what they stand for.",
                fix,
            )
        )
    text = text.translate(_SPACES)
    if (straight := text.translate(_QUOTES)) != text:
        text = straight
        fix = "write straight quotes: \" and '"
        findings.append(
            found(
                "smart-quotes",
                "the text",
                "Typographic quotes were read as straight ones; a shell takes them for letters.",
                fix,
            )
        )
    text, dashes = _DASH.subn("--", text)
    if dashes:
        message = f"{dashes} typographic dashes were read as two hyphens."
        findings.append(found("typographic-dash", "the text", message, "write -- in front of options"))
    return text, findings


def _line_end(tag: re.Match[str]) -> str:
    return "\n" if tag[0].lower().startswith(("<br", "<p>", "</p", "<div", "</div")) else ""
