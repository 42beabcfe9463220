// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fileSystem tells of the file system that path is on, in bytes: its size, what
// is free, and what of that is not kept for root.
func fileSystem(path string) (total, free, avail int64, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, 0, false
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bfree) * st.Bsize, int64(st.Bavail) * st.Bsize, st.Blocks > 0
}

// tree lists pid and all processes that descend from it.
func tree(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all) && len(all) < 1<<16; i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, list := range lists {
			data, _ := os.ReadFile(list)
			for f := range strings.FieldsSeq(string(data)) {
				if n, err := strconv.Atoi(f); err == nil {
					all = append(all, n)
				}
			}
		}
	}
	return all
}

// treeUsage is the processor time of a process, those that descend from it and
// those of them that have ended, and the memory that those alive share with no
// file.
func treeUsage(pid int) (cpu time.Duration, memory int64, ok bool) {
	if pid <= 0 {
		return 0, 0, false
	}
	var ticks, pages int64
	for _, p := range tree(pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue
		}
		n, good := ticksIn(string(stat))
		ok = ok || good
		ticks += n
		statm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p))
		if f := strings.Fields(string(statm)); len(f) > 2 {
			resident, _ := strconv.ParseInt(f[1], 10, 64)
			shared, _ := strconv.ParseInt(f[2], 10, 64)
			pages += max(resident-shared, 0)
		}
	}
	// A tick is a hundredth of a second on every system that Go runs on.
	return time.Duration(ticks) * 10 * time.Millisecond, pages * int64(os.Getpagesize()), ok
}

// ticksIn adds up the times in /proc/<pid>/stat (proc(5)): the process's own,
// in user and system mode, and those of its children that it has waited for.
func ticksIn(stat string) (int64, bool) {
	i := strings.LastIndexByte(stat, ')') // the name before it may hold anything
	if i < 0 {
		return 0, false
	}
	f := strings.Fields(stat[i+1:])
	if len(f) < 15 {
		return 0, false
	}
	var sum int64
	for _, s := range f[11:15] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return 0, false
		}
		sum += n
	}
	return sum, true
}

// unlinked is the room that files take which have no name any more and are
// held open by pids, but for those in memory and those in seen.
func unlinked(pids []int, seen map[inode]bool) int64 {
	var bytes int64
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			var st unix.Stat_t
			if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 0 || st.Blocks == 0 {
				continue
			}
			id := inode{st.Dev, st.Ino}
			if seen[id] {
				continue
			}
			seen[id] = true
			var on unix.Statfs_t
			if unix.Statfs(path, &on) == nil && on.Type != unix.TMPFS_MAGIC {
				bytes += st.Blocks * 512
			}
		}
	}
	return bytes
}
