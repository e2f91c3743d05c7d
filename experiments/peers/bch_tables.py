"""Makes ``spexjax/codes/bch_tables.json`` and the golden vectors of its tests with ``galois``.

Run ``python -m spexjax.experiments.peers.bch_tables`` in a checkout; it takes some minutes, most
of them for ``galois`` to compile its kernels.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DEGREES = range(3, 15)
MAX_T = 8
# (n, t) whose parity matrices are recorded: every field degree, shortened by much and by nothing.
PARITY_CASES = (
    [(n, t) for n in (1, 2, 5, 6, 7, 11, 16, 21, 26, 32) for t in (1, 2, 3, 5, 8)]
    + [(36, 5), (64, 5), (92, 5), (93, 5), (128, 3), (215, 5), (256, 8), (512, 5)]
    + [(973, 5), (974, 5), (1000, 5), (1000, 8), (2000, 4), (4000, 1)]
)


def code_row(m: int, t: int) -> list | None:
    """``[true t, parity bits, generator polynomial in hexadecimal]``; None if no such code exists.

    The true t counts all consecutive powers of α among the generator's roots, asked for or not.
    """
    import galois

    length = 2**m - 1
    if 2 * t >= length:
        return None
    code = galois.BCH(length, d=2 * t + 1)
    powers = code.alpha ** np.arange(1, length)
    missing = np.flatnonzero(code.generator_poly(powers, field=code.extension_field))
    consecutive = int(missing[0]) if missing.size else length - 1
    return [consecutive // 2, int(code.generator_poly.degree), f"{int(code.generator_poly):x}"]


def tables() -> dict:
    """Primitive polynomials and generator polynomials of all codes that ship with the package."""
    import galois

    primitive, codes = {}, {}
    for m in DEGREES:
        primitive[str(m)] = int(galois.matlab_primitive_poly(2, m))
        rows = [code_row(m, t) for t in range(1, MAX_T + 1)]
        codes[str(m)] = [row for row in rows if row is not None]
    return {"primitive_polynomials": primitive, "codes": codes}


def parity_digest(matrix: np.ndarray) -> str:
    """SHA-256 of the shape and the bits of a bool matrix, row by row."""
    text = f"{matrix.shape[0]}x{matrix.shape[1]}:".encode()
    return hashlib.sha256(text + np.packbits(matrix.astype(bool).ravel()).tobytes()).hexdigest()


def golden(table: dict) -> list[dict]:
    """Parity matrices P = G[-n:, k:]ᵀ by ``galois``, as digests and, where small, in full."""
    import galois

    generators, rows = {}, []
    for n, t in PARITY_CASES:
        m, row = next(
            (int(m), codes[t - 1])
            for m, codes in table["codes"].items()
            if t <= len(codes) and 2 ** int(m) - 1 - codes[t - 1][1] >= n
        )
        dimension = 2**m - 1 - row[1]
        if (m, dimension) not in generators:
            code = galois.BCH(2**m - 1, dimension)
            generators[m, dimension] = np.asarray(code.G[:, dimension:], bool), code.t
        parity, true_t = generators[m, dimension]
        matrix = parity[-n:].T
        case = {"n": n, "t": t, "m": m, "k": dimension, "true_t": true_t}
        case["sha256"] = parity_digest(matrix)
        if n <= 16:
            case["rows"] = ["".join("01"[int(bit)] for bit in line) for line in matrix]
        rows.append(case)
    return rows


def main() -> None:
    """Writes both files."""
    table = tables()
    text = json.dumps(table, indent=1)
    (ROOT / "spexjax" / "codes" / "bch_tables.json").write_text(text + "\n")
    lines = ",\n ".join(json.dumps(case) for case in golden(table))
    (ROOT / "tests" / "spexjax" / "bch_golden.json").write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main()
