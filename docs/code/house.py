"""The house in one picture: rooms as bricks, each above all that it imports.

Read from the imports themselves, so the picture is what the code is.
"""

import ast
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parents[2]
PARTS = {"experiments": "#7b4fa3", "models": "#c2570c", "spexjax": "#1b6ca8"}
_WIDTH, _GAP = 12.0, 0.12


def rooms() -> dict[str, Path]:
    """Every folder with code, and every module that stands alone, by its name in the package."""
    found = {}
    for part in PARTS:
        for path in (ROOT / part).iterdir():
            is_room = (path / "__init__.py").exists()
            if is_room or (path.suffix == ".py" and not path.stem.startswith("__")):
                prefix = "spexjax" if part == "spexjax" else f"spexjax.{part}"
                found[f"{prefix}.{path.stem}"] = path
    return found


def imports(found: dict[str, Path]) -> dict[str, set[str]]:
    """Which rooms a room imports."""
    edges: dict[str, set[str]] = {name: set() for name in found}
    for name, path in found.items():
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module:
                    named = [f"{node.module}.{alias.name}" for alias in node.names]
                elif isinstance(node, ast.Import):
                    named = [alias.name for alias in node.names]
                else:
                    continue
                for one in named:
                    parts = one.split(".")
                    prefixes = (".".join(parts[:size]) for size in range(len(parts), 1, -1))
                    room = next((p for p in prefixes if p in found), name)
                    edges[name] |= {room} - {name}
    return edges


def levels(edges: dict[str, set[str]]) -> dict[str, int]:
    """The length of the longest way down from each room."""
    found: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in found:
            found[name] = 1 + max((level(below) for below in edges[name]), default=-1)
        return found[name]

    for name in edges:
        level(name)
    return found


def picture():
    """The figure; a brick is as wide as its name needs."""
    found = rooms()
    floors = levels(imports(found))
    figure, ax = plt.subplots(figsize=(11, 8.5))
    y = 0.0
    for part in reversed(PARTS):
        prefix = "spexjax" if part == "spexjax" else f"spexjax.{part}"
        own = [n for n in found if n.rpartition(".")[0] == prefix]
        bottom = y
        for floor in sorted({floors[name] for name in own}):
            names = sorted(n for n in own if floors[n] == floor)
            labels = [n.rpartition(".")[2] + ("/" if found[n].is_dir() else "") for n in names]
            widths = [0.115 * len(label) + 0.3 for label in labels]
            x = (_WIDTH - sum(widths) - _GAP * (len(names) - 1)) / 2
            for label, width in zip(labels, widths, strict=True):
                strong = label.endswith("/")
                ax.add_patch(FancyBboxPatch(
                    (x, y), width, 0.34, boxstyle="round,pad=0,rounding_size=.06", lw=1,
                    fc=PARTS[part] if strong else "white", ec=PARTS[part],
                ))  # fmt: skip
                ax.text(x + width / 2, y + 0.17, label, ha="center", va="center", fontsize=8.5,
                        color="white" if strong else PARTS[part])  # fmt: skip
                x += width + _GAP
            y += 0.46
        ax.text(-0.15, (bottom + y) / 2, f"{part}/", ha="right", va="center", fontsize=12,
                weight="bold", color=PARTS[part])  # fmt: skip
        ax.axhline(y + 0.02, color="#d5dae0", lw=1)
        y += 0.16
    ax.set(xlim=(-1.7, _WIDTH), ylim=(-0.1, y))
    ax.axis("off")
    plt.close(figure)
    return figure
