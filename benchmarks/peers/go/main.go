// Go's side of the suite: `peers PEER WHAT SIZE WORKERS SPAN_MS`, one case in one process.
//
// It tells on standard output what the driver reads: `METRIC VALUE`, `cannot REASON` or `port N`. The
// standard library only; GOMAXPROCS is the number of workers, all else as it comes.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"time"
)

// What the driver asked for.
type task struct {
	what    string
	size    int
	workers int
	span    time.Duration
}

// A round: so many operations took so long.
type round struct {
	took       time.Duration
	operations int
}

// One round to warm up, then rounds until the span is over; tells the median.
func (t task) rounds(one func() round) {
	one()
	began := time.Now()
	var each []float64
	for len(each) == 0 || time.Since(began) < t.span {
		r := one()
		each = append(each, float64(r.took.Nanoseconds())/float64(r.operations))
	}
	sort.Float64s(each)
	median := each[len(each)/2]
	if len(each)%2 == 0 {
		median = (each[len(each)/2-1] + median) / 2
	}
	tell("time", median)
}

func timed(operations int, run func()) round {
	began := time.Now()
	run()
	return round{time.Since(began), operations}
}

func tell(metric string, value float64) {
	fmt.Println(metric, value)
}

func number(word string) int {
	n, err := strconv.Atoi(word)
	if err != nil {
		fmt.Fprintln(os.Stderr, "not a number:", word)
		os.Exit(2)
	}
	return n
}

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: peers PEER WHAT SIZE WORKERS SPAN_MS")
		os.Exit(2)
	}
	t := task{
		what:    os.Args[2],
		size:    number(os.Args[3]),
		workers: number(os.Args[4]),
		span:    time.Duration(number(os.Args[5])) * time.Millisecond,
	}
	runtime.GOMAXPROCS(t.workers)
	// A server ends by itself when nobody is left to end it.
	time.AfterFunc(3*time.Minute, func() { os.Exit(3) })
	cases := map[string]func(task){
		"yield":           yields,
		"spawn_join":      spawnJoin,
		"skynet":          skynet,
		"fib":             fibonacci,
		"unbalanced":      unbalanced,
		"ping_pong":       pingPong,
		"ring":            ring,
		"mpsc":            mpsc,
		"mutex_free":      mutexFree,
		"mutex_contended": mutexContended,
		"select":          selectOfFour,
		"sleepers":        sleepers,
		"timers":          timers,
		"short_sleep":     shortSleep,
		"generator":       generator,
		"switch":          switches,
		"echo":            echo,
		"echo_one_cpu":    echo,
		"idle":            echo,
		"http":            http,
		"http_one_cpu":    http,
		"http_pipelined":  http,
	}
	run, ok := cases[t.what]
	if !ok {
		fmt.Println("cannot no functions in other processes")
		return
	}
	run(t)
}
