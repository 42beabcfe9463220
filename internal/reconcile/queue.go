// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

const (
	// minBackoff and maxBackoff are the waits after the first failure and after
	// many; each is twice the one before.
	minBackoff = 10 * time.Millisecond
	maxBackoff = 30 * time.Second
	// maxWokenBackoff is the longest wait after a failed look during which the
	// key was woken: not none, since the look may have woken the key itself by
	// what it wrote, and not long, since someone may have asked it to stop.
	maxWokenBackoff = time.Second
)

// backoff is the wait after so many failures in a row: between half and all of
// a time that doubles, so that keys that failed together do not come together.
func backoff(failures int) time.Duration {
	// 30 s is reached at the 13th failure; the shift must not overflow later.
	limit := min(minBackoff<<min(max(failures, 1)-1, 16), maxBackoff)
	return limit/2 + rand.N(limit/2+1)
}

// item is a key that has something before it: a look that runs, is due or is
// to come. A key with nothing before it has no item.
type item[K comparable] struct {
	key      K
	ready    bool // it is in queue.ready
	running  bool
	again    bool // it was woken while it was running
	failures int  // in a row

	// at is when the last look wanted the next one; asked is when WakeAfter
	// did. Zero means never. A look outdates the first and not the second.
	at, asked time.Time
	index     int // in queue.later, or -1
}

// next is when the item is to become ready by itself, or zero for never.
func (it *item[K]) next() time.Time {
	if it.at.IsZero() || !it.asked.IsZero() && it.asked.Before(it.at) {
		return it.asked
	}
	return it.at
}

// queue knows which keys are ready and which will be. Its user guards it.
type queue[K comparable] struct {
	items map[K]*item[K]
	ready []*item[K] // first come, first served
	later later[K]
}

func (q *queue[K]) item(key K) *item[K] {
	it := q.items[key]
	if it == nil {
		it = &item[K]{key: key, index: -1}
		q.items[key] = it
	}
	return it
}

// wake makes the key ready, or marks it for another look if it is running.
func (q *queue[K]) wake(key K) {
	it := q.item(key)
	switch {
	case it.running:
		it.again = true
	case !it.ready:
		it.ready = true
		q.ready = append(q.ready, it)
	}
}

// wakeAt makes the key ready at t.
func (q *queue[K]) wakeAt(key K, t time.Time) {
	it := q.item(key)
	if it.asked.IsZero() || t.Before(it.asked) {
		it.asked = t
		q.place(it)
	}
}

// place puts the item where its next time belongs in later.
func (q *queue[K]) place(it *item[K]) {
	switch none := it.next().IsZero(); {
	case none && it.index >= 0:
		heap.Remove(&q.later, it.index)
	case !none && it.index >= 0:
		heap.Fix(&q.later, it.index)
	case !none:
		heap.Push(&q.later, it)
	}
}

// ripen wakes the items whose time has come and answers when the next one's
// will, or zero if none waits.
func (q *queue[K]) ripen(now time.Time) time.Time {
	for len(q.later) > 0 {
		it := q.later[0]
		if next := it.next(); next.After(now) {
			return next
		}
		if !it.at.After(now) {
			it.at = time.Time{}
		}
		if !it.asked.After(now) {
			it.asked = time.Time{}
		}
		q.place(it)
		q.wake(it.key)
	}
	return time.Time{}
}

// take takes the first ready item to run it.
func (q *queue[K]) take() *item[K] {
	it := q.ready[0]
	q.ready[0] = nil
	q.ready = q.ready[1:]
	it.ready, it.running, it.at = false, true, time.Time{}
	q.place(it)
	return it
}

// put takes back an item that has run.
func (q *queue[K]) put(it *item[K], result Result, now time.Time) {
	again := it.again
	it.running, it.again = false, false
	switch {
	case result.retry:
		it.failures++
		wait := backoff(it.failures)
		if again {
			wait = min(wait, maxWokenBackoff)
		}
		it.at = now.Add(wait)
		again = false
	case result.Done:
		it.failures, it.asked = 0, time.Time{}
	case result.After > 0:
		it.failures, it.at = 0, now.Add(result.After)
	default:
		it.failures = 0
	}
	q.place(it)
	if again {
		q.wake(it.key)
	}
	if !it.ready && it.next().IsZero() {
		delete(q.items, it.key)
	}
}

// later is a heap of items by their next time.
type later[K comparable] []*item[K]

// Len implements heap.Interface.
func (h later[K]) Len() int { return len(h) }

// Less implements heap.Interface.
func (h later[K]) Less(i, j int) bool { return h[i].next().Before(h[j].next()) }

// Swap implements heap.Interface.
func (h later[K]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *later[K]) Push(x any) {
	it := x.(*item[K])
	it.index = len(*h)
	*h = append(*h, it)
}

// Pop implements heap.Interface.
func (h *later[K]) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	it.index = -1
	return it
}
