r"""Training of the experiments: presets, truncated backpropagation, checkpoints, evaluation.

Networks are trained as in the paper: plain gradient descent with clipped gradients and a rate that
is lowered when the validation loss no longer falls; the stable variants are moved back into their
set after every step, sharp-stable tanh networks after every fourth and at the end of every epoch.
A finished run is kept under the folder of ``--runs`` and found again by every table and figure that
needs it; an interrupted one goes on where it stopped, and a longer one where a shorter one ended.

Main names: `Setting`, `preset`, `trained`, `Trained`, `evaluate`, `by_length`, `options`,
`study`, `studies`, `train_all`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import corpora
import numpy as np
from corpora import Corpus

try:
    import torch
    import torch.nn.functional as fn
    from torch import Tensor, nn
except ImportError:
    from theory.errors import MissingExtraError

    raise MissingExtraError("torch", "experiments", "training the networks") from None

import _models
import _results
import _stability

from theory.errors import MissingExtraError
from theory.executors import LostWorkError, cluster, finished, processes
from theory.files import replacing

VARIANTS = ("unstable", "stable", "sharp-stable")

#: What no constraint keeps stable, as it cannot be otherwise; and what the Euclidean set keeps.
BUILT, EUCLIDEAN = "by-construction", "euclidean"

#: Test predictions over which metrics against the truncation length are taken.
FIRST = 8_000


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything that a trained network depends on."""

    task: str  # a data set of corpora.KINDS
    cell: str  # one of _models.CELLS, FEED_FORWARD or BUILT
    variant: str = "unstable"  # one of VARIANTS
    seed: int = 0
    k: int | None = None  # inputs that it sees; None: all
    rate: float = 0.9  # of the contraction, for the stable variants
    hidden: int = 64  # units of an RNN or LSTM; others have as many parameters as such an LSTM
    width: int = 32  # of the embedding of tokens
    batch: int = 8  # sequences side by side
    bptt: int = 35  # steps after which backpropagation is cut; the state is carried on
    optimizer: str = "sgd"
    lr: float = 1.0
    decay: float = 0.5  # factor of lr after `patience` epochs without progress
    patience: int = 3
    clip: float = 1.0  # largest norm of a gradient
    weight_decay: float = 0.0  # of every parameter: an L2 penalty, or apart from it with adamw
    forget: float = _stability.FORGET  # bound of the forget gates, of the largest of "euclidean"
    unknown: float = 0.0  # a; a word seen n times is read as unknown with probability a / (a + n)
    dropout: float = 0.0  # of encoded inputs, branches and outputs, one mask a window
    anneal: bool = False  # half a cosine from lr to lr / 64 in place of decay, over all epochs
    half: bool = False  # matrix products in bfloat16 while training; what is evaluated is single
    table: int = 0  # width of the embedding of built networks, behind tanh; 0: theirs, and no tanh
    calibrate: bool = False  # outputs times the number that fits the validation split best
    epochs: int = 40  # at most; no part of the name, as a longer run goes on (but with `anneal`)
    limit: int | None = None  # predictions of the training split that are used
    vocabulary: int | None = None  # most frequent tokens that are kept

    @property
    def kind(self) -> str:
        """Return the kind of the task, one of corpora.METRICS."""
        return corpora.KINDS[self.task]

    @property
    def name(self) -> str:
        """Return a name for files, with a hash of everything but the number of epochs."""
        facts = asdict(self)
        # runs have the names that they had before these
        for name in ("dropout", "anneal", "half", "table", "calibrate"):
            if not facts[name]:
                del facts[name]
        if not self.anneal:
            del facts["epochs"]
        for what, key in (("recipe", (self.variant, self.cell)), ("data", (self.kind,))):
            facts |= {what: RECIPES[key]} if key in RECIPES else {}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        k = "" if self.k is None else f"-k{self.k}"
        return f"{self.task}-{self.cell}{k}-{self.variant}-s{self.seed}-{digest[:10]}"


