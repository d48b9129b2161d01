"""Trains a small neural network on scikit-learn's handwritten digits (1,797 real 8 x 8 images)."""

import argparse
import json
import os
import time

import joblib
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.005)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    print(f"host {os.uname().nodename}, CUDA_VISIBLE_DEVICES: {gpus}", flush=True)

    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        images / 16.0, labels, test_size=0.25, random_state=args.seed, stratify=labels
    )
    model = MLPClassifier((args.hidden,), learning_rate_init=args.lr, batch_size=64, random_state=args.seed)

    history = []
    shuffle = np.random.default_rng(args.seed)
    for epoch in range(1, args.epochs + 1):
        started = time.perf_counter()
        order = shuffle.permutation(len(train_x))
        for batch in np.array_split(order, len(order) // 64):
            model.partial_fit(train_x[batch], train_y[batch], classes=np.arange(10))
        accuracy = accuracy_score(test_y, model.predict(test_x))
        history.append(accuracy)
        seconds = time.perf_counter() - started
        print(f"epoch {epoch:3d}/{args.epochs}  test accuracy {accuracy:.4f}  {seconds:.2f} s", flush=True)

    joblib.dump(model, "model.joblib")
    ConfusionMatrixDisplay.from_predictions(test_y, model.predict(test_x), cmap="Blues", colorbar=False)
    plt.title(f"handwritten digits, accuracy {history[-1]:.3f}")
    plt.savefig("confusion.png", dpi=120, bbox_inches="tight")
    with open("metrics.json", "w") as file:
        json.dump({"accuracy": history[-1], "history": history, "arguments": vars(args)}, file, indent=2)
    print("wrote model.joblib, confusion.png and metrics.json", flush=True)


if __name__ == "__main__":
    main()
