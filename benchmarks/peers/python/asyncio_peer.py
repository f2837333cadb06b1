"""asyncio, on its own loop or on uvloop: tasks, queues, locks, servers."""
import asyncio
import time

from common import PEER, SIZE, cannot, fib_tasks, leave_at_once, main, resident, rounds, tell

if PEER == "uvloop":
    import uvloop

    run = uvloop.run
else:
    run = asyncio.run

FOR_EVER = 3600


async def clocked(operations, awaitable):
    began = time.perf_counter_ns()
    await awaitable
    return (time.perf_counter_ns() - began) / operations


def measured(one):
    """Rounds of a coroutine function, all on one loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if PEER == "uvloop" else None) as runner:
        rounds(lambda: runner.run(one()))


def yields():
    each = max(50_000 // SIZE, 3)

    async def one():
        async def yielder():
            for _ in range(each):
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(yielder()) for _ in range(SIZE)]
        await asyncio.sleep(0)
        return await clocked(SIZE * each, asyncio.gather(*tasks))

    if SIZE > 100_000:
        cannot("a million tasks take it half a minute")
    measured(one)


def spawn_join():
    async def number(n):
        return n

    async def batches():
        for _ in range(5):
            tasks = [asyncio.create_task(number(n)) for n in range(1000)]
            total = 0
            for task in tasks:
                total += await task
            assert total == 499_500

    measured(lambda: clocked(5 * 1000, batches()))


def skynet():
    if SIZE > 100_000:
        cannot("a million tasks take it ten seconds")

    async def node(first, leaves):
        if leaves == 1:
            return first
        branch = leaves // 10
        children = [asyncio.create_task(node(first + n * branch, branch)) for n in range(10)]
        total = 0
        for child in children:
            total += await child
        return total

    async def tree():
        assert await asyncio.create_task(node(0, SIZE)) == SIZE * (SIZE - 1) // 2

    measured(lambda: clocked(SIZE, tree()))


def fibonacci():
    if SIZE > 20:
        cannot("a quarter of a million tasks take it six seconds: see the smaller number")

    async def fib(n):
        if n < 2:
            return n
        a, b = asyncio.create_task(fib(n - 1)), asyncio.create_task(fib(n - 2))
        return await a + await b

    async def tree():
        await asyncio.create_task(fib(SIZE))

    measured(lambda: clocked(fib_tasks(SIZE), tree()))


def ping_pong():
    trips = 5_000

    async def one():
        there, back = asyncio.Queue(1), asyncio.Queue(1)

        async def echo():
            while True:
                await back.put(await there.get())

        async def ask():
            for n in range(trips):
                await there.put(n)
                assert await back.get() == n

        echoing = asyncio.create_task(echo())
        took = await clocked(trips, ask())
        echoing.cancel()
        return took

    measured(one)


def ring():
    tasks, passes = 503, 10_000

    async def one():
        queues = [asyncio.Queue(1) for _ in range(tasks)]
        done = asyncio.Event()

        async def node(come, following):
            while True:
                left = await come.get()
                if left == 0:
                    done.set()
                    return
                await following.put(left - 1)

        nodes = [asyncio.create_task(node(queues[n], queues[(n + 1) % tasks]))
                 for n in range(tasks)]
        await asyncio.sleep(0)

        async def pass_round():
            await queues[0].put(passes)
            await done.wait()

        took = await clocked(passes, pass_round())
        for task in nodes:
            task.cancel()
        return took

    measured(one)


def mpsc():
    items = 20_000

    async def produce(queue):
        for n in range(items // SIZE):
            await queue.put(n)

    async def consume(queue):
        for _ in range(items):
            await queue.get()

    async def all_of_them():
        queue = asyncio.Queue(1000)
        await asyncio.gather(consume(queue), *(produce(queue) for _ in range(SIZE)))

    measured(lambda: clocked(items, all_of_them()))


def mutex_free():
    times = 20_000

    async def lock_all():
        lock, total = asyncio.Lock(), 0
        for n in range(times):
            async with lock:
                total += n

    measured(lambda: clocked(times, lock_all()))


def mutex_contended():
    tasks, each = 100, 100

    async def all_of_them():
        lock, total = asyncio.Lock(), 0

        async def count():
            nonlocal total
            for n in range(each):
                async with lock:
                    total += 1
                    if n % 10 == 9:
                        await asyncio.sleep(0)

        await asyncio.gather(*(count() for _ in range(tasks)))
        assert total == tasks * each

    measured(lambda: clocked(tasks * each, all_of_them()))


async def sleep_all(tasks, seconds, times):
    async def sleeper():
        for _ in range(times):
            await asyncio.sleep(seconds)

    await asyncio.gather(*(asyncio.create_task(sleeper()) for _ in range(tasks)))


def timers():
    measured(lambda: clocked(SIZE * 5, sleep_all(SIZE, 0.001, 5)))


def short_sleep():
    async def one():
        took = await clocked(50, sleep_all(1, 0.000_05, 50))
        if took < 50_000:
            cannot("it wakes before the time: its clock counts milliseconds")
        return took

    measured(one)


def sleepers():
    async def one():
        await sleep_all(1, 0.001, 1)
        started = 0
        all_started = asyncio.Event()

        async def sleeper():
            nonlocal started
            started += 1
            if started == SIZE:
                all_started.set()
            await asyncio.sleep(FOR_EVER)

        before = resident()
        began = time.perf_counter_ns()
        tasks = [asyncio.create_task(sleeper()) for _ in range(SIZE)]
        await all_started.wait()
        took = time.perf_counter_ns() - began
        await asyncio.sleep(0.05)
        tell("memory", (resident() - before) / len(tasks))
        tell("time", took / len(tasks))
        leave_at_once()

    run(one())


class Echo(asyncio.Protocol):
    """The faster of asyncio's two ways: no stream, no task for a connection."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


def echo():
    async def serve():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1024)
        tell("port", server.sockets[0].getsockname()[1])
        await asyncio.sleep(FOR_EVER)

    run(serve())


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

main(CASES, "nothing of the kind in asyncio itself")