#: Raised when the code changes what these train to, so that no older network is taken for one: by
#: (variant, cell), and by (kind,) of task where the data changed.
RECIPES: dict[tuple[str, ...], int] = {
    ("sharp-stable", "rnn"): 3, ("stable", "lstm"): 2, ("sharp-stable", "lstm"): 3, ("words",): 2,
    ("slots",): 2, **{(BUILT, name): 2 for name in _models.BUILT if name.endswith("-blocks")},
}  # fmt: skip

#: What differs from the defaults of `Setting`, by size and kind of task, then by cell.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "smoke": {  # for tests: seconds
        kind: {"hidden": 8, "width": 6, "epochs": 2, "limit": 400, "batch": 4, "bptt": 10}
        for kind in corpora.METRICS
    },
    "small": {  # 2 CPU cores: minutes
        "music": {"lr": 0.5, "epochs": 60},
        "slots": {"lr": 1.0, "epochs": 24, "batch": 16, "width": 48, "unknown": 0.25},
        "chars": {"lr": 1.0, "epochs": 8, "patience": 1, "batch": 32, "hidden": 128,
                  "limit": 500_000},
        "words": {"lr": 2.0, "epochs": 8, "patience": 1, "batch": 16, "clip": 0.25,
                  "limit": 200_000, "vocabulary": 2000, "width": 64},
    },
    "paper": {  # hours on an accelerator; sizes as in the models of the time
        "music": {"lr": 0.5, "epochs": 200, "hidden": 300},
        "slots": {"lr": 1.0, "epochs": 60, "batch": 32, "hidden": 300, "width": 100,
                  "unknown": 0.25},
        "chars": {"lr": 2.0, "epochs": 40, "batch": 64, "hidden": 600, "bptt": 100, "width": 100},
        "words": {"lr": 10.0, "epochs": 40, "batch": 20, "hidden": 256, "width": 256,
                  "clip": 0.25, "decay": 0.25},
    },
}  # fmt: skip

#: LSTMs and GRUs bear, and need, larger steps.
GATED_FACTOR = 4.0

#: Feed-forward networks are trained by Adam, with which they are known to work.
ADAM = {"optimizer": "adam", "lr": 3e-3, "epochs": 25}


def preset(size: str, task: str, cell: str, **changes: Any) -> Setting:
    """Return the setting of a task and a cell at a size, with changes."""
    chosen = dict(PRESETS[size][corpora.KINDS[task]])
    if cell in {"lstm", "gru"}:
        chosen["lr"] = GATED_FACTOR * chosen.get("lr", Setting.lr)
    if cell not in _models.CELLS:
        chosen |= ADAM | {"epochs": min(ADAM["epochs"], chosen["epochs"])}
    return Setting(task=task, cell=cell, **(chosen | changes))


@lru_cache(maxsize=4)
def corpus_of(task: str, limit: int | None, vocabulary: int | None, data: Path | None) -> Corpus:
    """Return the part of a data set that a setting uses."""
    return corpora.load(task, data).limited(limit, vocabulary)


# ------------------------------------------------------------------------------------- batches


