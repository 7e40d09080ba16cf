"""Camera messages become the right RGB pixels, or an error that says why not."""

from __future__ import annotations

import array
import contextlib
import struct
import zlib

import cv2
import numpy as np
import pytest

from robot_vision.errors import FrameError
from robot_vision.image_codec import decode_compressed, decode_image, supported_encodings

# One pixel of each colour that no channel swap leaves unchanged.
COLOURS_RGB = np.array([[[200, 100, 50], [0, 255, 3]], [[9, 8, 255], [255, 255, 255]]], np.uint8)


def pack(encoding: str, rgb: np.ndarray) -> np.ndarray:
    """Bytes (H, row) of the picture in a packed encoding, written channel by channel as its name says."""
    base, bits = encoding.rstrip("0123456789"), int(encoding.lstrip("abcdefghijklmnopqrstuvwxyz"))
    planes = [np.full(rgb.shape[:2], 77, np.uint8) if name == "a" else rgb[..., "rgb".index(name)] for name in base]
    stacked = np.stack(planes, axis=-1)
    if bits == 16:
        stacked = stacked.astype("<u2") * 257
    return np.ascontiguousarray(stacked).view(np.uint8).reshape(rgb.shape[0], -1)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "rgb16", "bgr16", "rgba16", "bgra16"])
@pytest.mark.parametrize("padding", [0, 5])
def test_packed_colours_arrive_in_rgb_order_also_with_padded_rows(encoding: str, padding: int) -> None:
    rows = np.pad(pack(encoding, COLOURS_RGB), ((0, 0), (0, padding)), constant_values=123)
    rgb = decode_image(encoding, 2, 2, rows.shape[1], False, rows.tobytes())
    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb, COLOURS_RGB)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_becomes_three_equal_channels(encoding: str) -> None:
    rgb = decode_image(encoding, 1, 3, 4, False, bytes([0, 128, 255, 99]))
    np.testing.assert_array_equal(rgb, [[[0] * 3, [128] * 3, [255] * 3]])


@pytest.mark.parametrize("big", [False, True])
def test_16_bit_grey_keeps_its_upper_bits_in_either_byte_order(big: bool) -> None:
    data = struct.pack(">3H" if big else "<3H", 0x01FF, 0x80AA, 0xFFFF)
    assert decode_image("mono16", 1, 3, 6, big, data)[0, :, 0].tolist() == [1, 0x80, 255]


def test_opencv_style_names_hold_blue_first() -> None:
    assert decode_image("8UC3", 1, 1, 3, False, bytes([1, 2, 3]))[0, 0].tolist() == [3, 2, 1]
    assert decode_image("8UC4", 1, 1, 4, False, bytes([1, 2, 3, 4]))[0, 0].tolist() == [3, 2, 1]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_pattern_is_named_from_the_top_left(pattern: str, bits: int) -> None:
    wanted = {"r": 220, "g": 120, "b": 20}
    mosaic = np.tile(np.array([[wanted[c] for c in pattern[:2]], [wanted[c] for c in pattern[2:]]], np.uint8), (6, 6))
    data = mosaic if bits == 8 else (mosaic.astype("<u2") << 8)
    rgb = decode_image(f"bayer_{pattern}{bits}", 12, 12, 12 * bits // 8, False, data.tobytes())
    assert rgb[4, 4].tolist() == [220, 120, 20]


# ITU-R BT.601, video range: the 75 % red of a colour bar is Y 65, Cb 100, Cr 212 (SMPTE EG 1).
RED_YUV, RED_RGB = (65, 100, 212), (191, 0, 0)


@pytest.mark.parametrize(
    ("encoding", "order"), [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")]
)
def test_yuv_422_orders(encoding: str, order: str) -> None:
    pixel_pair = bytes(RED_YUV["yuv".index(name)] for name in order)
    rgb = decode_image(encoding, 2, 4, 10, False, (pixel_pair * 2 + b"\0\0") * 2)
    assert np.abs(rgb.astype(int) - RED_RGB).max() <= 2


@pytest.mark.parametrize(("encoding", "chroma"), [("nv12", "uv"), ("nv21", "vu")])
def test_yuv_420_chroma_order(encoding: str, chroma: str) -> None:
    luma = np.full((4, 6), RED_YUV[0], np.uint8)
    plane = np.tile(np.array([RED_YUV["yuv".index(name)] for name in chroma], np.uint8), (2, 3))
    rgb = decode_image(encoding, 4, 6, 6, False, np.concatenate([luma, plane]).tobytes())
    assert rgb.shape == (4, 6, 3)
    assert np.abs(rgb.astype(int) - RED_RGB).max() <= 2


@pytest.mark.parametrize(
    "make", [bytes, bytearray, lambda b: array.array("B", b), lambda b: np.frombuffer(b, np.uint8)]
)
def test_rgb8_is_a_view_on_every_kind_of_buffer(make) -> None:
    data = make(COLOURS_RGB.tobytes())
    rgb = decode_image("rgb8", 2, 2, 6, False, data)
    assert np.shares_memory(rgb, np.frombuffer(data, np.uint8))


def test_every_listed_encoding_decodes() -> None:
    for encoding in supported_encodings():
        assert decode_image(encoding, 4, 4, 32, False, bytes(32 * 6)).shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("rgb9", 1, 1, 3, 3), ["rgb9", "bgr8", "mono8"]),
        (("16UC1", 1, 1, 2, 2), ["16UC1", "depth"]),
        (("32FC1", 1, 1, 4, 4), ["32FC1", "depth"]),
        (("rgb8", 4, 4, 12, 47), ["rgb8", "4x4", "48", "47"]),
        (("nv12", 4, 4, 4, 16), ["nv12", "24", "16"]),
        (("rgb8", 4, 4, 11, 44), ["step 11", "12 bytes"]),
        (("rgb8", 0, 4, 12, 0), ["4x0", "at least one"]),
        (("rgb8", 4, 0, 12, 48), ["0x4", "at least one"]),
        (("mono8", 20000, 20000, 20000, 1), ["20000x20000", "100000000"]),
        (("yuyv", 2, 3, 6, 12), ["yuyv", "even width"]),
        (("nv21", 3, 4, 4, 24), ["nv21", "even width and height"]),
    ],
)
def test_a_bad_raw_image_says_what_is_wrong(fields, words) -> None:
    encoding, height, width, step, size = fields
    with pytest.raises(FrameError) as caught:
        decode_image(encoding, height, width, step, False, bytes(size))
    for word in words:
        assert word in str(caught.value)


