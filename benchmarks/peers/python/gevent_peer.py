"""gevent: greenlets on libev, its queues, locks and server."""
import time

import gevent
from gevent.event import Event
from gevent.lock import Semaphore
from gevent.queue import SimpleQueue
from gevent.server import StreamServer

from common import SIZE, cannot, fib_tasks, leave_at_once, main, resident, rounds, tell, timed

FOR_EVER = 3600


def yields():
    each = max(50_000 // SIZE, 3)
    if SIZE > 100_000:
        cannot("a million greenlets take it half a minute")

    def yielder():
        for _ in range(each):
            gevent.sleep(0)

    def one():
        greenlets = [gevent.spawn(yielder) for _ in range(SIZE)]
        gevent.sleep(0)
        return timed(SIZE * each, lambda: gevent.joinall(greenlets, raise_error=True))

    rounds(one)


def number(n):
    return n


def spawn_join():
    def batches():
        for _ in range(5):
            greenlets = [gevent.spawn(number, n) for n in range(1000)]
            assert sum(greenlet.get() for greenlet in greenlets) == 499_500

    rounds(lambda: timed(5 * 1000, batches))


def node(first, leaves):
    if leaves == 1:
        return first
    branch = leaves // 10
    children = [gevent.spawn(node, first + n * branch, branch) for n in range(10)]
    return sum(child.get() for child in children)


def skynet():
    if SIZE > 100_000:
        cannot("a million tasks take it ten seconds")

    def tree():
        assert gevent.spawn(node, 0, SIZE).get() == SIZE * (SIZE - 1) // 2

    rounds(lambda: timed(SIZE, tree))


def fib(n):
    if n < 2:
        return n
    a, b = gevent.spawn(fib, n - 1), gevent.spawn(fib, n - 2)
    return a.get() + b.get()


def fibonacci():
    if SIZE > 20:
        cannot("a quarter of a million tasks take it six seconds: see the smaller number")

    rounds(lambda: timed(fib_tasks(SIZE), lambda: gevent.spawn(fib, SIZE).get()))


def ping_pong():
    trips = 5_000

    def one():
        there, back = SimpleQueue(1), SimpleQueue(1)

        def echo():
            while True:
                back.put(there.get())

        def ask():
            for n in range(trips):
                there.put(n)
                assert back.get() == n

        echoing = gevent.spawn(echo)
        took = timed(trips, ask)
        echoing.kill()
        return took

    rounds(one)


def ring():
    tasks, passes = 503, 10_000

    def one():
        queues = [SimpleQueue(1) for _ in range(tasks)]
        done = Event()

        def hand_on(come, following):
            while True:
                left = come.get()
                if left == 0:
                    done.set()
                    return
                following.put(left - 1)

        nodes = [gevent.spawn(hand_on, queues[n], queues[(n + 1) % tasks]) for n in range(tasks)]
        gevent.sleep(0)

        def pass_round():
            queues[0].put(passes)
            done.wait()

        took = timed(passes, pass_round)
        gevent.killall(nodes)
        return took

    rounds(one)


def mpsc():
    items = 20_000

    def all_of_them():
        queue = SimpleQueue(1000)

        def produce():
            for n in range(items // SIZE):
                queue.put(n)

        def consume():
            for _ in range(items):
                queue.get()

        greenlets = [gevent.spawn(consume), *(gevent.spawn(produce) for _ in range(SIZE))]
        gevent.joinall(greenlets, raise_error=True)

    rounds(lambda: timed(items, all_of_them))


def mutex_free():
    times = 50_000
    lock = Semaphore()

    def lock_all():
        total = 0
        for n in range(times):
            with lock:
                total += n

    rounds(lambda: timed(times, lock_all))


def mutex_contended():
    tasks, each = 100, 100

    def all_of_them():
        lock, total = Semaphore(), 0

        def count():
            nonlocal total
            for n in range(each):
                with lock:
                    total += 1
                    if n % 10 == 9:
                        gevent.sleep(0)

        gevent.joinall([gevent.spawn(count) for _ in range(tasks)], raise_error=True)
        assert total == tasks * each

    rounds(lambda: timed(tasks * each, all_of_them))


def sleep_all(tasks, seconds, times):
    def sleeper():
        for _ in range(times):
            gevent.sleep(seconds)

    gevent.joinall([gevent.spawn(sleeper) for _ in range(tasks)], raise_error=True)


def timers():
    rounds(lambda: timed(SIZE * 5, lambda: sleep_all(SIZE, 0.001, 5)))


def short_sleep():
    rounds(lambda: timed(50, lambda: sleep_all(1, 0.000_05, 50)))


def sleepers():
    if SIZE > 100_000:
        cannot("a million greenlets take more memory than is fair to ask for")
    sleep_all(1, 0.001, 1)
    started = 0
    all_started = Event()

    def sleeper():
        nonlocal started
        started += 1
        if started == SIZE:
            all_started.set()
        gevent.sleep(FOR_EVER)

    before = resident()
    began = time.perf_counter_ns()
    greenlets = [gevent.spawn(sleeper) for _ in range(SIZE)]
    all_started.wait()
    took = time.perf_counter_ns() - began
    gevent.sleep(0.05)
    tell("memory", (resident() - before) / len(greenlets))
    tell("time", took / len(greenlets))
    leave_at_once()


def echo():
    def handle(stream, _address):
        receive, send_all = stream.recv, stream.sendall
        while data := receive(1024):
            send_all(data)

    server = StreamServer(("127.0.0.1", 0), handle, backlog=1024)
    server.start()
    tell("port", server.server_port)
    gevent.sleep(FOR_EVER)


CASES = {
    "yield": yields,
    "spawn_join": spawn_join,
    "skynet": skynet,
    "fib": fibonacci,
    "ping_pong": ping_pong,
    "ring": ring,
    "mpsc": mpsc,
    "mutex_free": mutex_free,
    "mutex_contended": mutex_contended,
    "timers": timers,
    "short_sleep": short_sleep,
    "sleepers": sleepers,
    "echo": echo,
    "echo_one_cpu": echo,
    "idle": echo,
}

main(CASES, "nothing of the kind in gevent")
