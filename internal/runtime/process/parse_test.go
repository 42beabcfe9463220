// SPDX-License-Identifier: Apache-2.0

//go:build linux

package process

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

func TestResolveIn(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"/etc", "/usr/bin", "/var/lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for at, to := range map[string]string{"/bin": "usr/bin", "/abs": "/usr", "/up": "../../../../../..", "/etc/loop": "loop", "/etc/host": "/../../etc/passwd",
		"/chain": "/abs/bin", "/dangling": "/no/such", "/var/run": "/run"} {
		if err := os.Symlink(to, filepath.Join(root, at)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"/": "", "": "", "/etc": "/etc", "/etc/../usr": "/usr", "/bin/sh": "/usr/bin/sh", "/abs/bin/x": "/usr/bin/x", "/up/etc": "/etc", "/../..": "",
		"/etc/host": "/etc/passwd", "/chain/y": "/usr/bin/y", "/dangling/z": "/no/such/z", "/var/run/a": "/run/a", "/no/../etc": "/etc", "//etc//./x": "/etc/x",
	} {
		if got, err := resolveIn(root, path); err != nil || got != root+want {
			t.Errorf("%q is %q, %v; not %q", path, got, err, want)
		}
	}
	if got, err := resolveIn(root, "/etc/loop/x"); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a loop is %q, %v", got, err)
	}
	if got, err := resolveIn("/", "/"); got != "/" || err != nil {
		t.Errorf("the machine's own root is %q, %v", got, err)
	}
}

func FuzzResolveIn(f *testing.F) {
	f.Add("/a/../../b", "/x/..", "../../..")
	f.Add("a", "b/a", "/a/b")
	f.Fuzz(func(t *testing.T, path, one, two string) {
		root := t.TempDir()
		_ = os.Symlink(one, filepath.Join(root, "a"))
		_ = os.Symlink(two, filepath.Join(root, "b"))
		got, err := resolveIn(root, path)
		if err != nil {
			return
		}
		if !below(got, root) || strings.Contains(got+"/", "/../") {
			t.Errorf("%q with a -> %q, b -> %q is %q", path, one, two, got)
		}
	})
}

const (
	somePasswd = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\nml:x:1000:100:ML:/home/ml:\n1000:x:7:8::relative:\nneg:x:-1:0::/:\nlate:x:1000:5::/late:\n"
	someGroup  = "root:x:0:ml\nusers:x:100:ml\nvideo:x:44:other,ml\nbad:x:y:ml\n44:x:45:\n"
)

