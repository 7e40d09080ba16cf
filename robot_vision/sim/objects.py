"""Builds the objects of the seven classes: meshes to look at, simple hidden solids to collide with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_vision.sim import meshes, textures
from robot_vision.sim.assets import AssetBook, Finish
from robot_vision.sim.classes import BALL, BOTTLE, BOX, CAN, CLASS_NAMES, CONE, MUG, ROBOT
from robot_vision.sim.engine import mujoco
from robot_vision.types import Float64Array

Hulls = tuple[Float64Array, ...]
_CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER
_BOX = mujoco.mjtGeom.mjGEOM_BOX
_SPHERE = mujoco.mjtGeom.mjGEOM_SPHERE
_GLOSS = Finish(specular=0.7, shininess=0.8)
_SATIN = Finish(specular=0.3, shininess=0.4)
_MATT = Finish(specular=0.08, shininess=0.1)
_METAL = Finish(specular=0.9, shininess=0.6)


@dataclass(frozen=True, eq=False)
class ObjectBody:
    """One object of a class, as built into a scene.

    Attributes:
        object_id: Persistent identity, counted from 1.
        class_id: Index into `CLASS_NAMES`.
        body: Name of the MuJoCo body; its origin is the object's pose.
        radius: Horizontal extent about the origin in metres.
        rest_height: Height of the origin above the floor when standing, in metres.
        hulls: Convex point sets (P, 3) in the body's frame that cover the visible shape.
        wheels: Names of the left and right wheel actuators; empty for what does not drive.
    """

    object_id: int
    class_id: int
    body: str
    radius: float
    rest_height: float
    hulls: Hulls
    wheels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Shape:
    radius: float
    rest_height: float
    hulls: Hulls
    wheels: tuple[str, ...] = ()


def _shift(hulls: Hulls, x: float, y: float, z: float) -> Hulls:
    return tuple(points + np.array([x, y, z]) for points in hulls)


def _box(book: AssetBook, body: Any, rng: np.random.Generator) -> _Shape:
    edge = rng.uniform(0.07, 0.15)
    half = (edge * rng.uniform(0.85, 1.2), edge * rng.uniform(0.85, 1.2), edge * rng.uniform(0.7, 1.2))
    face = (textures.cardboard, textures.crate, textures.painted_panel, textures.painted_panel)[rng.integers(4)](rng)
    mesh = meshes.chamfered_box(half, 0.004 + 0.05 * edge)
    book.show(body, book.mesh(mesh), book.material(face, _MATT))
    book.solid(body, _BOX, list(half), 0.5, priority=1, friction=[0.35, 0.003, 0.0005])
    return _Shape(float(np.hypot(half[0], half[1])), half[2], mesh.hulls)


def _ball(book: AssetBook, body: Any, rng: np.random.Generator) -> _Shape:
    radius = float(rng.uniform(0.06, 0.13))
    mesh = meshes.lathe([meshes.arc((0, 0), radius, -np.pi / 2, np.pi / 2, 15)])
    skin = textures.ball_skin(rng, textures.pick_colour(rng))
    book.show(body, book.mesh(mesh), book.material(skin, _GLOSS if rng.random() < 0.6 else _MATT))
    book.solid(body, _SPHERE, [radius], 0.25, priority=1, friction=[0.6, 0.003, 0.0004], condim=6)
    return _Shape(radius, radius, mesh.hulls)


def _can(book: AssetBook, body: Any, rng: np.random.Generator) -> _Shape:
    radius = float(rng.uniform(0.055, 0.085))
    half = radius * float(rng.uniform(1.15, 1.75))
    neck, rim = 0.86 * radius, 0.06 * half
    mesh = meshes.lathe(
        [
            [(0.0, -half), (neck, -half)],
            [(neck, -half), (radius, -half + 2.5 * rim), (radius, half - 2.5 * rim), (neck, half - rim), (neck, half)],
            [(neck, half), (0.9 * neck, half)],
            [(0.9 * neck, half), (0.88 * neck, half - rim)],
            [(0.88 * neck, half - rim), (0.0, half - rim)],
        ],
        outer_strips=3,
    )
    metal = (0.78, 0.79, 0.8)
    ground = textures.pick_colour(rng)
    ink = textures.contrasting(rng, ground)
    lengths = (neck, 2 * half, neck * 1.1)
    first, last = lengths[0] / sum(lengths), (lengths[0] + lengths[1]) / sum(lengths)
    image = textures.bands([(1.0, metal)], 256, 256)
    low, high = int(256 * (first + 0.10 * (last - first))), int(256 * (last - 0.12 * (last - first)))
    image[low:high] = textures.label(rng, high - low, 256, ground, ink)
    book.show(body, book.mesh(mesh), book.material(image, _METAL))
    book.solid(body, _CYLINDER, [radius, half], 0.3, priority=1, friction=[0.25, 0.002, 0.0003])
    return _Shape(radius, half, mesh.hulls)


def _cone(book: AssetBook, body: Any, rng: np.random.Generator) -> _Shape:
    height = float(rng.uniform(0.2, 0.38))
    bottom, top = 0.3 * height, 0.045 * height
    plate = 0.05 * height
    mesh = meshes.lathe([[(bottom, 0.0), (top, height - plate)], [(top, height - plate), (0.0, height - plate)]])
    paint = textures.pick_colour(rng, ("#ff5a1f", "#ff5a1f", "#f5761a", "#e63312", "#f2b705", "#2f6fd0", "#3aa655"))
    white = (0.95, 0.95, 0.93)
    rings = [[(0.3, paint), (0.5, white), (1.0, paint)], [(0.25, paint), (0.42, white), (0.6, paint), (0.75, white),
             (1.0, paint)], [(1.0, paint)]][rng.choice(3, p=[0.45, 0.4, 0.15])]  # fmt: skip
    book.show(body, book.mesh(mesh), book.material(textures.bands(rings, 256, 16), _SATIN), pos=[0, 0, plate])
    half = (1.2 * bottom, 1.2 * bottom, plate / 2)
    base = meshes.chamfered_box(half, plate / 5)
    base_paint = paint if rng.random() < 0.6 else (0.12, 0.12, 0.13)
    book.show(body, book.mesh(base), book.material(base_paint, _SATIN), pos=[0, 0, plate / 2])
    book.solid(body, _BOX, list(half), 0.5, pos=[0, 0, plate / 2], priority=1, friction=[0.3, 0.003, 0.0005])
    for share in (0.15, 0.4, 0.7):
        size = (1 - share) * bottom
        book.solid(body, _CYLINDER, [size, 0.14 * height], 0.04, pos=[0, 0, plate + share * height])
    hulls = _shift(mesh.hulls, 0, 0, plate) + _shift(base.hulls, 0, 0, plate / 2)
    return _Shape(1.7 * bottom, 0.0, hulls)


def _mug(book: AssetBook, body: Any, rng: np.random.Generator) -> _Shape:
    radius = float(rng.uniform(0.06, 0.09))
    half = radius * float(rng.uniform(0.95, 1.25))
    wall = 0.88 * radius
    mesh = meshes.lathe(
        [
            [(0.0, -half), (0.92 * radius, -half)],
            [(0.92 * radius, -half), (radius, -0.85 * half), (radius, half)],
            [(radius, half), (wall, half)],
            [(wall, half), (wall, -0.8 * half)],
            [(wall, -0.8 * half), (0.0, -0.8 * half)],
        ],
        outer_strips=2,
    )
    glaze = textures.pick_colour(rng)
    inside = (0.93, 0.92, 0.89) if rng.random() < 0.6 else glaze
    lengths = np.array([0.92 * radius, 2 * half, radius - wall, 1.8 * half, wall])
    ends = np.cumsum(lengths) / lengths.sum()
    image = textures.bands([(float(ends[2]), glaze), (1.0, inside)], 256, 256)
    if rng.random() < 0.7:
        low, high = int(256 * (0.75 * ends[0] + 0.25 * ends[1])), int(256 * (0.2 * ends[0] + 0.8 * ends[1]))
        image[low:high] = textures.label(rng, high - low, 256, glaze, textures.contrasting(rng, glaze))
    book.show(body, book.mesh(mesh), book.material(image, _GLOSS))
    grip = meshes.handle(0.97 * radius, 1.15 * half, 0.62 * radius, 0.13 * radius)
    book.show(body, book.mesh(grip), book.material(glaze, _GLOSS))
    book.solid(body, _CYLINDER, [radius, half], 0.3, priority=1, friction=[0.25, 0.002, 0.0003])
    book.solid(body, _BOX, [0.3 * radius, 0.1 * radius, 0.5 * half], 0.02, pos=[1.25 * radius, 0, 0])
    return _Shape(1.6 * radius, half, mesh.hulls + grip.hulls)


def _bottle(book: AssetBook, body: Any, rng: np.random.Generator) -> _Shape:
    radius = float(rng.uniform(0.045, 0.07))
    height = radius * float(rng.uniform(4.6, 6.4))
    neck = radius * float(rng.uniform(0.32, 0.45))
    shoulder, throat = float(rng.uniform(0.52, 0.64)) * height, float(rng.uniform(0.74, 0.8)) * height
    cap = 1.18 * neck
    rise = throat - shoulder
    blend = [(neck + (radius - neck) * (0.5 + 0.5 * float(np.cos(t))), shoulder + rise * float(t) / np.pi)
             for t in np.linspace(0, np.pi, 8)]  # fmt: skip
    mesh = meshes.lathe(
        [
            [(0.0, 0.0), (0.9 * radius, 0.0)],
            [(0.9 * radius, 0.0), (radius, 0.04 * height), (radius, shoulder - 1e-4), *blend, (neck, 0.9 * height)],
            [(neck, 0.9 * height), (cap, 0.9 * height)],
            [(cap, 0.9 * height), (cap, height)],
            [(cap, height), (0.0, height)],
        ]
    )
    glass = textures.pick_colour(
        rng,
        ("#1f6b3a", "#5b3417", "#2b6cb0", "#cfe8ef", "#e9e4d8", "#7b1e3a", "#17323f", "#e2703a", "#f0c419", "#3fa7a3"),
    )
    paper, lid = textures.contrasting(rng, glass), textures.pick_colour(rng)
    outline = np.array([0.9 * radius, shoulder, rise + 0.4 * radius, 0.9 * height - throat, cap - neck])
    ends = np.cumsum(outline) / (outline.sum() + 0.1 * height + cap)
    image = textures.bands([(float(ends[3]), glass), (1.0, lid)], 256, 256)
    low = int(256 * (0.82 * ends[0] + 0.18 * ends[1]))
    high = int(256 * (0.1 * ends[0] + 0.9 * ends[1]))
    if rng.random() < 0.85:
        image[low:high] = textures.label(rng, high - low, 256, paper, textures.contrasting(rng, paper))
    book.show(body, book.mesh(mesh), book.material(image, _GLOSS))
    book.solid(body, _CYLINDER, [radius, shoulder / 2], 0.45, pos=[0, 0, shoulder / 2], priority=1,
               friction=[0.22, 0.002, 0.0003])  # fmt: skip
    book.solid(body, _CYLINDER, [cap, 0.2 * height], 0.03, pos=[0, 0, 0.8 * height])
    return _Shape(radius, 0.0, mesh.hulls)


def _robot(book: AssetBook, body: Any, rng: np.random.Generator) -> _Shape:
    length, width = float(rng.uniform(0.13, 0.18)), float(rng.uniform(0.09, 0.12))
    wheel, height = float(rng.uniform(0.05, 0.07)), float(rng.uniform(0.035, 0.055))
    paint = textures.pick_colour(rng)
    dark = book.material((0.1, 0.1, 0.12), _SATIN)
    hulls: Hulls = ()

    def plate(half: tuple[float, float, float], pos: list[float], material: str, chamfer: float) -> None:
        nonlocal hulls
        mesh = meshes.chamfered_box(half, chamfer)
        book.show(body, book.mesh(mesh), material, pos=pos)
        hulls += _shift(mesh.hulls, *pos)

    shell = textures.painted_panel(rng) if rng.random() < 0.4 else paint
    deck = wheel + height
    plate((length, width, height), [0, 0, wheel + 0.01], book.material(shell, _GLOSS), 0.018)
    plate((0.75 * length, 0.8 * width, 0.008), [0, 0, deck + 0.018], dark, 0.004)
    lamp = book.material((0.95, 0.95, 0.85), Finish(emission=0.5))
    plate((0.012, 0.7 * width, 0.012), [length, 0, wheel], lamp, 0.003)
    mast = float(rng.uniform(0.06, 0.17))
    x = float(rng.uniform(-0.5, 0.4)) * length
    plate((0.012, 0.012, mast / 2), [x, 0, deck + mast / 2 + 0.02], dark, 0.003)
    head_z = deck + mast + 0.05
    head = (0.035, 0.065, 0.032)
    plate(head, [x, 0, head_z], book.material(textures.contrasting(rng, paint), _GLOSS), 0.012)
    plate((0.006, 0.05, 0.018), [x + 0.034, 0, head_z], book.material((0.03, 0.05, 0.09), _GLOSS), 0.003)
    book.solid(body, _BOX, [length, width, height], 1.6, pos=[0, 0, wheel + 0.012])
    book.solid(body, _BOX, [0.03, 0.05, (head_z - deck) / 2], 0.1, pos=[x, 0, (head_z + deck) / 2])
    for end in (-0.72, 0.72):
        book.solid(body, _SPHERE, [0.02], 0.1, pos=[end * length, 0, 0.021], friction=[0.02, 0.001, 0.0001], priority=1)
    tyre, wheels = _wheels(book, body, rng, wheel, width)
    return _Shape(float(np.hypot(length, width + 0.03)), 0.0, hulls + tyre, wheels)


def _wheels(
    book: AssetBook, body: Any, rng: np.random.Generator, radius: float, width: float
) -> tuple[Hulls, tuple[str, ...]]:
    half = 0.016
    rim = 0.6 * radius
    mesh = meshes.lathe(
        [[(0.0, -half), (rim, -half), (radius, -0.7 * half)], [(radius, -0.7 * half), (radius, 0.7 * half)],
         [(radius, 0.7 * half), (rim, half), (0.0, half)]]
    )  # fmt: skip
    hub, rubber = textures.pick_colour(rng, ("#d9d9d9", "#f5b700", "#e4572e", "#5f6b7a")), (0.09, 0.09, 0.1)
    image = textures.bands([(0.27, hub), (0.73, rubber), (1.0, hub)], 128, 160)
    spokes = (np.arange(160) * 10 // 160) % 2 == 0
    image[8:30, spokes] = image[98:120, spokes] = 40
    name, material = book.mesh(mesh), book.material(image, _SATIN)
    hulls: Hulls = ()
    actuators = []
    for side, sign in (("left", 1), ("right", -1)):
        place = np.array([0.0, sign * (width + half + 0.004), radius])
        wheel = body.add_body(name=f"{body.name}_{side}", pos=list(place), quat=[0.7071068, 0.7071068, 0, 0])
        wheel.add_joint(
            name=f"{body.name}_{side}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, -1], damping=0.001, armature=0.001
        )
        book.show(wheel, name, material)
        book.solid(wheel, mujoco.mjtGeom.mjGEOM_ELLIPSOID, [radius, radius, half], 0.15, friction=[1.1, 0.003, 0.0003],
                   priority=1)  # fmt: skip
        actuator = book.spec.add_actuator(
            name=f"{body.name}_{side}", target=f"{body.name}_{side}", trntype=mujoco.mjtTrn.mjTRN_JOINT
        )
        actuator.set_to_velocity(kv=0.12)
        actuators.append(actuator.name)
        swapped = mesh.vertices[:, [0, 2, 1]] + place
        hulls += (swapped,)
    return hulls, tuple(actuators)


_BUILDERS: dict[int, Callable[[AssetBook, Any, np.random.Generator], _Shape]] = {
    BOX: _box, BALL: _ball, CAN: _can, CONE: _cone, MUG: _mug, BOTTLE: _bottle, ROBOT: _robot,
}  # fmt: skip


def build_object(book: AssetBook, rng: np.random.Generator, class_id: int, object_id: int) -> tuple[Any, ObjectBody]:
    """Add one object of a class to a scene.

    Args:
        book: Where assets and bodies go.
        rng: Decides shape, colours and materials.
        class_id: Index into `CLASS_NAMES`.
        object_id: Identity, counted from 1.

    Returns:
        The new MuJoCo body, free to move and not yet placed, and the object's description.
    """
    name = f"{CLASS_NAMES[class_id]}_{object_id}"
    body = book.spec.worldbody.add_body(name=name)
    body.add_freejoint()
    shape = _BUILDERS[class_id](book, body, rng)
    return body, ObjectBody(object_id, class_id, name, shape.radius, shape.rest_height, shape.hulls, shape.wheels)
