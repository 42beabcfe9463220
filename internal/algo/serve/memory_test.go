// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"math"
	"testing"
)

func TestRoomOf(t *testing.T) {
	for limit, want := range map[int64]int64{0: math.MaxInt64, 1 << 20: 0, itself + 400: 300} {
		if got := roomOf(limit); got != want {
			t.Errorf("room of %d: %d, want %d", limit, got, want)
		}
	}
}
