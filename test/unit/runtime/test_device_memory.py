"""Diagnostics must not fail where there is no GPU to ask."""

from __future__ import annotations

import pytest

from robot_vision.runtime.device_memory import device_memory


@pytest.mark.parametrize("device", ["cpu", "", "cuda", "cuda:x", "cuda:999", "tpu:0"])
def test_what_is_no_gpu_of_this_machine_has_no_known_memory(device: str) -> None:
    assert device_memory(device) is None
