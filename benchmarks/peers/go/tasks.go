// Goroutines: yielding, spawning, joining, computing.
package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

func yields(t task) {
	each := max(500_000/t.size, 5)
	t.rounds(func() round {
		var started, ended atomic.Int64
		var began, over time.Time
		var all sync.WaitGroup
		all.Add(t.size)
		for range t.size {
			go func() {
				defer all.Done()
				if started.Add(1) == int64(t.size) {
					began = time.Now()
				}
				for started.Load() < int64(t.size) {
					runtime.Gosched()
				}
				for range each {
					runtime.Gosched()
				}
				if ended.Add(1) == int64(t.size) {
					over = time.Now()
				}
			}()
		}
		all.Wait()
		// All but the last to start were resumed once more, out of their wait.
		return round{over.Sub(began), t.size*each + t.size - 1}
	})
}

func spawnJoin(t task) {
	const batches, batch = 50, 1000
	t.rounds(func() round {
		return timed(batches*batch, func() {
			for range batches {
				var all sync.WaitGroup
				var results [batch]int
				all.Add(batch)
				for n := range batch {
					go func() {
						results[n] = n
						all.Done()
					}()
				}
				all.Wait()
				sum := 0
				for _, n := range results {
					sum += n
				}
				if sum != batch*(batch-1)/2 {
					panic("a lost result")
				}
			}
		})
	})
}

func node(result chan<- int, first, leaves int) {
	if leaves == 1 {
		result <- first
		return
	}
	branch := leaves / 10
	results := make(chan int)
	for n := range 10 {
		go node(results, first+n*branch, branch)
	}
	sum := 0
	for range 10 {
		sum += <-results
	}
	result <- sum
}

func skynet(t task) {
	t.rounds(func() round {
		return timed(t.size, func() {
			result := make(chan int)
			go node(result, 0, t.size)
			if <-result != t.size*(t.size-1)/2 {
				panic("a wrong sum")
			}
		})
	})
}

func fib(result chan<- int, n int) {
	if n < 2 {
		result <- n
		return
	}
	results := make(chan int)
	go fib(results, n-1)
	go fib(results, n-2)
	result <- <-results + <-results
}

func fibonacci(t task) {
	before, tasks := 1, 1
	for range t.size - 1 {
		before, tasks = tasks, 1+before+tasks
	}
	t.rounds(func() round {
		return timed(tasks, func() {
			result := make(chan int)
			go fib(result, t.size)
			<-result
		})
	})
}

// Kept, so that the compiler keeps the arithmetic.
var computed atomic.Uint64

func compute() {
	x := uint64(88172645463325252)
	for range 200_000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	computed.Store(x)
}

func unbalanced(t task) {
	t.rounds(func() round {
		var isThere, mayEnd atomic.Bool
		occupied := make(chan struct{})
		go func() {
			isThere.Store(true)
			for !mayEnd.Load() {
			}
			close(occupied)
		}()
		// The other thread takes it, for this one is busy here.
		for !isThere.Load() {
		}
		start := make(chan struct{})
		var waiting atomic.Int64
		var all sync.WaitGroup
		all.Add(t.size)
		for range t.size {
			go func() {
				waiting.Add(1)
				<-start
				compute()
				all.Done()
			}()
		}
		for waiting.Load() < int64(t.size) {
			runtime.Gosched()
		}
		runtime.Gosched()
		mayEnd.Store(true)
		<-occupied
		return timed(t.size, func() {
			close(start)
			all.Wait()
		})
	})
}
