#!/usr/bin/env python3
"""Plants faults in the CUDA kernels, one at a time, and looks whether their tests find each of them.

  tests/gpu/mutate.py [--kernel OPERATION]... [--count 12] [--seed 1] [--build build/engine-only]

Every barrier, __syncwarp, wait and fence of the kernel is taken out in turn; of the other mutations (an index shifted by
one, a bound changed, + and - exchanged) `--count` are drawn for each kernel. A mutant is compiled for the emulator and run
in natural, reverse and random orders, then under AddressSanitizer and ThreadSanitizer where such builds exist
(--asan, --tsan), until something finds it. Prints a table; exit code 1 if a mutant survives that is not listed below.

Needs configured builds (lectern_cuda_test built); compiles and links beside them, and changes nothing in the tree.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ORDERS = ["natural", "reverse", "random:1", "random:2"]
# Headers that kernels share and whose faults are looked for in the tests of who includes them; those of the foundation
# have tests of their own.
FOUNDATION = {"gpu.h", "device.h", "queue.h", "check.h", "device_buffer.h"}

# Mutants that compute the same, or what no test can tell from it: (file, the line as it stands, mutation, reason).
EQUIVALENT = []


class Mutation:
    def __init__(self, file, begin, end, replacement, kind, text):
        self.file, self.begin, self.end, self.replacement, self.kind = file, begin, end, replacement, kind
        self.line_number = text.count("\n", 0, begin) + 1
        self.line = text.splitlines()[self.line_number - 1].strip()

    def place(self):
        return f"{self.file.name}:{self.line_number}"

    def reason_to_skip(self):
        for file, line, kind, reason in EQUIVALENT:
            if file == self.file.name and line == self.line and kind == self.kind:
                return reason
        return None


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def device_regions(text):
    """(begin, end) of the bodies of __global__ and __device__ functions; comments and strings are blank in `text`."""
    regions = []
    for start in re.finditer(r"__global__|__device__", text):
        depth, at = 0, start.end()
        while at < len(text):
            if text[at] == "{" and depth == 0:
                break
            if text[at] == ";" and depth == 0:
                at = len(text)
            depth += {"(": 1, ")": -1}.get(text[at], 0) if at < len(text) else 0
            at += 1
        begin, depth = at, 0
        while at < len(text):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
            if depth == 0:
                break
        if begin < len(text) and not any(b <= begin < e for b, e in regions):
            regions.append((begin, at))
    return regions


def mutations_of(file):
    """(those of synchronisation, the others)"""
    text = file.read_text()
    code = re.sub(r"//[^\n]*|\"(\\.|[^\"\\\n])*\"|/\*.*?\*/", blank, text, flags=re.S)
    code = re.sub(r"^\s*#.*$|\bstatic_assert\s*\([^;]*;", blank, code, flags=re.M)
    synchronization, others = [], []

    def add(to, begin, end, replacement, kind):
        to.append(Mutation(file, begin, end, replacement, kind, text))

    for begin, end in device_regions(code):
        body = code[begin:end]
        for call in re.finditer(r"(?:gpu::)?(__syncthreads|__syncwarp|grid_sync|named_barrier(?:_arrive)?<[^;]*?>|"
                                r"cp_async_wait<[^;]*?>|__threadfence(?:_block)?)\s*\([^;]*?\)\s*;", body):
            what = call.group(1).split("<")[0].replace("named_barrier_arrive", "arrival").lstrip("_")
            add(synchronization, begin + call.start(), begin + call.end(), ";", f"no {what}")
            wait = re.match(r"(?:gpu::)?cp_async_wait<(.*)>\s*\(", call.group(0))
            if wait:
                add(synchronization, begin + call.start(), begin + call.end(), f"gpu::cp_async_wait<({wait.group(1)}) + 1>();",
                    "waits for one group less")
        for operator in re.finditer(r" (<=|>=|<|>|\+=|-=|\+|-) ", body):
            if body[:operator.start()].endswith("operator") or re.search(r"template\s*$", body[:operator.start()]):
                continue
            swap = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "+": "-", "-": "+", "+=": "-=", "-=": "+="}[operator.group(1)]
            add(others, begin + operator.start(1), begin + operator.end(1), swap, f"{operator.group(1)} to {swap}")
        for index in re.finditer(r"(?<=[\w\])])\[([^\[\]&=]+)\]", body):
            before = body[max(0, index.start() - 200):index.start()]
            if re.search(r"(?:SHARED_ARRAY\([^;]*|\b(?:int|float|unsigned|bool|double|char|std::\w+|gpu::\w+|T|Out)(?:\s+const)?\s+[\w, \[\]]+)$", before):
                continue  # a declaration
            add(others, begin + index.start(1), begin + index.end(1), f"({index.group(1)}) + 1", "index + 1")
    return synchronization, others


class Build:
    """How one kernel's test is compiled and linked in a build folder."""

    def __init__(self, folder, operation):
        self.folder, self.operation = folder, operation
        commands = json.loads((folder / "compile_commands.json").read_text())
        source = ROOT / f"kernels/cuda/{operation}.cu"
        self.compile = next((shlex.split(c["command"]) for c in commands
                             if pathlib.Path(c["file"]).resolve() == source and "emulated" in c["command"]), None)
        if not self.compile:
            sys.exit(f"mutate: {folder} does not compile {source} for the emulator")
        if os.path.basename(self.compile[0]) == "ccache":
            self.compile = self.compile[1:]  # no mutant is compiled twice
        ninja = subprocess.run(["ninja", "-C", str(folder), "-t", "commands", "lectern_cuda_test"], capture_output=True,
                               text=True, check=True).stdout.strip().splitlines()
        link = re.sub(r"^: && | && :$", "", ninja[-1])
        self.link = [word for word in shlex.split(link) if word != "ccache"]

    def make(self, mutant, scratch):
        """Builds the test with the mutant's file in place of the original. False if it does not compile."""
        include = scratch / "include"
        original = ROOT / f"kernels/cuda/{self.operation}.cu"
        source = original
        if mutant:
            text = mutant.file.read_text()
            changed = include / mutant.file.relative_to(ROOT)
            changed.parent.mkdir(parents=True, exist_ok=True)
            changed.write_text(text[:mutant.begin] + mutant.replacement + text[mutant.end:])
            source = changed if mutant.file == original else original
        command, skip = [], False
        for word in self.compile:
            if skip or word == "-MD":
                skip = False
            elif word in ("-o", "-MT", "-MF", "-c"):
                skip = True
            elif word != "-Werror":
                command.append(word)
        command[1:1] = ["-I", str(include)]
        kernel = scratch / "kernel.o"
        # A mutated file includes its neighbours by their path from the root, which stands behind the scratch folder.
        compiled = subprocess.run(command + ["-w", "-o", str(kernel), "-c", str(source)], cwd=self.folder, capture_output=True)
        if mutant:
            changed.unlink()
        if compiled.returncode != 0:
            return False
        link, skip = [], False
        for word in self.link:
            if skip:
                link.append(str(scratch / "test"))
                skip = False
            elif word == "-o":
                link.append(word)
                skip = True
            elif word.endswith("_test.cpp.o") and os.path.basename(word) != f"{self.operation}_test.cpp.o":
                if os.path.basename(word) == "kernel_test.cpp.o":
                    link.append(word)
            elif word.endswith("liblectern_cuda_kernels_emulated.a"):
                link += [str(kernel), word]  # its symbols are defined by then, so the archive's own are not taken
            else:
                link.append(word)
        subprocess.run(link, cwd=self.folder, check=True, capture_output=True)
        return True

    def run(self, scratch, order, timeout, resident=2, filters=None):
        """None if every test passed, else what found the fault."""
        environment = dict(os.environ, LECTERN_CUDA_ORDER=order, LECTERN_CUDA_RESIDENT=str(resident),
                           ASAN_OPTIONS="detect_leaks=0", TSAN_OPTIONS=f"halt_on_error=1 suppressions={ROOT}/tests/tsan.supp")
        command = [str(scratch / "test"), "--gtest_brief=1", "--gtest_fail_fast"]
        try:
            result = subprocess.run(command + ([f"--gtest_filter={filters}"] if filters else []), env=environment,
                                    capture_output=True, text=True, timeout=timeout, errors="replace")
        except subprocess.TimeoutExpired:
            return "does not end"
        if result.returncode == 0:
            return None
        output = result.stdout + result.stderr
        for pattern, name in [(r"ERROR: AddressSanitizer: ([\w-]+)", "AddressSanitizer: "), (r"runtime error: ([^\n]{0,50})", "UBSan: "),
                              (r"WARNING: ThreadSanitizer: ([\w ]+)", "ThreadSanitizer: "), (r"cuda emulator \(order [^)]*\): ([^\n]{0,60})", "emulator: ")]:
            if found := re.search(pattern, output):
                return name + found.group(1).strip()
        return "wrong result" if result.returncode == 1 else f"exit code {result.returncode}"


