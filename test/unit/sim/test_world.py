"""The world: repeatable, in motion, with persistent identities."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.sim.classes import BALL, CLASS_NAMES, ROBOT
from robot_vision.sim.scene import SceneConfig
from robot_vision.sim.world import SimFrame, World, WorldConfig

SMALL = SceneConfig(objects=(7, 7), clutter=(1, 2), shadow_size=256, samples=0)


def record(seed: int, camera: str = "uav") -> list[SimFrame]:
    """Three frames of a small world."""
    with World(WorldConfig(seed, (96, 72), camera, 5.0, scene=SMALL)) as world:
        return list(world.frames(3))


remembered = lru_cache(record)


def test_two_worlds_of_one_seed_give_identical_pixels_and_truth() -> None:
    for first, second in zip(record(5), remembered(5, "uav"), strict=True):
        np.testing.assert_array_equal(first.rgb, second.rgb)
        np.testing.assert_array_equal(first.truth.boxes_xyxy, second.truth.boxes_xyxy)
        np.testing.assert_array_equal(first.truth.object_ids, second.truth.object_ids)
        np.testing.assert_array_equal(first.truth.positions, second.truth.positions)
        np.testing.assert_array_equal(first.truth.occlusion, second.truth.occlusion)
        assert first.stamp_ns == second.stamp_ns


def test_seeds_differ() -> None:
    assert np.abs(remembered(5, "uav")[0].rgb.astype(int) - remembered(6, "uav")[0].rgb).mean() > 5


def test_stamps_follow_the_rate_from_a_plausible_epoch() -> None:
    stamps = [frame.stamp_ns for frame in remembered(5, "uav")]
    assert np.diff(stamps).tolist() == [200_000_000, 200_000_000]
    assert 1_700_000_000 < stamps[0] / 1e9 < 1_800_000_000


def test_an_id_keeps_its_class_over_time(frames: list[SimFrame]) -> None:
    class_of: dict[int, int] = {}
    for frame in frames:
        assert len(set(frame.truth.object_ids.tolist())) == len(frame.truth)
        for object_id, class_id in zip(frame.truth.object_ids, frame.truth.class_ids, strict=True):
            assert class_of.setdefault(int(object_id), int(class_id)) == class_id
    seen_always = set.intersection(*(set(frame.truth.object_ids.tolist()) for frame in frames))
    assert len(seen_always) >= 6


def test_a_scene_of_seven_objects_holds_every_class() -> None:
    with World(WorldConfig(3, (32, 32), scene=SMALL)) as world:
        assert sorted(described.class_id for described in world.scene.objects) == list(range(len(CLASS_NAMES)))


def test_robots_drive_balls_roll_and_all_stay_on_the_stage() -> None:
    with World(WorldConfig(11, (32, 32), scene=SMALL)) as world:
        bodies = [world.scene.model.body(described.body).id for described in world.scene.objects]
        world.advance(0.3)
        path = [world.data.xpos[bodies].copy()]
        for _ in range(24):
            world.advance(0.25)
            path.append(world.data.xpos[bodies].copy())
        travelled = np.linalg.norm(np.diff(np.array(path)[..., :2], axis=0), axis=-1).sum(axis=0)
        for described, distance in zip(world.scene.objects, travelled, strict=True):
            if described.class_id in (BALL, ROBOT):
                assert 0.3 < distance < 8.0, described.body
        assert (np.abs(path[-1][:, :2]) < np.array(world.scene.stage.half_xy) + 0.01).all()
        assert (path[-1][:, 2] > -0.02).all()


@pytest.mark.parametrize("camera", ["fixed", "handheld", "uav"])
def test_most_objects_are_in_view_of_every_camera(camera: str) -> None:
    seen = [frame.truth.labelled.sum() for seed in (5, 6) for frame in remembered(seed, camera)]
    assert np.mean(seen) >= 5


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"seed": -1}, "seed"),
        ({"size_wh": (8, 240)}, "size_wh"),
        ({"camera": "crane"}, "camera"),
        ({"rate_hz": 0.0}, "rate_hz"),
        ({"fovy_deg": 170.0}, "fovy_deg"),
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidValueError, match=word):
        WorldConfig(**{"seed": 0, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [({"objects": (5, 2)}, "objects"), ({"clutter": (-1, 2)}, "clutter"), ({"theme": "moon"}, "theme")],
)
def test_a_wrong_scene_setting_is_named(wrong: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidValueError, match=word):
        SceneConfig(**wrong)  # type: ignore[arg-type]
