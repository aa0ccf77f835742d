"""Whatever a command is given: status 0, 1 or 2, a short message, and nothing is lost."""

import json
import shutil
import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
from typer.testing import CliRunner

from theory import Inputs, VanillaRNN, contraction
from theory.campaign.recipes.table import RECIPES
from theory.campaign.runner import Campaign
from theory.campaign.tasks import Config
from theory.certify import save_certificate
from theory.cli import app

#: How many tries the lanes make.
FEW, MANY = 60, 10_000

#: Lines of a message, at the most: one, or that of the parser of options with its hint.
LINES = 8

NUMBERS = [
    "0", "-1", "1", "2", "0.5", "1e-3", "1e308", "1e-320", "nan", "inf", "-inf", "9" * 30, "x", "",
    "1e", "0x10", "٣", "\x00", "1,2", "True",
]  # fmt: skip
WORDS = [
    "tanh", "relu", "identity", "leaky_relu(0.2)", "leaky_relu(", "leaky_relu(nan)", "auto",
    "spectral", "lmi", "gru", "lstm", "iterate", "row_sums", "", " ", "../..", "[red]", "%s",
    "anywhere", "random", "last", "L1", "Linf", "é", "box:-1,1", "ball:1", "box:1,-1", "box:",
    "box",
    "ball:-1", "ball:nan", "box:-1,1,2", "box:inf,inf", "ball:1e400", "enc.lstm", "state_gap",
]  # fmt: skip
DTYPES = ["?", "i1", "u8", "i8", "f2", "f4", "f8", "g", "c16", "U3", "S2", "O", "M8[s]", "V4"]
NAMES = [
    "W", "U", "b", "A", "B", "C", "D", "leak", "weight_hh_l0", "weight_ih_l0", "bias_hh_l0",
    "bias_ih_l0", "kernel", "recurrent_kernel", "bias", "b_candidate", "x", "weight", "enc.W", "",
    "head.weight", "weight_hh_l1", "weight_hh_l0_reverse",
]  # fmt: skip
VALUES = [0.0, 1.0, -0.5, 0.3, 1e300, -1e300, 5e-324, np.inf, np.nan, 1e8]


@dataclass
class Place:
    """Good files of every kind, and a place for bad ones."""

    folder: object
    good: dict = field(default_factory=dict)

    def __post_init__(self):
        rng = np.random.default_rng(0)
        f = self.folder
        W = [[0.5, 0.1], [0.0, -0.4]]
        np.savez(f / "w.npz", W=W, U=np.eye(2), b=[0.1, 0.0])
        np.save(f / "w.npy", np.array(W))
        gates = {"enc.weight_ih_l0": (8, 2), "enc.weight_hh_l0": (8, 2), "enc.bias_hh_l0": (8,)}
        gates["enc.bias_ih_l0"] = (8,)
        np.savez(f / "lstm.npz", **{k: rng.standard_normal(s) / 4 for k, s in gates.items()})
        gru = {"kernel": (2, 6), "recurrent_kernel": (2, 6), "bias": (2, 6)}
        np.savez(f / "gru.npz", **{k: rng.standard_normal(s) / 4 for k, s in gru.items()})
        np.savez(f / "x.npz", x=rng.uniform(-1, 1, (70, 6, 2)))
        np.save(f / "x.npy", rng.uniform(-1, 1, (70, 6, 2)))
        _save_tensors(f / "w.safetensors", {"W": np.array(W), "U": np.eye(2)})
        cell = VanillaRNN(W, np.eye(2), [0.1, 0.0])
        c = contraction(cell, effort=0, inputs=Inputs.box(-1, 1))
        save_certificate(f / "c.json", cell, c=c)
        campaign = Campaign(Config(instances=len(RECIPES), only=("drive",)), path=f / "v.json")
        next(iter(campaign.run()))
        self.good = {path.name: path.read_bytes() for path in sorted(f.iterdir())}

    def changed(self):
        """Return the names of the good files that are not as they were."""
        return [n for n, c in self.good.items() if (self.folder / n).read_bytes() != c]

    def restore(self):
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in self.good:
                path.unlink()
        for name in self.changed():
            (self.folder / name).write_bytes(self.good[name])


