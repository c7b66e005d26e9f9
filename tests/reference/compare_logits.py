#!/usr/bin/env python3
"""Prints the largest and the mean absolute difference of two .npy files, and how often their largest columns agree."""
import argparse

import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("reference")
    parser.add_argument("--max", type=float, help="exit with 1 if the largest difference is above this")
    parser.add_argument("--mean", type=float, help="exit with 1 if the mean difference is above this")
    arguments = parser.parse_args()
    ours, reference = np.load(arguments.file).astype(np.float64), np.load(arguments.reference).astype(np.float64)
    if ours.shape != reference.shape:
        raise SystemExit(f"{arguments.file} is {ours.shape}, {arguments.reference} is {reference.shape}")
    difference = np.abs(ours - reference)
    agree = np.mean(ours.argmax(-1) == reference.argmax(-1))
    print(f"max {difference.max():.3e}  mean {difference.mean():.3e}  same best {agree:.1%}  reference std {reference.std():.3f}")
    # A comparison with NaN is false: written so that NaN fails.
    good = (arguments.max is None or difference.max() <= arguments.max) and (
        arguments.mean is None or difference.mean() <= arguments.mean)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
