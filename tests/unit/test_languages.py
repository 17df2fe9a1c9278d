"""Which passages need a translation."""

import pytest

from jobs.illustration.languages import is_english
from jobs.illustration.prompts import _GENRE_STYLES, _SAME_GENRE, genre_style


@pytest.mark.parametrize(
    ("text", "declared", "english"),
    [
        ("Туман лежал на воде.", "ru", False),
        ("Туман лежал на воде.", None, False),
        ("Туман лежал на воде.", "en", False),
        ("The old lighthouse stood dark above the sleeping harbour.", None, True),
        ("The old lighthouse stood dark above the sleeping harbour.", "en-GB", True),
        ("The old lighthouse stood dark above the sleeping harbour.", "ru", True),
        ("Der alte Mann ging langsam zum Meer und sah den Schiffen nach.", None, False),
        ("Der alte Mann ging langsam zum Meer und sah den Schiffen nach.", "de", False),
        ("Le vieux château dormait sous la neige depuis cent ans.", None, False),
        ("Schnee.", "de", False),
        ("Snow.", None, True),
        ("霧が湖の上に立ちこめていた。", "ja", False),
        ("…", None, True),
    ],
)
def test_letters_then_the_declared_language_then_the_text_decide(
    text: str, declared: str | None, english: bool
) -> None:
    assert is_english(text, declared=declared) is english


def test_at_least_ten_genres_have_a_look_of_their_own_and_russian_names() -> None:
    assert len(set(_GENRE_STYLES.values())) >= 10
    assert set(_SAME_GENRE.values()) <= set(_GENRE_STYLES)
    assert genre_style(" Сказка ") == genre_style("fairy tale") != genre_style("horror")
    assert genre_style(None) == genre_style("cookery") == genre_style("")
