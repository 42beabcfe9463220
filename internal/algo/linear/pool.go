// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"sync"
	"sync/atomic"
)

// pool is goroutines that stay: a step takes a tenth of a millisecond, for which
// none should be begun.
type pool struct {
	threads int
	work    chan *task
}

type task struct {
	n    int
	do   func(i int)
	next atomic.Int64
	wait sync.WaitGroup
}

func (t *task) run() {
	for {
		i := int(t.next.Add(1)) - 1
		if i >= t.n {
			return
		}
		t.do(i)
	}
}

func newPool(threads int) *pool {
	p := &pool{threads: max(1, threads)}
	if p.threads > 1 {
		p.work = make(chan *task)
		for range p.threads - 1 {
			go func() {
				for t := range p.work {
					t.run()
					t.wait.Done()
				}
			}()
		}
	}
	return p
}

func (p *pool) close() {
	if p.work != nil {
		close(p.work)
	}
}

// each calls do for all i < n, by all goroutines, or by the caller alone when
// the work is small: cost is about how many nanoseconds it takes.
func (p *pool) each(n, cost int, do func(i int)) {
	const small = 60_000
	helpers := min(p.threads, n) - 1
	if helpers < 1 || cost < small {
		for i := range n {
			do(i)
		}
		return
	}
	t := &task{n: n, do: do}
	t.wait.Add(helpers)
	for range helpers {
		p.work <- t
	}
	t.run()
	t.wait.Wait()
}
