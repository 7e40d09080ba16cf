"""Memory of a CUDA device, asked of its driver as CUDA programs number devices."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import NamedTuple

_DRIVER = "libcuda.so.1"


class DeviceMemory(NamedTuple):
    """Memory of a device, of all processes together.

    Attributes:
        used_bytes: How much is taken.
        total_bytes: How much there is.
    """

    used_bytes: int
    total_bytes: int


def device_memory(device: str) -> DeviceMemory | None:
    """Ask for the memory of a device on which this process already runs a network.

    Args:
        device: As `providers.device_name` gives it, such as cuda:0.

    Returns:
        Its memory; None for the CPU, and where the driver does not say.
    """
    kind, _, number = device.partition(":")
    driver = _driver() if kind == "cuda" and number.isdecimal() else None
    if driver is None:
        return None
    handle, context = ctypes.c_int(), ctypes.c_void_p()
    if driver.cuDeviceGet(ctypes.byref(handle), int(number)):
        return None
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), handle):
        return None
    try:
        return _memory_of(driver, context)
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(handle)


@cache
def _driver() -> ctypes.CDLL | None:
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return None
    return None if driver.cuInit(0) else driver


def _memory_of(driver: ctypes.CDLL, context: ctypes.c_void_p) -> DeviceMemory | None:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if driver.cuCtxPushCurrent_v2(context):
        return None
    failed = driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    return None if failed else DeviceMemory(total.value - free.value, total.value)
