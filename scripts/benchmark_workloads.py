"""What `benchmark.py` times: workloads, and who trains them.

Nothing heavy is imported at the top: each trainer has a process of its own, whose memory is
measured too.
"""

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from benchmark_pythae import silence, trainer_of
from benchmark_restoring import CHANNELS, SHAPE, filtered, restored
from benchmark_torch import twin_networks, twin_step
from benchmark_torch_vaes import DRAWS, EXAMPLES, LAYERS, vae_networks

#: pythae's models of workloads, and their numbers.
PYTHAE = {
    "mlp_vae": ("VAE", {}),
    "beta_tcvae": ("BetaTCVAE", {"alpha": 1.0, "beta": 6.0, "gamma": 1.0}),
    "info_vae": ("INFOVAE_MMD", {"alpha": 0.0, "lbd": 1000.0}),
    "iwae": ("IWAE", {"number_samples": DRAWS}),
}


class Workload(NamedTuple):
    """Something to train.

    Attributes:
      image_shape: (H, W, C).
      batch_size: examples per step.
      chunk: steps per call of our compiled program on a CPU; elsewhere the engine's 100.
      peers: names in PEERS of those that train the same.
      method: our method, made from the package `ae_jax`.
      data: what it is trained on, made from the package and a data set of images.
      use: of what trains nothing: the method -> an iterator in the place of its training.
    """

    image_shape: tuple[int, int, int]
    batch_size: int
    chunk: int
    peers: tuple[str, ...]
    method: Callable[[ModuleType], Any]
    data: Callable[[ModuleType, Any], Any] = lambda ae, images: images
    use: Callable[[Any], Iterator[float]] | None = None


def _contractive(form: str) -> Workload:
    """A sigmoid layer whose Jacobian is penalised: the exact one, or by its closed form."""
    return Workload(
        image_shape=(28, 28, 1),
        batch_size=100,
        chunk=20,
        peers=("torch",),
        method=lambda ae: ae.methods.autoencoder(
            ae.nets.mlp(200, (), output_activation="sigmoid"),
            ae.nets.mlp((28, 28, 1), ()),
            reconstruction=ae.methods.observations.bernoulli(),
            penalties=[ae.methods.penalties.contractive(0.1, form)],
        ),
    )


def _dense_vae(regularisers: Callable[[ModuleType], list]) -> Workload:
    """The dense VAE 784-400-20 and what is added to its bound."""
    return Workload(
        image_shape=(28, 28, 1),
        batch_size=100,
        chunk=50,
        peers=("torch", "pythae"),
        method=lambda ae: ae.methods.vae(
            ae.nets.mlp(40), ae.nets.mlp((28, 28, 1)), 20, regularisers=regularisers(ae)
        ),
    )


def _factor_vae(
    image_shape: tuple[int, int, int],
    widths: tuple[int, ...],
    latents: int,
    discriminator: tuple[int, ...],
) -> Workload:
    """A dense VAE and its discriminator, by widths."""
    return Workload(
        image_shape=image_shape,
        batch_size=64,
        chunk=20,
        peers=("torch",),  # pythae shows the VAE half of a batch
        method=lambda ae: ae.methods.factor_vae(
            ae.nets.mlp(2 * latents, widths),
            ae.nets.mlp(image_shape, widths[::-1]),
            ae.nets.mlp(1, discriminator, "leaky_relu_0.2"),
            latents,
        ),
    )


def _dcgan(ae: ModuleType, side: int, **options: Any) -> Any:
    """DCGAN of 16 and 32 channels, with batch normalisation in the generator alone."""
    shape = (side, side, 1)
    discriminator = ae.nets.dcgan_discriminator(shape, 16, "none")
    return ae.methods.gan(ae.nets.dcgan_generator(shape, 16), discriminator, 64, **options)


class Training(NamedTuple):
    """A training under way.

    Attributes:
      steps: trains a little at each `next`, waits for it, and gives the number of steps.
      compile_seconds: what it took to get ready, where anything is compiled.
      device_memory: peak use of an accelerator's memory, bytes; None on a CPU.
    """

    steps: Iterator[float]
    compile_seconds: float | None = None
    device_memory: Callable[[], int] | None = None