def batches(
    pairs: Sequence[corpora.Sequence_], size: int, rng: np.random.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield inputs (B, T, ...), targets (B, T, ...) and weights (B, T), 0 where there is nothing.

    One long sequence is cut into `size` pieces that are read side by side; of many, those of about
    the same length are put together, in random order if a generator is given.
    """
    if len(pairs) == 1:
        x, y = pairs[0]
        rows = min(size, len(y))
        steps = -(-len(y) // rows)
        pairs = [(x[i : i + steps], y[i : i + steps]) for i in range(0, len(y), steps)]
        groups = [list(range(len(pairs)))]
    else:
        noise = np.zeros(len(pairs)) if rng is None else rng.uniform(0, 0.2, len(pairs))
        order = np.argsort([len(y) for _, y in pairs] * (1 + noise)).tolist()
        groups = [order[i : i + size] for i in range(0, len(order), size)]
        if rng is not None:
            rng.shuffle(groups)
    for group in groups:
        longest = max(len(pairs[i][1]) for i in group)
        x, y = (_padded([pairs[i][j] for i in group], longest) for j in (0, 1))
        weight = torch.zeros(len(group), longest)
        for row, i in enumerate(group):
            weight[row, : len(pairs[i][1])] = 1.0
        yield x, y, weight


def _padded(parts: Sequence[Any], length: int) -> Tensor:
    together = np.zeros((len(parts), length, *parts[0].shape[1:]), dtype=parts[0].dtype)
    for row, part in zip(together, parts, strict=True):
        row[: len(part)] = part
    return torch.from_numpy(together)


def word_dropout(corpus: Corpus, strength: float) -> Tensor | None:
    """Return how likely each word is read as the unknown one in training, which is else never met.

    After Kiperwasser and Goldberg (2016); None without.
    """
    if not strength:
        return None
    words = np.concatenate([x for x, _ in corpus.splits["train"]])
    times = np.bincount(words, minlength=corpus.inputs)
    return torch.from_numpy(strength / (strength + times)).float()


def losses(kind: str, logits: Tensor, y: Tensor) -> Tensor:
    """Return the loss of every prediction in nats: (B, T); of music the sum over the keys."""
    if kind == "music":
        return fn.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(-1)
    if kind == "words":  # of many classes, faster where they lie beside each other in memory
        flat = fn.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
        return flat.view(y.shape)
    return fn.cross_entropy(logits.transpose(1, 2), y, reduction="none")


def detached(state: Any) -> Any:
    """Return the state as a number that no gradient flows through."""
    if state is None or isinstance(state, Tensor):
        return None if state is None else state.detach()
    return tuple(part.detach() for part in state)


def in_pieces(model: nn.Module, x: Tensor, chunk: int = 200) -> Iterator[tuple[slice, Tensor]]:
    """Yield the times and the outputs of a batch, so many inputs at a time; the state goes on."""
    device, state = next(model.parameters()).device, None
    for t in range(0, x.shape[1], chunk):
        part = slice(t, t + chunk)
        logits, state = model(x[:, part].to(device), state)
        yield part, logits


def evaluate(
    model: nn.Module, corpus: Corpus, split: str = "test", *, chunk: int = 200, batch: int = 32
) -> dict[str, Any]:
    """Return the mean loss in nats and the metric of a split, and what each sequence gave.

    A text is cut into `batch` pieces that start from zero and are read side by side, `chunk` inputs
    at a time; with a batch of 1 it is one sequence.  ``parts`` has one row a sequence: its loss and
    number of predictions, or of slots the numbers of chunks that are right, there and found; the
    order is that of `batches` without a generator, the same for every network.
    """
    device = next(model.parameters()).device
    total = count = 0.0
    parts: list[list[float]] = []
    model.eval()
    with torch.no_grad():
        for x, y, weight in batches(corpus.splits[split], batch):
            best, own = [], torch.zeros(len(x), dtype=torch.float64)
            for part, logits in in_pieces(model, x, chunk):
                lost = losses(corpus.kind, logits, y[:, part].to(device)).cpu()
                own += (lost * weight[:, part]).double().sum(1)
                if corpus.kind == "slots":
                    best.append(logits.argmax(-1).cpu())
            sizes = weight.sum(1).double()
            total, count = total + float(own.sum()), count + float(sizes.sum())
            if corpus.kind == "slots":
                picked = torch.cat(best, 1)
                for row in range(len(x)):
                    length = int(sizes[row])
                    parts.append(
                        list(
                            corpora.chunk_counts(
                                corpus.labels, y[row, :length], picked[row, :length]
                            )
                        )
                    )
            else:
                parts += torch.stack([own, sizes], 1).tolist()
    model.train()
    nats = total / count
    return {"loss": nats, "metric": metric_of(corpus.kind, np.array(parts)), "parts": parts}


def metric_of(kind: str, parts: np.ndarray) -> float:
    """Return the metric of sequences together, from what each of them gave."""
    if kind == "slots":
        return corpora.f1(*parts.sum(0).tolist())
    return corpora.as_metric(kind, float(parts[:, 0].sum() / parts[:, 1].sum()))


def height(found: dict[str, Any], kind: str) -> float:
    """Return what networks are chosen by, the less the better: of slots not the loss."""
    return -found["metric"] if kind == "slots" else float(found["loss"])


# ------------------------------------------------------------------------------------- training


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A trained network, the data it was trained on, and what happened."""

    setting: Setting
    model: nn.Module
    corpus: Corpus
    history: list[dict[str, float]]  # one entry an epoch
    result: dict[str, Any]  # test loss and metric, parameters, seconds
    best: float  # the validation loss, or the negative metric, that it was chosen by
    within: dict[str, Any]  # what its constraint remembered at the end of the epoch it is from

    @property
    def device(self) -> torch.device:
        """Return where the network is."""
        return next(self.model.parameters()).device


def network(setting: Setting, corpus: Corpus) -> nn.Module:
    """Return the untrained network of a setting; the seed decides its parameters."""
    torch.manual_seed(setting.seed)
    return _models.build(
        setting.cell, inputs=corpus.inputs, classes=corpus.classes,
        tokens=corpus.kind != "music", hidden=setting.hidden, width=setting.width, k=setting.k,
        rate=setting.rate, dropout=setting.dropout, table=setting.table,
    )  # fmt: skip


OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def calibrated(model: nn.Module, corpus: Corpus) -> float:
    """Return the positive number whose multiple of the outputs has the least validation loss.

    Temperature scaling (Guo et al., 2017): the loss is convex in the number.  One below 1 says that
    the network was too sure of itself.
    """
    from scipy.optimize import minimize_scalar

    model.eval()
    with torch.no_grad():
        kept = [
            (logits.cpu(), y[:, part], weight[:, part])
            for x, y, weight in batches(corpus.splits["valid"], 32)
            for part, logits in in_pieces(model, x)
        ]

        def loss(scale: float) -> float:
            each = (losses(corpus.kind, scale * logits, y) * w for logits, y, w in kept)
            return float(sum(part.double().sum() for part in each))

        return float(minimize_scalar(loss, bounds=(0.01, 100.0), method="bounded").x)


def trained(
    setting: Setting,
    *,
    data: Path | None = None,
    runs: Path = Path("build/runs"),
    device: str = "cpu",
    progress: bool | None = None,
) -> Trained:
    """Return the network of a setting: from the folder of runs, or trained now and put there."""
    corpus = corpus_of(setting.task, setting.limit, setting.vocabulary, data)
    model = network(setting, corpus).to(device)
    optimizer = OPTIMIZERS[setting.optimizer](
        model.parameters(), lr=setting.lr, weight_decay=setting.weight_decay, fused=setting.half
    )
    runs.mkdir(parents=True, exist_ok=True)
    # training is the same with calibration afterwards and without
    checkpoint = runs / f"{replace(setting, calibrate=False).name}.pt"
    summary = runs / f"{setting.name}.json"
    stage: dict[str, Any] = {
        "epoch": 0, "best": math.inf, "waited": 0, "seconds": 0.0, "history": [],
    }  # fmt: skip
    kept, within = model.state_dict(), {}
    constrain = _stability.constraint(model, setting)
    if checkpoint.is_file():
        saved = _saved(checkpoint, device)
        stage, kept, within = saved["stage"], saved["best"], saved["within"]
        if not stage["epoch"] <= setting.epochs:
            raise corpora.DataError(
                f"{checkpoint} was trained for {stage['epoch']} epochs, {setting.epochs} are asked "
                "for; ask for as many or more, or name another folder of runs"
            )
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        if "constraint" in saved:
            constrain.load_state_dict(saved["constraint"])
    elif setting.epochs:
        constrain(final=True)  # the start is inside too
        within = constrain.state_dict()
    shown = sys.stderr.isatty() if progress is None else progress
    with _Bar(setting, shown) as advance:
        advance(stage["epoch"])
        while stage["epoch"] < setting.epochs and (
            setting.anneal or optimizer.param_groups[0]["lr"] > setting.lr / 64
        ):
            began = time.perf_counter()
            # every epoch has its own order, so that a resumed run is the same run
            rng = np.random.default_rng([setting.seed, stage["epoch"]])
            if setting.dropout:
                torch.manual_seed(int(rng.integers(2**62)))
            if setting.anneal:
                for group in optimizer.param_groups:
                    group["lr"] = annealed(setting, stage["epoch"])
            loss = _epoch(model, corpus, setting, optimizer, constrain, rng)
            constrain(final=True)
            found = evaluate(model, corpus, "valid")
            valid = found["loss"]
            if not math.isfinite(valid):
                raise RuntimeError(f"{setting.name} diverged in epoch {stage['epoch']}; lower lr")
            at = height(found, corpus.kind)
            if at < stage["best"]:
                kept = {name: value.clone() for name, value in model.state_dict().items()}
                within = constrain.state_dict()
            stage["waited"] = 0 if at < stage["best"] else stage["waited"] + 1
            if stage["waited"] == setting.patience and not setting.anneal:
                stage["waited"] = 0
                for group in optimizer.param_groups:
                    group["lr"] *= setting.decay
            stage["best"] = min(at, stage["best"])
            stage["seconds"] += time.perf_counter() - began
            stage["epoch"] += 1
            lr = optimizer.param_groups[0]["lr"]
            stage["history"].append({"train": loss, "valid": valid, "lr": lr})
            with replacing(checkpoint) as stream:
                torch.save(
                    {"stage": stage, "best": kept, "within": within,
                     "model": model.state_dict(), "optimizer": optimizer.state_dict(),
                     "constraint": constrain.state_dict()},
                    stream,
                )  # fmt: skip
            advance(stage["epoch"], f"valid {valid:.4f}")
    model.load_state_dict(kept)
    best = stage["best"]
    if setting.calibrate:
        scale = calibrated(model, corpus)
        with torch.no_grad():
            for parameter in model.head.parameters():
                parameter *= scale
        best = height(evaluate(model, corpus, "valid"), corpus.kind)
    result = read_result(summary) if summary.is_file() else {}
    if result.get("epochs") != stage["epoch"]:
        result = {
            **evaluate(model, corpus),
            "parameters": _models.count(model),
            "seconds": stage["seconds"],
            "epochs": stage["epoch"],
            "converged": setting.anneal or optimizer.param_groups[0]["lr"] <= setting.lr / 64,
        }
        record = {"setting": asdict(setting), "history": stage["history"], "result": result}
        write_json(summary, record)
    return Trained(
        setting=setting, model=model, corpus=corpus, history=stage["history"], result=result,
        best=best, within=within,
    )  # fmt: skip


def annealed(setting: Setting, epoch: int) -> float:
    """Return the step size of an epoch: half a cosine from lr to lr / 64."""
    done = epoch / max(setting.epochs - 1, 1)
    return setting.lr / 64 + (setting.lr - setting.lr / 64) * (1 + math.cos(math.pi * done)) / 2


def _saved(checkpoint: Path, device: str) -> dict[str, Any]:
    """Return what a checkpoint holds."""
    try:
        # tensors and numbers only: weights_only refuses anything that would run code
        saved: dict[str, Any] = torch.load(checkpoint, map_location=device, weights_only=True)
    except Exception as error:
        raise corpora.DataError(
            f"{checkpoint} cannot be read ({type(error).__name__}); remove it, and the network is "
            "trained again"
        ) from error
    return saved


def read_json(path: Path) -> dict[str, Any]:
    """Return what a file of the folder of runs holds."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise corpora.DataError(
            f"{path} is no JSON file ({error}); remove it, and it is made again"
        ) from error
    return found


def read_result(path: Path) -> dict[str, Any]:
    """Return the result in the summary of a run."""
    found = read_json(path)
    result = found.get("result") if isinstance(found, dict) else None
    if not isinstance(result, dict):
        raise corpora.DataError(f"{path} holds no result; remove it, and it is made again")
    return result


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file of the folder of runs in one step."""
    with replacing(path) as stream:
        stream.write((json.dumps(content, indent=1) + "\n").encode())


def _epoch(
    model: nn.Module,
    corpus: Corpus,
    setting: Setting,
    optimizer: torch.optim.Optimizer,
    constrain: Any,
    rng: np.random.Generator,
) -> float:
    """Go once through the training split; return the mean loss."""
    device = next(model.parameters()).device
    total = count = 0.0
    rare = word_dropout(corpus, setting.unknown)
    for x, y, weight in batches(corpus.splits["train"], setting.batch, rng):
        state = None
        if rare is not None:
            x = torch.where(torch.from_numpy(rng.random(x.shape)) < rare[x], 0, x)
        for t in range(0, x.shape[1], setting.bptt):
            part = slice(t, t + setting.bptt)
            w = weight[:, part].to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=setting.half):
                logits, state = model(x[:, part].to(device), detached(state))
            lost = (losses(corpus.kind, logits.float(), y[:, part].to(device)) * w).sum()
            optimizer.zero_grad()
            (lost / w.sum().clamp(min=1.0)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), setting.clip)
            optimizer.step()
            constrain()
            total, count = total + float(lost.detach()), count + float(w.sum())
    return total / count


