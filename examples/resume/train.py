"""Work that takes longer than its job may: it saves when it is told to, and goes on where it stopped."""

import json
import os
import random
import signal
import sys
import time

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 60
CHECKPOINT = "checkpoint.json"


def train_one_epoch(state):
    """Stands for your training: here, points that are thrown at a circle approximate pi."""
    thrown = random.Random(state["epoch"])
    state["inside"] += sum(thrown.random() ** 2 + thrown.random() ** 2 < 1 for _ in range(100_000))
    time.sleep(1)


# The ten lines: ask to be told, load at the start, save under another name and rename, stop when told.
stopping = False


def stop(*_):
    global stopping
    stopping = True


def save(state):
    with open(CHECKPOINT + ".part", "w") as file:
        json.dump(state, file)
    os.replace(CHECKPOINT + ".part", CHECKPOINT)


signal.signal(signal.SIGTERM, stop)
state = {"epoch": 0, "inside": 0}
if os.path.exists(CHECKPOINT):
    with open(CHECKPOINT) as file:
        state = json.load(file)

print(f"start {os.environ.get('HPCRUN_RESTART', '0')}, from epoch {state['epoch']}", flush=True)
while state["epoch"] < EPOCHS:
    train_one_epoch(state)
    state["epoch"] += 1
    print(f"epoch {state['epoch']}: pi is about {4 * state['inside'] / (100_000 * state['epoch']):.6f}", flush=True)
    if stopping:
        save(state)
        sys.exit(75)  # "not done yet"; 0 would do as well

save(state)
print("done", flush=True)
