// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// memoryVar names the bytes that the process may have, where the platform says
// so. The limit of the control group counts beside it.
const memoryVar = "SAGEBRUSH_MEMORY_BYTES"

// memoryLimit is how many bytes the process may have, 0 when nobody says.
func memoryLimit(getenv func(string) string) int64 {
	limit, err := strconv.ParseInt(strings.TrimSpace(getenv(memoryVar)), 10, 64)
	if err != nil || limit <= 0 {
		limit = math.MaxInt64
	}
	if limit = min(limit, groupLimit("/proc/self/cgroup", "/sys/fs/cgroup")); limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// groupLimit is the smallest limit of the control groups that the file self
// names and of those above them, MaxInt64 without one. Of version 2 the group
// is "0::/path" below mount; of version 1 "4:memory:/path" below mount/memory.
func groupLimit(self, mount string) int64 {
	limit := int64(math.MaxInt64)
	b, err := os.ReadFile(self)
	if err != nil {
		return limit
	}
	for line := range strings.Lines(string(b)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		dir, file := mount, "memory.max"
		switch controllers {
		case "":
		case "memory":
			dir, file = filepath.Join(mount, "memory"), "memory.limit_in_bytes"
		default:
			continue
		}
		for at := path.Join("/", group); ; at = path.Dir(at) {
			text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(at), file))
			if err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
					limit = min(limit, n)
				}
			}
			if at == "/" {
				break
			}
		}
	}
	if limit >= 1<<60 { // how version 1 says that there is none
		return math.MaxInt64
	}
	return limit
}

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
