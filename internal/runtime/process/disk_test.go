// SPDX-License-Identifier: Apache-2.0

//go:build linux

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// A task that writes as fast as it can, anywhere, is ended.
func TestDiskLimit(t *testing.T) {
	root := image(t, nil)
	const limit = 96 << 20
	for _, c := range []struct{ where, step string }{
		{"the image", "fill /"},
		{"/tmp", "fill /tmp"},
		{"a mount", "fill /opt/ml"},
		{"a scratch mount", "fill /env"},
		{"files without a name", "hog /x"},
	} {
		t.Run(c.where, func(t *testing.T) {
			r := isolated(t)
			ml := t.TempDir()
			if err := os.WriteFile(filepath.Join(ml, "before"), make([]byte, limit), 0o600); err != nil { // was there, and does not count
				t.Fatal(err)
			}
			k := guest("fat", root, c.step)
			k.DiskBytes = limit
			k.Mounts = []runtime.Mount{{Source: ml, Target: "/opt/ml"}, {Source: t.TempDir(), Target: "/env", Scratch: true}}
			start(t, r, k)
			s := await(t, r, k.ID, runtime.Exited)
			if s.Reason != runtime.ReasonDisk || s.ExitCode == 0 {
				t.Errorf("it ended as %+v and printed %q", s, logText(t, r, k.ID))
			}
			t.Logf("ended after %v with %d", s.Ended.Sub(s.Started), s.ExitCode)
		})
	}
}

// One file that grows is cut off at the limit, by a signal or by an error.
func TestNoFileIsLargerThanTheLimit(t *testing.T) {
	for script, code := range map[string]int{
		"exec dd if=/dev/zero of=/tmp/x bs=1M count=500":                           codeFileSize,
		"trap '' XFSZ; dd if=/dev/zero of=/tmp/x bs=1M count=500; echo $?; exit 7": 7,
	} {
		r := isolated(t)
		k := shell("one", script)
		k.DiskBytes = 48 << 20
		start(t, r, k)
		s := await(t, r, k.ID, runtime.Exited)
		if s.Reason != runtime.ReasonDisk || s.ExitCode != code && s.ExitCode != codeKilled {
			t.Errorf("it ended as %+v and printed %q", s, logText(t, r, k.ID))
		}
	}
}

func TestDiskLimitLeavesOthersAlone(t *testing.T) {
	r := isolated(t)
	k := guest("thin", image(t, nil), "write /x y", "remove /x", "exit 3")
	k.DiskBytes = 8 << 20
	start(t, r, k)
	if s := await(t, r, k.ID, runtime.Exited); s.Reason != "" || s.ExitCode != 3 {
		t.Errorf("it ended as %+v", s)
	}
}

// On a small disk: the one that fills it is ended, and what it wrote is gone;
// the one beside it is not, and its end can be written down.
func TestDiskIsFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=160m"); err != nil {
		t.Skip("no small file system: " + err.Error())
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	root := image(t, nil)
	r := open(t, options(filepath.Join(small, "tasks")))
	if r.isolation == direct {
		t.Skip("no namespaces here")
	}
	quiet := guest("quiet", root, "write /x y", "pause")
	start(t, r, quiet)
	await(t, r, quiet.ID, runtime.Running)
	for i := range 3 {
		fat := guest(runtime.ID(fmt.Sprintf("fat-%d", i)), root, "fill /tmp")
		start(t, r, fat)
		s := await(t, r, fat.ID, runtime.Exited)
		if s.Reason != runtime.ReasonDisk || s.ExitCode == 0 {
			t.Errorf("it ended as %+v and printed %q", s, logText(t, r, fat.ID))
		}
		finish(t, r, fat.ID)
		if total, free, _, _ := fileSystem(small); total-free > 16<<20 {
			t.Errorf("%d bytes are still used", total-free)
		}
	}
	if s, _ := r.Inspect(t.Context(), quiet.ID); s.Phase != runtime.Running {
		t.Errorf("the other is %+v", s)
	}
}

func TestForkBomb(t *testing.T) {
	r := isolated(t)
	if _, _, pids := limitCaps(); !pids.OK {
		t.Skip("no limit of processes: " + pids.Reason)
	}
	k := guest("bomb", image(t, nil), "bomb")
	k.MaxProcesses, k.MemoryBytes, k.MilliCPU = 100, 2<<30, 1000
	start(t, r, k)
	await(t, r, k.ID, runtime.Running)
	var b begun
	if ok, err := r.task(k.ID).read("begun.json", &b); !ok || err != nil {
		t.Fatal(ok, err)
	}
	most := 0
	for deadline := time.Now().Add(700 * time.Millisecond); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		most = max(most, len(tree(b.Init)))
	}
	if most < 3 || most > 100+ofInit {
		t.Errorf("there are %d processes", most)
	}
	began := time.Now()
	if err := r.Stop(t.Context(), k.ID, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if s := await(t, r, k.ID, runtime.Exited); s.ExitCode == 0 {
		t.Errorf("it ended as %+v", s)
	}
	gone(t, "guest\x00bomb")
	gone(t, "exe\x00bomb")
	t.Logf("%d processes were seen; all ended %v after Stop", most, time.Since(began))
}

