// SPDX-License-Identifier: Apache-2.0

package process

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limits are the control groups of one task. Those of a task below the groups
// that the server itself is in, so that what binds the server binds its tasks.
// There are groups for what is only counted, too: see Usage.
type limits struct {
	dirs        []string // of our own making, to be removed
	cpu, memory bool     // which limit is in force
	processes   bool
	oomFile     string // has a line "oom_kill <count>"
}

// cpuPeriod is the time over which a share of processors is measured, in
// microseconds: the kernel's own default.
const cpuPeriod = 100_000

// newLimits makes the groups for a share of processors and an amount of
// memory, 0 for no limit, and a number of processes. What cannot be limited is
// not: see Probe.
func newLimits(d taskDir, milliCPU, memory, processes int64) *limits {
	return limitsIn(findHierarchies(), d, milliCPU, memory, processes)
}

func limitsIn(h hierarchies, d taskDir, milliCPU, memory, processes int64) *limits {
	l := &limits{}
	name := groupName(d)
	quota := strconv.FormatInt(max(milliCPU*cpuPeriod/1000, 1000), 10) // 1 ms is the least that the kernel takes
	bytes := strconv.FormatInt(memory, 10)
	count := strconv.FormatInt(processes+ofInit, 10)
	if h.unified != "" {
		if dir, err := l.mkdir(h.unified, name); err == nil {
			l.cpu = milliCPU > 0 && put(dir, "cpu.max", quota+" "+strconv.Itoa(cpuPeriod)) == nil
			if l.memory = memory > 0 && put(dir, "memory.max", bytes) == nil; l.memory {
				_ = put(dir, "memory.swap.max", "0")
				_ = put(dir, "memory.oom.group", "1")
				l.oomFile = filepath.Join(dir, "memory.events")
			}
			l.processes = put(dir, "pids.max", count) == nil
		}
	}
	if h.cpu != "" && milliCPU > 0 && !l.cpu {
		if dir, err := l.mkdir(h.cpu, name); err == nil {
			_ = put(dir, "cpu.cfs_period_us", strconv.Itoa(cpuPeriod))
			l.cpu = put(dir, "cpu.cfs_quota_us", quota) == nil
		}
	}
	if h.memory != "" && !l.memory {
		if dir, err := l.mkdir(h.memory, name); err == nil && memory > 0 {
			if l.memory = put(dir, "memory.limit_in_bytes", bytes) == nil; l.memory {
				_ = put(dir, "memory.memsw.limit_in_bytes", bytes) // absent where swap is not counted
				l.oomFile = filepath.Join(dir, "memory.oom_control")
			}
		}
	}
	if h.pids != "" && !l.processes {
		if dir, err := l.mkdir(h.pids, name); err == nil {
			l.processes = put(dir, "pids.max", count) == nil
		}
	}
	if h.cpuacct != "" {
		_, _ = l.mkdir(h.cpuacct, name)
	}
	return l
}

// groupName names a task's groups. Tasks of two homes may have the same ID.
func groupName(d taskDir) string {
	sum := sha256.Sum256([]byte(filepath.Dir(string(d))))
	return "sagebrush-" + hex.EncodeToString(sum[:4]) + "-" + filepath.Base(string(d))
}

// leftCgroups are the groups that a parent would have made which was killed
// before it could write down which.
func leftCgroups(d taskDir) []string {
	var dirs []string
	h := findHierarchies()
	for _, under := range []string{h.unified, h.cpu, h.memory, h.pids, h.cpuacct} {
		if under != "" {
			dirs = append(dirs, filepath.Join(under, groupName(d)))
		}
	}
	return dirs
}

// mkdir makes a group; one that a killed parent left is emptied and made anew,
// so that its counters are not ours.
func (l *limits) mkdir(under, name string) (string, error) {
	dir := filepath.Join(under, name)
	if slices.Contains(l.dirs, dir) { // one hierarchy may have several controllers
		return dir, nil
	}
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) {
		removeCgroups([]string{dir}, true)
		err = os.Mkdir(dir, 0o755)
	}
	if err == nil {
		l.dirs = append(l.dirs, dir)
	}
	return dir, err
}

func put(dir, file, value string) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(value), 0o600)
}

// apply moves the process into the groups; what it starts is born in them.
func (l *limits) apply(pid int) error {
	var errs []error
	for _, dir := range l.dirs {
		errs = append(errs, put(dir, "cgroup.procs", strconv.Itoa(pid)))
	}
	return errors.Join(errs...)
}