func TestIdentify(t *testing.T) {
	for user, want := range map[string]identity{
		"":           {0, 0, nil, "/root"},
		"root":       {0, 0, nil, "/root"},
		"ml":         {1000, 100, []int{0, 44}, "/home/ml"},
		"1000":       {1000, 100, []int{0, 44}, "/home/ml"}, // the first entry that fits
		"ml:":        {1000, 100, []int{0, 44}, "/home/ml"},
		"ml:video":   {1000, 44, nil, "/home/ml"},
		"ml:44":      {1000, 45, nil, "/home/ml"}, // a group's name may be a number
		"5:9":        {5, 9, nil, "/"},
		"4294967294": {4294967294, 0, nil, "/"},
		":video":     {0, 44, nil, "/root"},
	} {
		if got, err := identifyIn(somePasswd, someGroup, user); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v, %v; not %+v", user, got, err, want)
		}
	}
	for _, user := range []string{"neg", "nobody", "-1", "4294967295", "ml:nobody", "ml:-1", "a b", "0x1"} {
		if got, err := identifyIn(somePasswd, someGroup, user); err == nil {
			t.Errorf("%q is %+v", user, got)
		}
	}
	root := t.TempDir()
	if got, err := identify(root, "7"); err != nil || got.UID != 7 {
		t.Errorf("without the files 7 is %+v, %v", got, err)
	}
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(root, "etc/passwd"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identify(root, "7"); err == nil {
		t.Error("a pipe is read as passwd")
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add(somePasswd, someGroup, "ml:video")
	f.Add(":::::", ":::", ":")
	f.Fuzz(func(t *testing.T, passwd, group, user string) {
		id, err := identifyIn(passwd, group, user)
		if err == nil && (id.UID < 0 || id.GID < 0 || id.UID >= 1<<32-1 || id.GID >= 1<<32-1 || !strings.HasPrefix(id.Home, "/")) {
			t.Errorf("%q is %+v", user, id)
		}
	})
}

func TestHostAddresses(t *testing.T) {
	if got := hostAddr("g", 0, 1).String(); got != "127.0.0.1" {
		t.Errorf("a single host is %s", got)
	}
	seen := map[string]string{}
	for _, group := range []string{"one", "two", "", "a-long-name-of-a-training-job"} {
		for i := range 600 {
			a := hostAddr(group, i, 600)
			b := a.As4()
			if !a.IsLoopback() || b[1] == 0 || b[1] == 255 || hostAddr(group, i, 600) != a {
				t.Errorf("host %d of %q is %s", i, group, a)
			}
			if who, ok := seen[a.String()]; ok {
				t.Errorf("%s is a host of %q and of %q", a, who, group)
			}
			seen[a.String()] = group
		}
	}
	got := hostNames(runtime.Task{Group: "one", Host: "me", Hosts: []string{"algo-1", "algo-2"}})
	want := hostAddr("one", 0, 2).String() + "\talgo-1\n" + hostAddr("one", 1, 2).String() + "\talgo-2\n127.0.0.1\tme\n"
	if got != want {
		t.Errorf("the names are %q, not %q", got, want)
	}
	for _, bad := range []string{"", "a b", "x\n127.0.0.1 y", "-a", strings.Repeat("x", 65), "ä"} {
		if err := checkTask(runtime.Task{Command: []string{"x"}, Hosts: []string{bad}}); err == nil {
			t.Errorf("a host %q is accepted", bad)
		}
	}
}

func TestCopyTree(t *testing.T) {
	from := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(from, "a/b"), 0o755),
		os.WriteFile(filepath.Join(from, "a/f"), []byte("text"), 0o640),
		os.Link(filepath.Join(from, "a/f"), filepath.Join(from, "a/b/g")),
		os.Symlink("../a/f", filepath.Join(from, "l")),
		syscall.Mkfifo(filepath.Join(from, "p"), 0o600),
		os.Chmod(filepath.Join(from, "a/b"), 0o555),
		os.Chtimes(filepath.Join(from, "a"), time.Unix(5, 0), time.Unix(5, 0)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := copyTree(from, to, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	want := strings.Split(listing(t, from), "\n")
	kept := want[:0]
	for _, line := range want {
		if !strings.HasPrefix(line, "p p") { // the pipe
			kept = append(kept, line)
		}
	}
	size := func(lines []string) string { return strings.Join(lines, "\n") }
	got := strings.Split(listing(t, to), "\n")
	if dropTop(size(got)) != dropTop(size(kept)) {
		t.Errorf("the copy of\n%s\nis\n%s", size(kept), size(got))
	}
	f, _ := os.Stat(filepath.Join(to, "a/f"))
	g, _ := os.Stat(filepath.Join(to, "a/b/g"))
	if !os.SameFile(f, g) {
		t.Error("a hard link has become a second file")
	}
	if err := copyTree(from, filepath.Join(t.TempDir(), "copy"), func() bool { return true }); !errors.Is(err, errStopped) {
		t.Errorf("a copy that is to stop: %v", err)
	}
}

// dropTop leaves out sizes of folders, which depend on what was in them, and
// the line of the top folder itself.
func dropTop(listing string) string {
	var out []string
	for line := range strings.Lines(listing) {
		f := strings.Fields(line)
		if len(f) < 5 || strings.HasPrefix(line, " ") {
			continue
		}
		if strings.HasPrefix(f[1], "d") {
			f[3] = ""
		}
		if strings.HasPrefix(f[1], "l") {
			f[4] = "" // the time of a link is not kept
		}
		out = append(out, strings.Join(f, " "))
	}
	return strings.Join(out, "\n")
}

func TestCounters(t *testing.T) {
	for _, c := range []struct {
		text, key string
		want      int64
		ok        bool
	}{
		{"4711\n", "", 4711, true},
		{"user_usec 1\nusage_usec 22\n", "usage_usec", 22, true},
		{"inactive_file 3\ntotal_inactive_file 44\n", "total_inactive_file", 44, true},
		{"total_inactive_file 44\n", "inactive_file", 0, false},
		{"max\n", "", 0, false},
		{"-1\n", "", 0, false},
		{"", "", 0, false},
	} {
		if got, ok := counterIn(c.text, c.key); got != c.want || ok != c.ok {
			t.Errorf("%q of %q is %d, %v", c.key, c.text, got, ok)
		}
	}
	for stat, want := range map[string]int64{
		"12 (a b) c) S 1 1 1 0 -1 4 1 2 3 4 10 20 30 40 20 0 1 0 5 6": 100, "12 (x) S": 0, "": 0, "12 (x) S 1 1 1 0 -1 4 1 2 3 4 a 20 30 40 20 0 1": 0,
	} {
		if got, ok := ticksIn(stat); got != want || ok != (want > 0) {
			t.Errorf("%q has %d ticks, %v", stat, got, ok)
		}
	}
}

func FuzzCounters(f *testing.F) {
	f.Add("usage_usec 22\n", "usage_usec")
	f.Add("1 (a) S 1 1 1 0 -1 4 1 2 3 4 10 20 30 40 20 0 1 0 5 6", "")
	f.Fuzz(func(t *testing.T, text, key string) {
		if n, ok := counterIn(text, key); n < 0 && ok {
			t.Errorf("it counts %d", n)
		}
		_, _ = ticksIn(text) // must not panic
	})
}

func TestParseGPUs(t *testing.T) {
	got := parseGPUs("0, GPU-aa, 37, 12\n1, GPU-bb, [N/A], 101\nnonsense\n-1, x, 1, 1\n2, GPU-cc, 5\n")
	want := map[int]gpu{0: {runtime.GPUUsage{Utilization: 37, MemoryUtilization: 12}, "GPU-aa"}, 1: {Name: "GPU-bb"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func FuzzParseGPUs(f *testing.F) {
	f.Add("0, GPU-aa, 37, 12\n")
	f.Fuzz(func(t *testing.T, text string) {
		for n, g := range parseGPUs(text) {
			if n < 0 || !(g.Utilization >= 0 && g.Utilization <= 100) || !(g.MemoryUtilization >= 0 && g.MemoryUtilization <= 100) {
				t.Errorf("%q has %d: %+v", text, n, g)
			}
		}
	})
}

func TestAssignSpreadsTasksOverAccelerators(t *testing.T) {
	r := fresh(t)
	r.gpus.known, r.gpus.asked = map[int]gpu{0: {Name: "GPU-a"}, 1: {Name: "GPU-b"}, 3: {Name: "GPU-d"}}, time.Now().Add(time.Hour)
	for i, want := range [][]int{{0}, {1, 3}, {0, 1}, {0, 1, 3}} {
		id := runtime.ID("t" + string(rune('0'+i)))
		n := []int{1, 2, 2, 9}[i]
		got, names := r.assign(t.Context(), n)
		if i == 3 {
			want = []int{3, 0, 1}
		}
		if !reflect.DeepEqual(got, want) || len(names) != len(want) {
			t.Errorf("task %d sees %v, %v; not %v", i, got, names, want)
		}
		if err := os.MkdirAll(string(r.task(id)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := r.task(id).write("task.json", spec{GPUs: got}, false); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.liveFile(id), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