func TestUsage(t *testing.T) {
	r := isolated(t)
	if _, ok, err := r.Usage(t.Context(), "none"); ok || err != nil {
		t.Errorf("of a missing task: %v, %v", ok, err)
	}
	k := guest("busy", image(t, nil), "burn 300", "keep 64", "bytes /x 300000", "say done", "pause")
	start(t, r, k)
	var u runtime.Usage
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var ok bool
		var err error
		if u, ok, err = r.Usage(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
		if ok && u.CPU > 250*time.Millisecond && u.MemoryBytes > 60<<20 && u.DiskBytes > 200_000 {
			break
		}
	}
	if u.CPU < 250*time.Millisecond || u.CPU > 10*time.Second || u.MemoryBytes < 60<<20 || u.MemoryBytes > 512<<20 || u.DiskBytes < 200_000 || u.DiskBytes > 2<<20 {
		t.Errorf("it has used %+v", u)
	}
	// The same without control groups.
	var b begun
	if ok, err := r.task(k.ID).read("begun.json", &b); !ok || err != nil {
		t.Fatal(ok, err)
	}
	cpu, memory, ok := treeUsage(b.Init)
	if !ok || cpu < 200*time.Millisecond || cpu > 10*time.Second || memory < 60<<20 || memory > 512<<20 {
		t.Errorf("its processes have used %v, %d, %v", cpu, memory, ok)
	}
	// After a restart of the server.
	if again, ok, err := open(t, options(r.dir)).Usage(t.Context(), k.ID); !ok || err != nil || again.CPU < u.CPU {
		t.Errorf("another server says %+v, %v, %v", again, ok, err)
	}
	finish(t, r, k.ID)
	if _, ok, err := r.Usage(t.Context(), k.ID); ok || err != nil {
		t.Errorf("of an ended task: %v, %v", ok, err)
	}
}

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var once, linked, sparse measure
	once.folder(dir, 0)
	if err := os.MkdirAll(filepath.Join(dir, "deep", "er"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(file, filepath.Join(dir, "deep", "er", "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(dir, "all")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	linked.folder(dir, 0)
	if once.bytes < 1<<20 || linked.bytes-once.bytes > 64<<10 || linked.failed {
		t.Errorf("a file of 1 MiB takes %d, and with a link %d", once.bytes, linked.bytes)
	}
	if err := os.Truncate(file, 1<<40); err != nil {
		t.Fatal(err)
	}
	if sparse.folder(dir, 0); sparse.bytes > linked.bytes+1<<20 {
		t.Errorf("a hole takes %d", sparse.bytes)
	}
}

func TestReserve(t *testing.T) {
	for total, want := range map[int64]int64{0: 0, 100 << 20: 2 << 20, 1 << 40: 1 << 30} {
		if got := reserve(total); got != want {
			t.Errorf("of %d bytes %d are left alone, not %d", total, got, want)
		}
	}
}

// However many files there are, to count them costs a twentieth of a processor.
func TestMeasuringIsRareWhenItIsSlow(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(0, []string{dir, dir, filepath.Join(dir, "in-it")}, filepath.Join(dir, "log"))
	if len(d.roots) != 1 {
		t.Errorf("it watches %v", d.roots)
	}
	d.places = nil // other tests write to this file system too
	var measured int
	d.record = func(int64) { measured++ }
	for _, c := range []struct {
		what        string
		cost, after time.Duration
		idle        time.Duration
		want        bool
	}{
		{"soon after the last time", time.Millisecond, time.Second, minIdle, false},
		{"after a while", time.Millisecond, 3 * time.Second, minIdle, true},
		{"where nothing happens", time.Millisecond, 3 * time.Second, maxIdle, false},
		{"where it takes a second", time.Second, 19 * time.Second, minIdle, false},
		{"where it takes a second, at last", time.Second, 21 * time.Second, minIdle, true},
	} {
		now := time.Now()
		d.cost, d.at, d.idle, measured = c.cost, now, c.idle, 0
		over, again := d.look(now.Add(c.after))
		if over || again != time.Second || (measured > 0) != c.want {
			t.Errorf("%s: over %v, again %v, measured %d", c.what, over, again, measured)
		}
	}
}
