// SPDX-License-Identifier: Apache-2.0

//go:build linux

package process

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

func TestOptMLIsTheTasksAlone(t *testing.T) {
	r, ml := isolated(t), t.TempDir()
	_, before := os.Stat("/opt/ml")
	host, _ := os.ReadDir("/opt")
	k := shell("ml", "echo made >/opt/ml/model; ls /opt; touch /opt/x 2>/dev/null || echo refused; while [ ! -e /opt/ml/go ]; do sleep 0.01; done")
	k.Mounts = []runtime.Mount{{Source: ml, Target: "/opt/ml"}}
	start(t, r, k)
	waitFile(t, filepath.Join(ml, "model"))
	if _, after := os.Stat("/opt/ml"); (before == nil) != (after == nil) {
		t.Errorf("the host's /opt/ml was %v and is %v", before, after)
	}
	if _, err := os.Stat("/opt/ml/model"); err == nil {
		t.Error("the host sees the task's file")
	}
	if err := os.WriteFile(filepath.Join(ml, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(logText(t, r, k.ID))
	want := map[string]bool{"ml": true, "refused": true}
	for _, e := range host {
		want[e.Name()] = true
	}
	for _, name := range got {
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("it printed %q; %v is missing", got, want)
	}
}

func waitFile(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s does not come", path)
}

func TestHostIsReadOnly(t *testing.T) {
	r := isolated(t)
	script := `for d in / /etc /usr /usr/bin /var /root /home /opt /dev /sys /proc/sys/kernel; do
		if touch $d/sagebrush-was-here 2>/dev/null; then echo "wrote $d"; fi
	done
	mount -o remount,rw / 2>/dev/null && echo remounted
	mount -t tmpfs none /mnt 2>/dev/null && echo mounted
	mknod /tmp/disk b 254 0 2>/dev/null && echo device
	hostname intruder 2>/dev/null && echo renamed
	(echo 1 >/proc/sys/kernel/panic) 2>/dev/null && echo tuned
	ls /proc/1/root/ >/dev/null 2>&1 && echo "looked into init"
	[ -k /tmp ] || echo "/tmp is not sticky"
	for f in /tmp/x /dev/shm/x /run/x; do echo x >$f || exit 1; done
	echo x >/dev/null && head -c 8 /dev/urandom >/dev/null && echo fine`
	if got := output(t, r, shell("ro", script)); got != "fine\n" {
		t.Errorf("it printed %q", got)
	}
}

func TestHomeOfTheServerIsHidden(t *testing.T) {
	home := t.TempDir()
	secret := filepath.Join(home, "root-key")
	if err := os.WriteFile(secret, []byte("AKIA"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(other, []byte("t0k3n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// /tmp is hidden in any case, so the paths must be seen by a mount.
	for _, dir := range []string{home, filepath.Dir(other)} {
		if below(dir, "/tmp") {
			base, err := os.MkdirTemp("/var/tmp", "sagebrush-test-")
			if err != nil {
				t.Skip("no folder outside /tmp to hide: " + err.Error())
			}
			t.Cleanup(func() { os.RemoveAll(base) })
			home, other = filepath.Join(base, "home"), filepath.Join(base, "token")
			secret = filepath.Join(home, "root-key")
			break
		}
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{secret, other, filepath.Join(filepath.Dir(other), "seen")} {
		if err := os.WriteFile(f, []byte("secret\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := options(filepath.Join(home, "tasks"))
	o.Hide = []string{home, other, "/no/such/path"}
	r := open(t, o)
	if r.isolation == direct {
		t.Skip("no namespaces here")
	}
	got := output(t, r, shell("spy", "ls -A "+home+"; cat "+other+" "+secret+" 2>/dev/null; cat "+filepath.Dir(other)+"/seen"))
	if got != "secret\n" {
		t.Errorf("it sees %q", got)
	}
	// The command may still be our own binary, and mounts may come from the home.
	data := filepath.Join(home, "tasks", "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	k := shell("inside", "echo x >/opt/ml/y; ls /opt/ml")
	k.Mounts = []runtime.Mount{{Source: data, Target: "/opt/ml"}}
	if got := output(t, r, k); got != "y\n" {
		t.Errorf("it sees %q", got)
	}
}

func TestNoDescriptorsLeak(t *testing.T) {
	for _, direct := range []bool{false, true} {
		o := options(t.TempDir())
		o.Direct = direct
		r := open(t, o)
		// As one that a careless ancestor of the server left open.
		fd, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := output(t, r, runtime.Task{ID: "fds", Command: []string{"ls", "/proc/self/fd"}})
		unix.Close(fd)
		if got != "0\n1\n2\n3\n" { // 3 is ls's own
			t.Errorf("direct %v: descriptors are %q", direct, got)
		}
	}
}

func TestNothingOfTheServersEnvironmentIsInReach(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "do-not-leak")
	r := isolated(t)
	start(t, r, shell("env", "cat /proc/[0-9]*/environ 2>/dev/null; exec sleep 1000"))
	await(t, r, "env", runtime.Running)
	var b begun
	if ok, err := r.task("env").read("begun.json", &b); !ok || err != nil {
		t.Fatal(ok, err)
	}
	data, err := os.ReadFile("/proc/" + strconv.Itoa(b.PID) + "/environ")
	if err != nil || strings.Contains(string(data), "do-not-leak") {
		t.Errorf("the parent has %q, %v", data, err)
	}
	if err := r.Stop(t.Context(), "env", 0); err != nil {
		t.Fatal(err)
	}
	if got := logText(t, r, "env"); strings.Contains(got, "do-not-leak") {
		t.Errorf("the task sees %q", got)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	r := isolated(t)
	got := output(t, r, shell("zombies", `i=0; while [ $i -lt 40 ]; do (sleep 0.01 &); i=$((i+1)); done; sleep 0.4; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l`))
	if strings.TrimSpace(got) != "0" {
		t.Errorf("%s zombies", strings.TrimSpace(got))
	}
}

func TestSignalsToTheFirstProcessReachTheCommand(t *testing.T) {
	r := isolated(t)
	got := output(t, r, shell("one", "trap 'echo caught; exit 0' TERM; kill -TERM 1; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1; done; exit 1"))
	if got != "caught\n" {
		t.Errorf("it printed %q", got)
	}
}

func TestNoLineIsLost(t *testing.T) {
	r := fresh(t)
	began := time.Now()
	got := output(t, r, runtime.Task{ID: "lines", Command: []string{self()[0], "lines"}})
	took := time.Since(began)
	n := 0
	for line := range strings.Lines(got) {
		if !strings.HasPrefix(line, "line "+strconv.Itoa(n)+" of") {
			t.Fatalf("line %d is %q", n, line)
		}
		n++
	}
	if n != 200_000 {
		t.Errorf("%d lines", n)
	}
	t.Logf("%d lines in %v: %.0f lines/s, with the start", n, took, float64(n)/took.Seconds())
}

func TestServing(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long-", 20))
	for _, c := range []struct {
		name, dir string
		direct    bool
	}{
		{"in namespaces", t.TempDir(), false},
		{"below a path that is too long for a socket", long, false},
		{"without namespaces", t.TempDir(), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(c.dir)
			o.Direct = c.direct
			r := open(t, o)
			k := runtime.Task{ID: "serving", Command: []string{self()[0], "http"}, Serves: true}
			start(t, r, k)
			s := await(t, r, k.ID, runtime.Running)
			path, ok := strings.CutPrefix(s.Addr, "unix://")
			if !ok || len(path) > maxSocketPath {
				t.Fatalf("address is %q", s.Addr)
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			}}}
			waitFile(t, path)
			var err error
			for range 500 { // it is bound before it listens
				var resp *http.Response
				if resp, err = client.Get("http://task/ping"); err == nil {
					body, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if string(body) != "pong" {
						t.Errorf("it answers %q", body)
					}
					break
				}
				time.Sleep(2 * time.Millisecond)
			}
			if err != nil {
				t.Fatal(err)
			}
			finish(t, r, k.ID)
			if _, err := os.Lstat(filepath.Dir(path)); err == nil {
				t.Error("the socket's folder is left")
			}
		})
	}
}

func TestProbe(t *testing.T) {
	c := Probe(self())
	for name, got := range map[string]Cap{"isolation": c.Isolation, "user": c.UserNamespace, "mount": c.MountNamespace,
		"pid": c.PIDNamespace, "cpu": c.CPULimit, "memory": c.MemoryLimit, "rlimits": c.Rlimits,
		"overlay": c.Overlay, "network": c.Network, "processes": c.ProcessLimit} {
		t.Logf("%s: %v, %s", name, got.OK, got.Reason)
		if got.Reason == "" {
			t.Errorf("%s gives no reason", name)
		}
	}
}

func TestDirectTasksFindTheirFolders(t *testing.T) {
	o := options(t.TempDir())
	o.Direct = true
	r, ml, train := open(t, o), t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(train, "a.csv"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := shell("direct", "cat $SAGEBRUSH_ML_ROOT/input/data/train/a.csv; echo $SAGEBRUSH_CPUS $SAGEBRUSH_MEMORY_BYTES; echo x >$TMPDIR/x && echo ok")
	k.MilliCPU, k.MemoryBytes = 1000, 64<<20
	k.Mounts = []runtime.Mount{{Source: ml, Target: "/opt/ml"}, {Source: train, Target: "/opt/ml/input/data/train"}}
	if got := output(t, r, k); got != "1\n1 67108864\nok\n" {
		t.Errorf("it printed %q", got)
	}
}