def helpers_of(operation):
    """Mutations of gpu.h's helpers with barriers, for the kernels that call them."""
    header, text = ROOT / "kernels/cuda/gpu.h", (ROOT / f"kernels/cuda/{operation}.cu").read_text()
    if "gpu::block_sum" not in text:
        return [], []
    begin = header.read_text().index("float block_sum(")
    end = header.read_text().index("\n}\n", begin)
    return tuple([m for m in found if begin <= m.begin < end] for found in mutations_of(header))


def find(mutant, builds, limits, scratch):
    """Who finds it first; "" if nobody does; None if it does not compile."""
    for mode, build in builds.items():
        if not build.make(mutant, scratch):
            return None
        if mode == "plain":
            runs = [(order, 2, None) for order in ORDERS]
        elif mode == "asan":
            runs = [("natural", 2, None), ("random:1", 2, None)]
        else:
            runs = [("natural", 4, "*Small.*")]
        for order, resident, filters in runs:
            if found := build.run(scratch, order, limits[mode], resident, filters):
                return f"{mode} {order}: {found}"
    return ""


def files_of(operation):
    source = ROOT / f"kernels/cuda/{operation}.cu"
    files, todo = [], [source]
    while todo:
        file = todo.pop()
        if file in files or not file.exists():
            continue
        files.append(file)
        for name in re.findall(r'#include "kernels/cuda/([\w./]+)"', file.read_text()):
            if name not in FOUNDATION:
                todo.append(ROOT / "kernels/cuda" / name)
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", action="append", help="an operation of kernels/cuda/operations.cmake; default: all")
    parser.add_argument("--count", type=int, default=12, help="mutations drawn for each kernel beside those of synchronisation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--build", default="build/engine-only")
    parser.add_argument("--asan", default="build/asan", help="left out if the folder is not there")
    parser.add_argument("--tsan", default="build/tsan")
    parser.add_argument("--list", action="store_true", help="print the mutations, run nothing")
    arguments = parser.parse_args()
    listed = re.search(r"set\(LECTERN_CUDA_OPERATIONS(.*?)\)", (ROOT / "kernels/cuda/operations.cmake").read_text(), re.S)
    operations = arguments.kernel or [word for line in listed.group(1).splitlines() for word in line.split("#")[0].split()]

    survivors = planted = 0
    for operation in operations:
        synchronization, others = [], []
        for s, o in [mutations_of(file) for file in files_of(operation)] + [helpers_of(operation)]:
            synchronization += s
            others += o
        random.Random(f"{arguments.seed} {operation}").shuffle(others)
        if arguments.list:
            for mutant in synchronization + others:
                print(f"{mutant.place():<28} {mutant.kind:<26} {mutant.line}")
            continue
        folders = {"plain": arguments.build, "asan": arguments.asan, "tsan": arguments.tsan}
        builds = {mode: Build((ROOT / folder).resolve(), operation) for mode, folder in folders.items()
                  if (ROOT / folder / "compile_commands.json").exists()}
        if "plain" not in builds:
            sys.exit(f"mutate: {arguments.build} is not configured (it has no compile_commands.json)")
        with tempfile.TemporaryDirectory() as name:
            scratch, limits = pathlib.Path(name), {}
            for mode, build in builds.items():
                build.make(None, scratch)
                begin = time.monotonic()
                if found := build.run(scratch, "natural", 600, 4 if mode == "tsan" else 2, "*Small.*" if mode == "tsan" else None):
                    sys.exit(f"mutate: {operation} fails without a mutation ({mode}): {found}")
                limits[mode] = 20 + 10 * (time.monotonic() - begin)
            left = arguments.count
            for mutant in synchronization + others:
                if mutant in others and left == 0:
                    break
                if reason := mutant.reason_to_skip():
                    print(f"{mutant.place():<28} {mutant.kind:<26} left out: {reason}", flush=True)
                    continue
                found = find(mutant, builds, limits, scratch)
                if found is None:
                    continue  # does not compile: the next one
                planted += 1
                left -= mutant in others
                survivors += found == ""
                print(f"{mutant.place():<28} {mutant.kind:<26} {found or 'SURVIVES: ' + mutant.line}", flush=True)
    if not arguments.list:
        print(f"mutate: {planted} mutants, {survivors} survived (seed {arguments.seed})")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
