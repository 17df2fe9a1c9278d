"""Draws a scene as a PNG: sky, light, land, water, trees and buildings in layers from far to near, then the weather.

Everything is drawn at twice the size and scaled down, which smooths the edges. Lengths are fractions of the picture's
width or height. The module is longer than most because its layers share one canvas and one set of dice.
"""

import io
import math
import random
from collections.abc import Callable, Mapping

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from jobs.illustration.sketch.scene import Building, Land, Scene, TimeOfDay, Trees, Water, Weather

Colour = tuple[int, int, int]

_OVERSAMPLING = 2
_LABEL = "offline sketch"
_HORIZON = 0.60  # of the height, from the top

# Top of the sky, bottom of the sky, nearest land, glow of sun or moon.
_PALETTES: Mapping[TimeOfDay, tuple[Colour, Colour, Colour, Colour]] = {
    TimeOfDay.DAWN: ((126, 150, 190), (250, 212, 190), (70, 84, 78), (255, 236, 200)),
    TimeOfDay.DAY: ((92, 150, 205), (214, 232, 240), (72, 104, 66), (255, 250, 224)),
    TimeOfDay.SUNSET: ((74, 62, 110), (246, 148, 92), (54, 46, 56), (255, 214, 140)),
    TimeOfDay.NIGHT: ((10, 16, 40), (44, 58, 96), (16, 22, 34), (236, 238, 224)),
}
_SNOW: Colour = (226, 232, 240)
_GREY: Colour = (128, 136, 146)


def draw_scene(scene: Scene, *, width_px: int, height_px: int) -> bytes:
    """A PNG of that size, marked as an offline sketch in its lower right corner."""
    canvas = _Canvas(scene, width_px * _OVERSAMPLING, height_px * _OVERSAMPLING)
    for draw_layer in (_draw_sky, _draw_land, _draw_water, _draw_buildings, _draw_trees, _draw_weather):
        draw_layer(canvas)
    picture = canvas.image.resize((width_px, height_px), Image.Resampling.BOX)
    _draw_label(picture)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


