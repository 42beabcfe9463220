// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"sync/atomic"
	"testing"
	"time"
)

// Helpers come to work while they look out for it and once they sleep, and all of
// it is done once when each returns.
func TestCrew(t *testing.T) {
	for threads := 1; threads <= 5; threads++ {
		c := NewCrew(threads)
		for round := range 500 {
			if round%50 == 49 {
				time.Sleep(2 * time.Millisecond) // until they sleep
			}
			n := round % 40
			var did [40]atomic.Int32
			c.Do(n, func(i int) {
				switch {
				case round%60 == 9:
					time.Sleep(time.Millisecond) // until the caller does
				case round%60 == 20 && i == 1:
					time.Sleep(5 * time.Millisecond) // one is late
				}
				did[i].Add(1)
			})
			for i := range did {
				if got := did[i].Load(); got != 1 && i < n || got != 0 && i >= n {
					t.Fatalf("%d threads, round %d: %d of %d was done %d times", threads, round, i, n, got)
				}
			}
		}
		c.Close()
	}
}
