"""Moves the objects: drives robots by their wheels, kicks balls, pulls other things along the floor."""

from __future__ import annotations

from typing import Any

import numpy as np

from robot_vision.sim.classes import BALL, ROBOT
from robot_vision.sim.objects import ObjectBody
from robot_vision.sim.scene import Scene
from robot_vision.types import Float64Array

_MOVING_SHARE = 0.55


class _Actor:
    """State of one object that moves on its own."""

    def __init__(self, scene: Scene, described: ObjectBody, rng: np.random.Generator) -> None:
        model = scene.model
        self.described = described
        self.body = int(model.body(described.body).id)
        self.dof = int(model.body_dofadr[self.body])
        self.mass = float(model.body_subtreemass[self.body])
        self.wheels = [int(model.actuator(name).id) for name in described.wheels]
        self.limit = np.array(scene.stage.half_xy) - described.radius - 0.06
        self.speed = float(rng.uniform(0.12, 0.4))
        self.rng = rng
        self.goal = self.new_goal()
        self.until_s = 0.0
        self.stuck_s = 0.0
        self.reverse_until_s = -1.0

    def new_goal(self) -> Float64Array:
        return self.rng.uniform(-self.limit, self.limit)


class Director:
    """Decides forces and wheel speeds of every moving object.

    Args:
        scene: The scene to move.
        rng: Decides who moves, where to and how fast.
    """

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self._model = scene.model
        self._actors = [
            _Actor(scene, described, child)
            for described, child in zip(scene.objects, rng.spawn(len(scene.objects)), strict=True)
            if described.class_id in (BALL, ROBOT) or child.random() < _MOVING_SHARE
        ]

    def control(self, data: Any) -> None:
        """Set forces and wheel speeds for the next moment of simulated time."""
        for actor in self._actors:
            velocity = data.qvel[actor.dof : actor.dof + 2]
            position = data.xpos[actor.body, :2]
            if actor.described.class_id == ROBOT:
                _drive(actor, data, position, velocity)
            elif actor.described.class_id == BALL:
                _kick(actor, data, position, velocity)
            else:
                _pull(actor, data, position, velocity)


def _kick(actor: _Actor, data: Any, position: Float64Array, velocity: Float64Array) -> None:
    if np.hypot(*velocity) > 0.12 or data.time < actor.until_s:
        return
    actor.until_s = data.time + float(actor.rng.uniform(0.5, 2.5))
    toward = actor.new_goal() - position
    speed = float(actor.rng.uniform(0.4, 1.0))
    data.qvel[actor.dof : actor.dof + 2] = speed * toward / max(float(np.hypot(*toward)), 0.1)


def _pull(actor: _Actor, data: Any, position: Float64Array, velocity: Float64Array) -> None:
    force = data.xfrc_applied[actor.body]
    upright = data.xmat[actor.body, 8]
    toward = actor.goal - position
    distance = float(np.hypot(*toward))
    if distance < 0.08 or data.time > actor.until_s:
        actor.goal = actor.new_goal()
        actor.until_s = data.time + float(actor.rng.uniform(2.0, 6.0))
    if upright < 0.8:
        force[:] = 0.0
        return
    wanted = actor.speed * toward / max(distance, 0.1)
    pull = 10.0 * (wanted - velocity) + 1.6 * toward / max(distance, 0.1)
    strength = float(np.hypot(*pull))
    force[:2] = actor.mass * pull * min(1.0, 3.6 / max(strength, 1e-6))


def _drive(actor: _Actor, data: Any, position: Float64Array, velocity: Float64Array) -> None:
    forward = data.xmat[actor.body, [0, 3]]
    toward = actor.goal - position
    if np.hypot(*toward) < 0.15 or data.time > actor.until_s:
        actor.goal = actor.new_goal()
        actor.until_s = data.time + float(actor.rng.uniform(4.0, 9.0))
    error = float(np.arctan2(forward[0] * toward[1] - forward[1] * toward[0], forward @ toward))
    speed = actor.speed * max(0.15, float(np.cos(error)))
    turn = float(np.clip(2.5 * error, -2.0, 2.0))
    slow = float(np.hypot(*velocity)) < 0.03 and abs(error) < 0.6
    actor.stuck_s = actor.stuck_s + 0.02 if slow else 0.0
    if actor.stuck_s > 0.8:
        actor.stuck_s, actor.reverse_until_s = 0.0, data.time + 1.0
        actor.goal = actor.new_goal()
    if data.time < actor.reverse_until_s:
        speed, turn = -0.8 * actor.speed, 0.8
    wheel, half_track = 0.06, 0.13
    data.ctrl[actor.wheels[0]] = (speed - turn * half_track) / wheel
    data.ctrl[actor.wheels[1]] = (speed + turn * half_track) / wheel