def _save_tensors(path, arrays):
    header, data = {}, b""
    for name, array in arrays.items():
        raw = np.asarray(array, "<f8").tobytes()
        header[name] = {
            "dtype": "F64",
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def one_of(rng, items):
    return items[int(rng.integers(len(items)))]


def mutated(rng, content):
    """Return a file's content with bytes changed, lost, repeated or moved."""
    raw = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        i, j = sorted(int(k) for k in rng.integers(0, len(raw) + 1, 2))
        kind = rng.integers(6)
        if kind == 0 and raw:
            raw[min(i, len(raw) - 1)] = int(rng.integers(256))
        elif kind == 1:
            del raw[i : min(j, i + 40)]
        elif kind == 2:
            raw[i:i] = raw[i : min(j, i + 40)]
        elif kind == 3:
            raw[i:i] = bytes(rng.integers(0, 256, 4).astype(np.uint8))
        elif kind == 4:
            del raw[j:]
        elif raw:
            # a digit or a bracket of a header, or an exponent of a double
            raw[min(i, len(raw) - 1)] = one_of(rng, b'0123456789{}[]",:-.ef\x7f\xff\x00')
    return bytes(raw)


def any_array(rng):
    shape = tuple(int(n) for n in rng.integers(0, 5, int(rng.integers(0, 4))))
    if rng.random() < 0.5:
        n = int(rng.integers(1, 4))
        shape = one_of(rng, [(n, n), (n, n), (3 * n, n), (4 * n, n), (n, 4 * n), (n,), (n, 1)])
    kind = one_of(rng, DTYPES) if rng.random() < 0.4 else "f8"
    values = rng.choice(VALUES, shape) if rng.random() < 0.3 else rng.standard_normal(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.asarray(values).astype(kind)
        except (ValueError, TypeError):
            return np.zeros(shape, kind)


def any_file(rng, place, wanted):
    """Return the path of a file: good, mutated, of odd arrays, of another kind, or none."""
    names = list(place.good)
    name = wanted if rng.random() < 0.85 else one_of(rng, names)
    draw = rng.random()
    if draw < 0.6:
        return place.folder / name
    suffix = (
        name.rpartition(".")[2] if rng.random() < 0.9 else one_of(rng, ["NPZ", "pt", "txt", ""])
    )
    path = place.folder / f"bad{int(rng.integers(1000))}.{suffix}"
    if draw < 0.8:
        path.write_bytes(mutated(rng, place.good[name]))
    elif draw < 0.95 and suffix in {"npz", "npy", "NPZ"}:
        with path.open("wb") as stream:
            if suffix == "npy":
                np.save(stream, any_array(rng), allow_pickle=True)
            else:
                count = int(rng.integers(0, 4))
                named = {one_of(rng, NAMES): any_array(rng) for _ in range(count)}
                np.savez(stream, **named)
    elif draw < 0.97:
        return place.folder
    elif draw < 0.98:
        path.write_bytes(b"")
    return path


def any_command(rng, place):
    """Return the arguments of a command, with options that may be odd."""
    weights = one_of(rng, ["w.npz", "w.npy", "lstm.npz", "gru.npz", "w.safetensors"])
    path = any_file(rng, place, weights)
    out = place.folder / one_of(rng, ["new.npz", "new.json", "deep/new.npz", "w.npz", "x"])
    if rng.random() < 0.8:
        out = place.folder / f"new{path.suffix}"
    if rng.random() < 0.05:
        out = one_of(rng, [place.folder, path / "x", "/proc/none/x.npz", "\x00"])

    def odd(usual, pool, rate=0.06):
        return one_of(rng, pool) if rng.random() < rate else usual

    more = ["--activation", odd("tanh", WORDS)] if rng.random() < 0.3 else []
    if rng.random() < 0.15:
        more += ["--prefix", odd("enc" if weights == "lstm.npz" else "", WORDS)]
    inputs = odd("box:-1,1", [*WORDS, str(any_file(rng, place, "x.npz"))])
    kinds = ["certify", "certify", "memory", "memory", "project", "project", "check", "replay", ""]
    name = one_of(rng, kinds)
    if name == "certify":
        given = [path, "--effort", odd("0", NUMBERS), "--inputs", inputs, *more]
        given += ["--method", odd("auto", WORDS, 0.3), "--epsilon", odd("0.01", NUMBERS)]
        given += ["--json", out] if rng.random() < 0.3 else []
        return ["certify", *given]
    if name == "memory":
        given = [path, "--sequences", any_file(rng, place, "x.npz"), *more]
        given += ["--epsilon", odd("0.01", NUMBERS), "--probability", odd("0.05", NUMBERS)]
        given += ["--confidence", odd("0.95", NUMBERS), "--when", odd("anywhere", WORDS)]
        given += ["--norm", odd("L2", WORDS), "--k-max", odd("3", NUMBERS)]
        given += ["--rates", odd("2", NUMBERS)] if rng.random() < 0.3 else []
        given += ["--json", out] if rng.random() < 0.3 else []
        return ["memory", *given]
    if name == "project":
        gated = {"lstm.npz": "lstm", "gru.npz": "gru"}
        sets = ["linf", "l1", "schur", "diagonal", gated.get(weights, "linf"), "spectral"]
        given = [path, "--onto", odd(one_of(rng, sets), WORDS)]
        given += ["--rate", odd("0.3", NUMBERS), "--out", out, "--inputs", inputs, *more]
        given += ["--epsilon", odd("0.01", NUMBERS), "--method", odd("auto", WORDS)]
        return ["project", *given, *(["--force"] if rng.random() < 0.3 else [])]
    if name == "check":
        pair = [any_file(rng, place, "c.json"), path]
        return ["check", *(pair[::-1] if rng.random() < 0.1 else pair)]
    if name == "replay":
        given = [any_file(rng, place, "v.json"), "--only", odd("drive", WORDS)]
        return ["replay", *given, *(["--all"] if rng.random() < 0.3 else [])]
    campaign = [
        "--only",
        odd("nothing", WORDS),
        "--instances",
        one_of(rng, ["-1", "3", "x", "1e3"]),
    ]
    return one_of(
        rng,
        [
            ["theorems", one_of(rng, WORDS)],
            ["verify", "--json", any_file(rng, place, "v.json"), *campaign],
            ["verify", "--seed", one_of(rng, NUMBERS), *campaign],
            [one_of(rng, WORDS)],
            ["certify"],
        ],
    )


def fuzz(place, seed, tries):
    """Run commands, and put back what they have written after each."""
    rng, runner = np.random.default_rng(seed), CliRunner()
    for _ in range(tries):
        arguments = [str(a) for a in any_command(rng, place)]
        done = runner.invoke(app, arguments)
        told = f"{arguments}\n{done.output}"
        error = done.exception
        assert error is None or isinstance(error, SystemExit), (told, repr(error), done.exc_info)
        assert done.exit_code in {0, 1, 2}, told
        assert "Traceback" not in done.output, told
        assert "Warning" not in done.stderr, told
        if done.exit_code == 2:
            assert done.stderr.strip(), told
            assert len(done.stderr.strip().splitlines()) <= LINES, told
        # what is there is as it was, but for what an option names to be replaced
        where = [i + 1 for i, a in enumerate(arguments) if a in ("--out", "--json")]
        named = {arguments[i] for i in where if done.exit_code != 2}
        if "--force" not in arguments:
            named -= {a for i, a in enumerate(arguments) if i not in where}
        assert {str(place.folder / name) for name in place.changed()} <= named, told
        assert not [path for path in place.folder.iterdir() if path.name.startswith(".")], told
        place.restore()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_odd_input_is_answered(place):
    fuzz(place, 0, FEW)


@pytest.mark.slow
def test_odd_input_is_answered_many_times(place):
    fuzz(place, 1, MANY)
