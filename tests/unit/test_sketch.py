"""The offline sketch."""

import io

import pytest
from PIL import Image, ImageChops

from jobs.core.states import AspectRatio
from jobs.illustration.provider import PictureRequest
from jobs.illustration.sketch import SketchProvider
from jobs.illustration.sketch.scene import Building, Land, Scene, TimeOfDay, Trees, Water, Weather, read_scene

NIGHT_AT_SEA = "Ночь опустилась на старый маяк у моря, и луна дрожала в волнах."


async def _draw(passage: str, ratio: AspectRatio = AspectRatio.LANDSCAPE_4_3) -> bytes:
    return (await SketchProvider().draw_picture(PictureRequest(passage, "", ratio))).data


@pytest.mark.parametrize(
    ("passage", "feature", "value"),
    [
        (NIGHT_AT_SEA, "time_of_day", TimeOfDay.NIGHT),
        (NIGHT_AT_SEA, "water", Water.SEA),
        (NIGHT_AT_SEA, "building", Building.TOWER),
        ("На рассвете они вышли к реке.", "time_of_day", TimeOfDay.DAWN),
        ("На рассвете они вышли к реке.", "water", Water.RIVER),
        ("Метель выла у избы в сосновом бору.", "weather", Weather.SNOW),
        ("Метель выла у избы в сосновом бору.", "building", Building.HOUSE),
        ("Метель выла у избы в сосновом бору.", "trees", Trees.PINES),
        ("Туман лёг на холмы.", "weather", Weather.FOG),
        ("Туман лёг на холмы.", "land", Land.HILLS),
        ("A storm broke over the castle in the mountains.", "weather", Weather.STORM),
        ("A storm broke over the castle in the mountains.", "building", Building.CASTLE),
        ("A storm broke over the castle in the mountains.", "land", Land.MOUNTAINS),
        ("At sunset the oak wood by the lake was still.", "time_of_day", TimeOfDay.SUNSET),
        ("At sunset the oak wood by the lake was still.", "trees", Trees.GROVE),
        ("At sunset the oak wood by the lake was still.", "water", Water.LAKE),
    ],
)
def test_a_word_of_the_passage_decides_a_feature(passage: str, feature: str, value: str) -> None:
    assert getattr(read_scene(passage), feature) == value


def test_a_word_that_only_begins_alike_decides_nothing() -> None:
    scene = read_scene("Season of research; горе и деньги, рекорд, полка, ивенты.")
    assert isinstance(scene, Scene)
    assert scene.water is Water.NONE
    assert scene.building is Building.NONE


async def test_the_same_passage_gives_the_same_bytes_and_another_passage_others() -> None:
    assert await _draw(NIGHT_AT_SEA) == await _draw(NIGHT_AT_SEA)
    assert await _draw(NIGHT_AT_SEA) != await _draw(NIGHT_AT_SEA + "!")


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        (AspectRatio.LANDSCAPE_4_3, (1024, 768)),
        (AspectRatio.SQUARE, (1024, 1024)),
        (AspectRatio.PORTRAIT_9_16, (576, 1024)),
    ],
)
async def test_a_sketch_is_a_png_of_the_ratio_asked_for(ratio: AspectRatio, size: tuple[int, int]) -> None:
    with Image.open(io.BytesIO(await _draw("Поле.", ratio))) as image:
        assert (image.format, image.size) == ("PNG", size)


async def test_a_sketch_is_marked_in_its_lower_right_corner(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = Image.open(io.BytesIO(await _draw(NIGHT_AT_SEA)))
    monkeypatch.setattr("jobs.illustration.sketch.drawing._draw_label", lambda picture: None)
    bare = Image.open(io.BytesIO(await _draw(NIGHT_AT_SEA)))
    box = ImageChops.difference(marked, bare).getbbox()
    assert box is not None
    assert box[0] > 768
    assert box[1] > 690


@pytest.mark.parametrize("passage", ["", "?", "слово " * 5000, "\x00🌊"])
async def test_any_text_can_be_drawn(passage: str) -> None:
    assert (await _draw(passage)).startswith(b"\x89PNG")
