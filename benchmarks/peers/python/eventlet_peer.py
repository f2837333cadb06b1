"""eventlet: green threads on its hub, its queues, locks and sockets."""
import time

import eventlet
from eventlet import event, queue, semaphore

from common import SIZE, cannot, fib_tasks, leave_at_once, main, resident, rounds, tell, timed

FOR_EVER = 3600


def yields():
    each = max(50_000 // SIZE, 3)
    if SIZE > 10_000:
        cannot("so many green threads take it minutes")

    def yielder():
        for _ in range(each):
            eventlet.sleep(0)

    def one():
        threads = [eventlet.spawn(yielder) for _ in range(SIZE)]
        eventlet.sleep(0)

        def join_all():
            for thread in threads:
                thread.wait()

        return timed(SIZE * each, join_all)

    rounds(one)


def number(n):
    return n


def spawn_join():
    def batches():
        for _ in range(5):
            threads = [eventlet.spawn(number, n) for n in range(1000)]
            assert sum(thread.wait() for thread in threads) == 499_500

    rounds(lambda: timed(5 * 1000, batches))


def fib(n):
    if n < 2:
        return n
    a, b = eventlet.spawn(fib, n - 1), eventlet.spawn(fib, n - 2)
    return a.wait() + b.wait()


def fibonacci():
    if SIZE > 20:
        cannot("a quarter of a million tasks take it six seconds: see the smaller number")

    rounds(lambda: timed(fib_tasks(SIZE), lambda: eventlet.spawn(fib, SIZE).wait()))


def ping_pong():
    trips = 5_000

    def one():
        there, back = queue.LightQueue(1), queue.LightQueue(1)

        def echo():
            while True:
                back.put(there.get())

        def ask():
            for n in range(trips):
                there.put(n)
                assert back.get() == n

        echoing = eventlet.spawn(echo)
        took = timed(trips, ask)
        echoing.kill()
        return took

    rounds(one)


def mpsc():
    items = 20_000

    def all_of_them():
        channel = queue.LightQueue(1000)

        def produce():
            for n in range(items // SIZE):
                channel.put(n)

        def consume():
            for _ in range(items):
                channel.get()

        consumer = eventlet.spawn(consume)
        for _ in range(SIZE):
            eventlet.spawn(produce)
        consumer.wait()

    rounds(lambda: timed(items, all_of_them))


def mutex_free():
    times = 50_000
    lock = semaphore.Semaphore()

    def lock_all():
        total = 0
        for n in range(times):
            with lock:
                total += n

    rounds(lambda: timed(times, lock_all))


def sleep_all(tasks, seconds, times):
    def sleeper():
        for _ in range(times):
            eventlet.sleep(seconds)

    for thread in [eventlet.spawn(sleeper) for _ in range(tasks)]:
        thread.wait()


def timers():
    rounds(lambda: timed(SIZE * 5, lambda: sleep_all(SIZE, 0.001, 5)))


def short_sleep():
    rounds(lambda: timed(50, lambda: sleep_all(1, 0.000_05, 50)))


def sleepers():
    if SIZE > 100_000:
        cannot("a million green threads take more memory than is fair to ask for")
    sleep_all(1, 0.001, 1)
    started = 0
    all_started = event.Event()

    def sleeper():
        nonlocal started
        started += 1
        if started == SIZE:
            all_started.send()
        eventlet.sleep(FOR_EVER)

    before = resident()
    began = time.perf_counter_ns()
    threads = [eventlet.spawn(sleeper) for _ in range(SIZE)]
    all_started.wait()
    took = time.perf_counter_ns() - began
    eventlet.sleep(0.05)
    tell("memory", (resident() - before) / len(threads))
    tell("time", took / len(threads))
    leave_at_once()


def echo():
    def handle(stream, _address):
        while data := stream.recv(1024):
            stream.sendall(data)

    listener = eventlet.listen(("127.0.0.1", 0), backlog=1024)
    tell("port", listener.getsockname()[1])
    eventlet.serve(listener, handle, concurrency=20_000)


CASES = {
    "yield": yields,
    "spawn_join": spawn_join,
    "fib": fibonacci,
    "ping_pong": ping_pong,
    "mpsc": mpsc,
    "mutex_free": mutex_free,
    "timers": timers,
    "short_sleep": short_sleep,
    "sleepers": sleepers,
    "echo": echo,
    "echo_one_cpu": echo,
}

main(CASES, "not written for eventlet")
