// SPDX-License-Identifier: Apache-2.0

//go:build linux

package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

func TestMemoryLimit(t *testing.T) {
	if _, mem, _ := limitCaps(); !mem.OK {
		t.Skip("no memory limit: " + mem.Reason)
	}
	exe := self()[0]
	for _, c := range []struct {
		name   string
		task   runtime.Task
		limit  int64
		code   int
		reason string
	}{
		{"too much ends the task", runtime.Task{Command: []string{exe, "eat"}}, 96 << 20, 137, runtime.ReasonOOM},
		{"of a worker too", shell("", exe+" eat; echo went on; sleep 1000"), 96 << 20, 137, runtime.ReasonOOM},
		{"a kill is not mistaken for it", shell("", "kill -9 $$"), 96 << 20, 137, ""},
		{"more than the machine has is no limit", shell("", "exit 4"), 1 << 50, 4, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := fresh(t)
			c.task.ID, c.task.MemoryBytes = "eater", c.limit
			start(t, r, c.task)
			if s := await(t, r, "eater", runtime.Exited); s.ExitCode != c.code || s.Reason != c.reason {
				t.Errorf("it ended as %+v and printed %q", s, logText(t, r, "eater"))
			}
		})
	}
}

func TestCPULimit(t *testing.T) {
	if cpu, _, _ := limitCaps(); !cpu.OK {
		t.Skip("no CPU limit: " + cpu.Reason)
	}
	r := fresh(t)
	k := shell("cpu", "exec sleep 1000")
	k.MilliCPU = 1500
	start(t, r, k)
	await(t, r, k.ID, runtime.Running)
	var b begun
	if ok, err := r.task(k.ID).read("begun.json", &b); !ok || err != nil || len(b.Cgroups) == 0 {
		t.Fatal(ok, err, b)
	}
	var limit string
	for _, file := range []string{"cpu.max", "cpu.cfs_quota_us"} {
		data, _ := os.ReadFile(filepath.Join(b.Cgroups[0], file))
		limit += string(data)
	}
	if !strings.HasPrefix(limit, "150000") {
		t.Errorf("limit is %q", limit)
	}
	procs, _ := os.ReadFile(filepath.Join(b.Cgroups[0], "cgroup.procs"))
	if n := len(strings.Fields(string(procs))); n != 2 {
		t.Errorf("%d processes are limited, not init and the command", n)
	}
}

