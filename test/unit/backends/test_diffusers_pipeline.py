"""Pipelines of diffusers behind the interface of all generators, against what diffusers itself makes."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from tiny_pipelines import SIZE_PX, require_diffusers, save_pipeline

require_diffusers()

import diffusers
import torch
from PIL import Image

from robot_vision.backends.diffusers_pipeline import DiffusersGenerator
from robot_vision.errors import InvalidValueError, ModelError, ProviderError
from robot_vision.generation.request import GenerationRequest, ImageGenerator

INIT = np.random.default_rng(0).integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)
UPPER_HALF = np.arange(SIZE_PX)[:, None].repeat(SIZE_PX, 1) < SIZE_PX // 2


def request(**values: object) -> GenerationRequest:
    usual = {"prompt": "a red ball", "seed": 7, "steps": 4, "guidance": 5.0, "size_wh": (SIZE_PX, SIZE_PX)}
    return GenerationRequest(**{**usual, **values})


def result(generator: ImageGenerator, **values: object) -> np.ndarray:
    return list(generator.run(request(**values)))[-1].images()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def generator(folder: Path) -> DiffusersGenerator:
    """Loaded with no way to the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
        return DiffusersGenerator(folder, "cpu")


@pytest.fixture(scope="module")
def reference(folder: Path) -> diffusers.DiffusionPipeline:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def made_by_diffusers(pipeline: diffusers.DiffusionPipeline, **values: object) -> np.ndarray:
    seed = torch.Generator().manual_seed(7)
    images = pipeline("a red ball", num_inference_steps=4, guidance_scale=5.0, generator=seed, **values).images
    return np.stack([np.asarray(image) for image in images])


def test_what_a_folder_says_about_itself(generator: DiffusersGenerator) -> None:
    assert (generator.name, generator.class_names, generator.device) == ("tiny", (), "cpu")
    assert len(bytes.fromhex(generator.identity_hash)) == 32
    defaults = generator.defaults
    # Those of StableDiffusionPipeline.__call__, and the size that the network was made for.
    assert (defaults.steps, defaults.guidance, defaults.size_wh) == (50, 7.5, (SIZE_PX, SIZE_PX))
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_text_to_image_is_what_diffusers_makes(
    generator: DiffusersGenerator, reference: diffusers.DiffusionPipeline
) -> None:
    np.testing.assert_array_equal(result(generator), made_by_diffusers(reference))


