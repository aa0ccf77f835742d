r"""Projections inside a Lightning training: `StableProjection` as a callback.

Main name: `stable_callback`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from theory.errors import MissingExtraError, check_count
from theory.projections.interface import check_asked_rate
from theory.torch.projection import StableProjection

#: Under which names Lightning is installed.
_NAMES = ("lightning.pytorch", "pytorch_lightning")


def stable_callback(path: str, *, rate: float, every: int = 1, **options: Any) -> Any:
    r"""Return a Lightning callback that keeps a recurrent layer stable while it is trained.

    After every step of an optimizer that moves the layer its weights are projected, whatever
    accumulates gradients or scales them; when training ends they are projected once more, so that
    the last weights are stable even if `every` is not 1.  After the start of training its attribute
    `projection` is the `StableProjection`, whose `certificates` say what is proved.

    Parameters
    ----------
    path : str
        Where the layer is in the LightningModule, as in ``"encoder.rnn"``.
    rate, every
        As for `StableProjection`.
    options
        Its other arguments: ``onto``, ``inputs``, ``forget``, ``metric``, ``ratio``.

    Returns
    -------
    lightning.pytorch.Callback

    Raises
    ------
    ValueError
        If an argument does not fit; when training starts, if there is no layer of that name or no
        optimizer moves it.
    MissingExtraError
        If Lightning is not installed.

    Examples
    --------
    In a training script::

        trainer = lightning.Trainer(callbacks=[stable_callback("rnn", rate=0.95, every=10)])
    """
    check_asked_rate(rate)
    check_count(at_least=1, every=every)
    base = _callback_class()

    class StableCallback(base):  # type: ignore[misc, valid-type]
        """Attaches a `StableProjection` to the optimizers of a trainer."""

        def __init__(self) -> None:
            super().__init__()
            self.projection: StableProjection | None = None
            self._handles: list[Any] = []

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            """Make the projection and attach it."""
            try:
                layer = pl_module.get_submodule(path)
            except AttributeError:
                known = [name for name, _ in pl_module.named_modules() if name]
                raise ValueError(
                    f"the module has no layer {path!r}; it has: {', '.join(known) or 'none'}"
                ) from None
            self.projection = StableProjection(layer, rate=rate, every=every, **options)
            own = {id(p) for p in layer.parameters()}
            moving = [
                one
                for one in trainer.optimizers
                if any(id(p) in own for group in one.param_groups for p in group["params"])
            ]
            if not moving:
                raise ValueError(
                    f"no optimizer moves the parameters of {path!r}; return them from "
                    "configure_optimizers, or leave the callback out"
                )
            self._handles = [self.projection.attach(one) for one in moving]

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            """Project a last time, and let go of the optimizers."""
            del trainer, pl_module
            if self.projection is not None:
                self.projection.project()
            for handle in self._handles:
                handle.remove()
            self._handles = []

    return StableCallback()


def _callback_class() -> Any:
    """Return the class of Lightning's callbacks."""
    for name in _NAMES:
        try:
            return import_module(name).Callback
        except ImportError:
            continue
    raise MissingExtraError("lightning", "lightning", "a callback of Lightning")
