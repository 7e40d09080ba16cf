"""Surroundings of a scene: ground, walls, sky, lamps and clutter that belongs to no class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_vision.sim import meshes, textures
from robot_vision.sim.assets import HIDDEN_GROUP, AssetBook, Finish
from robot_vision.sim.engine import mujoco

THEMES = ("room", "hall", "tabletop", "yard", "field")
_BOX = mujoco.mjtGeom.mjGEOM_BOX
_PLANE = mujoco.mjtGeom.mjGEOM_PLANE
_CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER
_ELLIPSOID = mujoco.mjtGeom.mjGEOM_ELLIPSOID
_MATT = Finish(specular=0.05, shininess=0.1)


@dataclass(frozen=True)
class Stage:
    """Where objects may be.

    Attributes:
        half_xy: Half extents of the area that hidden walls enclose, metres; the floor is at z = 0.
        outdoors: Whether the sky is visible.
    """

    half_xy: tuple[float, float]
    outdoors: bool


def build_surroundings(book: AssetBook, rng: np.random.Generator, theme: str) -> Stage:
    """Add everything that is no object of a class, except clutter.

    Args:
        book: Where assets and geoms go.
        rng: Decides materials, sizes and light.
        theme: One of `THEMES`.

    Returns:
        The area for the objects.
    """
    outdoors = theme in ("yard", "field")
    half_xy = (1.15, 1.15) if theme != "tabletop" else (1.2, 0.95)
    if outdoors:
        _outdoor(book, rng, theme)
    elif theme == "tabletop":
        _tabletop(book, rng, half_xy)
    else:
        _room(book, rng, wide=theme == "hall")
    _light(book, rng, outdoors)
    _hidden_fence(book, half_xy)
    return Stage(half_xy, outdoors)


def build_bare_ground(book: AssetBook, rng: np.random.Generator, ground: str) -> None:
    """Add a wide floor and light, and nothing else.

    Args:
        book: Where assets and geoms go.
        rng: Decides the look of the floor, and the light.
        ground: One of `textures.GROUNDS`.
    """
    _sky(book, (0.75, 0.77, 0.8), (0.6, 0.62, 0.65))
    repeat = float(rng.uniform(0.6, 1.4))
    _floor(book, book.material(textures.GROUNDS[ground](rng), _MATT, (repeat, repeat)))
    _light(book, rng, outdoors=ground in ("grass", "sand"))


def _sky(book: AssetBook, upper: textures.Colour, lower: textures.Colour) -> None:
    book.spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=list(upper), rgb2=list(lower), width=128, height=768, nchannel=3,
    )  # fmt: skip
    book.spec.visual.rgba.fog = [*lower, 1]
    book.spec.visual.rgba.haze = [*lower, 1]


def _floor(book: AssetBook, material: str, z: float = 0.0, half: float = 30.0) -> None:
    book.spec.worldbody.add_geom(
        type=_PLANE, size=[half, half, 1], pos=[0, 0, z], material=material, friction=[0.6, 0.005, 0.0005]
    )


def _ground_material(book: AssetBook, rng: np.random.Generator, outdoors: bool) -> str:
    choices = textures.FLOORS_OUTDOOR if outdoors else textures.FLOORS_INDOOR
    draw = choices[rng.integers(len(choices))]
    polished = draw in (textures.marble, textures.tiles, textures.wood, textures.checker) and rng.random() < 0.4
    finish = Finish(0.25, 0.5, float(rng.uniform(0.06, 0.2))) if polished and not outdoors else _MATT
    repeat = float(rng.uniform(0.6, 1.4))
    return book.material(draw(rng), finish, (repeat, repeat))


def _outdoor(book: AssetBook, rng: np.random.Generator, theme: str) -> None:
    upper, lower = [
        ((0.25, 0.47, 0.78), (0.80, 0.88, 0.95)), ((0.42, 0.55, 0.72), (0.90, 0.87, 0.82)),
        ((0.35, 0.35, 0.55), (0.97, 0.78, 0.62)), ((0.58, 0.63, 0.68), (0.82, 0.84, 0.86)),
    ][rng.integers(4)]  # fmt: skip
    _sky(book, upper, lower)
    _floor(book, _ground_material(book, rng, outdoors=True))
    world = book.spec.worldbody
    leaf = book.material(textures.grass(rng), _MATT, (2.0, 2.0))
    for _ in range(int(rng.integers(6, 14))):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(5.0, 12.0)
        size = [float(v) for v in rng.uniform([0.5, 0.5, 0.4], [1.6, 1.6, 1.5])]
        place = [distance * np.cos(angle), distance * np.sin(angle), 0.5 * size[2]]
        book.decor(world, _ELLIPSOID, size, leaf, pos=place)
    if theme == "yard":
        wall = book.material(textures.WALLS[rng.integers(len(textures.WALLS))](rng), _MATT, (1.0, 1.0))
        far, height = float(rng.uniform(3.2, 4.5)), float(rng.uniform(0.35, 1.0))
        for angle in rng.choice(4, size=int(rng.integers(1, 4)), replace=False) * np.pi / 2:
            book.decor(world, _BOX, [far, 0.08, height], wall, pos=[far * np.cos(angle), far * np.sin(angle), height],
 quat=_yaw(angle + np.pi / 2))  # fmt: skip


def _room(book: AssetBook, rng: np.random.Generator, wide: bool) -> None:
    _sky(book, (0.75, 0.77, 0.8), (0.6, 0.62, 0.65))
    _floor(book, _ground_material(book, rng, outdoors=False))
    far = float(rng.uniform(5.0, 7.0) if wide else rng.uniform(3.0, 4.2))
    _walls(book, rng, far, 0.0)


def _walls(book: AssetBook, rng: np.random.Generator, far: float, base: float) -> None:
    world = book.spec.worldbody
    wall = book.material(textures.WALLS[rng.integers(len(textures.WALLS))](rng), _MATT, (0.6, 0.6))
    skirting = book.material(textures.pick_colour(rng, ("#f0ece4", "#5a4634", "#3a3f47", "#c9c2b5")), _MATT)
    height = 1.6
    for side in range(4):
        angle = side * np.pi / 2
        across, out = np.array([-np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
        turn = _yaw(angle + np.pi / 2)
        book.decor(world, _BOX, [far, 0.05, height], wall, pos=[*(far * out), base + height], quat=turn)
        book.decor(world, _BOX, [far, 0.065, 0.06], skirting, pos=[*(far * out), base + 0.06], quat=turn)
        for slot in (-0.55, 0.0, 0.55):
            if rng.random() < 0.45:
                half = [float(rng.uniform(0.25, 0.6)), 0.07, float(rng.uniform(0.25, 0.5))]
                picture = book.material(textures.poster(rng), _MATT)
                pos = [*(far * out + slot * far * across), base + float(rng.uniform(1.1, 1.7))]
                book.decor(world, _BOX, half, picture, pos=pos, quat=turn)


def _tabletop(book: AssetBook, rng: np.random.Generator, half_xy: tuple[float, float]) -> None:
    _sky(book, (0.75, 0.77, 0.8), (0.6, 0.62, 0.65))
    world = book.spec.worldbody
    floor_z = -float(rng.uniform(0.7, 0.95))
    _floor(book, _ground_material(book, rng, outdoors=False), floor_z)
    _walls(book, rng, float(rng.uniform(3.2, 4.5)), floor_z)
    top = (textures.wood, textures.wood, textures.plaster, textures.marble, textures.concrete)[rng.integers(5)](rng)
    polish = Finish(0.3, 0.6, float(rng.uniform(0.0, 0.12)))
    repeat = float(rng.uniform(0.5, 0.9))
    material = book.material(top, polish, (repeat, repeat))
    half = [half_xy[0] + 0.12, half_xy[1] + 0.12, 0.025]
    book.decor(world, _BOX, half, material, collides=True, pos=[0, 0, -0.025], friction=[0.6, 0.005, 0.0005])
    leg = book.material(textures.pick_colour(rng, ("#3a3f47", "#8a5a35", "#c0c4c8")), _MATT)
    for x in (-1, 1):
        for y in (-1, 1):
            pos = [x * (half[0] - 0.08), y * (half[1] - 0.08), (floor_z - 0.05) / 2]
            book.decor(world, _BOX, [0.04, 0.04, (-floor_z - 0.05) / 2], leg, pos=pos)


def _light(book: AssetBook, rng: np.random.Generator, outdoors: bool) -> None:
    world, visual = book.spec.worldbody, book.spec.visual
    warmth = float(rng.uniform(-1, 1))
    tint = np.array([1.0, 1.0 - 0.05 * abs(warmth), 1.0 - 0.16 * warmth if warmth > 0 else 1.0])
    tint[0] = 1.0 + 0.1 * min(warmth, 0.0)
    azimuth = float(rng.uniform(0, 2 * np.pi))
    bright = float(rng.uniform(0.55, 0.85))
    if outdoors:
        elevation = float(rng.uniform(0.6, 1.25))
        direction = [-np.cos(azimuth) * np.cos(elevation), -np.sin(azimuth) * np.cos(elevation), -np.sin(elevation)]
        world.add_light(
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=[-6 * v for v in direction], dir=direction,
            diffuse=list(bright * tint), specular=list(0.4 * tint), castshadow=True,
        )  # fmt: skip
    else:
        pos = np.array([1.4 * np.cos(azimuth), 1.4 * np.sin(azimuth), float(rng.uniform(2.3, 3.2))])
        direction = list(-pos / np.linalg.norm(pos))
        world.add_light(
            type=mujoco.mjtLightType.mjLIGHT_SPOT, pos=list(pos), dir=direction, cutoff=85, exponent=1.0,
            diffuse=list(bright * tint), specular=list(0.4 * tint), castshadow=True, attenuation=[1, 0, 0],
        )  # fmt: skip
    turn = azimuth + float(rng.uniform(2.0, 4.2))
    world.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, dir=[-np.cos(turn), -np.sin(turn), -1.0], pos=[0, 0, 4],
        diffuse=[float(rng.uniform(0.1, 0.28))] * 3, specular=[0.1] * 3, castshadow=False,
    )  # fmt: skip
    visual.headlight.ambient = [float(rng.uniform(0.24, 0.38))] * 3
    visual.headlight.diffuse = [float(rng.uniform(0.05, 0.16))] * 3
    visual.headlight.specular = [0.0, 0.0, 0.0]


def _hidden_fence(book: AssetBook, half_xy: tuple[float, float]) -> None:
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        size = [0.1 if x else half_xy[0] + 0.2, 0.1 if y else half_xy[1] + 0.2, 0.8]
        pos = [x * (half_xy[0] + 0.1), y * (half_xy[1] + 0.1), 0.8]
        book.spec.worldbody.add_geom(type=_BOX, size=size, pos=pos, group=HIDDEN_GROUP, friction=[0.05, 0.001, 0.0001])


def _yaw(angle: float) -> list[float]:
    return [float(np.cos(angle / 2)), 0.0, 0.0, float(np.sin(angle / 2))]


def _low_wall(book: AssetBook, rng: np.random.Generator, pos: list[float]) -> None:
    half = [float(rng.uniform(0.2, 0.38)), 0.02, float(rng.uniform(0.04, 0.09))]
    draw = (textures.bricks, textures.wood, textures.concrete)[rng.integers(3)]
    material = book.material(draw(rng), _MATT, (2.0, 2.0))
    book.decor(book.spec.worldbody, _BOX, half, material, collides=True, pos=[pos[0], pos[1], half[2]],
               quat=_yaw(float(rng.uniform(0, np.pi))))  # fmt: skip


def _plate(book: AssetBook, rng: np.random.Generator, pos: list[float]) -> None:
    radius = float(rng.uniform(0.09, 0.15))
    mesh = meshes.lathe([[(0, 0), (0.55 * radius, 0)], [(0.55 * radius, 0), (radius, 0.016)],
                         [(radius, 0.02), (0.6 * radius, 0.007), (0, 0.007)]])  # fmt: skip
    outer, inner = textures.pick_colour(rng), textures.pick_colour(rng, ("#f4f1ea", "#dfe6ea", "#c9d6c3"))
    material = book.material(textures.bands([(0.55, outer), (0.68, outer), (1.0, inner)]), Finish(0.6, 0.7))
    book.show(book.spec.worldbody, book.mesh(mesh), material, pos=[pos[0], pos[1], 0.001])


def _books(book: AssetBook, rng: np.random.Generator, pos: list[float]) -> None:
    z, world = 0.0, book.spec.worldbody
    paper = book.material((0.93, 0.91, 0.85), _MATT)
    turn = float(rng.uniform(0, np.pi))
    for _ in range(int(rng.integers(1, 4))):
        half = [float(rng.uniform(0.1, 0.14)), float(rng.uniform(0.075, 0.1)), float(rng.uniform(0.01, 0.018))]
        cover = book.material(textures.pick_colour(rng), Finish(0.2, 0.3))
        turn += float(rng.uniform(-0.4, 0.4))
        quat = _yaw(turn)
        inner = [half[0] - 0.006, half[1] - 0.006, half[2] - 0.002]
        book.decor(world, _BOX, inner, paper, collides=True, pos=[*pos, z + half[2]], quat=quat)
        for level in (0.002, 2 * half[2] - 0.002):
            book.decor(world, _BOX, [half[0], half[1], 0.0025], cover, pos=[*pos, z + level], quat=quat)
        z += 2 * half[2] + 0.001


def _pole(book: AssetBook, rng: np.random.Generator, pos: list[float]) -> None:
    half = float(rng.uniform(0.3, 0.55))
    stripe = textures.pick_colour(rng)
    stops = [((i + 1) / 6, stripe if i % 2 else (0.92, 0.92, 0.9)) for i in range(6)]
    mesh = meshes.lathe([[(0.014, -half), (0.014, half)], [(0.014, half), (0.0, half)]])
    surface = textures.bands(stops, 128, 8) if rng.random() < 0.5 else stripe
    world = book.spec.worldbody
    book.show(world, book.mesh(mesh), book.material(surface), pos=[pos[0], pos[1], half])
    book.solid(world, _CYLINDER, [0.014, half], 0.0, pos=[pos[0], pos[1], half])
    foot = book.material((0.2, 0.2, 0.22))
    book.decor(world, _CYLINDER, [0.07, 0.008], foot, collides=True, pos=[pos[0], pos[1], 0.008])


def _plank(book: AssetBook, rng: np.random.Generator, pos: list[float]) -> None:
    half = [float(rng.uniform(0.25, 0.5)), float(rng.uniform(0.03, 0.06)), 0.012]
    material = book.material(textures.wood(rng), _MATT, (1.5, 1.5))
    book.decor(book.spec.worldbody, _BOX, half, material, collides=True, pos=[pos[0], pos[1], 0.012],
               quat=_yaw(float(rng.uniform(0, np.pi))))  # fmt: skip


def _pebble(book: AssetBook, rng: np.random.Generator, pos: list[float]) -> None:
    size = [float(v) for v in rng.uniform([0.08, 0.05, 0.02], [0.16, 0.1, 0.05])]
    stone = textures.concrete(rng) if rng.random() < 0.5 else textures.marble(rng)
    book.decor(book.spec.worldbody, _ELLIPSOID, size, book.material(stone, _MATT), collides=True,
               pos=[pos[0], pos[1], 0.4 * size[2]], quat=_yaw(float(rng.uniform(0, np.pi))))  # fmt: skip


def _mat(book: AssetBook, rng: np.random.Generator, pos: list[float]) -> None:
    half = [float(rng.uniform(0.25, 0.5)), float(rng.uniform(0.18, 0.35)), 0.002]
    image = textures.poster(rng) if rng.random() < 0.3 else textures.carpet(rng)
    book.decor(book.spec.worldbody, _BOX, half, book.material(image, _MATT), pos=[pos[0], pos[1], 0.002],
               quat=_yaw(float(rng.uniform(0, np.pi))))  # fmt: skip


_CLUTTER: tuple[Callable[[AssetBook, np.random.Generator, list[float]], Any], ...] = (
    _low_wall, _plate, _books, _pole, _plank, _pebble, _mat, _plate, _books,
)  # fmt: skip


def add_clutter(book: AssetBook, rng: np.random.Generator, place_xy: tuple[float, float]) -> None:
    """Add one piece that is no object of a class, standing at a place on the floor (metres)."""
    _CLUTTER[rng.integers(len(_CLUTTER))](book, rng, [*place_xy])
