"""Classes of the simulated world, in the order of their ids."""

from __future__ import annotations

CLASS_NAMES: tuple[str, ...] = ("box", "ball", "can", "cone", "mug", "bottle", "robot")
BOX, BALL, CAN, CONE, MUG, BOTTLE, ROBOT = range(len(CLASS_NAMES))
