"""Masked images: masks per second, ours beside ``transformers`` on PyTorch.

    python -m spexjax.experiments vision [--model vlm] [--masks 32]

Both evaluate the same masks of the cells of one random image, from bool masks to values, in the
same batches and dtype, under the same random weights: a ViT-B/16 classifier ("vit"), or a model of
SmolVLM-256M's geometry that is asked a question, whose value is the log-probability of an answer
("vlm"). PyTorch composes the masked images as tensors, which is part of its time, and gets the
whole prompt, since its cache cannot be shared by a batch. They are timed in turn, since machines
drift. PyTorch is an optional part; without it ours alone is measured.

The memory is that of the parameters; the share of the machine's matrix rate is 2 · (weights of the
layers) · tokens / time over the rate of one large matrix product, so it leaves out the attention
products.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool
from tokenizers import Tokenizer, models, pre_tokenizers

from spexjax.experiments.harness.timing import after_one, matrix_rate
from spexjax.experiments.reporting.rows import Rows
from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.quantize import bytes_of
from spexjax.models.values.image import MaskedImage
from spexjax.models.values.image_class import ImageClassValue, image_value
from spexjax.models.values.image_question import VisualValue, visual_value
from spexjax.models.vit.classifier import ImageClassifier
from spexjax.models.vit.config import VitConfig
from spexjax.models.vit.model import init_params as init_vit
from spexjax.models.vit.preprocessing import Preprocessing
from spexjax.models.vit.weights import save_classifier
from spexjax.models.vlm.config import VlmConfig
from spexjax.models.vlm.language import VisionLanguageModel
from spexjax.models.vlm.model import init_params as init_vlm
from spexjax.models.vlm.weights import save_vlm

_CPU = jax.default_backend() == "cpu"
REPEATS = 5
WORDS = 48  # one-token words of the random question's vocabulary
SPECIAL = ("<fake_token_around_image>", "<global-img>", "<image>")
VITS = {"base": VitConfig(num_labels=1000)}
_TOWER = VitConfig(
    family="siglip", image_size=512, pooling="none", activation="gelu_pytorch_tanh", norm_eps=1e-6,
    fractional_positions=True,
)  # fmt: skip
_TEXT = LlamaConfig(
    vocab_size=49280, dim=576, n_layers=30, n_heads=9, n_kv_heads=3, head_dim=64, hidden_dim=1536,
    norm_eps=1e-5, rope_theta=100000.0, max_position_embeddings=8192, tie_embeddings=True,
)  # fmt: skip
VLMS = {"base": VlmConfig("smolvlm", _TOWER, _TEXT, WORDS + 2, shuffle=4)}


@dataclass(frozen=True)
class Config:
    """What is wanted; defaults are those of the device at hand."""

    model: Literal["vit", "vlm"] = "vit"
    """A ViT-B/16, or the geometry of SmolVLM-256M; random weights."""
    masks: int = 32 if _CPU else 512
    """Of the image's cells."""
    grid: tuple[int, int] = (6, 8)
    """Rows and columns of the cells."""
    rows: int = 8 if _CPU else 64
    """Masks per batch."""
    repeats: int = REPEATS
    """Times that each is timed."""
    dtypes: tuple[Literal["float32", "bfloat16"], ...] = ("float32",) if _CPU else ("bfloat16",)
    """To compute in."""


def classified(config: Config, dtype: Any) -> ImageClassValue:
    """A class's logit of a random image under a random ViT."""
    geometry = VITS["base"]
    params = init_vit(geometry, jax.random.key(0))
    model = ImageClassifier(geometry, params, Preprocessing(size=(geometry.image_size,) * 2))
    return image_value(model, _image(), config.grid, 0, dtype=dtype, rows=config.rows)


def asked(config: Config, dtype: Any) -> VisualValue:
    """An answer's log-probability about a random image under a random SmolVLM."""
    geometry = VLMS["base"]
    words = [*(f"w{i}" for i in range(WORDS)), *SPECIAL]  # the image's token is the last
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(list(SPECIAL))
    params = init_vlm(geometry, jax.random.key(0))
    size = (geometry.vision.image_size,) * 2
    model = VisionLanguageModel(
        geometry, params, made, Preprocessing(size=size), prompt_template="plain"
    )
    return visual_value(
        model, _image(), "w1 w2 w3 w4 w5 w6 w7 w8", "w9 w10 w11", config.grid, dtype=dtype,
        rows=config.rows,
    )  # fmt: skip


