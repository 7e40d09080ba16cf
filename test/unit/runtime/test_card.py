"""Model cards: everything a card says arrives, and every mistake in one is an error that names file and key."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from robot_vision.errors import ModelError
from robot_vision.runtime import card as card_module
from robot_vision.runtime.card import load_card, parse_card

WEIGHTS = b"any bytes: a card is checked against the file's hash, the network is opened later"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
INPUT = {"size_wh": [320, 240], "colour": "BGR", "resize": "letterbox", "pad_value": 114, "scale": 0.5}
DETECTOR: dict[str, Any] = {
    "name": "tiny", "task": "detection", "file": "tiny.onnx", "sha256": SHA256, "licence": "MIT", "source": "a test",
    "input": {**INPUT, "name": "images", "mean": [1, 2, 3], "std": [4, 5, 6.5], "interpolation": "area"},
    "output": {"head": "yolov8"}, "class_names": ["cat", "dog"], "training": {"anything": 1}, "measured": {"map": 0.9},
}  # fmt: skip
ENCODER: dict[str, Any] = {
    "task": "latent_encoder", "file": "tiny.onnx", "sha256": SHA256, "input": INPUT,
    "output": {"mean": "mu", "log_variance": "lv"},
    "latent": {"size": 2, "statistics": {"mean": [0, 1], "std": [1, 2]}, "decoder": "decoder.yaml",
               "novelty": {"error_mean": 0.01, "error_std": 0.002}},
}  # fmt: skip
DECODER: dict[str, Any] = {
    "task": "latent_decoder", "file": "tiny.onnx", "sha256": SHA256, "latent": {"size": 2},
    "output": {"name": "image", "size_wh": [64, 32], "colour": "RGB", "scale": 0.5},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.onnx").write_bytes(WEIGHTS)
    return tmp_path


def write(folder: Path, document: Any, name: str = "tiny.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(document))
    return path


def test_detection_card_is_read_completely(folder: Path) -> None:
    card = load_card(write(folder, DETECTOR))
    assert (card.name, card.task, card.sha256, card.licence, card.source) == (
        "tiny",
        "detection",
        SHA256,
        "MIT",
        "a test",
    )
    assert card.onnx_path == folder / "tiny.onnx"
    assert card.head == "yolov8"
    assert card.class_names == ("cat", "dog")
    assert card.latent is None
    spec = card.input
    assert (spec.name, spec.size_wh, spec.colour, spec.resize) == ("images", (320, 240), "BGR", "letterbox")
    assert (spec.pad_value, spec.scale, spec.mean, spec.std) == (114, 0.5, (1.0, 2.0, 3.0), (4.0, 5.0, 6.5))
    assert spec.interpolation == "area"
    assert card.input_shape == (1, 3, 240, 320)
    assert card.input_name == "images"


def test_what_a_card_may_leave_out(folder: Path) -> None:
    document = {key: DETECTOR[key] for key in ("task", "file", "sha256", "class_names")}
    stretch = {key: value for key, value in INPUT.items() if key != "pad_value"}
    card = load_card(write(folder, {**document, "input": {**stretch, "resize": "stretch"}}, "other.yaml"))
    assert (card.name, card.head, card.input_name) == ("other", None, "")
    assert (card.input.mean, card.input.std, card.input.interpolation) == ((0, 0, 0), (1, 1, 1), "linear")


def test_encoder_card(folder: Path) -> None:
    latent = load_card(write(folder, ENCODER)).latent
    assert latent is not None
    assert (latent.size, latent.mean_output, latent.log_variance_output) == (2, "mu", "lv")
    assert (latent.statistics_mean, latent.statistics_std) == ((0.0, 1.0), (1.0, 2.0))
    assert latent.decoder == folder / "decoder.yaml"
    assert (latent.novelty_error_mean, latent.novelty_error_std) == (0.01, 0.002)


def test_decoder_card_describes_the_image_it_writes(folder: Path) -> None:
    card = load_card(write(folder, DECODER))
    assert (card.input.name, card.input.size_wh, card.input.scale) == ("image", (64, 32), 0.5)
    assert card.input_shape == (1, 2)
    assert card.input_name == ""


def test_file_is_relative_to_the_card_or_absolute(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = write(tmp_path_factory.mktemp("cards"), {**DETECTOR, "file": str(folder / "tiny.onnx")})
    assert load_card(elsewhere).onnx_path == folder / "tiny.onnx"


def test_onnx_path_takes_the_card_beside_it(folder: Path) -> None:
    write(folder, DETECTOR)
    assert load_card(str(folder / "tiny.onnx")).class_names == ("cat", "dog")


def test_shipped_model_is_found_by_name_in_an_installation(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "install" / "share" / "robot_vision" / "models"
    share.mkdir(parents=True)
    (share / "tiny.onnx").write_bytes(WEIGHTS)
    write(share, DETECTOR, "tiny_shipped.yaml")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path / 'install'}")
    assert load_card("tiny_shipped").onnx_path == share / "tiny.onnx"


def test_unknown_name_lists_what_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_module, "shared_folders", lambda: [tmp_path])
    (tmp_path / "models").mkdir()
    write(tmp_path / "models", DETECTOR, "alpha.yaml")
    with pytest.raises(ModelError, match=r"'beta'.*shipped are alpha .*\.onnx or \.yaml"):
        load_card("beta")


@pytest.mark.parametrize("name", ["absent.onnx", "absent.yaml"])
def test_missing_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=f"{name}: no such file"):
        load_card(tmp_path / name)


def test_card_whose_network_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tiny\.onnx: no such file"):
        load_card(write(tmp_path, DETECTOR))


def test_wrong_hash_names_file_card_and_both_hashes(folder: Path) -> None:
    path = write(folder, {**DETECTOR, "sha256": "0" * 64})
    with pytest.raises(ModelError) as caught:
        load_card(path)
    for part in (str(folder / "tiny.onnx"), str(path), SHA256, "0" * 64):
        assert part in str(caught.value)


@pytest.mark.parametrize("content", [b"a: [1,", b"\xff\xfe\x00", b"a: !!python/object:os.system x"])
def test_card_that_is_no_plain_yaml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.yaml: not a readable YAML card"):
        load_card(path)


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_card_that_is_no_mapping(document: Any) -> None:
    with pytest.raises(ModelError, match="expected keys and values"):
        parse_card(document, Path("c.yaml"))


DETECTOR_MISTAKES: list[tuple[str, Any, str]] = [
    ("task", "pose", "task: expected one of detection, latent_encoder, latent_decoder, diffusion; got str 'pose'"),
    ("task", ..., "task: missing"),
    ("file", ..., "file: missing"),
    ("file", 3, "file: expected text, got int 3"),
    ("sha256", ..., "sha256: missing"),
    ("sha256", "abc", "sha256: expected 64 hexadecimal digits, got 'abc'"),
    ("input", ..., "input: missing"),
    ("input", [1], "input: expected keys and values, got list [1]"),
    ("input.size_wh", ..., "input.size_wh: missing"),
    ("input.size_wh", [320], "input.size_wh: expected a list of 2 whole numbers, got list [320]"),
    ("input.size_wh", [320, 0], "input.size_wh[1]: expected a whole number within [1, 8192], got int 0"),
    ("input.size_wh", [320.5, 320], "input.size_wh[0]: expected a whole number"),
    ("input.colour", "GRAY", "input.colour: expected one of RGB, BGR; got str 'GRAY'"),
    ("input.colour", ..., "input.colour: missing; expected RGB | BGR"),
    ("input.resize", "crop", "input.resize: expected one of letterbox, letterbox_top_left, stretch"),
    ("input.resize", [], "input.resize: expected one of letterbox, letterbox_top_left, stretch"),
    ("input.interpolation", "cubic", "input.interpolation: expected one of linear, area"),
    ("input.pad_value", ..., "input.pad_value: missing"),
    ("input.pad_value", 256, "input.pad_value: expected a whole number within [0, 255], got int 256"),
    ("input.pad_value", True, "input.pad_value: expected a whole number"),
    ("input.pad_vlaue", 114, "input.pad_vlaue: unknown key; known here are name, size_wh"),
    ("input.scale", ..., "input.scale: missing"),
    ("input.scale", "1e-3", "input.scale: expected a finite number, got str '1e-3' (YAML needs the point: 1.0e-3)"),
    ("input.scale", float("nan"), "input.scale: expected a finite number"),
    ("input.scale", 0, "input.scale: must be positive, got 0"),
    ("input.mean", [1, 2], "input.mean: expected a list of 3 numbers"),
    ("input.std", [1, 0, 1], "input.std: must be positive"),
    ("output.head", "ssd", "output.head: expected one of yolov5, yolov8, yolov10, yolox, nms_rows"),
    ("output.heads", "yolov8", "output.heads: unknown key"),
    ("class_names", ..., "class_names: missing"),
    ("class_names", [], "class_names: expected at least one entry"),
    ("class_names", ["cat", False], "class_names[1]: expected text, got bool False; put it in quotes"),
    ("class_names", ["cat", "cat"], "class_names[1]: appears twice: cat"),
    ("clas_names", ["cat"], "clas_names: unknown key"),
]
ENCODER_MISTAKES: list[tuple[str, Any, str]] = [
    ("latent", ..., "latent: missing"),
    ("latent.size", 0, "latent.size: expected a whole number within [1, 1048576], got int 0"),
    ("latent.sise", 3, "latent.sise: unknown key"),
    ("latent.statistics.mean", [0], "latent.statistics.mean: expected a list of 2 numbers"),
    ("latent.novelty.error_std", 0, "latent.novelty.error_std: must be positive"),
    ("latent.novelty.error_mean", ..., "latent.novelty.error_mean: missing"),
    ("output.mean", ..., "output.mean: missing"),
    ("output.variance", "v", "output.variance: unknown key"),
]


@pytest.mark.parametrize(
    ("document", "key", "value", "message"),
    [(DETECTOR, *case) for case in DETECTOR_MISTAKES] + [(ENCODER, *case) for case in ENCODER_MISTAKES],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistake_in_a_card_names_file_and_key(document: dict[str, Any], key: str, value: Any, message: str) -> None:
    changed = copy.deepcopy(document)
    block = changed
    *parents, last = key.split(".")
    for parent in parents:
        block = block[parent]
    if value is ...:
        del block[last]
    else:
        block[last] = value
    with pytest.raises(ModelError) as caught:
        parse_card(changed, Path("folder/c.yaml"))
    assert str(caught.value).startswith("folder/c.yaml: ")
    assert message in str(caught.value)


def test_identity_hash_changes_with_weights_and_preprocessing_only() -> None:
    path = Path("c.yaml")
    base = parse_card(DETECTOR, path).identity_hash
    assert len(base) == 64
    assert parse_card({**DETECTOR, "name": "other", "licence": "x", "measured": {}}, path).identity_hash == base
    changes: list[dict[str, Any]] = [
        {"colour": "RGB"}, {"size_wh": [240, 320]}, {"resize": "letterbox_top_left"}, {"pad_value": 0}, {"scale": 0.25},
        {"mean": [0, 2, 3]}, {"std": [4, 5, 6]}, {"interpolation": "linear"},
    ]  # fmt: skip
    hashes = {
        parse_card({**DETECTOR, "input": {**DETECTOR["input"], **change}}, path).identity_hash for change in changes
    }
    hashes.add(parse_card({**DETECTOR, "sha256": "0" * 64}, path).identity_hash)
    assert len(hashes | {base}) == len(changes) + 2


def test_whole_numbers_and_floats_give_one_identity() -> None:
    """A card rewritten by another YAML library must not look like another encoder."""
    other = {**DETECTOR, "sha256": SHA256.upper(), "input": {**DETECTOR["input"], "mean": [1.0, 2.0, 3.0]}}
    assert parse_card(other, Path("c.yaml")).identity_hash == parse_card(DETECTOR, Path("c.yaml")).identity_hash
