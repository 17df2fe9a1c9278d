"""Reads a landscape off the words of a passage, Russian or English.

Each feature has a table of word beginnings, so that case endings do not matter. The word that stands first in the
passage decides; a feature without a word is drawn from the passage's hash, so that two bare passages still differ.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

Feature = TypeVar("Feature", bound=StrEnum)


class TimeOfDay(StrEnum):
    """The light."""

    DAWN = "dawn"
    DAY = "day"
    SUNSET = "sunset"
    NIGHT = "night"


class Weather(StrEnum):
    """What is in the air."""

    CLEAR = "clear"
    CLOUDS = "clouds"
    RAIN = "rain"
    SNOW = "snow"
    FOG = "fog"
    STORM = "storm"


class Water(StrEnum):
    """What lies in front."""

    NONE = "none"
    RIVER = "river"
    LAKE = "lake"
    SEA = "sea"


class Land(StrEnum):
    """What lies behind."""

    PLAIN = "plain"
    HILLS = "hills"
    MOUNTAINS = "mountains"


class Trees(StrEnum):
    """What grows."""

    NONE = "none"
    GROVE = "grove"
    PINES = "pines"


class Building(StrEnum):
    """What stands."""

    NONE = "none"
    HOUSE = "house"
    TOWER = "tower"
    CASTLE = "castle"


@dataclass(frozen=True, slots=True)
class Scene:
    """A landscape to draw; `seed` places what the passage leaves open."""

    time_of_day: TimeOfDay
    weather: Weather
    water: Water
    land: Land
    trees: Trees
    building: Building
    seed: int


_TIMES: Mapping[TimeOfDay, str] = {
    TimeOfDay.DAWN: "рассвет утр заря зори восход dawn morning sunrise daybreak",
    TimeOfDay.DAY: "день дня днем днём полдень полудн солнц day noon midday sun",
    TimeOfDay.SUNSET: "закат вечер сумер sunset evening dusk twilight",
    TimeOfDay.NIGHT: "ноч полноч лун звезд звёзд тьм темнот мрак night midnight moon star dark",
}
_WEATHERS: Mapping[Weather, str] = {
    Weather.CLEAR: "ясн безоблачн clear cloudless",
    Weather.CLOUDS: "облак туч пасмурн cloud overcast",
    Weather.RAIN: "дожд ливень ливн морос rain drizzl shower",
    Weather.SNOW: "снег снеж метел вьюг мороз зим иней лёд льд snow blizzard frost winter ice",
    Weather.FOG: "туман дымк мгл fog mist haze",
    Weather.STORM: "гроз молни бур шторм storm thunder lightning tempest",
}
_WATERS: Mapping[Water, str] = {
    Water.RIVER: "рек ручей ручь поток river stream brook creek",
    Water.LAKE: "озер озёр пруд болот lake pond pool swamp",
    Water.SEA: "мор океан волн берег пристан гаван маяк корабл sea ocean wave shore harbour harbor lighthouse ship",
}
_LANDS: Mapping[Land, str] = {
    Land.PLAIN: "равнин степ пол луг plain steppe field meadow prairie",
    Land.HILLS: "холм пригор склон овраг hill slope valley dale",
    Land.MOUNTAINS: "гор скал утёс утес вершин ущель mountain rock cliff peak gorge crag",
}
_TREES: Mapping[Trees, str] = {
    Trees.GROVE: "лес рощ дерев дуб берез берёз ив сад клён клен forest wood tree grove oak birch willow garden maple",
    Trees.PINES: "сосн ел ёлк ельник бор пихт pine fir spruce",
}
_BUILDINGS: Mapping[Building, str] = {
    Building.HOUSE: "дом изб хижин деревн деревен село сел мельниц двор окн крыш"
    " house hut cottage village mill window roof home",
    Building.TOWER: "башн маяк колокольн tower lighthouse belfry spire",
    Building.CASTLE: "замок замк крепост дворец дворц город castle fortress palace city town",
}
# Beginnings that also begin quite other words ("пол" a floor, "день" money) must match these whole words only.
_WHOLE_WORDS: Mapping[str, str] = {
    "пол": "поле поля полю полем полей полям полями полях",
    "мор": "море моря морю морем морей морям морями морях морской морская морское морские",
    "гор": "гора горы горе гору горой гор горам горами горах горный горная горное горные",
    "рек": "река реки реке реку рекой рек рекам реками реках речной речная речка речку",
    "сел": "села селе селу селом сёла",
    "ел": "ель ели елей елью елям елями елях",
    "ив": "ива ивы иве иву ивой ив ивам ивами ивах",
    "бор": "бор бора бору бором боры",
    "лун": "луна луны луне луну луной лунный лунная лунное лунные лунной лунном",
    "лес": "лес леса лесу лесом лесов лесам лесами лесах лесной лесная лесное лесные",
    "дом": "дом дома дому домом доме домик домика дома́ домов домам домами домах",
    "бур": "буря бури буре бурю бурей бурь",
    "сад": "сад сада саду садом сады садов садам садами садах",
    "туч": "туча тучи туче тучу тучей туч тучам тучами тучах",
    "утр": "утро утра утру утром утренний утренняя утреннее утренние утреннего утренней",
    "ice": "ice icy",
    "fir": "fir firs",
    "sea": "sea seas seaside",
    "sun": "sun sunny sunlight sunlit sunshine",
    "day": "day daylight",
    "star": "star stars starry starlight",
    "pool": "pool pools",
    "rock": "rock rocks rocky",
    "mill": "mill mills windmill watermill",
    "home": "home",
    "pine": "pine pines",
    "wave": "wave waves",
    "city": "city",
    "rain": "rain rains rainy raining rained raindrops",
    "ship": "ship ships",
    "wood": "wood woods wooded woodland",
    "hut": "hut huts",
    "plain": "plain plains",
    "mist": "mist mists misty",
    "dark": "dark darkness",
    "clear": "clear",
    "shower": "shower showers",
    "field": "field fields",
    "slope": "slope slopes",
}


def read_scene(passage: str) -> Scene:
    """The landscape of a passage; the same text gives the same one."""
    words = re.findall(r"\w+", passage.lower())
    seed = int.from_bytes(hashlib.sha256(passage.encode()).digest()[:8], "big")
    time_of_day = _first_match(words, _TIMES) or _pick([TimeOfDay.DAY, TimeOfDay.DAWN, TimeOfDay.SUNSET], seed)
    weather = _first_match(words, _WEATHERS) or _pick([Weather.CLEAR, Weather.CLOUDS], seed >> 8)
    water = _first_match(words, _WATERS) or Water.NONE
    land = _first_match(words, _LANDS) or _pick([Land.HILLS, Land.PLAIN, Land.MOUNTAINS], seed >> 16)
    trees = _first_match(words, _TREES) or _pick([Trees.NONE, Trees.GROVE], seed >> 24)
    building = _first_match(words, _BUILDINGS) or Building.NONE
    return Scene(time_of_day, weather, water, land, trees, building, seed)


def _first_match(words: list[str], table: Mapping[Feature, str]) -> Feature | None:
    for word in words:
        for feature, beginnings in table.items():
            if any(_matches(word, beginning) for beginning in beginnings.split()):
                return feature
    return None


def _matches(word: str, beginning: str) -> bool:
    whole = _WHOLE_WORDS.get(beginning)
    return word in whole.split() if whole else word.startswith(beginning)


def _pick(choices: list[Feature], number: int) -> Feature:
    return choices[number % len(choices)]
