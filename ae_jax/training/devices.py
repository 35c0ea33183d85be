"""Devices: the one place that knows how lanes are spread over them.

Everything mapped has the layout [devices, lanes per device, ...]. `pmap` is in
maintenance mode upstream and stays behind `device_map`.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ae_jax.core import InputError
from ae_jax.training import processes

Backend = Literal["pmap", "shard", "vmap"]


def use_devices(count: int | None = None, distributed: str | None = None) -> list[jax.Device]:
    """Returns this process's devices; on a CPU, at most as many as there are cores.

    Call it before anything else touches JAX: the number of CPU devices is fixed then. With
    several processes, they get to know each other here and are independent from then on: JAX's
    service, which would end all of them a while after one died, is shut down again.

    Args:
      count: how many to use; all of them where None.
      distributed: `auto` on a cluster that JAX recognises (Slurm, Open MPI, Cloud TPU,
        Kubernetes), or HOST:PORT/COUNT/INDEX: the address of process 0, the number of
        processes, and which of them this is. None for a single process.

    Raises:
      InputError: if there are fewer than `count`, or `distributed` cannot be understood.
    """
    if count is not None and count < 1:
        raise InputError(f"devices must be at least 1, got {count}")
    with contextlib.suppress(RuntimeError):  # JAX has been used already: take what there is
        if jax.config.jax_num_cpu_devices < 1:  # else it is set by JAX_NUM_CPU_DEVICES
            jax.config.update("jax_num_cpu_devices", min(count or _cores(), _cores()))
    if distributed is not None and not _meeting.cache_info().currsize:
        _meeting(distributed)
    devices = jax.local_devices()
    if count is not None and count > len(devices):
        raise InputError(
            f"{count} devices asked for, {len(devices)} found: lower --devices to {len(devices)}"
        )
    return devices[:count]


@functools.cache
def _meeting(distributed: str) -> str:
    """Lets the processes of a launch know each other, once; returns the launch's name."""
    if jax.distributed.is_initialized():  # the caller's own, who keeps it
        return processes.launch()
    # Processes compile different programs at different times: none waits for another's tuning.
    alone = "--xla_gpu_shard_autotuning=false"
    if alone.partition("=")[0] not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {alone}".strip()
    jax.distributed.initialize(**_process(distributed))
    name = processes.launch()
    jax.distributed.shutdown()
    return name


def _process(distributed: str) -> dict[str, Any]:
    if distributed == "auto":
        return {}
    try:
        address, count, index = distributed.split("/")
        count, index, port = int(count), int(index), int(address.rpartition(":")[2])
        if not 0 <= index < count or not 0 < port < 2**16:
            raise ValueError
    except ValueError:
        raise InputError(
            f"distributed must be auto or HOST:PORT/COUNT/INDEX, got {distributed!r}"
        ) from None
    return {"coordinator_address": address, "num_processes": count, "process_id": index}


def _cores() -> int:
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available else os.cpu_count() or 1


def _in_turn(function: Callable) -> Callable:
    """Maps over the lanes of a device one after the other.

    A core's caches hold one lane's parameters and not those of all: measured on a CPU, a dense
    network's step takes 0.7 times as long as with `vmap`. And a lane alone is not vmapped, whose
    axis of length 1 hides simplifications from XLA.
    """

    def mapped(state, lane, shared):
        return jax.lax.map(lambda given: function(*given, shared), (state, lane))

    return mapped


def _hastily(program: Callable) -> Callable:
    """Compiles a program with little optimization: a third of the time for initialisers.

    A level that XLA_FLAGS names stays.
    """
    name = "xla_backend_optimization_level"
    options = {} if name in os.environ.get("XLA_FLAGS", "") else {name: 1}
    return lambda *args: program.lower(*args).compile(compiler_options=options)(*args)


class DeviceMap(NamedTuple):
    """How a per-lane function runs over devices.

    Attributes:
      place: puts host arrays [lanes, ...] on the devices, padded with copies of lane 0.
      place_shared: puts what all lanes share on every device.
      map: (function, donate=False, once=False) -> compiled function; maps
        f(state, lane, shared), where only `shared` is the same for all lanes. The state's
        buffers can be donated. What is called once is compiled quickly rather than well.
      collect: brings a mapped tree back to the host as [lanes, ...], without padding.
    """

    place: Callable[[Any], Any]
    place_shared: Callable[[Any], Any]
    map: Callable[..., Callable]
    collect: Callable[[Any], Any]


def device_map(lanes: int, devices: Sequence[jax.Device], backend: Backend = "pmap") -> DeviceMap:
    """Lays `lanes` out over devices.

    Args:
      lanes: how many there are; no more devices than lanes are used.
      devices: this process's devices.
      backend: `pmap` of `vmap` (on a CPU, a device's lanes take turns instead); `shard`, a `jit`
        of `vmap` partitioned by the compiler; or `vmap` on the first device.
    """
    per_device = -(-lanes // (1 if backend == "vmap" else len(devices)))
    used = np.array(devices[: -(-lanes // per_device)])
    mesh = Mesh(used, ("devices",), axis_types=(AxisType.Auto,))
    by_lane = NamedSharding(mesh, PartitionSpec("devices"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    padding = used.size * per_device - lanes
    in_turn = per_device == 1 or (backend == "pmap" and devices[0].platform == "cpu")

    def place(tree):
        def leaf(x):
            x = np.concatenate([x, np.repeat(x[:1], padding, axis=0)]) if padding else x
            return jax.device_put(x.reshape(used.size, per_device, *x.shape[1:]), by_lane)

        return jax.tree.map(lambda x: leaf(np.asarray(x)), tree)

    def place_shared(tree):
        if backend == "pmap":
            stacked = jax.tree.map(lambda x: np.broadcast_to(x, (used.size, *np.shape(x))), tree)
            return jax.device_put(stacked, by_lane)
        return jax.device_put(tree, everywhere)

    def mapped(function, donate=False, once=False):
        donated = (0,) if donate else ()
        over_lanes = _in_turn(function) if in_turn else jax.vmap(function, in_axes=(0, 0, None))
        if backend == "pmap":
            program = jax.pmap(over_lanes, devices=list(used), donate_argnums=donated)
        else:
            program = jax.jit(
                jax.vmap(over_lanes, in_axes=(0, 0, None)),
                donate_argnums=donated,
                out_shardings=by_lane,
            )
        return _hastily(program) if once and devices[0].platform == "cpu" else program

    def collect(tree):
        return jax.tree.map(
            lambda x: np.asarray(x).reshape(-1, *x.shape[2:])[:lanes], jax.device_get(tree)
        )

    return DeviceMap(place, place_shared, mapped, collect)
