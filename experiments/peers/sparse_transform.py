"""The peer that decoding is measured beside: the q-SFT decoder of ``sparse-transform`` 0.2.1.

It runs on *our* masks and values. Its own sampler is left out: the matrices M_c and the delays are
read off a coded design's masks, and the values are put where its sampler would have put them. What
is timed is its transform and its peeling, after one word has been decoded so that compiling the
field arithmetic does not count.

The settings are those of SPEX (Kang et al. 2025): soft (Chase) decoding at depth 2t, multi-detect
peeling at 0.9 of the energy, averaged peels.
"""

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Support = tuple[int, ...]


class PeerResult(NamedTuple):
    """What the peer found: ``spectrum`` {members: F}, in ``seconds`` without sampling."""

    spectrum: dict[Support, float]
    seconds: float


class CodedDesign(NamedTuple):
    """The parts of coded masks x_{c,i}(ℓ) = M_c ℓ + d_i + s_c."""

    matrices: Bool[np.ndarray, "C n b"]
    offsets: Bool[np.ndarray, "C D n"]  # d_i + s_c


def available() -> bool:
    """Whether ``sparse-transform`` is installed (it is not imported)."""
    return find_spec("sparse_transform") is not None


def demand() -> None:
    """Raises ImportError, with what to do about it, if the peer is not installed."""
    _module("qsft.qsft")


def read_design(masks: Bool[np.ndarray, "N n"], groups: int, b: int) -> CodedDesign:
    """Matrices and offsets of a coded design, from its masks alone.

    Args:
      masks: bool, shape (C·D·2^b, n), in the order group, delay, ℓ with ℓ fastest; bit r of ℓ
        multiplies column r of M_c.
      groups: C.
      b: log2 of the bins.

    Raises:
      ValueError: if the masks are not of that form.
    """
    masks = np.asarray(masks, bool)
    bins = 2**b
    if masks.ndim != 2 or not len(masks) or len(masks) % (groups * bins):
        raise ValueError(
            f"masks must have shape (C·D·2^b, n) with C = {groups} and 2^b = {bins}, "
            f"got {masks.shape}."
        )
    x = masks.reshape(groups, -1, bins, masks.shape[1])
    offsets = x[:, :, 0]
    matrices = x[:, 0, 1 << np.arange(b)] ^ offsets[:, :1]
    index = (np.arange(bins)[:, None] >> np.arange(b) & 1).astype(np.float32)
    products = np.einsum("lr,crn->cln", index, matrices.astype(np.float32)) % 2 == 1
    if any((x[:, i] != products ^ offsets[:, i, None]).any() for i in range(x.shape[1])):
        raise ValueError("masks are not of the form M_c l + d_i + s_c in the order c, i, l.")
    return CodedDesign(matrices.transpose(0, 2, 1), offsets)


def decode(
    masks: Bool[np.ndarray, "N n"],
    values: Float[np.ndarray, "N"],
    groups: int,
    b: int,
    t: int,
    decoder: Literal["soft", "hard"] = "soft",
    noise_sd: float = 0.0,
    seed: int = 0,
) -> PeerResult:
    """Decodes the values of a coded design with the peer.

    Args:
      masks: bool, shape (N, n), all masks of a coded design (see :func:`read_design`) whose delays
        are zero and the parity rows of the BCH code of ``galois``.
      values: float, shape (N,), one value per mask.
      groups: C.
      b: log2 of the bins.
      t: the number of errors the code corrects.
      decoder: its Chase decoder at depth 2t, or its hard decoder.
      noise_sd: what the peer is told of the noise; it skips bins below 1.5 times its energy.
      seed: of NumPy's global generator, which the peer draws the order of the groups from; the
        generator's state is restored.

    Raises:
      ImportError: if ``sparse-transform`` is not installed.
      ValueError: if the masks are no coded design, or of a code that the peer does not use.
    """
    qsft = _module("qsft.qsft")
    design = read_design(masks, groups, b)
    n, delays = design.offsets.shape[2], design.offsets.shape[1]
    if np.shape(values) != (len(masks),):
        raise ValueError(f"values must have shape ({len(masks)},), got {np.shape(values)}.")
    with _quiet(seed):
        expected = np.asarray(_code(n, t).get_delay_matrix()).astype(bool)
        given = design.offsets[0] ^ design.offsets[0, :1]
        if given.shape != expected.shape or (given != expected).any():
            raise ValueError(f"The delays are not those of the peer's BCH code for n={n}, t={t}.")
        decode_word = _word_decoder(n, t, decoder, 2 * t)
        decode_word([1.0] * (delays - 1))
        signal = _signal(design, np.asarray(values, float).reshape(groups, delays, 2**b))
        start = time.perf_counter()
        signal._compute_transforms()
        found = qsft.transform(
            signal,
            reconstruct_method_source="coded",
            reconstruct_method_channel="identity-siso",
            b=b,
            num_subsample=groups,
            num_repeat=1,
            source_decoder=decode_word,
            noise_sd=noise_sd,
        )
        seconds = time.perf_counter() - start
    return PeerResult(_as_members(found), seconds)


