"""Images with what is known about them, for the training of image generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from robot_vision.data.captioned import Described, captioned_images, is_captioned
from robot_vision.errors import InvalidValueError
from robot_vision.generation.captions import Subject, caption, caption_words, colour_word
from robot_vision.generation.prompt import Vocabulary
from robot_vision.train.image_labels import find_labels
from robot_vision.train.vae_sources import ImageFolder, Images, Shrinker
from robot_vision.types import Float32Array, Int64Array, UInt8Array

MAX_WORDS = 16
_INNER = 0.3


@dataclass(frozen=True, eq=False)
class DescribedSet:
    """Images in the network's size with what captions are made from.

    Attributes:
        rgb: (N, 3, H, W) uint8.
        subjects: Objects of each image.
        places: Place of each image; empty where unknown.
        text: What the images are, for model cards.
    """

    rgb: UInt8Array
    subjects: tuple[tuple[Subject, ...], ...]
    places: tuple[str, ...]
    text: str

    def class_names(self) -> tuple[str, ...]:
        """Names of all classes that appear, sorted."""
        return tuple(sorted({one.class_name for subjects in self.subjects for one in subjects}))

    def vocabulary(self) -> Vocabulary:
        """All words that captions of these images may hold."""
        return Vocabulary(caption_words(zip(self.subjects, self.places, strict=True)), MAX_WORDS)

    def captions(
        self, vocabulary: Vocabulary, rng: np.random.Generator, wordings: int, keep: float = 1.0
    ) -> Int64Array:
        """Captions of all images, each worded several times.

        Args:
            vocabulary: Numbers the words.
            rng: See `captions.caption`.
            wordings: Captions of each image.
            keep: See there.

        Returns:
            (N, wordings, max_words) int64; captions that are too long end in the middle.
        """
        numbered: dict[str, Int64Array] = {}
        rows = []
        for subjects, place in zip(self.subjects, self.places, strict=True):
            for _ in range(wordings):
                text = caption(subjects, place, rng, keep)
                if text not in numbered:
                    numbered[text] = vocabulary.tokens(" ".join(text.split()[: vocabulary.max_words]))
                rows.append(numbered[text])
        return np.stack(rows).reshape(len(self.subjects), wordings, -1)


def described_images(images: Images, model: str) -> Iterator[Described]:
    """Images of one place with their objects.

    A set of `robot_vision sim captioned` says itself what its images show. Elsewhere the classes are those of labels,
    or of what a detector finds (see `image_labels.find_labels`), the colours those of the middles of the boxes, and
    the places are not known.

    Args:
        images: Folder or bag.
        model: Detector for images without labels, a shipped model's name or a file.

    Yields:
        The images in the order of the source.

    Raises:
        BagError: If an image or its labels cannot be read.
        EvaluationError: If two ground-truth messages of a bag have the same stamp.
        FrameError: If an image of a bag cannot be decoded.
        InvalidValueError: If there are neither labels nor a detector.
        ModelError: If the detector cannot be loaded or fails.
    """
    if isinstance(images, ImageFolder) and is_captioned(images.path):
        yield from captioned_images(images.path)
        return
    source = find_labels(images, model)
    if source is None:
        raise InvalidValueError(f"caption_model: {images.path} has no labels, so a detector must name its objects")
    for frame, labels in zip(images.frames(), source.labels, strict=True):
        pairs = zip(labels.class_names, labels.boxes_xyxy, strict=True)
        yield Described(frame.rgb, tuple(named_subject(name, box, frame.rgb) for name, box in pairs), "")


def named_subject(class_name: str, box_xyxy: Sequence[float] | Float32Array, rgb: UInt8Array) -> Subject:
    """An object whose colour is that of the middle of its box.

    Args:
        class_name: Its class.
        box_xyxy: Its box in pixels of the image.
        rgb: (H, W, 3) uint8.

    Returns:
        The object as captions name it.
    """
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    left, right = (round(x1 + share * (x2 - x1)) for share in (_INNER, 1 - _INNER))
    top, bottom = (round(y1 + share * (y2 - y1)) for share in (_INNER, 1 - _INNER))
    inside = rgb[max(top, 0) : max(bottom, top + 1), max(left, 0) : max(right, left + 1)]
    return Subject(class_name, colour_word(np.ascontiguousarray(inside.reshape(-1, 3))))


def stacked_set(images: Iterator[Described], shrink: Shrinker, text: str) -> DescribedSet:
    """All images in memory, in the network's size.

    Args:
        images: At least one.
        shrink: Brings an image to the network's size.
        text: What they are.

    Returns:
        The set.
    """
    pixels, subjects, places = [], [], []
    for image in tqdm(images, desc=f"reading {text}", unit="image"):
        pixels.append(shrink(image.rgb))
        subjects.append(image.subjects)
        places.append(image.place)
    return DescribedSet(np.stack(pixels), tuple(subjects), tuple(places), text)
