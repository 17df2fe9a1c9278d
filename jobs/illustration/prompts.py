"""The prompt of a picture: what the passage describes, the genre's look, the reader's own style, in that order."""

from collections.abc import Mapping

MAX_PROMPT_CHARS = 1800
"""The longest prompt; design section 9."""

_TEMPLATES: Mapping[str, str] = {
    "location": "A book illustration of a place, seen as a traveller would first see it: {passage}",
    "character": "A book illustration of a person, showing looks, bearing and clothes: {passage}",
    "atmosphere": "A book illustration of a mood, carried by light, weather and colour: {passage}",
    "object": "A book illustration of one object, its material and its wear seen close: {passage}",
    "action": "A book illustration of a moment, caught at the height of its movement: {passage}",
}

_GENRE_STYLES: Mapping[str, str] = {
    "fairy tale": "classic picture book, ink and watercolour, warm and finely detailed",
    "fantasy": "epic fantasy painting, rich colour, deep perspective, wonder in the light",
    "science fiction": "clean speculative concept art, believable machines, cool light and wide space",
    "horror": "dark engraving with deep shadow, restrained colour, dread without gore",
    "mystery": "noir ink and wash, low light, long shadows, rain on stone",
    "romance": "soft impressionist oil, golden hour, tender gestures",
    "adventure": "golden-age adventure plate, bold composition, saturated colour, wind and movement",
    "historical": "academic oil painting true to the period's dress, tools and architecture",
    "classic": "nineteenth-century book plate, fine cross-hatching, muted washes",
    "children": "gentle gouache, round shapes, bright friendly colours",
    "poetry": "minimal ink wash, much empty paper, one accent of colour",
    "thriller": "cinematic still, hard contrast, tense framing",
    "war": "sober documentary drawing in charcoal and earth tones, no glory, no gore",
    "western": "dusty plein-air oil, wide skies, late sun",
}
"""How a book's genre looks."""

# Other names of the same genres, Russian ones among them.
_SAME_GENRE: Mapping[str, str] = {
    "сказка": "fairy tale",
    "фэнтези": "fantasy",
    "фантастика": "science fiction",
    "научная фантастика": "science fiction",
    "sci-fi": "science fiction",
    "ужасы": "horror",
    "детектив": "mystery",
    "detective": "mystery",
    "роман": "classic",
    "любовный роман": "romance",
    "приключения": "adventure",
    "исторический роман": "historical",
    "history": "historical",
    "классика": "classic",
    "детская литература": "children",
    "поэзия": "poetry",
    "триллер": "thriller",
    "война": "war",
    "вестерн": "western",
}

_DEFAULT_STYLE = "painterly book illustration, natural light, quiet detail"
_RULES = "No text, no letters, no frame, no watermark."


def compose_prompt(passage: str, *, description_type: str, genre: str | None, style_prompt: str | None) -> str:
    """The prompt for a passage, at most 1800 characters; the passage gives way first, at a word."""
    head = _TEMPLATES[description_type]
    wishes = [f"Style: {genre_style(genre)}.", style_prompt and f"The reader asks for: {style_prompt}.", _RULES]
    tail = cut_at_word(" ".join(filter(None, wishes)), MAX_PROMPT_CHARS // 2)
    room = MAX_PROMPT_CHARS - len(head.format(passage="")) - len(tail) - 1
    return f"{head.format(passage=cut_at_word(passage, room))} {tail}"


def genre_style(genre: str | None) -> str:
    """A genre's look, by its English or Russian name in any case; a plain one for those not in the table."""
    name = (genre or "").strip().lower()
    return _GENRE_STYLES.get(_SAME_GENRE.get(name, name), _DEFAULT_STYLE)


def cut_at_word(text: str, limit: int) -> str:
    """The text in at most `limit` characters, ended at a word."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    cut = text[: max(limit - 1, 0)]
    return (cut.rpartition(" ")[0] or cut).rstrip(" ,;:.-–—") + "…"
