"""multiprocessing: pipes, queues, pools. By fork, the fastest of its ways to start."""
import multiprocessing

from common import WHAT, WORKERS, cannot, rounds, timed

CONTEXT = multiprocessing.get_context("fork")
TRIPS = 2_000


def square(n):
    return n * n


def give_back(connection):
    while (n := connection.recv()) is not None:
        connection.send(n)


def pipe():
    ours, theirs = CONTEXT.Pipe()
    child = CONTEXT.Process(target=give_back, args=(theirs,), daemon=True)
    child.start()

    def trips():
        for n in range(TRIPS):
            ours.send(n)
            assert ours.recv() == n

    rounds(lambda: timed(TRIPS, trips))
    ours.send(None)
    child.join()


def put_back(come, back):
    while (n := come.get()) is not None:
        back.put(n)


def queue():
    there, back = CONTEXT.Queue(), CONTEXT.Queue()
    child = CONTEXT.Process(target=put_back, args=(there, back), daemon=True)
    child.start()

    def trips():
        for n in range(TRIPS):
            there.put(n)
            assert back.get() == n

    rounds(lambda: timed(TRIPS, trips))
    there.put(None)
    child.join()


def apply():
    with CONTEXT.Pool(1) as pool:
        def calls():
            for n in range(TRIPS):
                assert pool.apply(square, (n,)) == n * n

        rounds(lambda: timed(TRIPS, calls))


def map_single():
    jobs = 5_000
    with CONTEXT.Pool(WORKERS) as pool:
        rounds(lambda: timed(jobs, lambda: pool.map(square, range(jobs), chunksize=1)))


def map_chunked():
    jobs = 200_000
    with CONTEXT.Pool(WORKERS) as pool:
        rounds(lambda: timed(jobs, lambda: pool.map(square, range(jobs))))


def pool_start():
    def pools():
        for _ in range(3):
            with CONTEXT.Pool(1) as pool:
                assert pool.apply(square, (7,)) == 49

    rounds(lambda: timed(3, pools))


CASES = {
    "pipe": pipe,
    "queue": queue,
    "apply": apply,
    "map_single": map_single,
    "map_chunked": map_chunked,
    "pool_start": pool_start,
}

if WHAT not in CASES:
    cannot("processes only: see asyncio and gevent")
CASES[WHAT]()