class Torch:
    """The same model in ``transformers``."""

    def __init__(self, f: Any, dtype: Any):
        import torch
        import transformers

        self.torch, self.f = torch, f
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = getattr(torch, jnp.dtype(dtype).name)
        visual = isinstance(f, VisualValue)
        kind = "SmolVLMForConditionalGeneration" if visual else "ViTForImageClassification"
        with tempfile.TemporaryDirectory() as folder:
            (save_vlm if visual else save_classifier)(folder, f.model.config, f.model.params)
            loaded = getattr(transformers, kind).from_pretrained(
                folder, dtype=self.dtype, attn_implementation="sdpa"
            )
        self.model = loaded.eval().to(self.device)

        def channels_first(image: Any) -> Any:
            return torch.tensor(np.asarray(image)).permute(2, 0, 1).to(self.device)

        template = f.source.template
        self.image, self.other = (channels_first(a) for a in template[:2])
        self.cells = torch.tensor(np.asarray(template.cells), dtype=torch.long, device=self.device)

    def __call__(self, masks: Bool[np.ndarray, "N n"], rows: int) -> np.ndarray:
        """The values of all masks."""
        out = []
        with self.torch.inference_mode():
            for start in range(0, len(masks), rows):
                kept = self.torch.tensor(masks[start : start + rows], device=self.device)
                kept = kept[:, self.cells][:, None]
                images = self.torch.where(kept, self.image, self.other).to(self.dtype)
                values = self._asked(images) if isinstance(self.f, VisualValue) else (
                    self.model(images).logits[:, self.f.label].float()
                )  # fmt: skip
                out.append(values.cpu().numpy())
        return np.concatenate(out)

    def _asked(self, images: Any) -> Any:
        torch, f = self.torch, self.f
        answer = torch.tensor(f.answer_ids, dtype=torch.long, device=self.device)
        ids = torch.tensor([*f.asked.ids.tolist(), *f.answer_ids[:-1]], device=self.device)
        ids = ids.expand(len(images), -1)
        logits = self.model(
            input_ids=ids, pixel_values=images[:, None], logits_to_keep=len(answer), use_cache=False
        ).logits
        chosen = logits.float().log_softmax(-1).gather(
            -1, answer.expand(len(images), -1)[..., None]
        )  # fmt: skip
        return chosen[..., 0].sum(-1)


def run(config: Config) -> Rows:
    """A row for every dtype."""
    columns = {"": "<10", "MB": ">8.1f", "ours/s": ">8.2f", "of rate": ">7.0%"}
    beside = {"torch/s": ">8.2f", "ratio": ">6.2f", "least": ">6.2f", "most": ">6.2f"}
    rows, cols = config.grid
    return Rows(
        f"{config.model}, {config.masks} masks of {cols}x{rows} cells, {config.rows} a batch, "
        f"{config.repeats} repeats, on {jax.devices()[0].device_kind}",
        columns | beside | {"max diff": ">8.1e"},
        (_measured(config, jnp.dtype(dtype)) for dtype in config.dtypes),
    )


def work(f: MaskedImage) -> int:
    """Weights of the layers times tokens of one mask."""
    model: Any = f.model
    if isinstance(f, VisualValue):
        text, tower = model.config.text, model.config.vision
        heads = (2 * text.n_heads + 2 * text.n_kv_heads) * text.head_dim * text.dim
        weights = text.n_layers * (heads + 3 * text.dim * text.hidden_dim)
        return _tower(tower) + weights * int(np.asarray(f.rest.valid).sum())
    return _tower(model.config)


def _tower(c: VitConfig) -> int:
    return c.tokens * c.n_layers * (4 * c.dim**2 + 2 * c.dim * c.hidden_dim)


def _measured(config: Config, dtype: Any) -> tuple:
    f: MaskedImage = (asked if config.model == "vlm" else classified)(config, dtype)
    masks = np.random.default_rng(1).random((config.masks, f.n)) < 0.5
    calls: list[Callable[[], Any]] = [partial(f, masks)]
    if find_spec("torch") is not None:
        calls.append(partial(Torch(f, dtype), masks, config.rows))
    times = after_one(calls, config.repeats)
    spent = float(np.median(times[:, 0]))
    rate = matrix_rate(dtype, 2048 if _CPU else 8192)
    line = (dtype.name, bytes_of(f.model.params) / 1e6, len(masks) / spent,
            2 * work(f) * len(masks) / spent / rate)  # fmt: skip
    if len(calls) == 1:
        return line
    ratios = times[:, 1] / times[:, 0]
    gap = float(np.abs(f(masks) - calls[1]()).max())
    found = float(np.median(ratios)), float(ratios.min()), float(ratios.max())
    return (*line, len(masks) / float(np.median(times[:, 1])), *found, gap)


def _image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