def sample_and_decode(
    f: Callable[[Bool[np.ndarray, "N n"]], Float[np.ndarray, "N"]],
    n: int,
    groups: int,
    b: int,
    t: int,
    noise_sd: float = 0.0,
    seed: int = 0,
) -> PeerResult:
    """The peer from end to end on masks that it draws itself; ``seconds`` leaves out ``f``.

    Its design has no shifts, and its matrices need not have full rank.

    Args:
      f: the function, bool (N, n) to (N,).
      n: the number of inputs.
      groups: C.
      b: log2 of the bins.
      t: the number of errors the code corrects.
      noise_sd: as for :func:`decode`.
      seed: of NumPy's global generator, which the peer draws its masks from; restored.

    Raises:
      ImportError: if ``sparse-transform`` is not installed.
    """
    query = _module("qsft.utils.query")
    with _quiet(seed):
        matrices, delays = query.get_Ms_and_Ds(
            n,
            2,
            b=b,
            t=t,
            num_subsample=groups,
            num_repeat=1,
            query_method="complex",
            delays_method_source="joint-coded",
            delays_method_channel="identity-siso",
        )
    columns = np.asarray(matrices).astype(bool)
    index = (np.arange(2**b)[:, None] >> np.arange(b) & 1).astype(bool)
    lines = (index.astype(int) @ columns.transpose(0, 2, 1).astype(int)) % 2 == 1
    offsets = np.stack([np.asarray(d[0]).astype(bool) for d in delays])
    masks = (lines[:, None] ^ offsets[:, :, None]).reshape(-1, n)
    return decode(masks, f(masks), groups, b, t, noise_sd=noise_sd, seed=seed)


def decode_words(
    words: Float[np.ndarray, "words p"],
    n: int,
    t: int,
    decoder: Literal["soft", "hard"] = "soft",
    chase_depth: int | None = None,
) -> tuple[Bool[np.ndarray, "words n"], Bool[np.ndarray, "words"]]:
    """The peer's decoder on noisy parity words, one after the other.

    Args:
      words: float, shape (words, p): the parity of an unknown message of n bits, a negative number
        for a one, its size for how sure that is.
      n: message bits of the shortened code.
      t: the number of errors the code corrects.
      decoder: Chase, which first tries the signs and stops there if they decode, or the signs only.
      chase_depth: how many of the least reliable bits are flipped, in the depth·(depth+1)/2
        cheapest patterns; 2t if not given.

    Returns:
      The decoded messages, bool (words, n), and whether decoding succeeded, bool (words,).

    Raises:
      ImportError: if ``sparse-transform`` is not installed.
      ValueError: if the words do not have the code's number of parity bits.
    """
    words = np.asarray(words, float)
    messages = np.zeros((len(words), n), bool)
    ok = np.zeros(len(words), bool)
    with _quiet():
        p = _code(n, t).get_parity_length()
        if words.ndim != 2 or words.shape[1] != p:
            raise ValueError(f"words must have shape (words, {p}), got {words.shape}.")
        decode_word = _word_decoder(n, t, decoder, 2 * t if chase_depth is None else chase_depth)
        for row, word in enumerate(words):
            message, errors = decode_word(word.tolist())[:2]
            ok[row] = errors != -1
            messages[row] = np.asarray(message)[0].astype(bool) & ok[row]
    return messages, ok


def _module(path: str) -> ModuleType:
    try:
        with _quiet():
            return import_module(f"sparse_transform.{path}")
    except ModuleNotFoundError as error:
        raise ImportError(
            "sparse-transform is not installed: pip install sparse-transform==0.2.1."
        ) from error


def _code(n: int, t: int):  # the peer's subclass of galois.BCH
    return _module("qsft.codes.BCH").BCH(n, t)


def _word_decoder(n: int, t: int, decoder: str, depth: int) -> Callable[..., tuple]:
    make = _module("qsft.utils.query").get_bch_decoder(n, t, decoder, depth)
    if decoder == "soft":
        return make
    # Its hard decoder takes bits, where the caller passes it reals.
    return lambda word, **_: make((np.asarray(word) < 0).astype(int).tolist())


def _signal(design: CodedDesign, values: Float[np.ndarray, "C D B"]):
    """A signal of the peer whose samples are given, not asked for."""
    kind = _module("qsft.signals.input_signal_subsampled").SubsampledSignal
    groups, n, b = design.matrices.shape
    signal = kind.__new__(kind)  # its constructor would draw masks and call the model
    signal._set_params(n=n, q=2, query_args={"b": b, "num_subsample": groups, "num_repeat": 1})
    # Its ℓ counts with the first coordinate as the highest bit.
    signal.Ms = list(design.matrices[:, :, ::-1].astype(int))
    signal.Ds = [[offsets.astype(int)] for offsets in design.offsets]
    signal.all_samples = list(values.astype(complex))
    signal.Us = [[{}] for _ in range(groups)]
    signal.transformTimes = [[{}] for _ in range(groups)]
    return signal


def _as_members(found: dict[tuple[int, ...], complex]) -> dict[Support, float]:
    return {tuple(np.flatnonzero(k).tolist()): float(np.real(v)) for k, v in found.items()}


@contextlib.contextmanager
def _quiet(seed: int | None = None) -> Iterator[None]:
    """Silences the peer, and undoes what it does to global state: logging, NumPy's generator."""
    root, manager = logging.getLogger(), logging.root.manager
    handlers, disabled = root.handlers[:], manager.disable
    state = np.random.get_state()  # noqa: NPY002 (the peer draws from it)
    logging.disable(logging.CRITICAL)
    if seed is not None:
        np.random.seed(seed)  # noqa: NPY002
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.handlers[:] = handlers
        np.random.set_state(state)  # noqa: NPY002
