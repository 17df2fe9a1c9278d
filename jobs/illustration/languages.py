"""Which language a passage is in, found without a network."""

import unicodedata

import py3langid

ENGLISH = "en"
_ENOUGH_CHARS = 24  # py3langid guesses wildly on less


def is_english(text: str, *, declared: str | None) -> bool:
    """Whether a passage needs no translation.

    Letters decide first: what is mostly not Latin is not English. Then the book's declared language (a BCP 47 tag) is
    believed where it is English; else py3langid looks at the text. A few Latin words in a book without one count as
    English.
    """
    letters = [each for each in text if each.isalpha()]
    latin = sum(unicodedata.name(each, "").startswith("LATIN") for each in letters)
    if latin * 2 < len(letters):
        return False
    language = (declared or "").partition("-")[0].lower()
    if language == ENGLISH or len(letters) < _ENOUGH_CHARS:
        return language in ("", ENGLISH)
    guessed: str = py3langid.classify(text)[0]
    return guessed == ENGLISH


def load_language_model() -> None:
    """Load py3langid's model now (0.6 s, once a process), so that no job waits for it."""
    py3langid.classify("Once upon a time there was a lighthouse.")
