"""Procedural meshes with normals and texture coordinates: lathe bodies, chamfered boxes, bent tubes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_vision.types import Float64Array, Int64Array

Profile = list[list[tuple[float, float]]]
SEGMENTS = 32


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles of one surface.

    Attributes:
        vertices: (V, 3) float64, metres.
        normals: (V, 3) float64, unit length, outward.
        texcoords: (V, 2) float64, u and v in [0, 1].
        faces: (F, 3) int64, counter-clockwise seen from outside.
        hulls: Point sets (P, 3) in metres whose convex hulls together cover the solid: its silhouette is the union of
            the hulls' silhouettes.
    """

    vertices: Float64Array
    normals: Float64Array
    texcoords: Float64Array
    faces: Int64Array
    hulls: tuple[Float64Array, ...]


def lathe(strips: Profile, outer_strips: int | None = None) -> Mesh:
    """Solid of revolution about z.

    Args:
        strips: Profile as polylines of (radius, z) in metres, travelled so that the outside lies to the right; each
            polyline is shaded smoothly, edges between polylines are sharp.
        outer_strips: How many of the first polylines bound the silhouette; None means all.

    Returns:
        The mesh; u runs around, v along the profile from 0 to 1 by arc length.
    """
    total = sum(float(np.hypot(*np.diff(strip, axis=0).T).sum()) for strip in strips)
    angle = np.linspace(0, 2 * np.pi, SEGMENTS + 1)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    vertices, normals, texcoords, faces, hulls = [], [], [], [], []
    offset, travelled = 0, 0.0
    for number, strip in enumerate(strips):
        points = np.asarray(strip, dtype=np.float64)
        steps = np.diff(points, axis=0)
        along = travelled + np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
        travelled = float(along[-1])
        slope = np.gradient(points, axis=0)
        normal_rz = np.stack([slope[:, 1], -slope[:, 0]], axis=1)
        normal_rz /= np.linalg.norm(normal_rz, axis=1, keepdims=True)
        level = np.broadcast_to(points[:, None, 1:], (len(points), SEGMENTS + 1, 1))
        rings = np.concatenate([points[:, None, :1] * around[None], level], 2)
        vertices.append(rings.reshape(-1, 3))
        flat = np.broadcast_to(normal_rz[:, None, 1:], (len(points), SEGMENTS + 1, 1))
        normals.append(np.concatenate([normal_rz[:, None, :1] * around[None], flat], 2).reshape(-1, 3))
        u, v = np.meshgrid(angle / (2 * np.pi), along / total)
        texcoords.append(np.stack([u, v], axis=-1).reshape(-1, 2))
        faces.append(offset + _strip_faces(points[:, 0]))
        offset += rings.shape[0] * rings.shape[1]
        if outer_strips is None or number < outer_strips:
            hulls += [rings[i : i + 2, ::2].reshape(-1, 3) for i in range(len(points) - 1) if abs(steps[i, 1]) > 1e-9]
    return Mesh(np.concatenate(vertices), np.concatenate(normals), np.concatenate(texcoords), np.concatenate(faces),
                tuple(hulls))  # fmt: skip


def _strip_faces(radii: Float64Array) -> Int64Array:
    width = SEGMENTS + 1
    column = np.arange(SEGMENTS)
    faces = []
    for row in range(len(radii) - 1):
        low, high = row * width + column, (row + 1) * width + column
        if radii[row] > 0:
            faces.append(np.stack([low, low + 1, high + 1], axis=1))
        if radii[row + 1] > 0:
            faces.append(np.stack([low, high + 1, high], axis=1))
    return np.concatenate(faces).astype(np.int64)


