"""Python's own generators: items, and `send` both ways."""
from common import main, rounds, timed


def generator():
    items = 100_000

    def numbers():
        for n in range(items):
            yield n

    def take_all():
        total = 0
        for n in numbers():
            total += n
        assert total == items * (items - 1) // 2

    rounds(lambda: timed(items, take_all))


def switch():
    pairs = 100_000

    def add_one():
        n = yield
        while True:
            n = yield n + 1

    def count():
        other = add_one()
        next(other)
        n, there = 0, other.send
        while n < pairs:
            n = there(n)

    rounds(lambda: timed(pairs, count))


main({"switch": switch, "generator": generator}, "generators know no tasks: see asyncio")
