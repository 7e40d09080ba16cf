"""Adds textures, materials, meshes and geoms to a MuJoCo specification under unique names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robot_vision.sim.engine import mujoco
from robot_vision.sim.meshes import Mesh
from robot_vision.types import UInt8Array

VISIBLE_GROUP = 0
HIDDEN_GROUP = 4


@dataclass(frozen=True)
class Finish:
    """How a surface answers light; all in [0, 1].

    Attributes:
        specular: Strength of highlights.
        shininess: Sharpness of highlights.
        reflectance: Mirror image, for flat surfaces only.
        emission: Light of its own.
    """

    specular: float = 0.3
    shininess: float = 0.4
    reflectance: float = 0.0
    emission: float = 0.0


@dataclass
class AssetBook:
    """Writes assets into one `MjSpec`."""

    spec: Any = field(default_factory=mujoco.MjSpec)
    _count: int = 0

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"

    def texture(self, image: UInt8Array) -> str:
        """A 2D texture from an (H, W, 3) uint8 image; row 0 is at v = 0."""
        name = self._name("texture")
        height, width = image.shape[:2]
        texture = self.spec.add_texture(
            name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
        )
        texture.data = np.ascontiguousarray(image).tobytes()
        return name

    def material(
        self,
        surface: UInt8Array | tuple[float, float, float],
        finish: Finish | None = None,
        repeat_xy: tuple[float, float] | None = None,
    ) -> str:
        """A material.

        Args:
            surface: An (H, W, 3) uint8 image, or a plain colour in [0, 1].
            finish: Answer to light; None takes the default.
            repeat_xy: Repetitions of the texture per metre; None stretches it over the geom once.

        Returns:
            The material's name.
        """
        finish = finish or Finish()
        name = self._name("material")
        material = self.spec.add_material(
            name=name, specular=finish.specular, shininess=finish.shininess, reflectance=finish.reflectance,
            emission=finish.emission,
        )  # fmt: skip
        if isinstance(surface, tuple):
            material.rgba = [*surface, 1.0]
        else:
            material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = self.texture(surface)
        if repeat_xy is not None:
            material.texuniform = True
            material.texrepeat = list(repeat_xy)
        return name

    def mesh(self, mesh: Mesh) -> str:
        """A mesh asset; weightless, it is only looked at."""
        name = self._name("mesh")
        self.spec.add_mesh(
            name=name, uservert=mesh.vertices.ravel(), usernormal=mesh.normals.ravel(),
            usertexcoord=mesh.texcoords.ravel(), userface=mesh.faces.ravel(),
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        )  # fmt: skip
        return name

    def show(self, body: Any, mesh: str, material: str, **placement: Any) -> Any:
        """A visible geom without mass or contact."""
        return body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh, material=material, contype=0, conaffinity=0, mass=0,
            group=VISIBLE_GROUP, **placement,
        )  # fmt: skip

    def solid(self, body: Any, kind: Any, size: list[float], mass: float, **more: Any) -> Any:
        """An invisible geom that has mass and collides."""
        return body.add_geom(type=kind, size=_three(size), mass=mass, group=HIDDEN_GROUP, **more)

    def decor(self, body: Any, kind: Any, size: list[float], material: str, collides: bool = False, **more: Any) -> Any:
        """A visible primitive without mass, part of the scenery."""
        contact = 1 if collides else 0
        return body.add_geom(
            type=kind, size=_three(size), material=material, contype=contact, conaffinity=contact, mass=0,
            group=VISIBLE_GROUP, **more,
        )  # fmt: skip


def _three(size: list[float]) -> list[float]:
    return [*size, *([0.0] * (3 - len(size)))]
