#!/usr/bin/env python3
"""Reads a run's events with TensorBoard's own reader and compares every point with the run's log.

    python test/golden/event_files.py RUN

A run that was stopped and resumed has several event files; TensorBoard must show each step once, as the log does.
"""

import json
import math
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# Curve in TensorBoard, kind of log record, its member.
CURVES = [
    ("loss/train", "step", "loss"),
    ("loss/validation", "validation", "loss"),
    ("learning_rate", "step", "learning_rate"),
    ("gradient_norm", "step", "gradient_norm"),
    ("tokens_per_second", "step", "tokens_per_second"),
    ("memory_peak", "step", "memory_peak"),
]


def logged(run):
    """{(kind, member): {step: value}} without what a resume made void."""
    points = {(kind, member): {} for _, kind, member in CURVES}
    for line in (run / "log.jsonl").read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # torn by a kill
        if record["kind"] == "resume":
            for values in points.values():
                for step in [s for s in values if s > record["step"]]:
                    del values[step]
        for kind, member in points:
            if record["kind"] == kind and record[member] is not None:
                points[kind, member][record["step"]] = record[member]
    return points


def compare(run):
    points = logged(run)
    events = EventAccumulator(str(run / "events"), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    tags = events.Tags()["scalars"]
    assert sorted(tags) == sorted(curve for curve, _, _ in CURVES), tags
    count = 0
    for curve, kind, member in CURVES:
        shown = [(event.step, event.value) for event in events.Scalars(curve)]
        expected = sorted(points[kind, member].items())
        assert [s for s, _ in shown] == [s for s, _ in expected], f"{curve}: steps {shown} and {expected}"
        for (step, value), (_, wanted) in zip(shown, expected):
            assert math.isclose(value, wanted, rel_tol=1e-6, abs_tol=1e-30), f"{curve}, step {step}: {value}, {wanted}"
        count += len(shown)
    files = len(list((run / "events").iterdir()))
    return f"{len(tags)} curves, {count} points, {files} files"


if __name__ == "__main__":
    print("event files:", compare(pathlib.Path(sys.argv[1])))
