// Channels, locks, select.
package main

import (
	"runtime"
	"sync"
)

func pingPong(t task) {
	const trips = 50_000
	t.rounds(func() round {
		there, back := make(chan int, 1), make(chan int, 1)
		go func() {
			for n := range there {
				back <- n
			}
		}()
		r := timed(trips, func() {
			for n := range trips {
				there <- n
				if <-back != n {
					panic("a wrong number")
				}
			}
		})
		close(there)
		return r
	})
}

func ring(t task) {
	const tasks, passes = 503, 200_000
	t.rounds(func() round {
		done := make(chan struct{})
		var channels [tasks]chan int
		for n := range channels {
			channels[n] = make(chan int, 1)
		}
		for n := range channels {
			from, next := channels[n], channels[(n+1)%tasks]
			go func() {
				for left := range from {
					if left == 0 {
						close(done)
						return
					}
					if left < 0 {
						return
					}
					next <- left - 1
				}
			}()
		}
		r := timed(passes, func() {
			channels[0] <- passes
			<-done
		})
		for _, channel := range channels {
			select {
			case channel <- -1:
			default:
			}
		}
		return r
	})
}

func mpsc(t task) {
	const items = 400_000
	t.rounds(func() round {
		return timed(items, func() {
			channel := make(chan uint64, 1000)
			var producers sync.WaitGroup
			producers.Add(t.size)
			for range t.size {
				go func() {
					for n := range items / t.size {
						channel <- uint64(n)
					}
					producers.Done()
				}()
			}
			counted := make(chan int)
			go func() {
				count := 0
				for range channel {
					count++
				}
				counted <- count
			}()
			producers.Wait()
			close(channel)
			if <-counted != items {
				panic("a lost item")
			}
		})
	})
}

func mutexFree(t task) {
	const times = 1_000_000
	t.rounds(func() round {
		var lock sync.Mutex
		sum := 0
		return timed(times, func() {
			for n := range times {
				lock.Lock()
				sum += n
				lock.Unlock()
			}
		})
	})
}

func mutexContended(t task) {
	const tasks, each = 100, 2_000
	t.rounds(func() round {
		var lock sync.Mutex
		var all sync.WaitGroup
		sum := 0
		all.Add(tasks)
		r := timed(tasks*each, func() {
			for range tasks {
				go func() {
					for n := range each {
						lock.Lock()
						sum++
						if n%10 == 9 {
							runtime.Gosched()
						}
						lock.Unlock()
					}
					all.Done()
				}()
			}
			all.Wait()
		})
		if sum != tasks*each {
			panic("a lost count")
		}
		return r
	})
}

func selectOfFour(t task) {
	const times = 200_000
	t.rounds(func() round {
		a, b, c, d := make(chan int, 1), make(chan int, 1), make(chan int, 1), make(chan int, 1)
		return timed(times, func() {
			for n := range times {
				c <- n
				var item int
				select {
				case item = <-a:
				case item = <-b:
				case item = <-c:
				case item = <-d:
				}
				if item != n {
					panic("a wrong number")
				}
			}
		})
	})
}
