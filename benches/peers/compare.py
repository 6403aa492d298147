#!/usr/bin/env python3
"""Runs gradus and its peers on the same workloads in turn and prints the best of each with ratios; see README.md."""
import argparse, json, os, subprocess, sys

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(os.path.dirname(here))


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("workloads", help="comma-separated: seed_mlp,mlp_infer1,mnist_mlp")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--data", help="folder with the MNIST IDX files")
    p.add_argument("--jax", help="a Python that has jax and optax")
    p.add_argument("--torch", help="a Python that has torch")
    p.add_argument("--keras", help="a Python that has tensorflow-cpu")
    p.add_argument("--candle", help="the built bench_candle")
    p.add_argument("--keep", help="file that takes every JSON line")
    return p.parse_args()


# What candle's program has.
CANDLE = ("seed_mlp", "mlp_infer1", "mnist_mlp", "mnist_cnn")


def sides(a):
    """The command lines of each side. The peers' scripts measure mlp_infer1 along with seed_mlp, candle's program one workload a call."""
    names = a.workloads.split(",")
    peers = ",".join(dict.fromkeys("seed_mlp" if n == "mlp_infer1" else n for n in names))
    throughput = [os.path.join(root, "target", "release", "throughput"), a.workloads, "--threads", str(a.threads)]
    yield "gradus", [throughput + (["--data", a.data] if a.data else [])]
    pin = ["taskset", "-c", "0"] if a.threads == 1 else []
    if a.jax:
        yield "jax", [pin + [a.jax, os.path.join(here, "jax_bench.py"), peers, str(a.threads)]]
    if a.torch:
        yield "torch", [[a.torch, os.path.join(here, "torch_bench.py"), peers, str(a.threads)]]
    if a.keras:
        yield "keras", [[a.keras, os.path.join(here, "keras_bench.py"), peers, str(a.threads)]]
    if a.candle:
        yield "candle", [pin + [a.candle, name] for name in names if name in CANDLE]


def run(side, commands, a, keep):
    for command in commands:
        yield from run_one(side, command, a, keep)


def run_one(side, command, a, keep):
    env = dict(os.environ, RAYON_NUM_THREADS=str(a.threads))
    if a.data:
        env["MNIST_DIR"] = a.data
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{side} failed: {' '.join(command)}\n{done.stderr[-2000:]}")
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            if keep:
                keep.write(line + "\n")
            yield json.loads(line)


def main():
    a = arguments()
    subprocess.run(["cargo", "build", "--release", "-p", "gradus-benches"], cwd=root, check=True)
    best, metric = {}, {}
    keep = open(a.keep, "a") if a.keep else None
    for round_number in range(a.rounds):
        for side, commands in sides(a):
            for line in run(side, commands, a, keep):
                workload = line["workload"].split("(")[0]
                key = (workload, side)
                best[key] = min(best.get(key, float("inf")), line["value"])
                metric[workload] = line["metric"]
        print(f"round {round_number + 1} of {a.rounds} done", file=sys.stderr)
    names = [side for side, _ in sides(a)]
    print(f"best of {a.rounds} rounds, {a.threads} thread(s); in brackets gradus / peer")
    print("| workload | metric | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 2))
    for workload in a.workloads.split(","):
        cells = []
        for side in names:
            value = best.get((workload, side))
            ratio = "" if side == "gradus" or value is None else f" ({best[(workload, 'gradus')] / value:.3f})"
            cells.append("-" if value is None else f"{value:.4g}{ratio}")
        print(f"| {workload} | {metric.get(workload, '')} | " + " | ".join(cells) + " |")


main()