func TestRemoveFindsGroupsOfAParentThatWasKilledEarly(t *testing.T) {
	if cpu, _, _ := limitCaps(); !cpu.OK {
		t.Skip("no CPU limit: " + cpu.Reason)
	}
	r := fresh(t)
	d := r.task("early")
	if err := os.Mkdir(string(d), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.path("lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLimits(d, 1000, 1<<30, 10)
	if len(l.dirs) == 0 {
		t.Fatal("no group was made")
	}
	if err := r.Remove(t.Context(), "early"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range l.dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
			removeCgroups([]string{dir}, false)
		}
	}
}

func TestHierarchyFiles(t *testing.T) {
	for in, want := range map[string]string{`/a`: "/a", `/a\040b`: "/a b", `/a\134`: `/a\`, `/\04`: `/\04`, `/\999`: `/\999`} {
		if got := unescape(in); got != want {
			t.Errorf("unescape %q is %q, not %q", in, got, want)
		}
	}
}

// Version 2 is tried on plain folders: the files are the interface.
func TestUnifiedHierarchy(t *testing.T) {
	top := t.TempDir()
	slice := filepath.Join(top, "user.slice", "app.slice")
	own := filepath.Join(slice, "server.scope")
	if err := os.MkdirAll(own, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir, on := range map[string]string{own: "", slice: "cpu memory pids\n", filepath.Dir(slice): "cpu memory pids\n"} {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(on), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	groups := ownCgroups("1:name=systemd:/x\n0::/user.slice/app.slice/server.scope\n")
	h := hierarchiesIn("30 29 0:26 / "+top+" rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n31 29 0:27 / /x rw - tmpfs tmpfs rw\nnonsense\n", groups)
	if h != (hierarchies{unified: slice}) {
		t.Fatalf("got %+v, want the nearest group that may be divided, %s", h, slice)
	}
	l := limitsIn(h, taskDir("/home/tasks/train-1"), 2500, 8<<30, 100)
	if !l.cpu || !l.memory || !l.processes || len(l.dirs) != 1 || filepath.Dir(l.dirs[0]) != slice {
		t.Fatalf("got %+v", l)
	}
	if err := l.apply(4711); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"cpu.max": "250000 100000", "memory.max": "8589934592", "memory.swap.max": "0",
		"memory.oom.group": "1", "pids.max": "116", "cgroup.procs": "4711"} {
		if got, err := os.ReadFile(filepath.Join(l.dirs[0], file)); string(got) != want {
			t.Errorf("%s is %q, %v; not %q", file, got, err, want)
		}
	}
	for events, want := range map[string]bool{"low 0\noom 1\noom_kill 0\n": false, "oom 1\noom_kill 2\n": true, "": false} {
		if err := put(l.dirs[0], "memory.events", events); err != nil {
			t.Fatal(err)
		}
		if got := l.oomKilled(); got != want {
			t.Errorf("events %q: killed %v", events, got)
		}
	}
}

func FuzzHierarchies(f *testing.F) {
	f.Add("30 29 0:26 /a /nowhere rw - cgroup2 cgroup2 rw", "0::/a/b\n3:cpu,cpuacct:/c")
	f.Add("30 29 0:26 / /nowhere/cpu rw - cgroup cgroup rw,cpu", "3:cpu:/../..")
	f.Fuzz(func(t *testing.T, mounts, groups string) {
		if strings.Contains(mounts, "/sys") || strings.Contains(mounts, "/tmp") {
			return // groups would really be tried there
		}
		_ = hierarchiesIn(strings.ReplaceAll(mounts, "/", "/no-such-place/"), ownCgroups(groups)) // must not panic or hang
	})
}

func FuzzUnescape(f *testing.F) {
	f.Add(`/a\040b\`)
	f.Fuzz(func(t *testing.T, s string) {
		got := unescape(s)
		if !strings.Contains(s, `\`) && got != s || len(got) > len(s) {
			t.Errorf("%q became %q", s, got)
		}
	})
}

// Version 1, where one folder may be the place of several controllers.
func TestHierarchiesOfVersionOne(t *testing.T) {
	top := t.TempDir()
	var mounts string
	for _, m := range []struct{ dir, options string }{{"cpu,cpuacct", "rw,cpu,cpuacct"}, {"memory", "rw,memory"}, {"pids", "rw,pids"}} {
		if err := os.MkdirAll(filepath.Join(top, m.dir, "own"), 0o755); err != nil {
			t.Fatal(err)
		}
		mounts += "30 29 0:26 / " + filepath.Join(top, m.dir) + " rw - cgroup cgroup " + m.options + "\n"
	}
	h := hierarchiesIn(mounts, ownCgroups("4:cpu,cpuacct:/own\n3:memory:/own\n2:pids:/own\n"))
	both := filepath.Join(top, "cpu,cpuacct", "own")
	if h != (hierarchies{cpu: both, cpuacct: both, memory: filepath.Join(top, "memory", "own"), pids: filepath.Join(top, "pids", "own")}) {
		t.Fatalf("got %+v", h)
	}
	for _, c := range []struct {
		cpu, memory int64
		files       map[string]string
	}{
		{0, 0, map[string]string{"pids.max": "26"}},
		{500, 1 << 20, map[string]string{"pids.max": "26", "cpu.cfs_quota_us": "50000", "memory.limit_in_bytes": "1048576"}},
	} {
		l := limitsIn(h, taskDir("/home/tasks/train-1"), c.cpu, c.memory, 10)
		if len(l.dirs) != 3 || l.cpu != (c.cpu > 0) || l.memory != (c.memory > 0) || !l.processes {
			t.Errorf("got %+v", l)
		}
		var all string
		for _, dir := range l.dirs {
			for file, want := range c.files {
				if got, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
					if all += file + " "; string(got) != want {
						t.Errorf("%s is %q, not %q", file, got, want)
					}
				}
			}
			os.RemoveAll(dir)
		}
		if len(strings.Fields(all)) != len(c.files) {
			t.Errorf("written were %q of %v", all, c.files)
		}
	}
}
