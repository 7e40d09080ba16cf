"""`robot_vision generate`: what lands on the disk and on the screen, and how it says no."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from generation_model import IMAGE_SIDE, write_diffusion_model
from tiny_pipelines import SIZE_PX, require_diffusers, save_pipeline

from robot_vision.cli.main import main
from robot_vision.data.image_file import read_rgb


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_diffusion_model(tmp_path_factory.mktemp("model")))


def generate(model: str, *words: object) -> int:
    return main(["generate", "--model", model, "--steps", "2", *map(str, words)])


def image_file(path: Path, pixels: np.ndarray) -> Path:
    cv2.imwrite(str(path), pixels)
    return path


def test_several_images_become_a_sheet(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "sheet.png"
    assert generate(model, "a red ball", "--count", 5, "--out", out, "--seed", 3) == 0
    height, width, _ = read_rgb(out).shape
    # Two rows of three, each image at its own size.
    assert 2 * IMAGE_SIDE < height < 3 * IMAGE_SIDE < width < 4 * IMAGE_SIDE
    said = capsys.readouterr().out
    assert f"wrote    {out}" in said
    assert re.search(r"^seed     3$", said, re.MULTILINE)
    assert re.search(r"^model    tiny_diffusion [0-9a-f]{64}$", said, re.MULTILINE)
    assert re.search(r"^seconds  \d+\.\d for 5 images, 2 steps on cpu$", said, re.MULTILINE)


def test_one_image_is_that_image_and_a_folder_gets_each_apart(model: str, tmp_path: Path) -> None:
    """Of the same seed, so that the first of several is the one alone."""
    assert generate(model, "a red ball", "--seed", 3, "--out", tmp_path / "one.png") == 0
    assert generate(model, "a red ball", "--seed", 3, "--count", 2, "--out", f"{tmp_path}/all/") == 0
    files = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert files == ["seed3_000.png", "seed3_001.png"]
    first = read_rgb(tmp_path / "all" / files[0]).astype(int)
    np.testing.assert_allclose(first, read_rgb(tmp_path / "one.png"), atol=1)
    assert first.shape == (IMAGE_SIDE, IMAGE_SIDE, 3)


def test_a_seed_that_was_drawn_is_told_and_gives_the_same_again(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(model, "--class-name", "mug", "--out", tmp_path / "first.png") == 0
    seed = re.search(r"seed +(\d+)", capsys.readouterr().out)
    assert seed
    assert generate(model, "a mug", "--seed", seed[1], "--out", tmp_path / "second.png") == 0
    np.testing.assert_array_equal(read_rgb(tmp_path / "first.png"), read_rgb(tmp_path / "second.png"))


def test_what_the_mask_leaves_black_stays_as_it_is(model: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8)
    init = image_file(tmp_path / "init.png", pixels)
    white_left = np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    white_left[:, : IMAGE_SIDE // 2] = 255
    mask = image_file(tmp_path / "mask.png", white_left)
    out = tmp_path / "out.png"
    assert generate(model, "a ball", "--init", init, "--mask", mask, "--strength", 1, "--out", out) == 0
    changed = (read_rgb(out) != read_rgb(init)).any(axis=2)
    assert not changed[:, IMAGE_SIDE // 2 :].any()
    assert changed[:, : IMAGE_SIDE // 2].mean() > 0.9


def test_what_is_there_already_is_never_written_over(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in (tmp_path / "one.png", f"{tmp_path}/all/"):
        assert generate(model, "a ball", "--seed", 1, "--out", out) == 0
        assert generate(model, "a ball", "--seed", 1, "--out", out) == 1
        assert "exists already; remove it, or choose another --out" in capsys.readouterr().err
    assert generate(model, "a ball", "--seed", 2, "--out", f"{tmp_path}/all/") == 0
    assert len(list((tmp_path / "all").iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a zebra"], "prompt: this model does not know zebra"),
        ([], "prompt: is empty"),
        (["a ball", "--class-name", "mug"], "class_name: give either"),
        (["--class-name", "zebra"], "class_name: tiny_diffusion knows ball, mug; got 'zebra'"),
        (["a ball", "--size", "31x32"], "width: .* got 31"),
        (["a ball", "--steps", "1000000"], "steps: at most 1000, got 1000000"),
        (["a ball", "--steps", "-1"], "steps: must be at least 1, got -1"),
        (["a ball", "--count", "0"], "count: must be at least 1, got 0"),
        (["a ball", "--guidance", "nan"], "guidance: must be finite, got nan"),
        (["a ball", "--seed", "-2"], r"seed: must be within \[0"),
        (["a ball", "--init", "/nowhere.png"], "/nowhere.png: missing or not an image"),
        (["a ball", "--sampler", "euler"], "sampler"),
        (["a ball", "--model", "/nowhere.yaml"], "/nowhere.yaml: no such file"),
        (["a ball", "--out", "/tmp/film.mp4"], r"--out /tmp/film\.mp4: images are written as \.png"),
    ],
)
def test_a_refusal_is_one_line_and_leaves_nothing(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    out = tmp_path / "new" / "out.png"
    assert generate(model, "--out", out, *words) == 1
    error = capsys.readouterr().err
    assert re.match(rf"robot_vision generate: {said}", error), error
    assert error.count("\n") == 1
    assert not out.parent.exists()


def test_a_mask_of_another_size_is_refused(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init = image_file(tmp_path / "init.png", np.zeros((IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8))
    mask = image_file(tmp_path / "mask.png", np.zeros((IMAGE_SIDE, 2 * IMAGE_SIDE), np.uint8))
    assert generate(model, "a ball", "--init", init, "--mask", mask, "--out", tmp_path / "out.png") == 1
    assert "mask: must be 32x32 pixels as the images asked for" in capsys.readouterr().err
    assert generate(model, "a ball", "--mask", init, "--out", tmp_path / "out.png") == 1
    assert "mask: needs an initial image" in capsys.readouterr().err


def test_a_diffusers_pipeline_by_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require_diffusers()
    folder = save_pipeline(tmp_path / "tiny")
    assert generate(str(folder), "a red ball", "--count", 2, "--provider", "cpu", "--out", f"{tmp_path}/out/") == 0
    assert re.search(r"model    tiny [0-9a-f]{64}", capsys.readouterr().out)
    shapes = [read_rgb(path).shape for path in (tmp_path / "out").iterdir()]
    assert shapes == [(SIZE_PX, SIZE_PX, 3)] * 2


def test_inspect_says_what_a_model_generates_from(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", model]) == 0
    said = capsys.readouterr().out
    assert "task        diffusion" in said
    assert "prompts     at most 8 of 9 words: a, and, two, red" in said
    assert "usual       10 steps, guidance 2" in said
    assert "classes     2: ball, mug" in said