def chamfered_box(half_xyz: tuple[float, float, float], chamfer: float) -> Mesh:
    """Box with bevelled edges; each face carries the whole texture.

    Args:
        half_xyz: Half extents in metres.
        chamfer: Width of the bevel in metres.

    Returns:
        The mesh.
    """
    half = np.asarray(half_xyz)
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
    vertices: list[Float64Array] = []
    normals: list[Float64Array] = []
    texcoords: list[Float64Array] = []
    faces: list[list[int]] = []
    corner: dict[tuple[int, tuple[int, int, int]], int] = {}
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        for side in (-1, 1):
            order = signs if side > 0 else signs[::-1]
            base = len(vertices)
            for sign in order:
                point, normal = np.zeros(3), np.zeros(3)
                point[axis], normal[axis] = side * half[axis], side
                point[[first, second]] = sign * (half[[first, second]] - chamfer)
                key = np.zeros(3, dtype=int)
                key[axis], key[first], key[second] = side, sign[0], sign[1]
                corner[axis, (int(key[0]), int(key[1]), int(key[2]))] = len(vertices)
                vertices.append(point)
                normals.append(normal)
                uv = (sign + 1) / 2
                texcoords.append(uv if axis != 0 else uv[::-1])
            faces += [[base, base + 1, base + 2], [base, base + 2, base + 3]]
    faces += _bevels(corner, np.asarray(vertices))
    points = np.asarray(vertices)
    return Mesh(points, np.asarray(normals), np.asarray(texcoords), np.asarray(faces, dtype=np.int64), (points,))


def _bevels(corner: dict[tuple[int, tuple[int, int, int]], int], points: Float64Array) -> list[list[int]]:
    quads: list[list[int]] = []
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        for a in (-1, 1):
            for b in (-1, 1):
                ends = []
                for c in (-1, 1):
                    key = [0, 0, 0]
                    key[axis], key[first], key[second] = c, a, b
                    ends.append((key[0], key[1], key[2]))
                low, high = ends
                quads.append([corner[first, low], corner[first, high], corner[second, high], corner[second, low]])
    triangles = [[q[0], q[1], q[2]] for q in quads] + [[q[0], q[2], q[3]] for q in quads]
    triangles += [[corner[axis, (x, y, z)] for axis in range(3)] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    outward = []
    for a, b, c in triangles:
        normal = np.cross(points[b] - points[a], points[c] - points[a])
        outward.append([a, b, c] if normal @ (points[a] + points[b] + points[c]) > 0 else [a, c, b])
    return outward


def handle(inner: float, height: float, reach: float, thickness: float) -> Mesh:
    """Half ring standing in the x-z plane, as on a mug.

    Args:
        inner: x of both ends in metres.
        height: Distance between the ends along z in metres.
        reach: How far the bow stands out along x in metres.
        thickness: Radius of the tube in metres.

    Returns:
        The mesh.
    """
    bends, sides = 10, 8
    angle = np.linspace(-np.pi / 2, np.pi / 2, bends + 1)
    centre = np.stack([inner + reach * np.cos(angle), np.zeros(bends + 1), height / 2 * np.sin(angle)], axis=1)
    tangent = np.gradient(centre, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.array([0.0, 1.0, 0.0])
    out = np.cross(across, tangent)
    turn = np.linspace(0, 2 * np.pi, sides + 1)
    normals = np.cos(turn)[None, :, None] * across + np.sin(turn)[None, :, None] * out[:, None]
    rings = centre[:, None] + thickness * normals
    low = (np.arange(bends)[:, None] * (sides + 1) + np.arange(sides)[None]).ravel()
    high = low + sides + 1
    faces = np.concatenate([np.stack([low, high + 1, low + 1], 1), np.stack([low, high, high + 1], 1)])
    u, v = np.meshgrid(turn / (2 * np.pi), np.linspace(0.45, 0.55, bends + 1))
    hulls = tuple(rings[i : i + 2].reshape(-1, 3) for i in range(bends))
    texcoords = np.stack([u, v], -1).reshape(-1, 2)
    return Mesh(rings.reshape(-1, 3), normals.reshape(-1, 3), texcoords, faces.astype(np.int64), hulls)


def arc(
    centre_rz: tuple[float, float], radius: float, start: float, stop: float, count: int
) -> list[tuple[float, float]]:
    """Points of a circular arc in a profile; angles in radians from the +radius axis."""
    angles = np.linspace(start, stop, count)
    return [
        (max(0.0, float(centre_rz[0] + radius * np.cos(a))), float(centre_rz[1] + radius * np.sin(a))) for a in angles
    ]
