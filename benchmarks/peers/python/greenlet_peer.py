"""greenlet alone: switches and items, without a loop around them."""
from greenlet import getcurrent, greenlet

from common import main, rounds, timed


def switch():
    pairs = 100_000

    def one():
        parent = getcurrent()

        def add_one(n):
            back = parent.switch
            while True:
                n = back(n + 1)

        other = greenlet(add_one)
        other.switch(0)

        def count():
            n, there = 0, other.switch
            while n < pairs:
                n = there(n)

        took = timed(pairs, count)
        other.throw()
        return took

    rounds(one)


def generator():
    items = 100_000

    def one():
        parent = getcurrent()

        def numbers():
            give = parent.switch
            for n in range(items):
                give(n)
            return None

        def take_all():
            total, take = 0, greenlet(numbers).switch
            while (n := take()) is not None:
                total += n
            assert total == items * (items - 1) // 2

        return timed(items, take_all)

    rounds(one)


main({"switch": switch, "generator": generator}, "it has switches only: see gevent")
