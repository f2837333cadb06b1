// Sleepers and timers, and the memory that a sleeper takes.
package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bytes that are resident, and the page tables of all.
func resident() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	sum := 0
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if fields[0] == "VmRSS:" || fields[0] == "VmPTE:" {
			kib, _ := strconv.Atoi(fields[1])
			sum += kib * 1024
		}
	}
	return float64(sum)
}

func sleepers(t task) {
	sleepAll(1, time.Millisecond, 1)
	before := resident()
	var started atomic.Int64
	over := make(chan time.Time, 1)
	began := time.Now()
	for range t.size {
		go func() {
			if started.Add(1) == int64(t.size) {
				over <- time.Now()
			}
			time.Sleep(time.Hour)
		}()
	}
	took := (<-over).Sub(began)
	// The last to start may only now be about to sleep.
	time.Sleep(50 * time.Millisecond)
	tell("memory", (resident()-before)/float64(t.size))
	tell("time", float64(took.Nanoseconds())/float64(t.size))
	os.Exit(0)
}

func sleepAll(tasks int, duration time.Duration, times int) {
	var all sync.WaitGroup
	all.Add(tasks)
	for range tasks {
		go func() {
			for range times {
				time.Sleep(duration)
			}
			all.Done()
		}()
	}
	all.Wait()
}

func timers(t task) {
	const times = 5
	t.rounds(func() round {
		return timed(t.size*times, func() { sleepAll(t.size, time.Millisecond, times) })
	})
}

func shortSleep(t task) {
	const times = 100
	t.rounds(func() round {
		return timed(times, func() { sleepAll(1, 50*time.Microsecond, times) })
	})
}