def test_image_to_image_is_what_diffusers_makes(
    generator: DiffusersGenerator, reference: diffusers.DiffusionPipeline
) -> None:
    pipeline = diffusers.StableDiffusionImg2ImgPipeline(**reference.components, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    expected = made_by_diffusers(pipeline, image=Image.fromarray(INIT), strength=0.5)
    np.testing.assert_array_equal(result(generator, init_rgb=INIT, strength=0.5), expected)


def test_inpainting_is_what_diffusers_makes_where_the_mask_is_and_the_image_elsewhere(
    generator: DiffusersGenerator, reference: diffusers.DiffusionPipeline
) -> None:
    pipeline = diffusers.StableDiffusionInpaintPipeline(**reference.components, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    expected = made_by_diffusers(
        pipeline, image=Image.fromarray(INIT), mask_image=Image.fromarray(UPPER_HALF), strength=1.0,
        width=SIZE_PX, height=SIZE_PX,
    )  # fmt: skip
    made = result(generator, init_rgb=INIT, mask=UPPER_HALF, strength=1.0)
    np.testing.assert_array_equal(made[:, UPPER_HALF], expected[:, UPPER_HALF])
    np.testing.assert_array_equal(made[0, ~UPPER_HALF], INIT[~UPPER_HALF])


@pytest.mark.parametrize("start", [{}, {"init_rgb": INIT}, {"init_rgb": INIT, "mask": UPPER_HALF}])
def test_the_same_request_gives_the_same_images_and_each_has_a_seed_of_its_own(
    generator: DiffusersGenerator, start: dict[str, object]
) -> None:
    both = result(generator, count=2, **start)
    np.testing.assert_array_equal(both, result(generator, count=2, **start))
    # Sums of a batch may be taken in another order.
    np.testing.assert_allclose(both[1:].astype(int), result(generator, seed=8, **start), atol=1)
    assert (both[0] != both[1]).any()


def test_prompt_guidance_and_size_reach_the_pipeline(generator: DiffusersGenerator) -> None:
    plain = result(generator)
    assert (plain != result(generator, prompt="blue")).any()
    assert (plain != result(generator, guidance=1.0)).any()
    assert result(generator, size_wh=(48, 32)).shape == (1, 32, 48, 3)


def test_one_progress_a_step(generator: DiffusersGenerator) -> None:
    assert [(entry.step, entry.total) for entry in generator.run(request(steps=3))] == [(1, 3), (2, 3), (3, 3)]
    # Of 4 steps, a strength of one half does the last two.
    steps = generator.run(request(init_rgb=INIT, strength=0.5))
    assert [(entry.step, entry.total) for entry in steps] == [(1, 2), (2, 2)]
    assert [(entry.step, entry.total) for entry in generator.run(request(steps=1))] == [(1, 1)]


def test_previews_are_decoded_when_they_are_looked_at_and_come_nearer_to_the_result(
    generator: DiffusersGenerator,
) -> None:
    decodings: list[object] = []
    decode = generator._pipeline.vae.decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generator._pipeline.vae, "decode", lambda *a, **k: decodings.append(a) or decode(*a, **k))
        steps = list(generator.run(request(count=2)))
        assert len(decodings) == 1
        previews = [entry.images().astype(int) for entry in steps]
    assert {preview.shape for preview in previews} == {(2, SIZE_PX, SIZE_PX, 3)}
    distances = [np.abs(preview - previews[-1]).mean() for preview in previews]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0


def test_a_closed_run_computes_nothing_more(generator: DiffusersGenerator) -> None:
    """No further call of the network, no decoding, no thread left, and the next request is as ever."""
    before = result(generator)
    calls: list[str] = []
    unet, vae = generator._pipeline.unet, generator._pipeline.vae
    decode = vae.decode
    hook = unet.register_forward_hook(lambda *_: calls.append("unet"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vae, "decode", lambda *a, **k: calls.append("vae") or decode(*a, **k))
        threads = threading.active_count()
        steps = generator.run(request())
        next(steps)
        next(steps)
        steps.close()
        assert (calls, threading.active_count()) == (["unet", "unet"], threads)
    hook.remove()
    np.testing.assert_array_equal(result(generator), before)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"size_wh": (33, 32)}, "width: must be a multiple of 2 for this model, got 33"),
        ({"size_wh": (32, 31)}, "height: must be a multiple of 2"),
        ({"prompt": "ball " * 10}, "prompt: at most 16 tokens, got 42"),
        ({"init_rgb": INIT, "strength": 0.2}, "strength: of 4 steps none is left, it must be at least 0.25, got 0.2"),
    ],
)
def test_what_the_pipeline_cannot_do_is_refused_by_field(
    generator: DiffusersGenerator, values: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidValueError, match=said):
        generator.run(request(**values))


def test_a_pipeline_saved_for_images_makes_images_from_words_too(tmp_path: Path, folder: Path) -> None:
    """Its networks are the same."""
    other = DiffusersGenerator(save_pipeline(tmp_path / "img2img", "StableDiffusionImg2ImgPipeline"), "cpu")
    plain = DiffusersGenerator(folder, "cpu")
    np.testing.assert_array_equal(result(other), result(plain))
    np.testing.assert_array_equal(result(other, init_rgb=INIT), result(plain, init_rgb=INIT))


