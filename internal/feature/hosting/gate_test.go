// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"testing"
	"time"
)

// TestInstanceOfAColdStartGoesWhenItIsIdle: the loop looks while the request
// that waited for the instance is under way, and hears nothing of its end.
func TestInstanceOfAColdStartGoesWhenItIsIdle(t *testing.T) {
	g := &gate{idle: time.Minute, wake: func() {}, busy: map[*target]bool{}, used: map[*target]time.Time{}, limit: 5}
	i := &target{at: spot{index: 0}}
	at := now
	look := func(want int, soon time.Duration) {
		t.Helper()
		n, again := g.wanted(at, false)
		if n != want || again > soon {
			t.Errorf("%s after the start: %d instances are wanted and asked for again after %s; want %d, and at most %s", at.Sub(now), n, again, want, soon)
		}
		at = at.Add(again)
	}
	come := make(chan *target, 1)
	g.waiting, g.using = append(g.waiting, come), 1
	look(1, time.Minute) // it is started
	at = now.Add(time.Second)
	g.offer([]*target{i})
	if got := <-come; got != i {
		t.Fatal("the request does not get the instance")
	}
	look(1, time.Minute) // the request is under way
	g.release(i, now.Add(2*time.Second))
	look(1, time.Minute) // it was used not long ago
	look(0, time.Hour)
}
