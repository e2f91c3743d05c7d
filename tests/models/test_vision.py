"""Models that see: what they give is what transformers gave for the same folders and images."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from spexjax.models.clip.model import image_vectors, scores, text_vectors
from spexjax.models.clip.weights import load_clip
from spexjax.models.llama.generate import greedy
from spexjax.models.llama.model import Llama, embed, unembed
from spexjax.models.vit.config import VitConfig, tower_from_dict
from spexjax.models.vit.model import Vit, init_params, patches, rounded_positions
from spexjax.models.vit.weights import load_vit, save_classifier, vit_from_dict
from spexjax.models.vlm.config import vlm_from_dict
from spexjax.models.vlm.language import embedded
from spexjax.models.vlm.model import side_by_side
from spexjax.models.vlm.weights import load_vlm, save_vlm

GOLDEN = Path(__file__).parent / "golden"


def record_of(name, size=12):
    record = json.loads((GOLDEN / name / "golden.json").read_text())
    rng = np.random.default_rng(record["seed"])
    return record, rng.normal(size=(2, size, size, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["vit", "siglip"])
def test_towers(name):
    config, params = load_vit(GOLDEN / name)
    record, images = record_of(name)
    seen = jax.jit(Vit(config).apply)({"params": params}, images)
    assert np.std(record["pooled"]) > 0.1
    np.testing.assert_allclose(seen.pooled, record["pooled"], atol=1e-5)
    if "states" in record:
        np.testing.assert_allclose(seen.states, record["states"], atol=1e-5)


def test_clip():
    config, params = load_clip(GOLDEN / "clip")
    record, images = record_of("clip")
    ids = np.array(record["ids"], np.int32)
    found = scores(params, image_vectors(config, params, images), text_vectors(config, params, ids))
    np.testing.assert_allclose(found, record["scores"], atol=1e-4)
    with pytest.raises(ValueError, match="shorten the caption"):
        text_vectors(config, params, np.zeros((1, 65), np.int32))


@pytest.mark.parametrize(("name", "size"), [("idefics3", 24), ("llava", 12)])
def test_vision_language_models(name, size):
    config, params = load_vlm(GOLDEN / name)
    record, images = record_of(name, size)
    ids = np.array(record["ids"], np.int32)
    states = embedded(config, params, ids, ids == config.image_token_id, images)
    hidden, _ = Llama(config.text).apply({"params": params["text"]}, states)
    found = unembed(config.text, params["text"], hidden)
    assert np.std(record["logits"]) > 0.1
    np.testing.assert_allclose(found, record["logits"], atol=1e-4)
    new = greedy(config.text, params["text"], list(np.asarray(states)), 32, stop=())
    assert new == record["greedy"]


def test_a_llama_reads_embeddings_as_it_reads_ids():
    config, params = load_vlm(GOLDEN / "llava")
    ids = np.array([[1, 7, 30, 4]], np.int32)
    apply = jax.jit(Llama(config.text).apply)
    by_ids, _ = apply({"params": params["text"]}, ids)
    by_states, _ = apply({"params": params["text"]}, embed(params["text"], ids))
    np.testing.assert_array_equal(by_ids, by_states)


def copied(name, to, change):
    """A golden folder with other tensors."""
    shutil.copytree(GOLDEN / name, to)
    tensors = dict(load_file(to / "model.safetensors"))
    change(tensors)
    save_file(tensors, to / "model.safetensors")
    return to


def renamed(old, new):
    def change(tensors):
        for key in [k for k in tensors if k.startswith(old)]:
            tensors[new + key.removeprefix(old)] = tensors.pop(key)

    return change


@pytest.mark.parametrize(
    ("load", "name", "old", "new"),
    [
        (load_vlm, "llava", "vision_tower.", "vision_tower.vision_model."),
        (load_vlm, "llava", "language_model.model.", "model.language_model."),
        (load_vit, "siglip", "", "vision_model."),
    ],
)
def test_names_of_other_versions(tmp_path, load, name, old, new):
    config, params = load(copied(name, tmp_path / "m", renamed(old, new)))
    want_config, want = load(GOLDEN / name)
    assert config == want_config
    jax.tree.map(np.testing.assert_array_equal, params, want)


@pytest.mark.parametrize(
    ("load", "name", "tensor"),
    [
        (load_vit, "vit", "vit.embeddings.cls_token"),
        (load_vit, "siglip", "head.probe"),
        (load_clip, "clip", "text_projection.weight"),
        (load_vlm, "idefics3", "model.connector.modality_projection.proj.weight"),
        (load_vlm, "llava", "multi_modal_projector.linear_2.bias"),
    ],
)
def test_missing_and_unknown_tensors_are_refused(tmp_path, load, name, tensor):
    with pytest.raises(ValueError, match=f"{tensor!r} is missing"):
        load(copied(name, tmp_path / "a", lambda t: t.pop(tensor)))
    extra = {f"{tensor}.more": np.zeros(2, np.float32)}
    with pytest.raises(ValueError, match=r"more' has no place"):
        load(copied(name, tmp_path / "b", lambda t: t.update(extra)))
    shorter = {tensor: np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match=rf"{tensor}' has shape"):
        load(copied(name, tmp_path / "c", lambda t: t.update(shorter)))


def test_folders_written_are_read_again(tmp_path):
    config, params = load_vlm(GOLDEN / "idefics3")
    save_vlm(tmp_path / "vlm", config, params)
    again_config, again = load_vlm(tmp_path / "vlm")
    assert again_config == config
    jax.tree.map(np.testing.assert_array_equal, again, params)
    config, params = load_vit(GOLDEN / "vit")
    save_classifier(tmp_path / "vit", config, params)
    again_config, again = load_vit(tmp_path / "vit")
    assert again_config == config
    jax.tree.map(np.testing.assert_array_equal, again, params)
    llava_config, llava = load_vlm(GOLDEN / "llava")
    with pytest.raises(ValueError, match="cannot be written"):
        save_vlm(tmp_path / "llava", llava_config, llava)


def test_patches_are_squares_in_reading_order():
    image = np.arange(2 * 7 * 6 * 3, dtype=np.float32).reshape(2, 7, 6, 3)
    found = np.asarray(patches(image, 3))
    assert found.shape == (2, 4, 27)  # the last row of pixels is left over
    np.testing.assert_array_equal(found[1, 2], image[1, 3:6, :3].reshape(-1))


def test_states_side_by_side():
    states = np.arange(16 * 2, dtype=np.float32).reshape(1, 16, 2)
    found = np.asarray(side_by_side(states, 4, 2))
    assert found.shape == (1, 4, 8)
    square = states.reshape(4, 4, 2)[2:, :2]
    np.testing.assert_array_equal(found[0, 2], square.reshape(-1))


def test_rounded_positions_are_not_always_the_patches_own():
    for side in (6, 16, 26, 32):
        np.testing.assert_array_equal(rounded_positions(side), np.arange(side**2))
    assert rounded_positions(25)[5] == 4


def test_configurations_are_refused():
    tower = {"model_type": "vit", "hidden_size": 16, "num_attention_heads": 2}
    with pytest.raises(ValueError, match="model_type must be one of"):
        tower_from_dict({"model_type": "swin"})
    with pytest.raises(ValueError, match="not square"):
        tower_from_dict(tower | {"image_size": [24, 36]})
    with pytest.raises(ValueError, match="activation must be one of"):
        tower_from_dict(tower | {"hidden_act": "relu"})
    with pytest.raises(ValueError, match="must divide"):
        tower_from_dict(tower | {"num_attention_heads": 3})
    with pytest.raises(ValueError, match="ViTMAE"):
        vit_from_dict(tower | {"architectures": ["ViTMAEForPreTraining"]})
    with pytest.raises(ValueError, match="model_type must be one of"):
        vlm_from_dict({"model_type": "paligemma"})
    with pytest.raises(ValueError, match="vision_feature_select_strategy"):
        vlm_from_dict({"model_type": "llava", "vision_feature_select_strategy": "full"})
    with pytest.raises(ValueError, match="scale_factor"):
        vlm_from_dict({"model_type": "idefics3", "vision_config": {"image_size": 96},
                       "scale_factor": 2})  # fmt: skip
    config = VitConfig(image_size=8, patch_size=4, dim=8, n_layers=1, n_heads=2, hidden_dim=8)
    params = init_params(config, jax.random.key(0))
    with pytest.raises(ValueError, match=r"images must be \(N, 8, 8, 3\)"):
        Vit(config).apply({"params": params}, np.zeros((1, 9, 8, 3), np.float32))
