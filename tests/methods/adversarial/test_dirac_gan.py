"""The Dirac-GAN by the public GAN: real examples at 0, generated ones at theta, D(x) = psi x.

Numbers were computed in double precision without this library, by the recursions of Mescheder,
Geiger and Nowozin (2018), Which Training Methods for GANs do actually Converge?, section 2.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods
from ae_jax.core import Network
from ae_jax.losses.adversarial import OBJECTIVES
from ae_jax.methods import regularisers

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(0)
BATCH = {"image": np.zeros((1, 1))}
RATES = {"learning_rate": 0.1, "discriminator_learning_rate": 0.1}
#: (theta, psi) after 1, 2, 10 and 100 steps from (1, 1), without R1 and of weight 0.5; and the
#: distance from 0 after 1000 and 10000.
TRAJECTORIES = {
    ("non_saturating", False): (
        (
            (1.026282570050983, 0.9268941421369995),
            (1.0513701282537729, 0.8528614468576408),
            (1.1957732784195938, 0.2626599849265759),
            (-0.31832352495196, 0.664852342538518),
            (0.28103995873770726, 0.08939912504547877),
        ),
        (
            (1.0257650617129026, 0.8768941421369996),
            (1.0496621834121782, 0.7601335260603574),
            (1.1506575593841162, 0.05246912807190564),
            (-0.11267407237833109, 0.06826923300228568),
            (8.798817177427965e-12, 4.426747473980231e-112),
        ),
    ),
    ("non_saturating", True): (
        (
            (1.0268941421369995, 0.9268941421369995),
            (1.0527098603788143, 0.8528056313408773),
            (1.2091932849709137, 0.25943072492746444),
            (-0.3782616726624412, 0.7092586755771303),
            (0.46725127614521333, 0.44440371863484823),
        ),
        (
            (1.0268941421369995, 0.8768941421369996),
            (1.0522322079102229, 0.7600323724325698),
            (1.1730925903165155, 0.04789424848433847),
            (-0.12739867493838156, 0.0812525400536952),
            (3.051108852514911e-11, 3.067614337246894e-106),
        ),
    ),
    ("minimax", False): (
        (
            (1.066406844162717, 0.9268941421369995),
            (1.12687604465166, 0.8491764460601383),
            (1.3751013690446123, 0.1777775213536104),
            (-1.1097897978473992, 0.8159668084944052),
            (1.3820652705258298, 1.3869136248195764),
        ),
        (
            (1.0619243525007973, 0.8768941421369996),
            (1.114207431370622, 0.7568757203788002),
            (1.2644761710029881, 0.007178208107684117),
            (-0.14790766917329645, 0.004666000574256329),
            (1.7598347390663424e-11, 8.446377918944091e-112),
        ),
    ),
    ("minimax", True): (
        (
            (1.0731058578630004, 0.9268941421369995),
            (1.1407697323542374, 0.8485567174178764),
            (1.4388105797340203, 0.1559697581237201),
            (-1.3600087500500546, 0.8178351691211413),
            (2.756088981837077, 3.774236111382185),
        ),
        (
            (1.0731058578630004, 0.8768941421369996),
            (1.1361809988154412, 0.7558607528516527),
            (1.3359896029521714, -0.013884211725793558),
            (-0.16786747074470446, -0.005911260079436488),
            (4.9579297103750705e-11, 3.369892173476477e-106),
        ),
    ),
    ("wasserstein", False): (
        (
            (1.09, 0.9),
            (1.1691, 0.791),
            (1.3405641199190794, -0.26066161805206245),
            (-1.3575869406767258, -0.31600291354404897),
            (1.3992605361082098, 1.3474558251064988),
        ),
        (
            (1.085, 0.85),
            (1.1549, 0.699),
            (1.2056774477008765, -0.3777128419028036),
            (-0.10575418785997083, -0.03577586053813726),
            (1.1077388672040312e-11, 5.870850174175717e-112),
        ),
    ),
    ("wasserstein", True): (
        (
            (1.1, 0.9),
            (1.19, 0.79),
            (1.4532984599, -0.31171756010000007),
            (-2.257353911673798, -0.5603400541582387),
            (204.73961823649918, 5.719840401949876e21),
        ),
        (
            (1.1, 0.85),
            (1.185, 0.6975),
            (1.3274404359837892, -0.432431530566504),
            (-0.19205860144732062, -0.03913291791515718),
            (2.494661842728413e-09, 3.264422195987877e-89),
        ),
    ),
}
#: Of the moves near 0, without R1 and of weight 0.5: by how much a step changes the distance.
FACTORS = {
    ("non_saturating", False): (1.0, 0.9746794344808963),
    ("non_saturating", True): (1.0012492197250393, 0.9759610647971566),
    ("minimax", False): (1.0, 0.9746794344808963),
    ("minimax", True): (1.0012492197250393, 0.9759610647971566),
    ("wasserstein", False): (1.0, 0.9746794344808963),
    ("wasserstein", True): (1.004987562112089, 0.9797958971132712),
}
#: The angle that alternating moves turn by without R1; and the eigenvalues of the vector field
#: with R1 of weight 0.5, of which simultaneous moves are Euler steps.
ANGLES = {"non_saturating": 0.050005209798721736, "wasserstein": 0.10004171361154007}
FIELD = {
    "non_saturating": -0.25 + 0.43301270189221924j,
    "wasserstein": -0.25 + 0.9682458365518543j,
}


def scalar(name, output):
    return Network(lambda key, x: {name: jnp.ones(())}, lambda params, x: output(params[name], x))


def dirac(objective, simultaneous, **options):
    return methods.gan(
        scalar("theta", lambda theta, z: 0 * z + theta),
        scalar("psi", lambda psi, x: psi * x),
        1,
        objective=OBJECTIVES[objective](),
        regularisers=[regularisers.r1()],
        output=lambda x: x,
        simultaneous=simultaneous,
        optimizer=optax.identity(),
        **options,
    )


@pytest.mark.parametrize(("objective", "simultaneous"), TRAJECTORIES)
def test_trajectories(objective, simultaneous):
    method = dirac(objective, simultaneous)

    def moved(point, weight):
        hparams = {**method.hparams, **RATES, "r1_weight": weight}
        start = {"generator": {"theta": point[0]}, "discriminator": {"psi": point[1]}}
        state = method.init(KEY, BATCH, hparams, start)
        params = method.step(KEY, state, BATCH, hparams)[0].params
        return jnp.stack([params["generator"]["theta"], params["discriminator"]["psi"]])

    def path(weight):
        def step(point, _):
            after = moved(point, weight)
            return after, after

        # near 0 by differences: no derivative passes from one player's examples to the other
        near = jax.vmap(moved, (0, None))(1e-5 * jnp.eye(2), weight).T / 1e-5
        return jax.lax.scan(step, jnp.ones(2), length=10_000)[1], near

    weights = np.array([0.0, 0.5])
    for way, matrix, known, factor in zip(
        *jax.jit(jax.vmap(path))(weights),
        TRAJECTORIES[objective, simultaneous],
        FACTORS[objective, simultaneous],
        strict=True,
    ):
        np.testing.assert_allclose(way[np.array([1, 2, 10, 100]) - 1], known[:4], rtol=1e-10)
        radii = np.linalg.norm(way[np.array([1000, 10_000]) - 1], axis=1)
        np.testing.assert_allclose(radii, known[4], rtol=1e-8)
        found = np.linalg.eigvals(matrix)
        np.testing.assert_allclose(np.abs(found), factor, rtol=1e-8)
        if objective in FIELD and simultaneous and factor < 1:
            field = (found[np.imag(found) > 0] - 1) / 0.1
            np.testing.assert_allclose(field, FIELD[objective], rtol=1e-8)
        if objective in ANGLES and not simultaneous and factor == 1:
            np.testing.assert_allclose(np.max(np.angle(found)), ANGLES[objective], rtol=1e-8)
        if objective == "wasserstein" and not simultaneous and factor == 1:
            theta, psi = np.asarray(way[:1000]).T
            np.testing.assert_allclose(theta**2 + psi**2 - 0.1 * theta * psi, 1.9, rtol=1e-11)


def test_the_average_of_a_generator_that_stands_still():
    """w + beta^n (w_0 - w) after n steps, of beta = 0.999 by default."""
    method = dirac("wasserstein", False, average=True)
    assert method.hparams["ema_decay"] == 0.999
    hparams = {**method.hparams, "learning_rate": 0.0}

    @jax.jit
    def averaged():
        state = method.init(KEY, BATCH, hparams)
        state = state._replace(running={"average": {"generator": {"theta": jnp.zeros(())}}})
        return jax.lax.scan(
            lambda state, _: (method.step(KEY, state, BATCH, hparams)[0], None), state, length=1000
        )[0]

    state = averaged()
    found = state.running["average"]["generator"]["theta"]
    np.testing.assert_allclose(found, 0.6323045752290363, rtol=1e-12)
    np.testing.assert_array_equal(method.views.sample(KEY, state, 2, hparams), [[found]] * 2)
