"""Variables drawn by NumPy: compiling a model's own init costs a test more than everything else it does."""

import jax
import numpy as np


def variables(model, *inputs, seed=0, **more):
    """Return what `model.init` would, in shape and scale: weights by fan-in, biases 0, scales and variances 1."""
    draw = np.random.default_rng(seed)

    def leaf(path, spec):
        name = path[-1].key
        if name in ("scale", "var"):
            return np.ones(spec.shape, spec.dtype)
        if name in ("bias", "mean", "recurrent_bias"):
            return np.zeros(spec.shape, spec.dtype)
        fan = np.prod(spec.shape[:-1])
        return draw.normal(0, fan**-0.5, spec.shape).astype(spec.dtype)

    shapes = jax.eval_shape(lambda *x: model.init(jax.random.key(0), *x, **more), *inputs)
    return jax.tree_util.tree_map_with_path(leaf, shapes)
