"""Words that name the style itself. In a caption they compete with the trigger, which alone should stand for it."""

import re

from loraforge.captioning import words as w

# Single words and phrases, lower case; whole words only.
STYLE_WORDS: frozenset[str] = frozenset({
    "style", "styles", "stylized", "stylised", "stylistic", "aesthetic",
    "art", "artwork", "artistic", "fine art", "digital art", "concept art", "fan art", "line art", "pixel art",
    "pop art", "clip art", "art nouveau", "art deco", "ukiyo-e", "pointillism",
    "painting", "paintings", "painted", "painterly", "oil painting", "oil on canvas", "acrylic", "watercolor",
    "watercolour", "gouache", "fresco", "brush strokes", "brushstrokes", "brushwork", "impasto", "on canvas",
    "illustration", "illustrations", "illustrated", "illustrative", "vector", "vector graphic", "graphic novel",
    "drawing", "drawings", "hand-drawn", "hand drawn", "drawing of", "sketch", "sketches", "sketched",
    "doodle", "line drawing", "pencil drawing", "pencil sketch", "ink drawing", "charcoal drawing", "crayon drawing",
    "engraving", "etching", "woodcut", "woodblock", "linocut", "lithograph", "screenprint", "screen print",
    "cartoon", "cartoons", "cartoonish", "comic", "comic book", "manga", "anime", "anime-style", "cel-shaded", "chibi",
    "caricature", "render", "rendered", "rendered in", "rendering", "3d render", "3d rendering", "cgi", "low poly",
    "a photo of", "photo", "photos", "photograph", "photographs", "photography", "photographic", "photorealistic",
    "black and white photo", "snapshot", "collage", "mosaic", "screenshot",
    "abstract", "realistic", "hyperrealistic", "surrealist", "surrealism", "impressionist", "impressionism",
    "impressionistic", "expressionist", "expressionism", "cubist", "cubism", "minimalist", "minimalistic", "realism",
    "cyberpunk", "steampunk", "vaporwave", "synthwave", "studio ghibli",
})  # fmt: skip

# Praise for the picture, as taggers and prompt writers add it.
QUALITY_WORDS: frozenset[str] = frozenset({
    "high quality", "best quality", "highly detailed", "very detailed", "detailed", "intricate details", "masterpiece",
    "award winning", "award-winning", "high resolution", "hd", "4k", "8k", "uhd", "artstation",
    "trending on artstation",
    "vibrant colors", "bright colors", "bold colors", "vivid colors", "muted colors", "pastel colors", "vibrant",
    "sharp focus", "cinematic lighting", "bold outlines", "bold lines",
})  # fmt: skip

# Over what 512 T5 tokens hold; what goes on for longer is no caption, and searching it would take long.
_MOST_CHARACTERS = 4000

_MEDIUM = (
    r"(?:paintings?|drawings?|illustrations?|artworks?|art|sketch(?:es)?|photos?|photographs?|pictures?|images?|renders?"
    r"|renderings?|cartoons?|comic|mosaic|mural|poster|watercolou?r|engraving|etching|woodcut|print|collage|screenshot"
    r"|depiction|rendition|snapshot|wallpaper|work|piece|fresco|caricature|doodle)"
)
_STOP = r"(?:a|an|the|in|on|at|of|with|by|and his|and her|holding|wearing|standing|sitting)"
_MODIFIERS = rf"(?:(?!{_STOP}\b)[\w'’-]+,?\s+){{0,6}}?"
_SHOWS = (
    r"(?:shows?|showing|depicts?|depicting|features?|featuring|captures?|capturing|portrays?|portraying|presents?"
    r"|displays?|displaying|illustrates?|illustrating|contains?|represents?|representing|that shows|which shows"
    r"|that depicts|which depicts|appears to (?:be|show))"
)
_REGION = r"(?:cent(?:er|re)|middle|foreground|background)"
_THERE = r"(?:there\s+(?:is|are)\s+|we\s+(?:can\s+)?see\s+|is\s+|are\s+)"
_LEADS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^(?:in|at)\s+(?:the\s+{_REGION}\s+of\s+)?(?:this|the)\s+{_MODIFIERS}(?:{_MEDIUM}|scene),?\s+{_THERE}?",
        rf"^(?:a|an|the|this)?\s*{_MODIFIERS}(?:{_MEDIUM}|scene)\s+(?:is|are)\s+(?:of\s+|(?={_STOP}\b))",
        rf"^(?:a|an|the|this)?\s*{_MODIFIERS}{_MEDIUM}\s+(?:of|{_SHOWS})\s+",
        rf"^(?:the|this)\s+{_MODIFIERS}scene\s+{_SHOWS}\s+",
        r"^(?:there\s+(?:is|are)|this\s+is|these\s+are|it\s+is|it's|here\s+is|we\s+(?:can\s+)?see|i\s+(?:can\s+)?see)\s+",
    )
)
_NAME_END = r"(?=\s+(?:standing|sitting|with|in|on|at|wearing|holding)\b|[,.;]|$)"
_STYLE_OF = re.compile(
    rf",?\s*\b(?:(?:in|with)\s+)?(?:the|a|an)?\s*(?:[\w'’-]+\s+)?styles?\s+of\s+[^,.;]+?{_NAME_END}", re.IGNORECASE
)
_IN_STYLE = re.compile(
    r",?\s*\b(?:in|with|using|rendered in|drawn in|painted in)\s+(?:the|an|a)?\s*"
    r"(?:(?!(?:in|on|at|with|of|and|by)\b)[\w'’-]+\s+){0,3}(?:style|aesthetic)\b",
    re.IGNORECASE,
)
_BY_ARTIST = re.compile(rf",?\s*\b(?:a|an|the)?\s*{_MODIFIERS}{_MEDIUM}\s+by\s+[^,.;]+", re.IGNORECASE)

