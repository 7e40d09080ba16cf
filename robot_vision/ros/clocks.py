"""The clock of everything that must go on while simulated time stands still."""

from __future__ import annotations

from rclpy.clock import Clock, ClockType

STEADY_CLOCK = Clock(clock_type=ClockType.STEADY_TIME)
"""Runs under `use_sim_time` without a `/clock`, too; its timers also let the executor notice a signal."""
