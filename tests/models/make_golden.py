"""Writes ``golden/``: small random models saved by ``transformers``, and its logits for them.

Run where PyTorch and transformers are installed: ``python tests/models/make_golden.py``. Made
with torch 2.13.0 and transformers 5.23.0 (roberta, modernbert, deberta, and those that see:
5.24.0).
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTConfig,
    ViTForImageClassification,
)

OUT = Path(__file__).parent / "golden"


def models():
    """Name, model and whether it takes token types."""
    names = {0: "BAD", 1: "SO-SO", 2: "GOOD"}
    yield (
        "distilbert",
        DistilBertForSequenceClassification(
            DistilBertConfig(
                vocab_size=60,
                dim=24,
                n_layers=2,
                n_heads=3,
                hidden_dim=40,
                max_position_embeddings=16,
                id2label=names,
                label2id={v: k for k, v in names.items()},
            )
        ),
        False,
    )
    yield (
        "bert",
        BertForSequenceClassification(
            BertConfig(
                vocab_size=60,
                hidden_size=24,
                num_hidden_layers=3,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=12,
            )
        ),
        True,
    )
    yield (
        "roberta",
        RobertaForSequenceClassification(
            RobertaConfig(
                vocab_size=60,
                hidden_size=24,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=18,
                type_vocab_size=1,
                num_labels=3,
            )
        ),
        False,
    )
    yield (
        "modernbert",
        ModernBertForSequenceClassification(
            ModernBertConfig(
                vocab_size=60,
                hidden_size=24,
                num_hidden_layers=4,
                num_attention_heads=2,
                intermediate_size=16,
                max_position_embeddings=16,
                local_attention=4,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
                cls_token_id=1,
                sep_token_id=2,
            )
        ),
        False,
    )
    yield (
        "deberta",
        DebertaV2ForSequenceClassification(
            DebertaV2Config(
                vocab_size=60,
                hidden_size=24,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=16,
                position_buckets=4,
                relative_attention=True,
                share_att_key=True,
                position_biased_input=False,
                norm_rel_ebd="layer_norm",
                pos_att_type="p2c|c2p",
            )
        ),
        False,
    )


def main(only=()):
    for seed, (name, model, types) in enumerate(models()):
        if only and name not in only:
            continue
        torch.manual_seed(seed)
        with torch.no_grad():  # the default initialization leaves logits all but constant
            for parameter in model.parameters():
                parameter.add_(0.15 * torch.randn(parameter.shape))
        model.eval()
        ids = torch.randint(1, 60, (5, 11))
        keep = torch.arange(11) < torch.tensor([[11], [1], [4], [7], [10]])
        ids = torch.where(keep, ids, 0)
        inputs = {"input_ids": ids, "attention_mask": keep.long()}
        if types:
            inputs["token_type_ids"] = (torch.arange(11) > 5).long().expand(5, 11)
        with torch.no_grad():
            logits = model(**inputs).logits
        model.save_pretrained(OUT / name)
        record = {k: v.tolist() for k, v in inputs.items()} | {"logits": logits.tolist()}
        (OUT / name / "logits.json").write_text(json.dumps(record) + "\n")


def language_models():
    """Name and model of the causal ones."""
    small = {
        "vocab_size": 60,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 40,
        "max_position_embeddings": 128,
    }
    positions = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
        "rope_theta": 500.0,
    }
    yield "llama", LlamaForCausalLM(LlamaConfig(**small, rope_parameters=positions))
    yield (
        "qwen3",
        Qwen3ForCausalLM(Qwen3Config(**small, head_dim=8, tie_word_embeddings=True)),
    )


def write_language_models():
    for seed, (name, model) in enumerate(language_models()):
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.15 * torch.randn(parameter.shape))
        model.eval()
        ids = torch.randint(3, 60, (3, 11))
        with torch.no_grad():
            logits = model(ids).logits
            new = model.generate(
                ids, max_new_tokens=64, do_sample=False, eos_token_id=None, pad_token_id=0
            )[:, 11:]
        model.save_pretrained(OUT / name)
        (OUT / name / "generation_config.json").unlink(missing_ok=True)
        record = {"ids": ids.tolist(), "logits": logits.tolist(), "greedy": new.tolist()}
        (OUT / name / "logits.json").write_text(json.dumps(record) + "\n")


def vision_models():
    """Name and model of those that see; images are 12 × 12 pixels, patches 4 × 4."""
    tower = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 12,
        "patch_size": 4,
    }
    text = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 40,
        "max_position_embeddings": 64,
    }
    words = LlamaConfig(**text, num_key_value_heads=1, tie_word_embeddings=True)
    yield "vit", ViTForImageClassification(ViTConfig(**tower, num_labels=3))
    yield "siglip", SiglipVisionModel(SiglipVisionConfig(**tower))
    caption = text | {"eos_token_id": 39, "bos_token_id": 38}
    yield (
        "clip",
        CLIPModel(CLIPConfig(vision_config=tower, text_config=caption, projection_dim=8)),
    )
    yield (
        "idefics3",
        Idefics3ForConditionalGeneration(
            Idefics3Config(
                vision_config=tower | {"image_size": 24, "patch_size": 6},
                text_config=words.to_dict(),
                scale_factor=2,
                image_token_id=39,
                tie_word_embeddings=True,
            )
        ),
    )
    words = LlamaConfig(**text)
    yield (
        "llava",
        LlavaForConditionalGeneration(
            LlavaConfig(
                vision_config=CLIPVisionConfig(**tower), text_config=words, image_token_index=39
            )
        ),
    )


def write_vision_models():
    for seed, (name, model) in enumerate(vision_models()):
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim:
                    parameter.add_(0.15 * torch.randn(parameter.shape))
        model.eval()
        size = (
            model.config.vision_config.image_size if name in ("idefics3", "llava", "clip") else 12
        )
        images = np.random.default_rng(seed).normal(size=(2, size, size, 3)).astype(np.float32)
        pixels = torch.tensor(images).permute(0, 3, 1, 2)
        record = {"seed": seed}
        with torch.no_grad():
            if name == "vit":
                record["pooled"] = model(pixels).logits.tolist()
            elif name == "siglip":
                found = model(pixels)
                record |= {"pooled": found.pooler_output.tolist()}
                record |= {"states": found.last_hidden_state.tolist()}
            elif name == "clip":
                ids = torch.tensor([[38, 4, 9, 39, 0], [38, 7, 30, 2, 39]])
                found = model(input_ids=ids, pixel_values=pixels)
                record |= {"ids": ids.tolist(), "scores": found.logits_per_image.diag().tolist()}
            else:
                many = 4 if name == "idefics3" else 9
                ids = torch.tensor([[1, 5] + [39] * many + [7, 8, 9]] * 2)
                pixels = pixels[:, None] if name == "idefics3" else pixels
                record |= {"ids": ids.tolist()}
                record |= {"logits": model(input_ids=ids, pixel_values=pixels).logits.tolist()}
                record["greedy"] = model.generate(
                    input_ids=ids, pixel_values=pixels, max_new_tokens=32, do_sample=False,
                    eos_token_id=None, pad_token_id=0,
                )[:, ids.shape[1] :].tolist()  # fmt: skip
        model.save_pretrained(OUT / name)
        (OUT / name / "generation_config.json").unlink(missing_ok=True)
        (OUT / name / "golden.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
    write_language_models()
    write_vision_models()
