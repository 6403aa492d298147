"""Reads with TensorBoard what the example tensor_board wrote, and checks names, steps and values.

Needs the package tensorboard:
    cargo run --release --example tensor_board FOLDER
    python tests/interop/tensor_board.py FOLDER
"""

import math
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

EPOCHS = 5


def read(part):
    events = EventAccumulator(f"{sys.argv[1]}/{part}", size_guidance={"scalars": 0, "histograms": 0})
    events.Reload()
    return events


def scalars(events, tag):
    return [(e.step, e.value) for e in events.Scalars(tag)]


train, validation = read("train"), read("validation")
names = {"epoch_loss", "epoch_accuracy"}
assert set(train.Tags()["scalars"]) == names | {"epoch_learning_rate", "batch_loss"}, train.Tags()
batches_tags = {"evaluation_loss_vs_iterations", "evaluation_accuracy_vs_iterations"}
assert set(validation.Tags()["scalars"]) == names | batches_tags, validation.Tags()
for events in (train, validation):
    for name in names:
        got = scalars(events, name)
        assert [step for step, _ in got] == list(range(EPOCHS)), got
        assert all(math.isfinite(value) for _, value in got), got
    losses = [value for _, value in scalars(events, "epoch_loss")]
    assert losses[-1] < losses[0], losses
assert all(abs(rate - 0.01) < 1e-8 for _, rate in scalars(train, "epoch_learning_rate"))
batches = [step for step, _ in scalars(train, "batch_loss")]
assert batches and all(step % 2 == 0 for step in batches), batches
histograms = train.Tags()["histograms"]
assert len(histograms) == 4 and all(tag.endswith("/histogram") for tag in histograms), histograms
for tag in histograms:
    shown = train.Histograms(tag)
    assert [e.step for e in shown] == list(range(EPOCHS))
    value = shown[-1].histogram_value
    assert sum(value.bucket) == value.num and value.min <= value.sum / value.num <= value.max, value
print("epoch_loss", scalars(train, "epoch_loss"))
print("validation epoch_loss", scalars(validation, "epoch_loss"))
print(histograms)
