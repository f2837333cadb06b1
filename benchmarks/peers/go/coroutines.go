// iter.Pull: Go's own coroutine switch.
package main

import "iter"

func generator(t task) {
	const items = 1_000_000
	t.rounds(func() round {
		next, stop := iter.Pull(func(yield func(int) bool) {
			for n := range items {
				if !yield(n) {
					return
				}
			}
		})
		defer stop()
		return timed(items, func() {
			sum := 0
			for n, ok := next(); ok; n, ok = next() {
				sum += n
			}
			if sum != items*(items-1)/2 {
				panic("a wrong sum")
			}
		})
	})
}

// A number each way: the way there goes by a shared variable, for `next` takes none.
func switches(t task) {
	const pairs = 300_000
	t.rounds(func() round {
		number := 0
		next, stop := iter.Pull(func(yield func(int) bool) {
			for yield(number + 1) {
			}
		})
		defer stop()
		return timed(pairs, func() {
			for number < pairs {
				number, _ = next()
			}
		})
	})
}