class _Bar:
    """A progress bar over epochs, on a terminal only."""

    def __init__(self, setting: Setting, wanted: bool) -> None:
        from theory.progress import progress_bar

        self.name = setting.name
        self.progress = progress_bar(shown=wanted)
        self.task = self.progress.add_task(self.name, total=setting.epochs)

    def __enter__(self) -> Any:
        if not self.progress.disable:
            self.progress.start()
        return self

    def __call__(self, epoch: int, note: str = "") -> None:
        self.progress.update(self.task, completed=epoch, description=f"{self.name} {note}".strip())

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


# ------------------------------------------------------------- the k-step counterparts of a run


def by_length(
    t: Trained, lengths: Sequence[int], runs: Path, *, most: int = FIRST
) -> dict[int | None, dict[str, float]]:
    """Return loss and metric of the k-step counterparts of a recurrent network, no retraining.

    None stands for the network itself.  Both are taken over the first `most` test predictions.  A
    text is one sequence: the network carries its state on from the first of its inputs, and the
    counterpart starts from zero k inputs before every prediction.
    """
    target = runs / f"{t.setting.name}-windows.json"
    known = read_json(target) if target.is_file() else {}
    pairs = list(corpora.first(t.corpus.splits["test"], most))
    part = replace(t.corpus, splits={"test": pairs})
    longest = max(len(y) for _, y in pairs)
    for k in (None, *lengths):
        if str(k) in known:
            continue
        if k is not None and k >= longest:
            known[str(k)] = known[str(None)]  # a window as long as every sequence is the network
            continue
        model = t.model if k is None else _models.restarted(t.model, k)
        # windows of a part reach k - 1 inputs before it, so longer ones are asked of longer parts
        chunk = 200 if k is None else max(200, k)
        found = evaluate(model, part, chunk=chunk, batch=1 if len(pairs) == 1 else 32)
        known[str(k)] = {name: found[name] for name in ("loss", "metric")}
    write_json(target, known)
    return {k: known[str(k)] for k in (None, *lengths)}