class _Canvas:
    """The picture in the making, with the scene's colours and its own dice."""

    def __init__(self, scene: Scene, width: int, height: int) -> None:
        self.scene, self.width, self.height = scene, width, height
        self.dice = random.Random(scene.seed)
        top, bottom, ground, self.glow = _PALETTES[scene.time_of_day]
        dull = {
            Weather.RAIN: 0.45,
            Weather.STORM: 0.6,
            Weather.FOG: 0.4,
            Weather.CLOUDS: 0.2,
            Weather.SNOW: 0.3,
        }
        grey = _GREY if scene.time_of_day is not TimeOfDay.NIGHT else (34, 38, 50)
        share = dull.get(scene.weather, 0.0)
        self.sky_top, self.sky_bottom = _mix(top, grey, share), _mix(bottom, grey, share)
        if scene.weather is Weather.SNOW:
            ground = _mix(ground, _SNOW, 0.35 if scene.time_of_day is TimeOfDay.NIGHT else 0.8)
        self.ground = _mix(ground, grey, share / 2)
        self.image = Image.new("RGB", (width, height))
        self.draw = ImageDraw.Draw(self.image)
        self.shore_y = (
            self.height * {Water.NONE: 2.0, Water.RIVER: 0.80, Water.LAKE: 0.76, Water.SEA: 0.66}[scene.water]
        )

    def blend(self, colour: Colour, mask: Image.Image) -> None:
        """Lay a colour over the picture where the mask (mode L) is bright."""
        self.image.paste(colour, mask=mask)

    def soft_mask(self, paint: Callable[[ImageDraw.ImageDraw, float], None], blur: float) -> Image.Image:
        """A blurred mask, painted at a quarter of the size; `paint` gets the pen and its scale."""
        mask = Image.new("L", (self.width // 4, self.height // 4))
        paint(ImageDraw.Draw(mask), 0.25)
        return mask.filter(ImageFilter.GaussianBlur(blur * self.width / 4)).resize((self.width, self.height))


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _gradient(width: int, height: int, top: Colour, bottom: Colour) -> Image.Image:
    ramp = Image.linear_gradient("L").resize((width, height))
    return Image.composite(Image.new("RGB", ramp.size, bottom), Image.new("RGB", ramp.size, top), ramp)


def _draw_sky(canvas: _Canvas) -> None:
    width, height, dice, scene = canvas.width, canvas.height, canvas.dice, canvas.scene
    horizon = round(height * (_HORIZON + 0.12))
    canvas.image.paste(_gradient(width, horizon, canvas.sky_top, canvas.sky_bottom))
    canvas.draw.rectangle((0, horizon, width, height), fill=canvas.sky_bottom)
    covered = scene.weather in (Weather.RAIN, Weather.STORM, Weather.SNOW)
    if scene.time_of_day is TimeOfDay.NIGHT and not covered:
        for _ in range(160):
            x, y, size = dice.random() * width, dice.random() * horizon * 0.9, dice.choice((1, 1, 2, 3))
            canvas.draw.ellipse((x, y, x + size, y + size), fill=_mix(canvas.sky_top, (255, 255, 255), dice.random()))
    if not covered:
        low = scene.time_of_day in (TimeOfDay.DAWN, TimeOfDay.SUNSET)
        x, y = (
            width * dice.uniform(0.18, 0.82),
            height * (dice.uniform(0.42, 0.5) if low else dice.uniform(0.12, 0.26)),
        )
        radius = width * (0.05 if low else 0.036)
        halo = canvas.soft_mask(
            lambda pen, scale: pen.ellipse(_box(x * scale, y * scale, radius * 2.6 * scale), fill=150), 0.035
        )
        canvas.blend(canvas.glow, halo)
        disc = Image.new("L", (width, height))
        ImageDraw.Draw(disc).ellipse(_box(x, y, radius), fill=255)
        if scene.time_of_day is TimeOfDay.NIGHT:  # a crescent
            ImageDraw.Draw(disc).ellipse(_box(x + radius * 0.45, y - radius * 0.2, radius * 0.9), fill=0)
        canvas.blend(canvas.glow, disc)
    clouds = {Weather.CLEAR: 2, Weather.CLOUDS: 9, Weather.RAIN: 12, Weather.STORM: 14, Weather.SNOW: 10}
    _draw_clouds(canvas, clouds.get(scene.weather, 4))


def _box(x: float, y: float, radius: float, height: float | None = None) -> tuple[float, float, float, float]:
    half = radius if height is None else height
    return (x - radius, y - half, x + radius, y + half)


def _draw_clouds(canvas: _Canvas, count: int) -> None:
    dice = canvas.dice
    dark = canvas.scene.weather in (Weather.RAIN, Weather.STORM)
    colour = _mix(canvas.sky_bottom, (60, 66, 78) if dark else (255, 255, 255), 0.55)

    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        for _ in range(count):
            x, y = dice.random() * canvas.width, dice.uniform(0.05, 0.4) * canvas.height
            for _ in range(7):
                puff = dice.uniform(0.03, 0.075) * canvas.width
                centre_x = (x + dice.gauss(0, 0.06) * canvas.width) * scale
                centre_y = (y + dice.gauss(0, 0.012) * canvas.height) * scale
                pen.ellipse(_box(centre_x, centre_y, puff * scale, puff * 0.36 * scale), fill=190)

    canvas.blend(colour, canvas.soft_mask(paint, 0.012))


def _ridge(canvas: _Canvas, base: float, swing: float, roughness: float) -> list[tuple[float, float]]:
    """A skyline from left to right: waves of falling size, and peaks where the land is rough."""
    waves = [(canvas.dice.uniform(0.6, 1.4) * 2**n, canvas.dice.uniform(0, math.tau), swing / 1.9**n) for n in range(6)]
    points = []
    for step in range(161):
        x = step / 160
        lift = sum(
            size * ((1 - 2 * abs(math.sin(x * pace * math.pi + start))) * roughness
                    + math.sin(x * pace * math.tau + start) * (1 - roughness))
            for pace, start, size in waves
        )  # fmt: skip
        points.append((x * canvas.width, (base - lift) * canvas.height))
    return points


def _draw_land(canvas: _Canvas) -> None:
    swing, roughness = {Land.PLAIN: (0.008, 0.0), Land.HILLS: (0.035, 0.0), Land.MOUNTAINS: (0.085, 0.75)}[
        canvas.scene.land
    ]
    layers = 5
    for layer in range(layers):
        nearness = (layer + 1) / layers
        points = _ridge(
            canvas, _HORIZON + 0.05 * layer, swing * (1.25 - 0.8 * nearness), roughness * (1 - nearness / 2)
        )
        colour = _mix(canvas.sky_bottom, canvas.ground, 0.18 + 0.82 * nearness)
        canvas.draw.polygon([(0, canvas.height), *points, (canvas.width, canvas.height)], fill=colour)


def _draw_water(canvas: _Canvas) -> None:
    scene, width, height, dice = canvas.scene, canvas.width, canvas.height, canvas.dice
    if scene.water is Water.NONE:
        return
    shore = round(canvas.shore_y)
    reflection = canvas.image.crop((0, max(0, shore - (height - shore)), width, shore))
    reflection = reflection.transpose(Image.Transpose.FLIP_TOP_BOTTOM).filter(ImageFilter.GaussianBlur(width / 220))
    tint = Image.new("RGB", reflection.size, _mix(canvas.sky_top, (24, 48, 66), 0.5))
    water = Image.blend(reflection, tint, 0.42)
    mask = Image.new("L", reflection.size)
    pen = ImageDraw.Draw(mask)
    depth = mask.height
    if scene.water is Water.RIVER:
        middle, bend = dice.uniform(0.35, 0.65), dice.uniform(0, math.tau)
        banks = [(y / 40, middle + 0.1 * math.sin(y / 40 * 4 + bend)) for y in range(41)]
        left = [((x - 0.05 - 0.3 * y) * width, y * depth) for y, x in banks]
        right = [((x + 0.05 + 0.3 * y) * width, y * depth) for y, x in banks]
        pen.polygon([*left, *reversed(right)], fill=255)
    elif scene.water is Water.LAKE:
        pen.ellipse(_box(width * 0.5, depth * 0.45, width * 0.56, depth * 0.42), fill=255)
    else:
        pen.rectangle((0, 0, width, depth), fill=255)
    canvas.image.paste(water, (0, shore), mask)
    light = Image.new("L", mask.size)
    pen = ImageDraw.Draw(light)
    for _ in range(90):
        y = dice.random() ** 1.5 * depth
        x, length = dice.random() * width, (0.015 + 0.07 * y / depth) * width
        pen.line((x, y, x + length, y), fill=dice.randint(30, 110), width=max(2, round(5 * y / depth)))
    canvas.image.paste(_mix(canvas.glow, canvas.sky_bottom, 0.4), (0, shore), ImageChops.multiply(light, mask))


def _draw_buildings(canvas: _Canvas) -> None:
    scene, dice = canvas.scene, canvas.dice
    if scene.building is Building.NONE:
        return
    base = min(canvas.height * 0.75, canvas.shore_y - canvas.height * 0.01)
    x, unit = canvas.width * dice.uniform(0.2, 0.72), canvas.width * 0.045
    wall = _mix(canvas.ground, (206, 190, 168) if scene.time_of_day is not TimeOfDay.NIGHT else (60, 60, 74), 0.5)
    roof = _mix(canvas.ground, (120, 56, 44), 0.45)
    if scene.weather is Weather.SNOW:
        roof = _mix(roof, _SNOW, 0.7)
    if scene.building is Building.HOUSE:
        for offset, size in ((-2.6, 0.75), (0.0, 1.15), (2.3, 0.85)):
            _draw_house(canvas, x + offset * unit, base, unit * size, wall, roof)
    elif scene.building is Building.TOWER:
        _draw_tower(canvas, x, base, unit * 0.6, unit * 4.2, wall, roof)
    else:
        canvas.draw.rectangle((x - unit * 2, base - unit * 1.6, x + unit * 2, base), fill=wall)
        for step in range(9):  # battlements
            left = x - unit * 2 + step * unit / 2.12
            canvas.draw.rectangle((left, base - unit * 1.85, left + unit / 4.2, base - unit * 1.6), fill=wall)
        for offset, tall in ((-2.0, 2.6), (-0.7, 3.5), (0.8, 3.0), (2.0, 2.4)):
            _draw_tower(canvas, x + offset * unit, base, unit * 0.36, unit * tall, wall, roof)


def _window_colour(canvas: _Canvas) -> Colour:
    lit = canvas.scene.time_of_day in (TimeOfDay.NIGHT, TimeOfDay.SUNSET)
    return (255, 206, 110) if lit else _mix(canvas.ground, (40, 46, 58), 0.7)


def _draw_house(canvas: _Canvas, x: float, base: float, size: float, wall: Colour, roof: Colour) -> None:
    canvas.draw.rectangle((x - size, base - size * 1.1, x + size, base), fill=wall)
    peak = [(x - size * 1.2, base - size * 1.1), (x, base - size * 2.1), (x + size * 1.2, base - size * 1.1)]
    canvas.draw.rectangle((x + size * 0.45, base - size * 2.0, x + size * 0.7, base - size * 1.4), fill=roof)
    canvas.draw.polygon(peak, fill=roof)
    for offset in (-0.45, 0.45):
        left, top = x + size * (offset - 0.2), base - size * 0.8
        canvas.draw.rectangle((left, top, left + size * 0.4, top + size * 0.4), fill=_window_colour(canvas))


def _draw_tower(canvas: _Canvas, x: float, base: float, half: float, tall: float, wall: Colour, roof: Colour) -> None:
    canvas.draw.polygon(
        [(x - half, base), (x - half * 0.85, base - tall), (x + half * 0.85, base - tall), (x + half, base)],
        fill=wall,
    )
    canvas.draw.polygon(
        [(x - half * 1.2, base - tall), (x, base - tall - half * 2.4), (x + half * 1.2, base - tall)],
        fill=roof,
    )
    for level in (0.45, 0.75):
        y = base - tall * level
        canvas.draw.rectangle(
            (x - half * 0.22, y - half * 0.4, x + half * 0.22, y + half * 0.4), fill=_window_colour(canvas)
        )


def _draw_trees(canvas: _Canvas) -> None:
    scene, dice = canvas.scene, canvas.dice
    if scene.trees is Trees.NONE:
        return
    places = sorted((dice.random() ** 0.8, dice.random()) for _ in range(38))
    leaf = _mix(canvas.ground, (38, 66, 44), 0.55)
    if scene.weather is Weather.SNOW:
        leaf = _mix(leaf, _SNOW, 0.35)
    limit = min(0.97, canvas.shore_y / canvas.height - 0.005)
    for depth, across in places:  # far to near
        base = canvas.height * (_HORIZON + 0.1 + (limit - _HORIZON - 0.1) * depth)
        size = canvas.width * (0.012 + 0.028 * depth)
        colour = _mix(_mix(canvas.sky_bottom, leaf, 0.5 + 0.5 * depth), (0, 0, 0), dice.uniform(0, 0.18))
        draw_tree = _draw_pine if scene.trees is Trees.PINES else _draw_leafy_tree
        draw_tree(canvas, across * canvas.width, base, size, colour)


def _draw_pine(canvas: _Canvas, x: float, base: float, size: float, colour: Colour) -> None:
    canvas.draw.rectangle((x - size * 0.1, base - size, x + size * 0.1, base), fill=_mix(colour, (40, 28, 20), 0.6))
    for tier in range(4):
        y, half = base - size * (0.6 + tier * 0.75), size * (1.0 - tier * 0.2)
        canvas.draw.polygon([(x - half, y), (x, y - size * 1.3), (x + half, y)], fill=colour)


def _draw_leafy_tree(canvas: _Canvas, x: float, base: float, size: float, colour: Colour) -> None:
    canvas.draw.rectangle(
        (x - size * 0.12, base - size * 1.6, x + size * 0.12, base), fill=_mix(colour, (44, 30, 20), 0.7)
    )
    for _ in range(7):
        puff_x, puff_y = (
            x + canvas.dice.gauss(0, 0.45) * size,
            base - size * 2.0 + canvas.dice.gauss(0, 0.35) * size,
        )
        shade = _mix(colour, canvas.glow, canvas.dice.uniform(0, 0.16))
        canvas.draw.ellipse(_box(puff_x, puff_y, size * canvas.dice.uniform(0.5, 0.8)), fill=shade)


def _draw_weather(canvas: _Canvas) -> None:
    scene, dice, width, height = canvas.scene, canvas.dice, canvas.width, canvas.height
    if scene.weather in (Weather.RAIN, Weather.STORM):
        drops = Image.new("L", (width, height))
        pen = ImageDraw.Draw(drops)
        for _ in range(700):
            x, y, length = (
                dice.uniform(-0.1, 1) * width,
                dice.random() * height,
                dice.uniform(0.015, 0.04) * height,
            )
            pen.line((x, y, x + length * 0.25, y + length), fill=dice.randint(40, 110), width=2)
        canvas.blend((222, 230, 240), drops)
    if scene.weather is Weather.STORM:
        x, y = width * dice.uniform(0.2, 0.8), height * 0.12
        bolt = [(x, y)]
        while y < height * 0.6:
            x, y = x + dice.gauss(0, 0.022) * width, y + height * dice.uniform(0.03, 0.07)
            bolt.append((x, y))
        canvas.blend(
            (236, 240, 255),
            canvas.soft_mask(lambda pen, s: pen.line([(a * s, b * s) for a, b in bolt], fill=200, width=6), 0.008),
        )
        canvas.draw.line(bolt, fill=(250, 250, 255), width=6, joint="curve")
    if scene.weather is Weather.SNOW:
        for _ in range(650):
            x, y, radius = dice.random() * width, dice.random() * height, dice.uniform(1.5, 5)
            canvas.draw.ellipse(_box(x, y, radius), fill=_mix(canvas.sky_bottom, (255, 255, 255), dice.uniform(0.5, 1)))
    if scene.weather is Weather.FOG:
        bands = canvas.soft_mask(lambda pen, s: _paint_fog(pen, s, canvas), 0.03)
        canvas.blend(_mix(canvas.sky_bottom, (236, 238, 240), 0.5), bands)


def _paint_fog(pen: ImageDraw.ImageDraw, scale: float, canvas: _Canvas) -> None:
    for band in range(6):
        y = canvas.height * (0.48 + 0.08 * band) * scale
        x = canvas.width * canvas.dice.uniform(0.2, 0.8) * scale
        pen.ellipse(_box(x, y, canvas.width * 0.6 * scale, canvas.height * 0.05 * scale), fill=170)


def _draw_label(picture: Image.Image) -> None:
    font = ImageFont.load_default(size=max(12, picture.width // 56))
    pen = ImageDraw.Draw(picture, "RGBA")
    left, top, right, bottom = pen.textbbox((0, 0), _LABEL, font=font)
    x, y = picture.width - (right - left) - 22, picture.height - (bottom - top) - 24
    pen.rounded_rectangle((x - 9, y - 4, picture.width - 13, picture.height - 12), radius=6, fill=(0, 0, 0, 120))
    pen.text((x, y), _LABEL, font=font, fill=(255, 255, 255, 230))
