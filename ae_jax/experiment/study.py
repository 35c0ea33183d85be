"""An experiment that is one sweep and one report, declared."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ae_jax import cli, data, plots, training
from ae_jax.core import Method
from ae_jax.experiment import models, reporting, running, splits
from ae_jax.experiment.config import Config
from ae_jax.experiment.splits import Splits


class Outcome(NamedTuple):
    """A study that was trained: what its lanes are described and its figures drawn from.

    Attributes:
      config: what was swept.
      splits: the data.
      reference: what `Study.reference` found.
      result: of the training.
      out: the run directory.
      rows: one per lane; described, where figures are drawn.
    """

    config: Config
    splits: Splits
    reference: Any
    result: training.Result
    out: Path
    rows: Sequence[Mapping[str, Any]]

    def firsts(self, name: str) -> dict[Any, models.Model]:
        """The first sound lane of each value of a hyperparameter, by ascending value."""
        return models.firsts(self.result, name)

    def learning_curves(self, by: str, value: str = "loss") -> Any:
        """A figure of a recorded value over training, a line for each value of a column."""
        return plots.learning_curves(reporting.records(self.out), value, self.rows, by)

    def reconstructions(self, by: str, name: str = "{}", count: int = 16) -> Any:
        """A figure of test images and what the first lane of each value makes of them.

        Args:
          by: the hyperparameter.
          name: what a lane is called, of its value.
          count: how many images.
        """
        batch = data.head(self.splits.test, count)
        made = {name.format(key): lane.reconstruct(batch) for key, lane in self.firsts(by).items()}
        return plots.reconstructions(batch["image"], made)


class Study(NamedTuple):
    """An experiment that is one sweep and one report: a function of its configuration.

    What is `Swept` in the configuration is trained side by side. An experiment that trains in
    two phases, or has a choice to make in between, is a function of its own, of `train` and
    `report` perhaps.

    Attributes:
      name: of the script.
      title: of the page, which the data set's name ends.
      build: (config, spec, values...) -> Method, at the level of its module, where a run is
        opened with it. `spec` is that of the data; its further arguments are those of the swept
        values that are static.
      table: the columns that are averaged over seeds.
      figures: Outcome -> figures by caption.
      options: configuration -> what else `training.run` is told.
      load: configuration -> the data.
      reference: (config, splits) -> what lanes are compared with, found before they are trained,
        and after all that cannot be trained is refused.
      describe: (Model, Outcome) -> further columns of a sound lane's row.
      notes: Outcome -> further lines of the report.
    """

    name: str
    title: str
    build: Callable[..., Method]
    table: Sequence[str]
    figures: Callable[[Outcome], Mapping[str, Any]]
    options: Callable[[Any], Mapping[str, Any]] = lambda config: {}
    load: Callable[[Any], Splits] = splits.load_splits
    reference: Callable[[Any, Splits], Any] | None = None
    describe: Callable[[models.Model, Outcome], Mapping[str, Any]] = lambda model, outcome: {}
    notes: Callable[[Outcome], Sequence[str]] = lambda outcome: ()

    def __call__(self, config: Config) -> None:
        """Trains the sweep and reports it."""
        self.report(self.train(config))

    def train(self, config: Config) -> Outcome:
        """Trains the sweep and describes its lanes."""
        loaded = self.load(config)
        values, options = cli.swept(config), self.options(config)
        build = functools.partial(self.build, config, loaded.train.spec)
        sweep = functools.partial(
            running.sweep, config, self.name, build, loaded, values, **options
        )
        reference = None
        if self.reference is not None:
            sweep(dry=True)
            reference = self.reference(config, loaded)
        result, out = sweep()
        outcome = Outcome(config, loaded, reference, result, out, result.rows)
        rows = models.described(outcome, lambda model: self.describe(model, outcome))
        return outcome._replace(rows=rows)

    def report(self, outcome: Outcome) -> None:
        """Prints the table, and writes what `experiment.report` does."""
        config = outcome.config
        reporting.report(
            config,
            outcome.out,
            f"{self.title} on {config.dataset}",
            outcome.rows,
            [*(name for name in cli.swept(config) if name != "learning_rate"), "learning_rate"],
            self.table,
            lambda: self.figures(outcome),
            outcome.result,
            self.notes(outcome),
        )
