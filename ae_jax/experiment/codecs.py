"""Trained models as codecs, and their tables beside the run."""

import functools
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

from ae_jax import coding
from ae_jax.coding import Codec, Table
from ae_jax.core import Array, InputError
from ae_jax.experiment import opening
from ae_jax.training import Model
from ae_jax.training.checkpoint import DAMAGE

#: Where a run keeps the tables of its lanes.
FOLDER = "codecs"


def codec(model: Model, tile: Sequence[int], seen: np.ndarray | None = None) -> Codec:
    """Returns a model as a codec, whose tables are counted on images that it has seen.

    Args:
      model: whose latents are whole numbers, as those of `posteriors.uniform()`.
      tile: of one image, (H, W, C).
      seen: uint8 [N, H, W, C]; None for a codec without tables.

    Raises:
      InputError: as `coding.counted`.
    """
    # of the lanes of a group the views are the same, and one program
    encoded, decoded = map(_compiled, (model.method.views.encode, model.method.views.decode))
    state, hparams = model.state, model.hparams
    made = Codec(
        tuple(tile),
        lambda images: np.rint(encoded(state, {"image": images}, hparams)).astype(np.int64),
        lambda codes: np.asarray(decoded(state, codes.astype(np.float32), hparams)),
        (),
        b"",
    )
    if seen is None:
        return made
    return named(model, made, coding.counted(coding.in_batches(made.encode, coding.unit(seen))))


@functools.lru_cache(maxsize=16)
def _compiled(view: Callable[..., Array]) -> Callable[..., Array]:
    return jax.jit(view)


def named(model: Model, made: Codec, tables: Sequence[Table]) -> Codec:
    """Returns the codec with tables, and the digest of both."""
    found = hashlib.sha256(repr(made.tile).encode())
    for leaf in jax.tree.leaves(model.method.inference(model.state)):
        found.update(np.ascontiguousarray(leaf).tobytes())
    for low, counts in tables:
        found.update(np.asarray([low, *counts], "<i8").tobytes())
    return made._replace(tables=tuple(tables), digest=found.digest()[:8])


def keep(directory: Path, lane: int, made: Codec) -> None:
    """Writes a codec's tables beside the run of its model.

    Args:
      directory: the run's.
      lane: the model's.
      made: the codec.
    """
    path = _path(directory, lane)
    path.parent.mkdir(exist_ok=True)
    content = io.BytesIO()
    np.savez(
        content,
        tile=made.tile,
        low=[table.low for table in made.tables],
        length=[len(table.counts) for table in made.tables],
        counts=np.concatenate([table.counts for table in made.tables]),
        digest=np.frombuffer(made.digest, np.uint8),
    )
    path.write_bytes(content.getvalue())


def opened(directory: Path, lane: int | None = None) -> dict[int, Codec]:
    """Returns the codecs of a finished run, by lane.

    Args:
      directory: the run's.
      lane: the only one that is wanted.

    Raises:
      InputError: as `experiment.open`, if there are no tables of them, or tables were damaged or
        are of another state of the model.
    """
    found = {}
    for model in opening.open(directory):
        number = model.row["lane"]
        path = _path(directory, number)
        if lane not in (None, number) or not path.exists():
            continue
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                ends = np.cumsum(kept["length"])[:-1]
                parts = np.split(kept["counts"].astype(np.int64), ends)
                tables = [Table(int(low), x) for low, x in zip(kept["low"], parts, strict=True)]
                tile, digest = tuple(map(int, kept["tile"])), kept["digest"].tobytes()
        except DAMAGE:
            raise InputError(
                f"{path} was damaged: delete it and repeat the run's command"
            ) from None
        found[number] = named(model, codec(model, tile), tables)
        if found[number].digest != digest:
            raise InputError(
                f"{path} is of another state of the model: delete it and repeat the run's command"
            )
    if not found:
        which = "any lane" if lane is None else f"lane {lane}"
        raise InputError(
            f"{directory} has no codec of {which}: give a finished run of image_compression.py"
        )
    return found


def _path(directory: Path, lane: int) -> Path:
    return directory / FOLDER / f"lane-{lane:03d}.npz"
