"""``spexjax explain --image``."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from spexjax.models.cli.main import main

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models with all their files, and a picture."""
    out = tmp_path_factory.mktemp("models")
    for name in ("vit", "clip", "idefics3", "llama"):
        shutil.copytree(GOLDEN / name, out / name)
    sizes = {"vit": {"size": 12}, "clip": {"size": {"shortest_edge": 12}, "crop_size": 12},
             "idefics3": {"size": {"longest_edge": 24}, "max_image_size": 24}}  # fmt: skip
    special = ["<fake_token_around_image>", "<global-img>", "<image>"]
    for name, size in sizes.items():
        (out / name / "preprocessor_config.json").write_text(json.dumps(size))
        words = ["<s>", "[UNK]", *(f"w{i}" for i in range(34)), "end", *special]
        tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.add_special_tokens(special)
        if name == "clip":
            tokenizer.post_processor = processors.TemplateProcessing(
                single="<s> $A <image>", special_tokens=[("<s>", 0), ("<image>", 39)]
            )
        tokenizer.save(str(out / name / "tokenizer.json"))
        about = {"prompt_template": "plain", "bos_token": "<s>"}
        (out / name / "tokenizer_config.json").write_text(json.dumps(about))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out / "a.png")
    (out / "broken.png").write_bytes((out / "a.png").read_bytes()[:400])
    return out


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("vit", ["--label", "LABEL_1"], ["vit, logit of LABEL_1", "256 calls for 8 cells"]),
        ("idefics3", ["--question", "w3 w4", "--answer", "w7"], ["log-probability of 'w7'"]),
        ("clip", ["--caption", "w3 w5"], ["score of 'w3 w5'", "10 cells and words"]),
    ],
)
def test_a_picture_is_explained(folder, capsys, tmp_path, name, given, said):
    page = tmp_path / "page.html"
    code = main(["explain", "--image", str(folder / "a.png"), "--model", str(folder / name),
                 "--grid", "4x2", "--method", "exact", "--html", str(page), *given])  # fmt: skip
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "for the image" in out and all(part in out for part in said)
    assert "r2c3" in out
    text = page.read_text()
    assert (
        text.count("<clipPath id=cell-") == 8
        and "data:image/png" in text
        and "img-src data:" in text
    )


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (["--image", "none.png", "--model", "m"], "no image file 'none.png'"),
        (["--image", "{a}"], "--image needs --question about coloured shapes"),
        (["--image", "{a}", "--caption", "c"], "--caption needs --model with a CLIP"),
        (["--image", "{a}", "--question", "q", "--revision", "x"], "--revision needs --model"),
        (["--image", "{a}", "--question", "q", "--label", "a"], "--label needs an image"),
        (["--image", "exampel", "--question", "q"], "no image file 'exampel'"),
        (
            ["--image", "{a}", "--model", "m", "--question", "q", "--grid", "4"],
            "--grid must be columns x rows",
        ),
        (
            ["--image", "{a}", "--model", "m", "--question", "q", "--grid", "0x4"],
            "--grid must be columns x rows",
        ),
        (["--image", "{a}", "--model", "{m}/vit", "--grid", "31x2"], "finer than the picture's"),
        (["--image", "{a}", "--question", "q", "--caption", "c"], "either --question or --caption"),
        (["--image", "{a}", "--question", " "], "the question is empty"),
        (["--image", "{a}", "--question", "q", "--replacement", "unk"], "blur, mean or black"),
        (["--image", "{a}", "--question", "q", "--radius", "-1"], "--radius must be"),
        (["--image", "{a}", "--question", "q", "--text-too", "a"], None),
        (["a text", "--image", "{a}", "--question", "q"], "does not take a text"),
        (["a text", "--grid", "4x4"], "--grid needs --image"),
        (["a text", "--replacement", "blur"], "--replacement blur needs --image"),
        (["--image", "{a}", "--model", "{m}/vit", "--question", "q"], "does not take --question"),
        (["--image", "{a}", "--model", "{m}/clip"], "needs --caption"),
        (["--image", "{a}", "--model", "{m}/idefics3"], "needs --question"),
        (
            ["--image", "{a}", "--model", "{m}/llama", "--question", "q"],
            "is a llama; --image",
        ),
        (["--image", "{a}", "--model", "{m}/vit", "--label", "cat"], "--label must be one of"),
        (["--image", "{a}", "--model", "{m}/vit", "--score", "margins"], None),
        (["--image", "{m}/broken.png", "--model", "{m}/vit"], "cannot be read as an image"),
    ],
)
def test_what_can_be_put_right_is_said_in_a_line(folder, capsys, given, what):
    given = [g.format(a=folder / "a.png", m=folder) for g in given]
    if what is None:  # argparse's own
        with pytest.raises(SystemExit):
            main(["explain", *given])
        return
    assert main(["explain", "--no-html", *given]) in (1, 2)
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1 and what in err[0]
