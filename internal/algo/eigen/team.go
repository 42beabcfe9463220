// SPDX-License-Identifier: Apache-2.0

package eigen

import (
	"runtime"
	"sync/atomic"
)

// team is goroutines that do the parts of one thing after another, each some
// microseconds long. One that is not there when a step begins holds up nothing:
// the others do its parts. One that loses its processor amid a part does hold up
// the others, and where this happens the team does without for a while.
type team struct {
	threads int
	part    func(part int)

	step    atomic.Int64 // what is done now, from 1 on
	claimed [parts]atomic.Int64
	done    atomic.Int64 // parts of all steps
	over    *atomic.Bool // tells the goroutines to end; nil while there are none

	alone, absence int // steps to do without the others, now and when they are late
}

const (
	patience = 2000 // looks for what comes next before others may run: some microseconds
	late     = 500  // further looks after which what comes is late
	absence  = 64   // steps without those who are late, twice as many each time
)

// do does all parts once.
func (t *team) do() {
	if t.alone > 0 || t.threads == 1 {
		t.alone--
		for part := range parts {
			t.part(part)
		}
		return
	}
	if t.over == nil {
		t.gather()
	}
	step := t.step.Add(1)
	t.take(0, step)
	tries := 0
	for ; t.done.Load() < step*parts; tries++ {
		if tries > patience {
			runtime.Gosched()
		}
	}
	if tries > patience+late {
		t.dismiss()
		t.absence = max(2*t.absence, absence)
		t.alone = t.absence
	}
}

// gather starts the others.
func (t *team) gather() {
	over, from := new(atomic.Bool), t.step.Load()
	t.over = over
	for worker := 1; worker < t.threads; worker++ {
		go func() {
			for seen, tries := from, 0; !over.Load(); tries++ {
				if step := t.step.Load(); step > seen {
					t.take(worker, step)
					seen, tries = step, 0
				} else if tries > patience {
					runtime.Gosched()
				}
			}
		}()
	}
}

// dismiss tells the others to end, who have no part in hand.
func (t *team) dismiss() {
	if t.over != nil {
		t.over.Store(true)
		t.over = nil
	}
}

// take does the parts of worker, which are the same in all steps so that they are
// in its cache, and then what the others have not begun.
func (t *team) take(worker int, step int64) {
	for turn := range t.threads {
		for part := (worker + turn) % t.threads; part < parts; part += t.threads {
			if t.claimed[part].CompareAndSwap(step-1, step) {
				t.part(part)
				t.done.Add(1)
			}
		}
	}
}
