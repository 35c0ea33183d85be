"""The lines of docs/pythae.md are run: each gives what its table says."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from ae_jax.core import Method
from ae_jax.methods.parts.priors import Prior

PAGE = (Path(__file__).parents[1] / "docs" / "pythae.md").read_text()
CELL = re.compile(
    r"^\| (?:`(?P<theirs>\w+)`|not there) \| (?:`(?P<code>.+?)`|not here) \|", re.MULTILINE
)
ROWS = [(row["theirs"], row["code"]) for row in CELL.finditer(PAGE)]
HERE = [row for row in ROWS if row[1]]
RNG = np.random.default_rng(0)
#: What densities of latents and of codes are fitted to.
SHOWN = {
    code: RNG.normal(size=(16, 4)).astype(np.float32)
    for _, code in HERE
    if code.startswith("methods.density")
}
SHOWN |= {
    code: np.zeros((16, 4, 4, 1), np.int32) for _, code in HERE if code.endswith(", (4, 4, 1))")
}
X = RNG.uniform(size=(16, 16, 16, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def names():
    found = {"codes": RNG.normal(size=(60, 4))}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], found)
    return found


def test_every_model_and_sampler_is_there():
    models, samplers = PAGE.split("## Samplers")
    assert len(CELL.findall(models)) == 26
    assert len(CELL.findall(samplers)) == 11  # and one that pythae lacks
    assert [theirs for theirs, code in ROWS if not code] == ["RHVAE", "RHVAESampler"]


@pytest.mark.parametrize(("theirs", "code"), HERE, ids=[code for _, code in HERE])
def test_a_line_is_a_method_that_steps_or_a_density_that_draws(names, theirs, code):
    if code.startswith("samplers.sphere"):
        names = {**names, "codes": names["codes"] / np.linalg.norm(names["codes"], axis=1)[:, None]}
    made = eval(code, names)
    if not isinstance(made, Method):
        if not isinstance(made, Prior):  # of codes
            drawn = made(jax.random.key(0), (5, 4))
            assert drawn.shape == (5, 4)
            assert np.isfinite(drawn).all()
        return
    hparams, batch = dict(made.hparams), {"image": SHOWN.get(code, X)}
    _, info = jax.eval_shape(
        lambda key: made.step(key, made.init(key, batch, hparams), batch, hparams),
        jax.random.key(0),
    )
    assert info
    assert all(figure.shape == () for figure in jax.tree.leaves(info))
