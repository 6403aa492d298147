"""Prints Keras's Muon on small parameters: the numbers of the test in src/optimizers/muon.rs.

Needs keras and tensorflow: python tests/interop/muon.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import keras
import numpy as np

keras.config.set_floatx("float64")


def run(shape, steps, **settings):
    """The variable after steps of the gradients that the Rust test makes."""
    n = int(np.prod(shape))
    w = keras.Variable(np.array([np.sin(1.0 + i) for i in range(n)]).reshape(shape), name="kernel")
    optimizer = keras.optimizers.Muon(learning_rate=0.1, **settings)
    optimizer.build([w])
    for s in range(steps):
        g = np.array([np.cos(0.7 * i * i + 1.3 * s) for i in range(n)]).reshape(shape)
        optimizer.apply([keras.ops.convert_to_tensor(g)])
    return np.array(w).ravel().tolist()


for label, shape, steps, settings in [
    ("wide", (2, 3), 3, {}),
    ("tall", (3, 2), 3, {}),
    ("settings", (3, 2), 3, dict(nesterov=False, momentum=0.8, ns_steps=3, rms_rate=None, weight_decay=0.1)),
    ("vector", (3,), 3, {}),
    ("rank 3", (2, 2, 2), 2, dict(adam_lr_ratio=0.5)),
    ("excluded", (2, 3), 2, dict(exclude_layers=["kern"])),
]:
    print(label, run(shape, steps, **settings))
