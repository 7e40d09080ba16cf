"""Pixels of camera messages as RGB arrays: raw encodings and compressed pictures, live and from bags alike.

The functions take the fields of `sensor_msgs/Image` and `sensor_msgs/CompressedImage` as plain values, so that a
message of rclpy and one read from a bag go through the same code.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from robot_vision.errors import FrameError
from robot_vision.types import UInt8Array

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_PIXELS = 100_000_000


@dataclass(frozen=True)
class _Layout:
    """How one encoding stores a pixel.

    Attributes:
        channels: Values a pixel.
        conversion: OpenCV colour conversion to RGB, None where the pixels are RGB already.
        wide: Whether a value has 16 bits.
        planar: Whether a half-size chroma plane follows the luma plane (4:2:0).
        even_wh: Divisors of width and height that the subsampling needs.
    """

    channels: int
    conversion: int | None
    wide: bool = False
    planar: bool = False
    even_wh: tuple[int, int] = (1, 1)

    @property
    def pixel_bytes(self) -> int:
        return self.channels * (2 if self.wide else 1)


# OpenCV names a Bayer pattern after its second row; ROS and most cameras after the first.
_BAYER = {
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}
_COLOUR = {
    "rgb": (3, None),
    "bgr": (3, cv2.COLOR_BGR2RGB),
    "rgba": (4, cv2.COLOR_RGBA2RGB),
    "bgra": (4, cv2.COLOR_BGRA2RGB),
    "mono": (1, cv2.COLOR_GRAY2RGB),
}
_UYVY = _Layout(2, cv2.COLOR_YUV2RGB_UYVY, even_wh=(2, 1))
_YUYV = _Layout(2, cv2.COLOR_YUV2RGB_YUYV, even_wh=(2, 1))
_LAYOUTS: dict[str, _Layout] = {
    **{f"{name}{bits}": _Layout(*colour, wide=bits == 16) for name, colour in _COLOUR.items() for bits in (8, 16)},
    **{f"{name}{bits}": _Layout(1, code, wide=bits == 16) for name, code in _BAYER.items() for bits in (8, 16)},
    "8UC1": _Layout(1, cv2.COLOR_GRAY2RGB),
    "8UC3": _Layout(3, cv2.COLOR_BGR2RGB),
    "8UC4": _Layout(4, cv2.COLOR_BGRA2RGB),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": _Layout(1, cv2.COLOR_YUV2RGB_NV12, planar=True, even_wh=(2, 2)),
    "nv21": _Layout(1, cv2.COLOR_YUV2RGB_NV21, planar=True, even_wh=(2, 2)),
}
_DEPTH_ENCODINGS = ("16UC1", "32FC1", "64FC1")
_ORIENTED_AS_STORED: int = cv2.IMREAD_IGNORE_ORIENTATION
_DECODES_TO_RGB = hasattr(cv2, "IMREAD_COLOR_RGB")
_DECODE_FLAGS: int = _ORIENTED_AS_STORED | (cv2.IMREAD_COLOR_RGB if _DECODES_TO_RGB else cv2.IMREAD_COLOR)


def supported_encodings() -> frozenset[str]:
    """Names of the encodings that `decode_image` reads."""
    return frozenset(_LAYOUTS)


def decode_image(encoding: str, height: int, width: int, step: int, is_bigendian: bool, data: Buffer) -> UInt8Array:
    """RGB pixels of a raw image, with the fields of `sensor_msgs/Image`.

    An rgb8 image is a view on `data`; everything else takes one colour conversion. Of a 16-bit value the upper 8 bits
    are kept, so full scale stays full scale; YUV is read as ITU-R BT.601 in video range; 8UC3 and 8UC4 hold BGR and
    BGRA, as OpenCV does.

    Args:
        encoding: Name as in sensor_msgs/image_encodings.
        height: Rows in pixels.
        width: Columns in pixels.
        step: Bytes from one row to the next.
        is_bigendian: Byte order of 16-bit values.
        data: At least `step * height` bytes (one and a half times that for NV12 and NV21).

    Returns:
        (H, W, 3) uint8 RGB; may be read-only, may have padding between rows.

    Raises:
        FrameError: If the encoding is unknown or one of depth images, a size is zero, absurd or odd where the
            encoding needs an even one, `step` is smaller than a row, or `data` is too short.
    """
    layout = _layout(encoding)
    where = f"image of encoding {encoding}, {width}x{height} pixels, step {step}"
    _check_size(where, width, height)
    if width % layout.even_wh[0] or height % layout.even_wh[1]:
        needed = "an even width and height" if layout.even_wh[1] == 2 else "an even width"
        raise FrameError(f"{where}: this encoding needs {needed}")
    row_bytes = width * layout.pixel_bytes
    if step < row_bytes:
        raise FrameError(f"{where}: step is shorter than a row, which takes {row_bytes} bytes")
    rows = height * 3 // 2 if layout.planar else height
    buffer = memoryview(data)
    if buffer.nbytes < step * rows:
        raise FrameError(
            f"{where}: data is too short, expected {step * rows} bytes (step x {rows} rows), got {buffer.nbytes}"
        )
    pixels = _pixel_view(layout, (rows, width), step, is_bigendian, buffer)
    return pixels if layout.conversion is None else np.asarray(cv2.cvtColor(pixels, layout.conversion), np.uint8)


def _layout(encoding: str) -> _Layout:
    layout = _LAYOUTS.get(encoding)
    if layout is not None:
        return layout
    if encoding in _DEPTH_ENCODINGS:
        raise FrameError(
            f"encoding {encoding} is that of a depth image, not of a camera image: choose the colour topic"
        )
    raise FrameError(f"unknown image encoding {encoding!r}; supported are {', '.join(sorted(_LAYOUTS))}")


def _check_size(where: str, width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise FrameError(f"{where}: an image needs at least one pixel")
    if width * height > MAX_PIXELS:
        raise FrameError(f"{where}: more than {MAX_PIXELS} pixels; the message is damaged or no camera image")


def _pixel_view(
    layout: _Layout, size_hw: tuple[int, int], step: int, is_bigendian: bool, buffer: memoryview
) -> UInt8Array:
    """The bytes as (H, W) or (H, W, channels): a view, except for 16-bit values, whose upper bytes are gathered."""
    shape: tuple[int, ...] = (*size_hw, layout.channels)
    strides: tuple[int, ...] = (step, layout.pixel_bytes, layout.pixel_bytes // layout.channels)
    if layout.channels == 1:
        shape, strides = shape[:2], strides[:2]
    offset = 1 if layout.wide and not is_bigendian else 0
    view: UInt8Array = np.ndarray(shape, np.uint8, buffer, offset, strides)
    return np.ascontiguousarray(view) if layout.wide else view


def decode_compressed(format_text: str, data: Buffer) -> UInt8Array:
    """RGB pixels of a JPEG or PNG picture, with the fields of `sensor_msgs/CompressedImage`.

    The picture's own signature decides, since drivers fill `format` in many ways. Alpha is dropped, 16-bit values keep
    their upper 8 bits, grey becomes RGB, and an EXIF orientation is ignored, so that pixels stay as the camera
    calibration knows them.

    Args:
        format_text: The message's `format`; only looked at to refuse depth images.
        data: The picture's bytes.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        FrameError: If it is a depth image, neither JPEG nor PNG, cut off, damaged, or of absurd size.
    """
    if "compressedDepth" in format_text or format_text.startswith(_DEPTH_ENCODINGS):
        raise FrameError(f"compressed image of format {format_text!r} is a depth image: choose the colour topic")
    buffer: UInt8Array = np.frombuffer(memoryview(data), np.uint8)
    where = f"compressed image of format {format_text!r}, {len(buffer)} bytes"
    width, height = _picture_size_wh(where, buffer)
    _check_size(f"{where}, {width}x{height} pixels", width, height)
    try:
        picture: npt.NDArray[np.uint8] | None = cv2.imdecode(buffer, _DECODE_FLAGS)
    except cv2.error as error:
        raise FrameError(f"{where}: OpenCV cannot decode it ({error.err})") from error
    if picture is None:
        raise FrameError(f"{where}: the picture is damaged or cut off")
    return picture if _DECODES_TO_RGB else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _picture_size_wh(where: str, buffer: UInt8Array) -> tuple[int, int]:
    """Size that the picture's header declares, read before anything of that size is allocated."""
    head = buffer[:33].tobytes()
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg_size_wh(where, buffer.tobytes())
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) == 33:
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    if not head:
        raise FrameError(f"{where}: data is empty")
    raise FrameError(f"{where}: neither a JPEG nor a PNG, starts with {head[:8].hex(' ')}")


def _jpeg_size_wh(where: str, data: bytes) -> tuple[int, int]:
    """Size in the start-of-frame segment (ITU-T T.81, B.2.2), after a check that the end-of-image marker is there."""
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if data.rfind(b"\xff\xd9") < position:
                raise FrameError(f"{where}: the JPEG is cut off, its end marker is missing")
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    raise FrameError(f"{where}: the JPEG is damaged or cut off, it has no frame header")