WORKLOADS = {
    "mlp_vae": Workload(
        image_shape=(28, 28, 1),
        batch_size=100,
        chunk=100,
        peers=("torch", "pythae"),
        method=lambda ae: ae.methods.vae(ae.nets.mlp(40), ae.nets.mlp((28, 28, 1)), 20),
    ),
    "beta_tcvae": _dense_vae(
        lambda ae: [ae.methods.latent_regularisers.total_correlation(5.0, data_size=EXAMPLES)],
    ),
    "info_vae": _dense_vae(lambda ae: [ae.methods.latent_regularisers.matching(999.0)]),
    "iwae": Workload(  # networks, batch and draws of the paper
        image_shape=(28, 28, 1),
        batch_size=20,
        chunk=50,
        peers=("torch", "pythae"),
        method=lambda ae: ae.methods.vae(
            ae.nets.mlp(100, (200, 200), "tanh"),
            ae.nets.mlp((28, 28, 1), (200, 200), "tanh"),
            50,
            bound=ae.methods.bounds.iwae(DRAWS),
        ),
    ),
    "factor_vae": _factor_vae((16, 16, 1), (128, 128), 6, (128, 128)),
    "factor_vae_1000": _factor_vae((28, 28, 1), (400,), 10, (1000,) * 6),  # the paper's players
    "keras_autoencoder": Workload(
        image_shape=(28, 28, 1),
        batch_size=128,
        chunk=20,
        peers=("torch",),
        method=lambda ae: ae.methods.autoencoder(
            ae.nets.conv_encoder((28, 28, 1), 128, "keras"),
            ae.nets.conv_decoder((28, 28, 1), 128, "keras"),
            reconstruction=ae.methods.observations.bernoulli(),
        ),
    ),
    "conv_vae": Workload(
        image_shape=(64, 64, 1),
        batch_size=64,
        chunk=20,
        peers=("torch",),
        method=lambda ae: ae.methods.vae(
            ae.nets.conv_encoder((64, 64, 1), 20), ae.nets.conv_decoder((64, 64, 1), 10), 10
        ),
    ),
    "rbm": Workload(
        image_shape=(28, 28, 1),
        batch_size=100,
        chunk=100,
        peers=("torch", "sklearn"),
        method=lambda ae: ae.methods.rbm(500, stochastic_binarization=False),  # as the peers
    ),
    "contractive": _contractive("jacobian"),
    "contractive_closed_form": _contractive("sigmoid"),
    "lstm": Workload(  # reads images row by row, by teacher forcing
        image_shape=(28, 28, 1),
        batch_size=100,
        chunk=20,
        peers=("torch",),
        method=lambda ae: ae.methods.recurrent_autoencoder(
            ae.nets.recurrent_encoder(32, 128),
            ae.nets.recurrent_decoder((28, 28), 128),
            observation=ae.methods.observations.bernoulli(),
        ),
        data=lambda ae, images: ae.data.row_sequences(images),
    ),
    "mlp_gan": Workload(
        image_shape=(28, 28, 1),
        batch_size=100,
        chunk=50,
        peers=("torch",),
        method=lambda ae: ae.methods.gan(
            ae.nets.mlp((28, 28, 1), (256,)), ae.nets.mlp(1, (256,)), 64
        ),
    ),
    "dcgan_r1": Workload(
        image_shape=(28, 28, 1),
        batch_size=64,
        chunk=10,
        peers=("torch",),
        method=lambda ae: _dcgan(ae, 28, regularisers=[ae.methods.regularisers.r1(1.0)]),
    ),
    "wgan_gp": Workload(  # five critic steps of 64 images, and one of the generator's 320
        image_shape=(16, 16, 1),
        batch_size=5 * 64,
        chunk=5,
        peers=("torch",),
        method=lambda ae: _dcgan(
            ae,
            16,
            objective=ae.losses.adversarial.wasserstein(),
            regularisers=[ae.methods.regularisers.gradient_penalty(10.0)],
            discriminator_steps=5,
        ),
    ),
    "restored_photo": Workload(  # a step is a megapixel
        image_shape=SHAPE,
        batch_size=1,
        chunk=1,
        peers=("scipy",),
        method=lambda ae: ae.methods.restorer(
            ae.nets.correction(ae.nets.unet(SHAPE[-1], CHANNELS, dropout=0.0)),
            ae.methods.shown.entry(),
        ),
        use=restored,
    ),
}


def cores() -> int:
    """The number of cores that this process may use."""
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available else os.cpu_count() or 1


