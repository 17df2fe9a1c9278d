"""The prompt of a picture: what the passage describes, the genre's look, the reader's own style, in that order."""

from collections.abc import Mapping

MAX_PROMPT_CHARS = 1800
"""The longest prompt; design section 9."""

_TEMPLATES: Mapping[str, str] = {
    "location": "An illustration of a place, seen as a traveller would first see it: {passage}",
    "character": "A portrait that shows a person's looks, bearing and clothes: {passage}",
    "atmosphere": "A mood painting in which light, weather and colour carry the feeling: {passage}",
    "object": "A close study of one object, its material and its wear: {passage}",
    "action": "A scene caught at the height of its movement: {passage}",
}

_GENRE_STYLES: Mapping[str, str] = {
    "fairy tale": "in the manner of a classic picture book, ink and watercolour, warm and detailed",
}
_DEFAULT_STYLE = "a fine book illustration, painterly, natural light"
_RULES = "No text, no letters, no frame."


def compose_prompt(passage: str, *, description_type: str, genre: str | None, style_prompt: str | None) -> str:
    """The prompt for a passage, at most 1800 characters; the passage gives way first, at a word."""
    style = _GENRE_STYLES.get((genre or "").strip().lower(), _DEFAULT_STYLE)
    tail = " ".join(
        filter(None, [f"Style: {style}.", style_prompt and f"The reader asks for: {style_prompt}.", _RULES])
    )
    head = _TEMPLATES[description_type]
    room = MAX_PROMPT_CHARS - len(head.format(passage="")) - len(tail) - 1
    return f"{head.format(passage=cut_at_word(passage, room))} {tail}"


def cut_at_word(text: str, limit: int) -> str:
    """The text in at most `limit` characters, ended at a word."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    cut = text[: max(limit - 1, 0)]
    return (cut.rpartition(" ")[0] or cut).rstrip(" ,;:.-–—") + "…"
