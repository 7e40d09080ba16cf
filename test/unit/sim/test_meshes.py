"""Meshes against the volumes that geometry books give, and normals that point outwards."""

from __future__ import annotations

import numpy as np
import pytest

from robot_vision.sim.meshes import SEGMENTS, Mesh, arc, chamfered_box, handle, lathe


def volume(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


POLYGON = SEGMENTS / (2 * np.pi) * np.sin(2 * np.pi / SEGMENTS)
CYLINDER = lathe([[(0, -1), (0.5, -1)], [(0.5, -1), (0.5, 1)], [(0.5, 1), (0, 1)]])
BALL = lathe([arc((0, 0), 0.7, -np.pi / 2, np.pi / 2, 41)])
CUBE = chamfered_box((0.5, 0.4, 0.3), 0.05)


def test_a_lathed_cylinder_has_the_volume_of_a_prism() -> None:
    assert volume(CYLINDER) == pytest.approx(np.pi * 0.25 * 2 * POLYGON)


def test_a_lathed_ball_approaches_four_thirds_pi_r_cubed() -> None:
    assert volume(BALL) == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.01)


def test_a_chamfered_box_misses_its_bevels() -> None:
    edges, corners = 4 * (1.0 + 0.8 + 0.6 - 6 * 0.05), 8
    missing = edges * 0.05**2 / 2 + corners * (0.05**3 * 5 / 6)
    assert volume(CUBE) == pytest.approx(1.0 * 0.8 * 0.6 - missing, rel=1e-6)


@pytest.mark.parametrize("mesh", [CYLINDER, BALL, CUBE, handle(0.1, 0.1, 0.05, 0.01)])
def test_faces_turn_the_way_their_normals_point(mesh: Mesh) -> None:
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    facing = np.cross(b - a, c - a)
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    mean = mesh.normals[mesh.faces].mean(axis=1)
    assert (np.einsum("ij,ij->i", facing, mean) > 0.3).all()
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0)
    assert mesh.texcoords.min() >= 0
    assert mesh.texcoords.max() <= 1 + 1e-12


def test_hulls_span_the_mesh() -> None:
    for mesh in (CYLINDER, BALL, CUBE):
        points = np.concatenate(mesh.hulls)
        np.testing.assert_allclose(points.min(axis=0), mesh.vertices.min(axis=0), atol=1e-9)
        np.testing.assert_allclose(points.max(axis=0), mesh.vertices.max(axis=0), atol=1e-9)