def peak_memory() -> int:
    """The most host memory that this process has held, bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _images(workload: Workload) -> Any:
    """The same random bytes for everyone: how long a step takes does not depend on them."""
    import numpy as np

    shape = (EXAMPLES, *workload.image_shape)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def ours(workload: Workload, lanes: int) -> Training:
    """Trains `lanes` models by the engine's own program, as `ae_jax.training.run` does.

    What trains nothing is used as its workload says, once before it is timed.
    """
    import jax
    import numpy as np

    import ae_jax
    from ae_jax.data.stored import stored
    from ae_jax.training.devices import device_map, use_devices
    from ae_jax.training.population import Lane, Window, init_lane, train_chunk
    from ae_jax.training.streaming import resident_fetch

    jax.config.update("jax_enable_compilation_cache", False)  # its time is measured
    if workload.use is not None:
        start = time.perf_counter()
        used = workload.use(workload.method(ae_jax))
        next(used)
        return Training(used, time.perf_counter() - start)
    devices = use_devices()
    accelerated = devices[0].platform != "cpu"
    length = 100 if accelerated else workload.chunk
    method, dataset = workload.method(ae_jax), workload.data(ae_jax, stored(_images(workload)))
    fetch = resident_fetch(dataset, workload.batch_size)
    mapping = device_map(lanes, devices)
    arrays = mapping.place_shared(dataset.arrays)
    values = {name: np.full(lanes, value) for name, value in method.hparams.items()}
    given = mapping.place(Lane(np.arange(lanes), values))

    def shared(step: int) -> tuple[Window, Any]:
        place = divmod(step * workload.batch_size, dataset.size)
        window = Window(*(np.asarray(number) for number in (step, step + length, *place)))
        return mapping.place_shared(window), arrays

    start = time.perf_counter()
    state = mapping.map(init_lane(method, fetch, (), False), once=True)(None, given, shared(0))
    program = mapping.map(train_chunk(method, fetch, ()), donate=True)
    program = program.lower(state, given, shared(0)).compile()
    seconds = time.perf_counter() - start

    def steps(state: Any) -> Iterator[int]:
        for step in itertools.count(0, length):
            state, broke = program(state, given, shared(step))
            if mapping.collect(broke).any():  # waits, as the engine does
                raise FloatingPointError("a lane broke: it would be timed without training")
            yield lanes * length

    def device_memory() -> int:
        return max(device.memory_stats()["peak_bytes_in_use"] for device in devices)

    return Training(steps(state), seconds, device_memory if accelerated else None)


def with_torch(workload: Workload, name: str) -> Training:
    """Trains one model by a plain eager loop, on the GPU where there is one."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(cores())
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, as JAX multiplies there
    images = torch.from_numpy(_images(workload)).permute(0, 3, 1, 2).contiguous().to(device)

    def batch() -> torch.Tensor:
        indices = torch.randint(EXAMPLES, (workload.batch_size,), device=device)
        return images[indices].float() / 255

    step = twin_step(name, batch, device)

    def steps() -> Iterator[int]:
        while True:
            for _ in range(10):
                step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            yield 10

    return Training(steps(), device_memory=_torch_memory(device))


def _torch_memory(device: Any) -> Callable[[], int] | None:
    import torch

    return torch.cuda.max_memory_allocated if device.type == "cuda" else None


def with_pythae(workload: Workload, name: str) -> Training:
    """Trains a VAE by pythae's own trainer and data loader; a `next` is an epoch."""
    silence()
    import numpy as np
    import torch

    torch.set_num_threads(cores())
    epoch_steps = 20
    images = _images(workload)[: epoch_steps * workload.batch_size].astype(np.float32) / 255
    directory = tempfile.TemporaryDirectory()
    networks = twin_networks(name) if name == "mlp_vae" else vae_networks(LAYERS[name])
    trainer = trainer_of(
        *PYTHAE[name], networks, images, workload.batch_size, directory=directory.name
    )
    trainer.prepare_training()

    def steps() -> Iterator[int]:
        with directory:
            for epoch in itertools.count(1):
                trainer.train_step(epoch)
                yield epoch_steps

    return Training(steps(), device_memory=_torch_memory(torch.device(trainer.device)))


def with_sklearn(workload: Workload, name: str) -> Training:
    """Trains scikit-learn's BernoulliRBM, by persistent contrastive divergence, on a CPU."""
    import numpy as np
    from sklearn.neural_network import BernoulliRBM

    model = BernoulliRBM(n_components=500, batch_size=workload.batch_size, random_state=0)
    images, rng = _images(workload).reshape(EXAMPLES, -1), np.random.default_rng(0)

    def steps() -> Iterator[int]:
        while True:
            for _ in range(10):
                indices = rng.integers(0, EXAMPLES, workload.batch_size)
                model.partial_fit(images[indices].astype(np.float32) / 255)
            yield 10

    return Training(steps())


def with_scipy(workload: Workload, name: str) -> Training:
    """Takes medians, as a scale for what is no training."""
    return Training(filtered())


PEERS = {
    "torch": with_torch,
    "pythae": with_pythae,
    "sklearn": with_sklearn,
    "scipy": with_scipy,
}
