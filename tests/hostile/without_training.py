"""Experiments with everything but their training, for who is interested in the rest.

Lanes come back as they were drawn, in a second instead of a minute. Figures are drawn once each,
and no file is made of them.
"""

import functools
import importlib.util
import sys
import types
from pathlib import Path

import jax
import numpy as np

from ae_jax import cli, data
from ae_jax.plots import report
from ae_jax.training import directory as run_directory
from ae_jax.training import engine
from ae_jax.training import plan as plans

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "experiments").glob("*.py"))
#: Those that compute what they report, with nothing to leave out.
UNTRAINED = {"crowding", "deep_image_prior", "dirac_gan", "sampling", "total_correlation"}
#: What makes the smallest form go through all stages that the experiment has.
STAGES = {
    "dbn": "--widths 32 32",
    "rbm_bars_and_stripes": "--optimizer adam gradient --gradient-estimator cd-1 exact "
    "--gradient-steps 40",
    "representations": "--autoencoder denoising contractive sparse stacked",
    "robust_ae": "--stack-criterion correntropy --stack-widths 8",
    "sparse_ae": "--regulariser none kl k_sparse contractive",
}
#: Constants of scripts that make what is beside the point slow.
SMALLER = {"representations": {"EMBEDDED": 60}}  # by t-SNE
#: Data sets are not changed: each is made once.
LOADERS = {name: functools.cache(loader) for name, loader in data._EMBEDDED.items()}


def load(name):
    """The module of a script."""
    title = f"{name}_script"
    if title not in sys.modules:
        path = ROOT / "experiments" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(title, path)
        sys.modules[title] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[title])
        vars(sys.modules[title]).update(SMALLER.get(name, {}))
    return sys.modules[title]


def run(name, out, arguments):
    """Calls a script in its smallest form, with further arguments."""
    module = load(name)
    arguments = ["--preset", "smoke", *STAGES.get(name, "").split(), *arguments]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        cli.main(getattr(module, name), module.PRESETS, [*arguments, "--out", str(out)])


def compiled(views):
    """The views as a program each: operation by operation there would be several of each."""
    return type(views)(
        **{
            name: view and jax.jit(view, static_argnums=(2,) if name == "sample" else ())
            for name, view in views._asdict().items()
        }
    )


def render(figure, format):
    """An empty file; the figure is drawn for the first of them."""
    if format == "png":
        figure.draw_without_rendering()
    return b""


def replace_training(monkeypatch):
    """Replaces training; what is returned says what comes of it, and counts.

    `frozen` says which of some lanes froze, `value` is all figures.
    """
    kind = types.SimpleNamespace(frozen=lambda lanes: np.zeros(len(lanes), bool), value=0.5, runs=0)

    def train_group(plan, group, mapping, outlets):
        kind.runs += 1
        count, method = len(group.index), group.method
        values = set().union(*plans.check(plan, group))
        hparams = {name: np.asarray(value[0]) for name, value in group.hparams.items()}
        start = () if group.start is None else (jax.tree.map(lambda x: x[0], group.start),)
        key = jax.random.key(0)
        state = jax.eval_shape(method.init, key, plans.batch_of(plan), hparams, *start)
        frozen = kind.frozen(group.index)
        final = {name: np.where(frozen, np.nan, kind.value) for name in values}
        random = np.random.RandomState(0)

        def drawn(leaf):
            if not np.issubdtype(leaf.dtype, np.floating):
                return np.zeros((count, *leaf.shape), leaf.dtype)
            return 0.05 * random.standard_normal((count, *leaf.shape)).astype(leaf.dtype)

        states = jax.tree.map(drawn, state)
        records = [
            {"step": step, "split": "validation", "lane": lane, **{n: final[n][i] for n in values}}
            for i, lane in enumerate(group.index.tolist())
            for step in (1, plan.steps)
        ]
        run_directory.append_metrics(outlets.directory, records)
        with outlets.progress(count) as move:
            move(plan.steps, "")
        return engine.Trained(
            method=method._replace(views=compiled(method.views)),
            index=group.index,
            hparams=group.hparams,
            state=states,
            state_hparams=group.hparams,
            taken=np.full(count, plan.steps),
            best=states,
            best_hparams=group.hparams,
            best_step=np.ones(count, int),
            frozen_step=np.where(frozen, 1, -1),
            frozen_by=["loss" if lost else None for lost in frozen],
            final=final,
            compilations=1,
            compile_seconds=1.0,
            train_seconds=1.0,
            lane_steps=1,
        )

    monkeypatch.setattr(sys.modules["ae_jax.training.run"], "train_group", train_group)
    monkeypatch.setattr(report.style, "render", render)
    monkeypatch.setattr(data, "_EMBEDDED", LOADERS)
    return kind
