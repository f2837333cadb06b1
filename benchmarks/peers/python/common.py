"""What the Python peers share: rounds, the lines that the driver reads, memory.

Each script is `python SCRIPT PEER WHAT SIZE WORKERS SPAN_MS` and tells on standard output
`METRIC VALUE`, `cannot REASON` or `port N`.
"""
import gc
import os
import signal
import statistics
import sys
import time

PEER, WHAT = sys.argv[1:3]
SIZE, WORKERS, SPAN_MS = map(int, sys.argv[3:6])

# A server ends by itself when nobody is left to end it.
signal.alarm(180)


def tell(metric, value):
    print(metric, value, flush=True)


def cannot(reason):
    tell("cannot", reason)
    sys.exit(0)


def rounds(one):
    """One round to warm up, then rounds until the span is over; tells the median.

    A round gives back the nanoseconds that an operation took. The collector of cycles runs between
    rounds, not within them: it is not what is measured.
    """
    gc.collect()
    one()
    gc.disable()
    each = []
    began = time.perf_counter()
    while not each or time.perf_counter() - began < SPAN_MS / 1e3:
        each.append(one())
        gc.collect()
    gc.enable()
    tell("time", statistics.median(each))


def timed(operations, run):
    """Nanoseconds for each of so many operations."""
    began = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - began) / operations


def resident():
    """Bytes of this process that are resident, and its page tables."""
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return sum(int(fields[key].split()[0]) * 1024 for key in ("VmRSS", "VmPTE"))


def fib_tasks(n):
    """How many tasks make a Fibonacci number."""
    before, last = 1, 1
    for _ in range(n - 1):
        before, last = last, 1 + before + last
    return last


def main(cases, otherwise):
    if WHAT not in cases:
        cannot(otherwise)
    cases[WHAT]()


def leave_at_once():
    """Not by unwinding a hundred thousand sleepers."""
    sys.stdout.flush()
    os._exit(0)