_ON_PAPER = re.compile(
    r"(?:^|,)\s*(?:[\w-]+\s+){0,2}?(?:oils?|acrylics?|inks?|pencils?|charcoal|chalk|pastels?|crayons?|graphite|tempera|"
    r"watercolou?rs?|gouache)\s+on\s+(?:[\w-]+\s+)?(?:canvas|paper|board|panel|wood|linen|parchment)\b",
    re.IGNORECASE,
)
_MADE = re.compile(rf"\b(?:{_MEDIUM}|portraits?|oil|canvas)\b", re.IGNORECASE)
_BY = re.compile(rf"(?P<before>[\w'’-]*)(?P<comma>,?)\s+by\s+(?P<who>[^,.;]+?){_NAME_END}", re.IGNORECASE)
_ARTISTS = frozenset({"artist", "painter", "illustrator", "photographer"})


def _any_of(words: frozenset[str]) -> re.Pattern[str]:
    # The longest first, so that "oil painting" goes as one.
    choice = "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))
    return re.compile(rf"(?<![\w-])(?:{choice})(?![\w-])", re.IGNORECASE)


_STYLE = _any_of(STYLE_WORDS)
_NAMED = _any_of(STYLE_WORDS | QUALITY_WORDS)
_ARTICLE = re.compile(r"\b(an?)(\s+)([\w'’-]+)", re.IGNORECASE)


def style_words_in(text: str) -> list[str]:
    """Return the style words a caption names, lower-cased, each once, in order of appearance."""
    return list(dict.fromkeys(match.group().lower() for match in _STYLE.finditer(text)))


def without_style(caption: str) -> str:
    """Keep the sentence and take out the words that name its style, medium or quality.

    "An oil painting of a cat, in the style of Monet" gives "a cat". Words are removed whole, never in part; a caption
    that names nothing but its style becomes empty.
    """
    text = " ".join(caption[: _MOST_CHARACTERS + 1].split())
    if len(text) > _MOST_CHARACTERS:
        text = text[:_MOST_CHARACTERS].rpartition(" ")[0] or text[:_MOST_CHARACTERS]
    pairs = {match.group().lower() for match in _ARTICLE.finditer(text)}
    text = _STYLE_OF.sub("", text)
    text = _IN_STYLE.sub("", text)
    text = _BY_ARTIST.sub("", text)
    if _MADE.search(text):
        text = _ON_PAPER.sub("", text)
        text = _BY.sub(_without_artist, text)
    text = _without_lead(text)
    text = _NAMED.sub("", text)
    return _mended(text, pairs)


def _without_artist(match: re.Match[str]) -> str:
    """Drop "by Hokusai" and "by a famous painter"; "by the sea", "by moonlight" and "standing by trees" stay."""
    before, who = match["before"], match["who"].lower().split()
    place = any(word in w.PLACES | w.TIMES or word.endswith("light") for word in who)
    named = who[0] not in w.DETERMINERS | w.NUMBERS and not place and not before.endswith("ing")
    return before if named or _ARTISTS.intersection(who) else match.group()


def _without_lead(text: str) -> str:
    before = None
    while text != before:
        before = text
        for lead in _LEADS:
            text = lead.sub("", text.strip(" ,"), count=1)
    return text


def _mended(text: str, pairs: set[str]) -> str:
    """Close the gaps that removed words leave: doubled commas, lone articles, "an girl"."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s+(?=[,.;:!?])", "", text)
    text = re.sub(r"\b(?:a|an|the|and|of|in|with|as)(?=[,.;:!?]|$)", "", text.strip(), flags=re.IGNORECASE)
    text = re.sub(r"\b(?:an?|the)\s+(?=(?:of|in|on|at|with|by|and|is|are)\b)", "", text, flags=re.IGNORECASE)
    text = re.sub(r"\s+(?=[,.;:!?])", "", text)
    text = re.sub(r"(?:[,;]\s*)+(?=[,.;])", "", text)
    # "a studio with paintings on the wall": what hung there is gone, so its place goes too.
    text = re.sub(r"\s(?:with|of)\s+(?:on|in|at)\s+(?:the|a|an|its|his|her)\s+[\w'’-]+", "", text, flags=re.IGNORECASE)
    text = re.sub(r"^(?:[\s,.;:!?]|(?:of|and)\s)+|[\s,;:]+$", "", text)

    def agree(match: re.Match[str]) -> str:
        if match.group().lower() in pairs:  # as it was written: "an hour", "a unicorn"
            return match.group()
        article = "an" if match.group(3)[0].lower() in "aeiou" else "a"
        return (article.capitalize() if match.group(1)[0].isupper() else article) + match.group(2) + match.group(3)

    return _ARTICLE.sub(agree, text)
