// SPDX-License-Identifier: Apache-2.0

// Package spill tells what a process may have of the machine's memory, and
// holds arrays that may be larger than that.
package spill

import (
	"bufio"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// Var names the bytes that the process may have, where the platform says so.
// The limit of the control group counts beside it.
const Var = "SAGEBRUSH_MEMORY_BYTES"

// Limit is how many bytes the process may have, 0 when nobody says.
func Limit(getenv func(string) string) int64 {
	limit, err := strconv.ParseInt(strings.TrimSpace(getenv(Var)), 10, 64)
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

// room is how many bytes the process can have: its limit, that of Go's runtime
// (GOMEMLIMIT), and what is free on the machine as the file info tells.
func room(getenv func(string) string, info string) int64 {
	free := debug.SetMemoryLimit(-1)
	if limit := Limit(getenv); limit > 0 {
		free = min(free, limit)
	}
	f, err := os.Open(info)
	if err != nil {
		return free
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "MemAvailable:" {
			if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil && kib > 0 && kib < math.MaxInt64>>10 {
				free = min(free, kib<<10)
			}
		}
	}
	return free
}