def smooth_picture() -> np.ndarray:
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    return np.stack([np.tile(ramp, (48, 1)), np.full((48, 64), 90, np.uint8), np.tile(ramp[::-1], (48, 1))], axis=-1)


def encode(extension: str, image: np.ndarray) -> bytes:
    return cv2.imencode(extension, image)[1].tobytes()


def test_jpeg_gives_rgb_and_may_have_trailing_bytes() -> None:
    rgb = smooth_picture()
    data = encode(".jpg", rgb[..., ::-1])
    for payload in (data, data + bytes(8)):
        assert np.abs(decode_compressed("jpeg", payload).astype(int) - rgb).max() < 16


def test_png_variants_become_8_bit_rgb() -> None:
    rgb = smooth_picture()
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    np.testing.assert_array_equal(decode_compressed("rgb8; png compressed bgr8", encode(".png", bgr)), rgb)
    deep = (bgr.astype(np.uint16) << 8) + 7
    np.testing.assert_array_equal(decode_compressed("png", encode(".png", deep)), rgb)
    with_alpha = np.dstack([bgr, np.full(bgr.shape[:2], 3, np.uint8)])
    np.testing.assert_array_equal(decode_compressed("png", encode(".png", with_alpha)), rgb)
    np.testing.assert_array_equal(decode_compressed("", encode(".png", rgb[..., 0])), np.dstack([rgb[..., 0]] * 3))


def test_exif_orientation_leaves_pixels_where_the_camera_put_them() -> None:
    plain = encode(".jpg", smooth_picture())
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    rotated = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    assert cv2.imdecode(np.frombuffer(rotated, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    assert decode_compressed("jpeg", rotated).shape == (48, 64, 3)


def huge_png() -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + bytes(40)


def huge_jpeg() -> bytes:
    data = bytearray(encode(".jpg", smooth_picture()))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    return bytes(data)


JPEG = encode(".jpg", smooth_picture())
PNG = encode(".png", smooth_picture())


@pytest.mark.parametrize(
    ("format_text", "data", "words"),
    [
        ("jpeg", b"", ["empty", "'jpeg'"]),
        ("jpeg", b"not a picture at all, but some text to read", ["neither a JPEG nor a PNG", "6e 6f 74"]),
        ("jpeg", JPEG[: len(JPEG) // 2], ["cut off", f"{len(JPEG) // 2} bytes"]),
        ("jpeg", JPEG[:40], ["frame header"]),
        ("png", PNG[: len(PNG) // 2], ["damaged or cut off"]),
        ("png", huge_png(), ["60000x60000", "100000000"]),
        ("jpeg", huge_jpeg(), ["65000x65000"]),
        ("16UC1; compressedDepth png", PNG, ["depth"]),
        ("16UC1; png compressed ", PNG, ["depth"]),
    ],
)
def test_a_bad_compressed_image_says_what_is_wrong(format_text: str, data: bytes, words: list[str]) -> None:
    with pytest.raises(FrameError) as caught:
        decode_compressed(format_text, data)
    for word in words:
        assert word in str(caught.value)


def test_random_damage_never_escapes_as_another_error() -> None:
    generator = np.random.default_rng(5)
    for original in (JPEG, PNG):
        for _ in range(150):
            damaged = np.frombuffer(original, np.uint8).copy()
            damaged[generator.integers(0, len(damaged), 4)] = generator.integers(0, 256, 4)
            with contextlib.suppress(FrameError):
                assert decode_compressed("jpeg", damaged[: generator.integers(1, len(damaged))]).ndim == 3
