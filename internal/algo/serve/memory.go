// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"math"
	"sync"
)

// itself is what the process takes without models, in bytes.
const itself = 64 << 20

// roomOf is what models may take of limit. A quarter is left to requests and to
// what the garbage collector has not swept yet.
func roomOf(limit int64) int64 {
	if limit <= 0 {
		return math.MaxInt64
	}
	return max(0, (limit-itself)/4*3)
}

// memory counts what models take.
type memory struct {
	room  int64
	mu    sync.Mutex
	taken int64
}

// take takes n bytes if there is room for them.
func (m *memory) take(n int64) bool { return m.change(0, n) }

// give gives n bytes back.
func (m *memory) give(n int64) { m.change(n, 0) }

// change gives old bytes back and takes n, if there is room for them.
func (m *memory) change(old, n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.taken -= old
	if n > 0 && n > m.room-m.taken {
		return false
	}
	m.taken += n
	return true
}

func (m *memory) state() (taken, room int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.taken, m.room
}