def relative_excess(kind: str, value: float, full: float) -> float:
    """Return by how much a metric is worse than that of full context, relatively."""
    return (full - value) / full if kind == "slots" else (value - full) / full


def test_sequences(t: Trained, most: int | None, length: int) -> list[np.ndarray]:
    """Return encoded inputs (T, m) in double precision: the first `most` times of the test split.

    Long texts are cut into sequences of the given length.
    """
    pairs = t.corpus.splits["test"]
    found = []
    for x, _ in pairs if most is None else corpora.first(pairs, most):
        found += np.split(encoded(t, x), range(length, len(x), length))
    return found


def test_inputs(t: Trained) -> np.ndarray:
    """Return every input of the whole test split once, encoded, in double precision: (count, m)."""
    return encoded(t, np.unique(np.concatenate([x for x, _ in t.corpus.splits["test"]]), axis=0))


def encoded(t: Trained, x: np.ndarray) -> np.ndarray:
    """Return inputs as the recurrent cell sees them, in double precision: (T, m)."""
    with torch.no_grad():
        return t.model.encoder(torch.from_numpy(x)[None].to(t.device))[0].cpu().double().numpy()


# ------------------------------------------------------------------------------ command line


def options(
    doc: str | None,
    argv: Sequence[str] | None,
    *,
    variants: Sequence[str] = VARIANTS,
    cells: Sequence[str] = _models.PUBLISHED,
    more: Sequence[str] = (),
) -> argparse.Namespace:
    """Read the options that all experiments share.

    `variants` and `cells` are those that an experiment is about, `more` are cells that it can be
    asked for; others are refused.

    Raises
    ------
    SystemExit
        If an option has no meaning, a folder cannot be written, or cuda is asked for and is not
        there; the message says how to go on.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--task", nargs="+", choices=list(corpora.KINDS), default=["jsb"])
    parser.add_argument("--size", choices=tuple(PRESETS), default="small")
    parser.add_argument(
        "--variants", nargs="+", choices=(*VARIANTS, BUILT, EUCLIDEAN), default=list(variants)
    )
    networks = (*_models.CELLS, *_models.BUILT)
    parser.add_argument("--cells", nargs="+", choices=networks, default=list(cells))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--epochs", type=int, default=None, help="at most so many, where the size has more"
    )
    parser.add_argument("--rate", type=float, default=None, help="of the stable variants")
    parser.add_argument("--forget", type=float, default=None, help="bound of forget gates, stable")
    parser.add_argument("--optimizer", choices=tuple(OPTIMIZERS), default=None)
    parser.add_argument("--lr", type=float, default=None, help="first step size")
    parser.add_argument("--weight-decay", type=float, default=None)
    parser.add_argument("--data", type=Path, default=None, help="data folder, or STABLE_DATA")
    parser.add_argument("--runs", type=Path, default=Path("build/runs"))
    parser.add_argument("--out", type=Path, default=Path("build/examples"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="networks that are trained at once")
    parser.add_argument(
        "--cluster", help="train on the workers of this dask scheduler, which share --runs and data"
    )
    parser.add_argument(
        "--finished", action="store_true", help="what is in the folder of runs; train nothing"
    )
    parser.add_argument(
        "--along", action="store_true", help="contexts that are proved along the test data, too"
    )
    chosen = parser.parse_args(argv)
    for name, possible in (("variants", variants), ("cells", (*cells, *more))):
        for other in (v for v in getattr(chosen, name) if v not in possible):
            parser.error(
                f"--{name} {other} is nothing that this experiment has; needed some of: "
                f"{', '.join(possible)}"
            )
    for name in ("epochs", "threads", "jobs"):
        value = getattr(chosen, name)
        if value is not None and value < 1:
            parser.error(f"--{name} {value}, needed at least 1")
    for name, low, high in (
        ("rate", 0.0, 1.0), ("forget", 0.0, 1.0), ("lr", 0.0, math.inf),
        ("weight_decay", -math.inf, math.inf),
    ):  # fmt: skip
        value = getattr(chosen, name)
        if value is not None and not (low < value < high and (value >= 0)):
            parser.error(
                f"--{name.replace('_', '-')} {value:g}, needed a number "
                + (f"between {low:g} and {high:g}" if high == 1.0 else f"above {max(low, 0):g}")
            )
    if min(chosen.seeds) < 0:
        parser.error(f"--seeds {min(chosen.seeds)}, needed 0 or more")
    if chosen.cluster is not None and chosen.jobs > 1:
        parser.error(f"--jobs {chosen.jobs} with --cluster: a cluster has its own workers")
    if chosen.cluster is not None:
        try:
            cluster(chosen.cluster)().shutdown()
        except (ValueError, LostWorkError, MissingExtraError) as error:
            parser.error(f"--cluster: {error}")
    for name in ("task", "variants", "cells", "seeds"):
        given = getattr(chosen, name)
        if twice := [v for v in dict.fromkeys(given) if given.count(v) > 1]:
            parser.error(f"--{name} has {twice[0]} more than once, needed each once")
    for name in ("runs", "out"):
        if trouble := _results.unwritable(getattr(chosen, name)):
            parser.error(f"--{name} {trouble}; pass another folder")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error(
            "--device cuda was asked for, but torch finds no such device; leave it out to run on "
            "the CPU (--size small takes minutes there)"
        )
    torch.set_num_threads(chosen.threads)
    return chosen


#: Options that replace what a preset says.
REPLACED = ("rate", "forget", "optimizer", "lr", "weight_decay")


def setting_of(chosen: argparse.Namespace, task: str, cell: str, **changes: Any) -> Setting:
    """Return the setting of these options."""
    given = {name: getattr(chosen, name) for name in REPLACED}
    asked = {name: value for name, value in given.items() if value is not None}
    setting = preset(chosen.size, task, cell, **asked | changes)
    fewer = setting.epochs if chosen.epochs is None else min(setting.epochs, chosen.epochs)
    return replace(setting, epochs=fewer)


def study(chosen: argparse.Namespace, task: str, cell: str, **changes: Any) -> Trained:
    """Return the trained network of these options."""
    setting = setting_of(chosen, task, cell, **changes)
    return trained(setting, data=chosen.data, runs=chosen.runs, device=chosen.device)


def studies(
    chosen: argparse.Namespace,
) -> Iterator[tuple[tuple[str, str, str, int], Trained]]:
    """Yield ((task, cell, variant, seed), network) of all that the options ask for."""
    labels = [
        (task, cell, variant, seed)
        for task in chosen.task
        for cell in chosen.cells
        for variant in VARIANTS
        if variant in chosen.variants
        for seed in chosen.seeds
    ]
    train_all(chosen, [setting_of(chosen, t, c, variant=v, seed=seed) for t, c, v, seed in labels])
    for label in labels:
        task, cell, variant, seed = label
        yield label, study(chosen, task, cell, variant=variant, seed=seed)


def train_all(chosen: argparse.Namespace, settings: Sequence[Setting]) -> None:
    """Train what is not in the folder of runs yet, by the workers that the options name."""
    left = [s for s in settings if not (chosen.runs / f"{s.name}.json").is_file()]
    # the short ones last: no process waits long for another at the end
    left.sort(key=lambda setting: setting.kind == "music")
    start = processes(chosen.jobs) if chosen.jobs > 1 and len(left) > 1 else None
    if chosen.cluster is not None:
        start = cluster(chosen.cluster)
    pieces = [(chosen, setting) for setting in left]
    # a training that is lost with its process goes on from its last epoch
    for _, name in finished(_train, pieces, executor=start, patience=None):
        print(f"trained {name}", flush=True)


def _train(piece: tuple[argparse.Namespace, Setting]) -> str:
    chosen, setting = piece
    torch.set_num_threads(chosen.threads)
    t = trained(
        setting, data=chosen.data, runs=chosen.runs, device=chosen.device,
        progress=chosen.jobs == 1 and sys.stderr.isatty(),
    )  # fmt: skip
    return f"{setting.name}: {t.corpus.metric} {t.result['metric']:.4f}"


def report(
    argv: Sequence[str] | None,
    *,
    doc: str | None,
    name: str,
    columns: Sequence[str],
    data: Callable[[argparse.Namespace], list[Any]],
    draw: Callable[..., None],
    variants: Sequence[str] = VARIANTS,
    cells: Sequence[str] = _models.PUBLISHED,
    more: Sequence[str] = (),
) -> int:
    """Run one experiment from the command line: its numbers as CSV, its picture, 0."""
    chosen = options(doc, argv, variants=variants, cells=cells, more=more)
    began = time.perf_counter()
    try:
        rows = data(chosen)
    except corpora.DataError as error:
        print(error, file=sys.stderr)
        return 1
    target = _results.write(
        rows, columns, chosen.out, name, argv, seeds=chosen.seeds,
        seconds=time.perf_counter() - began,
    )  # fmt: skip
    _results.picture(draw, rows, target)
    return 0


def curves(
    rows: Sequence[Sequence[Any]], at: int, value: int, *groups: int
) -> dict[tuple[Any, ...], tuple[list[Any], list[float], list[float]]]:
    """Return mean and spread of column `value` at every entry of column `at`, by groups.

    A curve is (entries, means, standard deviations over what is left: the seeds).  Words in place
    of values, and nothing, are left out.
    """
    gathered: dict[tuple[Any, ...], dict[Any, list[float]]] = {}
    for row in rows:
        if not isinstance(row[value], str):
            group = gathered.setdefault(tuple(row[g] for g in groups), {})
            group.setdefault(row[at], []).append(float(row[value]))
    return {
        key: (
            list(found),
            [float(np.mean(v)) for v in found.values()],
            [float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for v in found.values()],
        )
        for key, found in gathered.items()
    }