// oomKilled reports whether the kernel has killed for want of memory.
func (l *limits) oomKilled() bool {
	if l == nil || l.oomFile == "" {
		return false
	}
	data, _ := os.ReadFile(l.oomFile)
	for line := range strings.Lines(string(data)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			return n != "0"
		}
	}
	return false
}

func (l *limits) remove() {
	if l != nil {
		removeCgroups(l.dirs, false)
	}
}

// removeCgroups removes groups whose processes have ended, or with kill are
// ended. A group stays busy for a moment after its last process is reaped.
func removeCgroups(dirs []string, kill bool) {
	for _, dir := range dirs {
		for range 200 {
			if kill {
				procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
				for f := range strings.FieldsSeq(string(procs)) {
					if pid, err := strconv.Atoi(f); err == nil && pid > 1 {
						_ = syscall.Kill(pid, syscall.SIGKILL)
					}
				}
			}
			if err := syscall.Rmdir(dir); err == nil || errors.Is(err, syscall.ENOENT) {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// hierarchies are the folders in which groups can be made, "" where not.
type hierarchies struct {
	unified                    string // version 2, with controllers for processors and memory
	cpu, memory, pids, cpuacct string // version 1
}

// findHierarchies looks where this process is and what it may do there.
func findHierarchies() hierarchies {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	groups, _ := os.ReadFile("/proc/self/cgroup")
	return hierarchiesIn(string(mounts), ownCgroups(string(groups)))
}

// hierarchiesIn is findHierarchies on the text of mountinfo (proc(5)).
func hierarchiesIn(mountinfo string, own map[string]string) hierarchies {
	var h hierarchies
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(kind) < 3 {
			continue
		}
		at := func(path string) string { // where the group path is seen by this mount
			rel, err := filepath.Rel(unescape(fields[3]), path)
			if err != nil || strings.HasPrefix(rel, "..") {
				rel = "."
			}
			return filepath.Join(unescape(fields[4]), rel)
		}
		switch kind[0] {
		case "cgroup2":
			h.unified = delegated(at(own[""]), unescape(fields[4]))
		case "cgroup":
			options := strings.Split(kind[2], ",")
			for name, folder := range map[string]*string{"cpu": &h.cpu, "memory": &h.memory, "pids": &h.pids, "cpuacct": &h.cpuacct} {
				if slices.Contains(options, name) {
					*folder = writable(at(own[name]))
				}
			}
		}
	}
	return h
}

// ownCgroups reads /proc/self/cgroup: the group of this process for each
// controller, "" for version 2.
func ownCgroups(text string) map[string]string {
	own := map[string]string{}
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 {
			for c := range strings.SplitSeq(parts[1], ",") {
				own[c] = parts[2]
			}
		}
	}
	return own
}

// delegated is the nearest group from dir up to top in which a group with both
// controllers can be made. It is not always our own: a group with processes in
// it cannot have children with controllers (cgroups(7), "no internal processes").
func delegated(dir, top string) string {
	for {
		data, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		on := strings.Fields(string(data))
		if slices.Contains(on, "cpu") && slices.Contains(on, "memory") && writable(dir) != "" {
			return dir
		}
		if dir == top || len(dir) <= len(top) {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

// writable is dir if a group can be made there, else "".
func writable(dir string) string {
	if unix.Access(dir, unix.W_OK) != nil { // also when it is mounted read-only
		return ""
	}
	return dir
}

// limitCaps tells which limits are possible.
func limitCaps() (cpu, memory, processes Cap) {
	h := findHierarchies()
	where := func(dir string) Cap {
		if dir == "" {
			dir = h.unified
		}
		if dir == "" {
			return Cap{Reason: "no control group that this user may divide; as root it works, or in a systemd user session"}
		}
		return Cap{OK: true, Reason: "control groups below " + dir}
	}
	cpu, memory, processes = where(h.cpu), where(h.memory), where(h.pids)
	if !processes.OK && os.Geteuid() != 0 {
		processes = Cap{OK: true, Reason: "RLIMIT_NPROC, which counts a user's processes in their user namespace (since Linux 5.14)"}
	}
	return cpu, memory, processes
}

// fenceProcesses and fenceFiles bind this process and what it starts.
func fenceProcesses(n int64) error {
	if n <= 0 {
		return nil
	}
	return unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: uint64(n), Max: uint64(n)})
}

func fenceFiles(bytes int64) error {
	if bytes <= 0 {
		return nil
	}
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)})
}
