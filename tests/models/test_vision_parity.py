"""Models that see beside transformers on PyTorch; skipped where they are not installed."""

import json
import warnings

import jax
import numpy as np
import pytest

from spexjax.models.clip.model import image_vectors, scores, text_vectors
from spexjax.models.clip.weights import load_clip
from spexjax.models.llama.generate import greedy
from spexjax.models.llama.model import Llama, unembed
from spexjax.models.vit.model import Vit, rounded_positions
from spexjax.models.vit.preprocessing import preprocessing_from_dict
from spexjax.models.vit.weights import load_vit
from spexjax.models.vlm.language import embedded
from spexjax.models.vlm.weights import load_vlm

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyTorch and transformers warn on import
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore")

TOWER = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "image_size": 24, "patch_size": 6,
}  # fmt: skip
TEXT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": 64, "max_position_embeddings": 128,
}  # fmt: skip


def saved(model, folder):
    """The model, of weights that make its outputs vary, in a folder."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    model.eval().save_pretrained(folder)
    return model


def pictures(size=24):
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    return images, torch.tensor(images).permute(0, 3, 1, 2)


def of(name, **settings):
    config = getattr(transformers, f"{name}Config")
    return config(**settings)


@pytest.mark.parametrize(
    ("name", "config", "settings"),
    [
        ("ViTForImageClassification", "ViT", {"num_labels": 5}),
        ("ViTForImageClassification", "ViT", {"num_labels": 2, "qkv_bias": False}),
        ("SiglipVisionModel", "SiglipVision", {}),
        ("SiglipVisionModel", "SiglipVision", {"vision_use_head": False}),
        ("CLIPVisionModel", "CLIPVision", {}),
        ("CLIPVisionModelWithProjection", "CLIPVision", {"hidden_act": "gelu"}),
    ],
)
def test_features(name, config, settings, tmp_path):
    model = saved(getattr(transformers, name)(of(config, **TOWER, **settings)), tmp_path)
    images, pixels = pictures()
    with torch.no_grad():
        theirs = model(pixel_values=pixels)
    ours, params = load_vit(tmp_path)
    seen = jax.jit(Vit(ours).apply)({"params": params}, images)
    want = {"ViTForImageClassification": "logits", "CLIPVisionModelWithProjection": "image_embeds"}
    pooled = getattr(theirs, want.get(name, "pooler_output"))
    if pooled is not None:
        assert pooled.std() > 0.1
        np.testing.assert_allclose(seen.pooled, pooled.numpy(), atol=1e-4)
    if name != "ViTForImageClassification":
        np.testing.assert_allclose(seen.states, theirs.last_hidden_state.numpy(), atol=1e-4)


@pytest.mark.parametrize("end", [2, 63])
def test_clip(end, tmp_path):
    text = TEXT | {"eos_token_id": end, "bos_token_id": 62}
    config = of("CLIP", vision_config=TOWER, text_config=text, projection_dim=16)
    model = saved(transformers.CLIPModel(config), tmp_path)
    images, pixels = pictures()
    ids = np.array([[62, 5, 7, 63, 0, 0], [62, 8, 9, 4, 11, 63]], np.int32)
    with torch.no_grad():
        theirs = model(input_ids=torch.tensor(ids).long(), pixel_values=pixels).logits_per_image
    ours, params = load_clip(tmp_path)
    found = scores(params, image_vectors(ours, params, images), text_vectors(ours, params, ids))
    np.testing.assert_allclose(found, theirs.diagonal().numpy(), atol=1e-3)


@pytest.mark.parametrize("name", ["Idefics3", "SmolVLM", "Llava"])
def test_logits_and_answers(name, tmp_path):
    words = transformers.LlamaConfig(**TEXT, num_key_value_heads=2)
    settings = {"text_config": words, "image_token_index": 60}
    settings["vision_config"] = transformers.CLIPVisionConfig(**TOWER)
    if name != "Llava":
        settings = {"vision_config": TOWER, "text_config": words.to_dict(), "scale_factor": 2,
                    "image_token_id": 60}  # fmt: skip
    model = getattr(transformers, f"{name}ForConditionalGeneration")(of(name, **settings))
    saved(model, tmp_path)
    images, pixels = pictures()
    pixels = pixels if name == "Llava" else pixels[:, None]
    ours, params = load_vlm(tmp_path)
    ids = np.array([[1, 5] + [60] * ours.image_tokens + [7, 8, 9]] * 2, np.int32)
    given = {"input_ids": torch.tensor(ids).long(), "pixel_values": pixels}
    with torch.no_grad():
        want = model(**given).logits.numpy()
        new = model.generate(**given, max_new_tokens=32, min_new_tokens=32, do_sample=False,
                             eos_token_id=None, pad_token_id=0)[:, ids.shape[1] :]  # fmt: skip
    states = embedded(ours, params, ids, ids == 60, images)
    hidden, _ = Llama(ours.text).apply({"params": params["text"]}, states)
    assert want.std() > 0.1
    np.testing.assert_allclose(unembed(ours.text, params["text"], hidden), want, atol=1e-3)
    found = greedy(ours.text, params["text"], list(np.asarray(states)), 32, stop=())
    assert found == new.tolist()


def test_positions_are_rounded_alike():
    from transformers.models.idefics3.modeling_idefics3 import Idefics3VisionEmbeddings

    # Not 25, say: there PyTorch's bounds depend on how many numbers a register holds.
    for side in (3, 5, 6, 7, 16, 26, 27, 32):
        config = transformers.Idefics3Config(
            vision_config={"image_size": side, "patch_size": 1, "hidden_size": 2,
                           "num_attention_heads": 1}
        ).vision_config  # fmt: skip
        theirs = Idefics3VisionEmbeddings(config)
        with torch.no_grad():
            theirs.patch_embedding.weight.zero_()
            theirs.patch_embedding.bias.zero_()
            theirs.position_embedding.weight[:, 0] = torch.arange(side**2)
            found = theirs(torch.zeros(1, 3, side, side), torch.ones(1, side, side).bool())
        np.testing.assert_array_equal(rounded_positions(side), found[0, :, 0].numpy())


PROCESSORS = [
    ("vit", "ViT", {}),
    ("vit", "ViT", {"size": {"height": 50, "width": 70}, "resample": 3}),
    ("siglip", "Siglip", {}),
    ("clip", "CLIP", {}),
    ("clip", "CLIP", {"size": {"shortest_edge": 40}, "crop_size": {"height": 61, "width": 48}}),
    ("idefics3", "Idefics3", {"do_image_splitting": False}),
    ("smolvlm", "SmolVLM", {"do_image_splitting": False, "size": {"longest_edge": 300},
                            "max_image_size": {"longest_edge": 96}}),
    ("llava", "Llava", {"do_pad": True}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "name", "settings"), PROCESSORS)
def test_preprocessing(family, name, settings):
    from skimage import data

    theirs = getattr(transformers, f"{name}ImageProcessorPil")(**settings)
    ours = preprocessing_from_dict(json.loads(theirs.to_json_string()), family)
    photograph = data.coffee()
    for image in (photograph, photograph[:37, :101], photograph[:90, 5:38], photograph[:1, :1]):
        want = np.asarray(theirs(image, input_data_format="channels_last")["pixel_values"])
        want = want.reshape(want.shape[-3:]).transpose(1, 2, 0)
        np.testing.assert_allclose(ours(image), want, atol=1e-5)
    defaults = json.loads(getattr(transformers, f"{name}ImageProcessorPil")().to_json_string())
    assert preprocessing_from_dict({}, family) == preprocessing_from_dict(defaults, family)
