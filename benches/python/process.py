"""The cases of `cargo bench --bench process` by Python's multiprocessing: `python3 process.py CASE`.

Prints seven samples, nanoseconds for each operation (for `big`: for each KiB), after one that does not count.
"""

import multiprocessing as mp
import sys
import time


def square(n):
    return n * n


def answer(conn):
    while True:
        n = conn.recv()
        if n is None:
            return
        conn.send(n)


def give_back(to, back):
    while (n := to.get()) is not None:
        back.put(n)


def take_turns(lock, times, start, result):
    start.wait()
    begun = time.perf_counter_ns()
    for _ in range(times):
        with lock:
            pass
    result.put((begun, time.perf_counter_ns()))


def count(conn):
    while (text := conn.recv()) is not None:
        conn.send(len(text))


def sample(operations, run):
    run()
    for _ in range(7):
        begun = time.perf_counter_ns()
        run()
        print((time.perf_counter_ns() - begun) / operations)


def with_child(target, run):
    ours, theirs = mp.Pipe()
    child = mp.Process(target=target, args=(theirs,))
    child.start()
    run(ours)
    ours.send(None)
    child.join()


def pool_case(operations, workers, run):
    with mp.Pool(workers) as pool:
        sample(operations, lambda: run(pool))


def worker_start():
    def run():
        with mp.Pool(1) as pool:
            pool.apply(square, (7,))

    sample(1, run)


def round_trips(send, recv, times=1000):
    for n in range(times):
        send(n)
        recv()


def queue():
    to, back = mp.Queue(), mp.Queue()
    child = mp.Process(target=give_back, args=(to, back))
    child.start()
    sample(1000, lambda: round_trips(to.put, back.get))
    to.put(None)
    child.join()


def lock(workers, times=200_000):
    shared = mp.Lock()

    # The workers' start and end are no part of it.
    def run():
        start, result = mp.Barrier(workers), mp.SimpleQueue()
        args = (shared, times, start, result)
        children = [mp.Process(target=take_turns, args=args) for _ in range(workers)]
        for child in children:
            child.start()
        spans = [result.get() for _ in range(workers)]
        for child in children:
            child.join()
        return (max(end for _, end in spans) - min(begun for begun, _ in spans)) / (times * workers)

    run()
    for _ in range(7):
        print(run())


def big():
    text = "x" * (16 << 20)

    def run(conn):
        def once():
            conn.send(text)
            conn.recv()

        sample(16 << 10, once)

    with_child(count, run)


CASES = {
    "worker_start": worker_start,
    "apply": lambda: pool_case(1000, 1, lambda pool: [pool.apply(square, (n,)) for n in range(1000)]),
    "map_single": lambda: pool_case(20_000, 2, lambda pool: pool.map(square, range(20_000), 1)),
    "map_chunked": lambda: pool_case(1_000_000, 2, lambda pool: pool.map(square, range(1_000_000))),
    "pipe": lambda: with_child(
        answer, lambda conn: sample(1000, lambda: round_trips(conn.send, conn.recv))
    ),
    "queue": queue,
    "lock_free": lambda: lock(1),
    "lock_contended": lambda: lock(2),
    "big": big,
}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
