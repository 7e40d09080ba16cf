"""Procedural surface textures: every image is drawn from a random generator, nothing is loaded from files."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from robot_vision.types import UInt8Array

Colour = tuple[float, float, float]
FloatImage = npt.NDArray[np.float64]
TILE = 256

OBJECT_COLOURS = (
    "#d7263d", "#f46036", "#f5b700", "#2e933c", "#1b998b", "#2176ae", "#3d348b", "#c5299b", "#7d4e2d", "#f2efe9",
    "#33384a", "#8fc93a", "#e4572e", "#17bebb", "#f9c22e", "#76b041", "#5f0f40", "#0081a7", "#eb5e28", "#b8b8d1",
)  # fmt: skip


def colour_from_hex(text: str) -> Colour:
    """Colour in [0, 1] from `#rrggbb`."""
    return tuple(int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def pick_colour(rng: np.random.Generator, choices: tuple[str, ...] = OBJECT_COLOURS, jitter: float = 0.05) -> Colour:
    """One colour of a palette with a little variation per channel."""
    base = np.array(colour_from_hex(choices[rng.integers(len(choices))]))
    red, green, blue = np.clip(base + rng.uniform(-jitter, jitter, 3), 0.02, 1.0)
    return float(red), float(green), float(blue)


def contrasting(rng: np.random.Generator, colour: Colour) -> Colour:
    """A palette colour whose brightness or hue clearly differs from the one given."""
    return max((pick_colour(rng) for _ in range(4)), key=lambda other: float(np.abs(np.subtract(other, colour)).sum()))


def noise(rng: np.random.Generator, exponent: float, stretch: tuple[float, float] = (1.0, 1.0)) -> FloatImage:
    """Seamless fractal noise with a 1/f^exponent spectrum.

    Args:
        rng: Source of randomness.
        exponent: 0 is white noise; 2 is cloudy.
        stretch: Elongation of the grain along y and x.

    Returns:
        (256, 256) values in [0, 1].
    """
    freq_y = np.fft.fftfreq(TILE)[:, None] * TILE * stretch[0]
    freq_x = np.fft.rfftfreq(TILE)[None, :] * TILE * stretch[1]
    radius = np.hypot(freq_y, freq_x)
    radius[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE))) / np.maximum(radius, 1.0) ** exponent
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=(TILE, TILE))
    return np.asarray(np.clip(0.5 + field / (5.0 * field.std()), 0.0, 1.0))


def shade(colour: Colour, value: FloatImage) -> UInt8Array:
    """Colour multiplied by a brightness map (H, W), as (H, W, 3) uint8."""
    return to_uint8(np.asarray(colour)[None, None, :] * value[..., None])


def to_uint8(image: FloatImage) -> UInt8Array:
    """(H, W, 3) values in [0, 1] as uint8."""
    return np.asarray(np.clip(image * 255.0, 0, 255), dtype=np.uint8)


def _blend(first: Colour, second: Colour, weight: FloatImage) -> FloatImage:
    return np.asarray(first) * (1 - weight[..., None]) + np.asarray(second) * weight[..., None]


def _grid(cells: int, line: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    step = TILE // cells
    index = np.minimum(np.arange(TILE) // step, cells - 1)
    edge = np.arange(TILE) % step < line
    return index[:, None] * cells + index[None, :], edge[:, None] | edge[None, :]


def wood(rng: np.random.Generator) -> UInt8Array:
    """Floor boards with grain, each board of its own tone and length."""
    base = pick_colour(rng, ("#b07d4f", "#8a5a35", "#c99e6b", "#6d452b", "#d3b187", "#9c7a5a"), 0.03)
    boards = int(rng.integers(3, 7))
    row = np.minimum(np.arange(TILE) * boards // TILE, boards - 1)
    tone = rng.uniform(0.78, 1.1, (boards, 2))
    joint = rng.integers(0, TILE, boards)
    column = np.arange(TILE)[None, :]
    which = (column > joint[row][:, None]).astype(int)
    value = tone[row[:, None], which] * (0.75 + 0.5 * noise(rng, 1.3, (1.0, 14.0)))
    gap = (np.diff(row, prepend=-1) > 0)[:, None] | (np.abs(column - joint[row][:, None]) < 1)
    return shade(base, np.where(gap, value * 0.5, value))


def checker(rng: np.random.Generator) -> UInt8Array:
    """Two-coloured checker board."""
    first = pick_colour(rng, ("#e8e4da", "#cfd8dc", "#d9c7a7", "#dfe7e0"), 0.03)
    second = pick_colour(rng, ("#4a5568", "#7a4b3a", "#3f6b6b", "#8a8f98", "#59405c", "#2f3b52"), 0.03)
    index, _ = _grid(2, 0)
    weight = ((index // 2 + index % 2) % 2).astype(np.float64)
    return to_uint8(_blend(first, second, weight) * (0.92 + 0.12 * noise(rng, 1.0))[..., None])


def tiles(rng: np.random.Generator) -> UInt8Array:
    """Square tiles with grout lines, each tile of its own tone."""
    base = pick_colour(rng, ("#d8d3c8", "#b9c4c9", "#c9b79c", "#9fb3a9", "#a8a29e", "#c7a58f"), 0.04)
    cells = int(rng.choice([2, 4]))
    index, edge = _grid(cells, 5 if cells == 2 else 3)
    tone = rng.uniform(0.86, 1.06, cells * cells)
    value = tone[index] * (0.85 + 0.25 * noise(rng, 1.6))
    return shade(base, np.where(edge, value * rng.uniform(0.5, 0.75), value))


def concrete(rng: np.random.Generator) -> UInt8Array:
    """Grey, cloudy surface with fine grain."""
    base = pick_colour(rng, ("#a3a3a0", "#8c8f94", "#b8b2a7", "#767b80", "#c4c0b8"), 0.03)
    return shade(base, 0.65 + 0.45 * noise(rng, 1.9) + 0.16 * noise(rng, 0.2))


def asphalt(rng: np.random.Generator) -> UInt8Array:
    """Dark, speckled road surface."""
    base = pick_colour(rng, ("#54565a", "#63605d", "#474b52"), 0.03)
    return shade(base, 0.6 + 0.3 * noise(rng, 1.5) + 0.5 * noise(rng, 0.0))


def carpet(rng: np.random.Generator) -> UInt8Array:
    """Woven carpet, often with a pattern of bands."""
    base = pick_colour(rng, ("#6b7a8f", "#8a5a5a", "#5f7161", "#a08d74", "#4f5d75", "#b0a3a3", "#7a6c8f"), 0.05)
    weave = 0.5 + 0.5 * np.sin(np.arange(TILE) * 2 * np.pi * 64 / TILE)
    value = 0.7 + 0.12 * weave[:, None] * weave[None, :] + 0.35 * noise(rng, 0.3)
    image = np.asarray(base) * value[..., None]
    if rng.random() < 0.5:
        period = int(rng.choice([2, 4]))
        band = (np.arange(TILE) * period * 2 // TILE) % 2 == 0
        mask = (band[None, :] & band[:, None]) if rng.random() < 0.5 else np.broadcast_to(band[None, :], (TILE, TILE))
        image = np.where(mask[..., None], image * rng.uniform(0.75, 1.2), image)
    return to_uint8(image)


def grass(rng: np.random.Generator) -> UInt8Array:
    """Lawn with blades and dry patches."""
    green = pick_colour(rng, ("#4f7f37", "#5d8c3e", "#3f6b34", "#7a9446"), 0.03)
    dry = pick_colour(rng, ("#a39a57", "#8f8a4d", "#6f7f3a"), 0.03)
    image = _blend(green, dry, np.clip(2.2 * noise(rng, 1.8) - 0.8, 0, 1))
    return to_uint8(image * (0.45 + 1.05 * noise(rng, 0.4, (3.0, 1.0)))[..., None])


def sand(rng: np.random.Generator) -> UInt8Array:
    """Sand or dirt with ripples."""
    base = pick_colour(rng, ("#cdb083", "#b0906a", "#9b7b58", "#d6c3a1"), 0.03)
    return shade(base, 0.6 + 0.4 * noise(rng, 1.6, (2.0, 1.0)) + 0.35 * noise(rng, 0.1))


def bricks(rng: np.random.Generator) -> UInt8Array:
    """Brick wall or paving in running bond."""
    base = pick_colour(rng, ("#9c5a45", "#b07a5f", "#a89f94", "#7f6a62", "#c2b2a0"), 0.03)
    rows, columns = 8, 4
    row = np.arange(TILE) * rows // TILE
    x = (np.arange(TILE)[None, :] + (row[:, None] % 2) * TILE // (2 * columns)) % TILE
    brick = row[:, None] * columns + x * columns // TILE
    tone = rng.uniform(0.75, 1.12, rows * columns)
    mortar = (np.arange(TILE)[:, None] % (TILE // rows) < 3) | (x % (TILE // columns) < 3)
    value = tone[brick] * (0.8 + 0.35 * noise(rng, 0.9))
    image = np.where(mortar[..., None], 0.72 * value[..., None] * np.ones(3), np.asarray(base) * value[..., None])
    return to_uint8(image)


def plaster(rng: np.random.Generator) -> UInt8Array:
    """Painted wall with slight stains."""
    base = pick_colour(
        rng, ("#e6e1d6", "#cfd9dd", "#dcd0c0", "#c8d5c4", "#e3d3d0", "#b7c4d4", "#d9d9d9", "#8fa3ad"), 0.03
    )
    return shade(base, 0.86 + 0.16 * noise(rng, 1.8) + 0.05 * noise(rng, 0.1))


def wallpaper(rng: np.random.Generator) -> UInt8Array:
    """Vertical stripes of two related tones."""
    base = pick_colour(rng, ("#d9cbb3", "#b9c7c2", "#c9b6c6", "#aebfd2", "#d4c2a8"), 0.04)
    stripes = int(rng.choice([4, 8, 16]))
    band = ((np.arange(TILE) * stripes // TILE) % 2).astype(np.float64)
    value = (1.0 - rng.uniform(0.08, 0.25) * band)[None, :] * (0.92 + 0.1 * noise(rng, 0.8))
    return shade(base, value)


def marble(rng: np.random.Generator) -> UInt8Array:
    """Veined stone."""
    base = pick_colour(rng, ("#dcd9d3", "#b7b4ae", "#8d9a93", "#c9b9aa", "#5d6066"), 0.03)
    veins = np.abs(np.sin(8.0 * noise(rng, 1.7) * np.pi))
    return shade(base, 0.72 + 0.33 * veins**0.4)


def poster(rng: np.random.Generator) -> UInt8Array:
    """Abstract picture for a wall: overlapping discs and bars."""
    image = np.full((128, 128, 3), np.multiply(pick_colour(rng), 255), np.float64)
    for _ in range(int(rng.integers(4, 10))):
        tint = tuple(float(255 * c) for c in pick_colour(rng))
        x, y, size = (int(v) for v in rng.integers(0, 128, 3))
        if rng.random() < 0.5:
            cv2.circle(image, (x, y), size // 3 + 4, tint, -1)
        else:
            cv2.rectangle(image, (x, y), (x + size, y + size // 3), tint, -1)
    return np.asarray(image, dtype=np.uint8)


FLOORS_INDOOR: tuple[Callable[[np.random.Generator], UInt8Array], ...] = (
    wood, wood, checker, tiles, concrete, carpet, carpet, marble,
)  # fmt: skip
FLOORS_OUTDOOR: tuple[Callable[[np.random.Generator], UInt8Array], ...] = (
    grass, grass, asphalt, sand, bricks, concrete, tiles,
)  # fmt: skip
GROUNDS: dict[str, Callable[[np.random.Generator], UInt8Array]] = {
    "wood": wood, "tiles": tiles, "concrete": concrete, "carpet": carpet, "grass": grass, "sand": sand,
}  # fmt: skip
WALLS: tuple[Callable[[np.random.Generator], UInt8Array], ...] = (plaster, plaster, wallpaper, bricks, concrete, wood)


def label(rng: np.random.Generator, height: int, width: int, ground: Colour, ink: Colour) -> UInt8Array:
    """Printed label that repeats around an object: emblem, lettering bars, pin stripes."""
    image = np.full((height, width, 3), np.multiply(ground, 255), np.float64)
    tint = tuple(float(255 * c) for c in ink)
    for repeat in range(2):
        x = int(width * (0.25 + 0.5 * repeat))
        shape = int(rng.integers(4))
        if shape == 0:
            cv2.circle(image, (x, height // 2), int(height * 0.33), tint, -1, cv2.LINE_AA)
        elif shape == 1:
            cv2.ellipse(image, (x, height // 2), (width // 7, height // 4), 20, 0, 360, tint, -1, cv2.LINE_AA)
        elif shape == 2:
            low, half = height * 3 // 4, height // 3
            points = np.array([[x - half, low], [x, height // 5], [x + half, low]], np.int32)
            cv2.fillPoly(image, [points], tint, cv2.LINE_AA)
        else:
            for line in range(3):
                y = int(height * (0.25 + 0.22 * line))
                half = int(width * rng.uniform(0.06, 0.16))
                cv2.rectangle(image, (x - half, y), (x + half, y + max(2, height // 12)), tint, -1)
    if rng.random() < 0.6:
        stripe = max(2, height // 14)
        image[:stripe] = image[-stripe:] = tint
    return np.asarray(image, dtype=np.uint8)


def bands(stops: list[tuple[float, Colour]], height: int = 128, width: int = 128) -> UInt8Array:
    """Horizontal bands for a lathe mesh, row 0 at the start of its profile.

    Args:
        stops: (end, colour) in rising order; a band reaches from the previous end to this one, both in [0, 1].
        height: Rows.
        width: Columns.

    Returns:
        (height, width, 3) uint8.
    """
    image = np.zeros((height, width, 3))
    start = 0
    for end, colour in stops:
        stop = round(end * height)
        image[start:stop] = colour
        start = stop
    image[start:] = stops[-1][1]
    return to_uint8(image)


def cardboard(rng: np.random.Generator) -> UInt8Array:
    """Face of a parcel: brown board, tape, a label."""
    image = shade(pick_colour(rng, ("#b98a5a", "#a87947", "#c79a6b"), 0.03), 0.85 + 0.22 * noise(rng, 1.0, (1.0, 6.0)))
    tape = pick_colour(rng, ("#d8c49a", "#c7a76c", "#e9dfc7"), 0.02)
    image[116:140] = np.multiply(tape, 255)
    if rng.random() < 0.8:
        image[30:100, 130:230] = label(rng, 70, 100, (0.95, 0.95, 0.92), pick_colour(rng))
    return image


def crate(rng: np.random.Generator) -> UInt8Array:
    """Face of a wooden crate: boards in a frame."""
    image = wood(rng).astype(np.float64)
    frame = np.zeros((TILE, TILE), np.uint8)
    cv2.rectangle(frame, (0, 0), (TILE - 1, TILE - 1), 1, 56)
    if rng.random() < 0.6:
        cv2.line(frame, (0, TILE), (TILE, 0), 1, 34)
    image = np.where(frame[..., None] > 0, image * 1.18 + 6, image * 0.78)
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)


def painted_panel(rng: np.random.Generator) -> UInt8Array:
    """Face of a painted box: plain with stripes, a frame or a printed mark."""
    ground = pick_colour(rng)
    ink = contrasting(rng, ground)
    image = np.full((TILE, TILE, 3), np.multiply(ground, 255), np.float64)
    tint = tuple(float(255 * c) for c in ink)
    kind = int(rng.integers(5))
    if kind == 0:
        image[int(rng.integers(20, 90)) : int(rng.integers(110, 230))] = tint
    elif kind == 1:
        cv2.rectangle(image, (14, 14), (TILE - 15, TILE - 15), tint, 14)
    elif kind == 2:
        cv2.circle(image, (128, 128), int(rng.integers(50, 100)), tint, -1, cv2.LINE_AA)
    elif kind == 3:
        for x in range(-TILE, TILE, 64):
            cv2.line(image, (x, TILE), (x + TILE, 0), tint, 20, cv2.LINE_AA)
    return np.asarray(np.clip(image * (0.92 + 0.12 * noise(rng, 1.0))[..., None], 0, 255), dtype=np.uint8)


def ball_skin(rng: np.random.Generator, ground: Colour) -> UInt8Array:
    """Skin of a ball: plain, beach-ball wedges, rings or dots; columns go around, rows from pole to pole."""
    image = np.full((128, 256, 3), np.multiply(ground, 255), np.float64)
    tint = tuple(float(255 * c) for c in contrasting(rng, ground))
    kind = int(rng.integers(5))
    if kind == 0:
        wedges = int(rng.choice([3, 4]))
        image[:, (np.arange(256) * 2 * wedges // 256) % 2 == 0] = tint
    elif kind == 1:
        image[54:74] = tint
    elif kind == 2:
        for row, columns in ((26, 4), (64, 6), (102, 4)):
            for column in range(columns):
                x = int(256 * (column + 0.5 * (row == 64)) / columns)
                cv2.ellipse(image, (x, row), (15 if row == 64 else 22, 12), 0, 0, 360, tint, -1, cv2.LINE_AA)
    elif kind == 3:
        image[:34] = image[94:] = tint
    return np.asarray(image, dtype=np.uint8)
