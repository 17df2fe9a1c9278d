"""Prompts, and the check of a picture's bytes."""

import io
import random

import pytest
from PIL import Image

from jobs.core.errors import BadPicture
from jobs.core.states import DescriptionType
from jobs.illustration.picture import PictureFacts, inspect_picture
from jobs.illustration.prompts import MAX_PROMPT_CHARS, compose_prompt, cut_at_word


def _encode(kind: str, size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    Image.frombytes("RGB", size, random.Random(1).randbytes(size[0] * size[1] * 3)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "content_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_a_picture_tells_its_facts(kind: str, content_type: str) -> None:
    data = _encode(kind)
    assert inspect_picture(data) == PictureFacts(content_type, 64, 48, len(data))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"<html>", _encode("PNG")[:-40], _encode("JPEG")[:-400], _encode("GIF"), _encode("BMP")],
    ids=["empty", "json", "html", "cut PNG", "cut JPEG", "gif", "bmp"],
)
def test_what_is_no_whole_picture_is_refused(data: bytes) -> None:
    with pytest.raises(BadPicture):
        inspect_picture(data)


def test_a_picture_of_too_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.illustration.picture.MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(BadPicture, match="64 x 48"):
        inspect_picture(_encode("PNG"))


@pytest.mark.parametrize("description_type", list(DescriptionType))
def test_a_long_passage_gives_way_to_the_styles_at_a_word(description_type: str) -> None:
    prompt = compose_prompt(
        "серебро " * 2000, description_type=description_type, genre="fairy tale", style_prompt="as a woodcut"
    )
    assert len(prompt) <= MAX_PROMPT_CHARS
    assert "серебро…" in prompt
    assert "watercolour" in prompt
    assert "as a woodcut" in prompt


def test_text_is_cut_at_a_word() -> None:
    assert cut_at_word("one two three", 13) == "one two three"
    assert cut_at_word("one two three", 12) == "one two…"
    assert cut_at_word("onetwothree", 5) == "onet…"