def test_a_network_for_inpainting_alone_says_so(tmp_path: Path) -> None:
    """It takes the mask and the masked image as channels, so that nothing else fits it."""
    own = DiffusersGenerator(save_pipeline(tmp_path / "inpaint", "StableDiffusionInpaintPipeline", channels=9), "cpu")
    assert result(own, init_rgb=INIT, mask=UPPER_HALF).shape == (1, SIZE_PX, SIZE_PX, 3)
    with pytest.raises(InvalidValueError, match="init_image: this model only changes images; give one to start from"):
        own.run(request())
    with pytest.raises(InvalidValueError, match="mask: this model only paints parts of images anew; say which"):
        own.run(request(init_rgb=INIT))


def test_a_network_that_edits_images_says_so(tmp_path: Path) -> None:
    kind = "StableDiffusionInstructPix2PixPipeline"
    own = DiffusersGenerator(save_pipeline(tmp_path / "edits", kind, channels=8), "cpu")
    assert result(own, init_rgb=INIT).shape == (1, SIZE_PX, SIZE_PX, 3)
    with pytest.raises(InvalidValueError, match="init_image: this model only changes images"):
        own.run(request())
    with pytest.raises(InvalidValueError, match="mask: this model cannot paint parts"):
        own.run(request(init_rgb=INIT, mask=UPPER_HALF))


def test_the_safety_checker_stays_and_sees_the_previews_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    strict = DiffusersGenerator(save_pipeline(tmp_path / "strict", flags_everything=True), "cpu")
    assert not any(entry.images().any() for entry in strict.run(request(count=2)))
    assert "image 2: withheld by the model's safety checker" in caplog.text
    assert not result(strict, init_rgb=INIT).any()


def test_a_pipeline_without_steps_to_follow_is_refused(tmp_path: Path) -> None:
    unet = diffusers.UNet2DModel(8, 3, 3, block_out_channels=(8,), norm_num_groups=4,
                                 down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",))  # fmt: skip
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler()).save_pretrained(tmp_path / "ddpm")
    with pytest.raises(ModelError, match="a DDPMPipeline does not make images from a prompt step by step"):
        DiffusersGenerator(tmp_path / "ddpm", "cpu")


@pytest.mark.parametrize("library", ["antigravity", "../unet", "diffusers.utils"])
def test_a_library_that_the_folder_names_is_not_imported(tmp_path: Path, library: str) -> None:
    folder = save_pipeline(tmp_path / "tiny")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index["unet"] = [library, "geohash"]
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ModelError, match=f"unet wants {library}, and only diffusers and transformers are used"):
        DiffusersGenerator(folder, "cpu")


def test_damaged_weights_are_told_at_once(tmp_path: Path) -> None:
    folder = save_pipeline(tmp_path / "tiny")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="diffusers cannot load it"):
        DiffusersGenerator(folder, "cpu")


def test_what_goes_wrong_inside_is_an_error_of_the_model(generator: DiffusersGenerator) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of\nmemory")

    hook = generator._pipeline.unet.register_forward_hook(fail)
    try:
        with pytest.raises(ModelError, match="tiny: the pipeline fails: RuntimeError: out of memory"):
            next(generator.run(request()))
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("device", "threads", "error"),
    [("tpu", 1, InvalidValueError), ("cuda:x", 1, InvalidValueError), ("cpu", -1, InvalidValueError),
     ("cuda:63", 1, ProviderError)],
)  # fmt: skip
def test_a_device_that_cannot_be_had_is_an_error(
    folder: Path, device: str, threads: int, error: type[Exception]
) -> None:
    with pytest.raises(error, match="threads" if threads < 0 else f"device.*{device}"):
        DiffusersGenerator(folder, device, threads)


def test_threads_are_those_asked_for(folder: Path) -> None:
    before = torch.get_num_threads()
    try:
        DiffusersGenerator(folder, "cpu", 2)
        assert torch.get_num_threads() == 2
        DiffusersGenerator(folder, "cpu", 0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
