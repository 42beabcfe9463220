// SPDX-License-Identifier: Apache-2.0

//go:build linux

package process

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// image lays out an image: the guest program, an empty file system around it,
// and the files given.
func image(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := guestDir()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{
		"/etc/passwd": "root:x:0:0::/root:/bin/sh\nmodel:x:1000:1001::/home/model:/bin/sh\n",
		"/etc/group":  "root:x:0:\nmodel:x:1001:\nvideo:x:44:other,model\naudio:x:29:model\n",
	}
	for path, text := range files {
		all[path] = text
	}
	for path, text := range all {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "usr/local/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(filepath.Join(dir, "guest"), filepath.Join(root, "usr/local/bin/guest")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "usr/local/bin/guest"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// guest is a task that runs steps of the guest program in an image.
func guest(id runtime.ID, root string, steps ...string) runtime.Task {
	return runtime.Task{ID: id, Root: root, Command: append([]string{"guest"}, strings.Fields(strings.Join(steps, " -- "))...)}
}

// listing is all that is in a folder, to be compared.
func listing(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("find", dir, "-printf", "%P %M %u %s %T@ %l\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// withAndWithoutOverlay runs do on a runtime that has overlays and on one that
// copies, as on old kernels.
func withAndWithoutOverlay(t *testing.T, do func(*testing.T, *Runtime)) {
	for _, overlays := range []bool{true, false} {
		t.Run(fmt.Sprintf("overlays %v", overlays), func(t *testing.T) {
			r := isolated(t)
			if overlays && !r.can.overlay.OK {
				t.Skip("no overlays: " + r.can.overlay.Reason)
			}
			r.can.overlay.OK = overlays
			do(t, r)
		})
	}
}

func TestImageIsTheRootAndStaysAsItIs(t *testing.T) {
	withAndWithoutOverlay(t, func(t *testing.T, r *Runtime) {
		root := image(t, map[string]string{"/etc/motd": "of the image\n", "/data/old": "old\n"})
		before := listing(t, root)
		ml := t.TempDir()
		k := guest("img", root, "ls /", "ls /data", "cat /etc/motd", "write /etc/motd changed", "write /data/new x", "remove /data/old",
			"ls /data", "cat /etc/motd", "write /opt/ml/model done", "ls /opt", "write /tmp/x y", "stat /tmp", "write /run/x y", "write /dev/shm/x y",
			"write /sys/x y", "write /dev/x y", "write /proc/sys/kernel/panic 1", "cat /etc/hostname", "cat /etc/hosts")
		k.Host, k.Mounts = "algo-1", []runtime.Mount{{Source: ml, Target: "/opt/ml"}}
		got := output(t, r, k)
		for _, want := range []string{"data dev etc opt proc run sys tmp usr\nold\nof the image\nnew\nchanged\nml\n", "dtrwxrwxrwx",
			"write: open /sys/x: ", "write: open /dev/x: ", "write: open /proc/sys/kernel/panic: ", "algo-1\n", "127.0.0.1\talgo-1\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("it printed\n%s\nwithout %q", got, want)
			}
		}
		for _, bad := range []string{"/tmp/x:", "/run/x:", "/shm/x:"} {
			if strings.Contains(got, bad) {
				t.Errorf("it printed %s", got)
			}
		}
		if after := listing(t, root); after != before {
			t.Errorf("the image was\n%s\nand is\n%s", before, after)
		}
		if data, err := os.ReadFile(filepath.Join(ml, "model")); string(data) != "done\n" {
			t.Errorf("the mount has %q, %v", data, err)
		}
		finish(t, r, k.ID)
		if got := output(t, r, guest("img", root, "cat /etc/motd")); got != "of the image\n" {
			t.Errorf("the next task reads %q", got)
		}
	})
}

func TestNothingOfTheHostIsInAnImage(t *testing.T) {
	r := isolated(t)
	t.Setenv("SECRET", "of the server")
	k := guest("alone", image(t, nil), "cat /proc/self/mountinfo", "env", "ls /proc/1/root/", "cat /proc/1/environ", "ls /proc/self/fd", "ls /.host", "whoami")
	got := output(t, r, k)
	for _, bad := range []string{"of the server", "SECRET"} {
		if strings.Contains(got, bad) {
			t.Errorf("it sees %q in\n%s", bad, got)
		}
	}
	for line := range strings.Lines(got) {
		f := strings.Fields(line)
		if len(f) < 9 || !strings.Contains(line, " - ") { // no line of mountinfo
			continue
		}
		point := f[4]
		if point != "/" && !below(point, "/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf") {
			t.Errorf("there is a mount at %s", point)
		}
	}
	host, _ := os.Hostname()
	if !strings.Contains(got, "PATH="+imagePath) || !strings.Contains(got, "HOME=/root\n") || !strings.Contains(got, "0 0 [] /root / localhost\n") || host == "localhost" {
		t.Errorf("it prints %s", got)
	}
}

// An image is not trusted: what links in it point to must be in it.
func TestLinksOfAnImageDoNotLeadOut(t *testing.T) {
	r := isolated(t)
	outside := t.TempDir()
	root := image(t, nil)
	for at, to := range map[string]string{
		"/etc/hosts": filepath.Join(outside, "hosts"), "/etc/resolv.conf": "../../../../" + outside + "/resolv", "/opt": outside,
		"/run": outside, "/home": "/proc/self/root" + outside, "/var": "/proc/self/cwd/" + outside,
	} {
		if err := os.Symlink(to, filepath.Join(root, at)); err != nil {
			t.Fatal(err)
		}
	}
	ml := t.TempDir()
	k := guest("links", root, "write /opt/ml/x y", "cat /etc/hosts", "write /var/ml/z y")
	k.Host, k.Mounts = "algo-1", []runtime.Mount{{Source: ml, Target: "/opt/ml"}, {Source: ml, Target: "/var/ml"}}
	if got := output(t, r, k); !strings.Contains(got, "algo-1") {
		t.Errorf("it printed %s", got)
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("outside there is %v", left)
	}
	if _, err := os.Stat(filepath.Join(ml, "x")); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"/dev", "/proc", "/etc/hosts"} {
		root := image(t, nil)
		_ = os.Remove(filepath.Join(root, bad))
		if err := os.Symlink("/", filepath.Join(root, bad)); err != nil {
			t.Fatal(err)
		}
		k := guest("root-link", root, "say hello")
		start(t, r, k)
		if s := await(t, r, k.ID, runtime.Exited); s.ExitCode != codeSetup {
			t.Errorf("%s -> / ended as %+v", bad, s)
		}
		finish(t, r, k.ID)
	}
}

func TestScratchMount(t *testing.T) {
	withAndWithoutOverlay(t, func(t *testing.T, r *Runtime) {
		env := t.TempDir()
		if err := os.MkdirAll(filepath.Join(env, "lib"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(env, "lib", "a.py"), []byte("a\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		before := listing(t, env)
		script := "cat %[1]s/lib/a.py; echo changed >%[1]s/lib/a.py; echo b >%[1]s/lib/b.py; rm -r %[1]s/lib/a.py; ls %[1]s/lib"
		// Into the machine's files, below a hidden folder and in a place that there is none of.
		for _, target := range []string{"/opt/sagebrush-env", filepath.Join(r.dir, "envs", "3.11")} {
			k := shell("scratch", fmt.Sprintf(script, target))
			k.Mounts = []runtime.Mount{{Source: env, Target: target, Scratch: true}}
			if got := output(t, r, k); got != "a\nb.py\n" {
				t.Errorf("at %s it printed %q", target, got)
			}
			finish(t, r, k.ID)
		}
		k := guest("scratch", image(t, nil), "cat /env/lib/a.py", "write /env/lib/b.py b", "ls /env/lib")
		k.Mounts = []runtime.Mount{{Source: env, Target: "/env", Scratch: true}}
		if got := output(t, r, k); got != "a\na.py b.py\n" {
			t.Errorf("in an image it printed %q", got)
		}
		if after := listing(t, env); after != before {
			t.Errorf("the source was\n%s\nand is\n%s", before, after)
		}
	})
}

func TestUserOfAnImage(t *testing.T) {
	r := isolated(t)
	if r.isolation != namespaces {
		t.Skip("only root can give a task another user")
	}
	root := image(t, nil)
	if err := os.Chmod(root, 0o700); err != nil { // as in a folder of the server's own
		t.Fatal(err)
	}
	for user, want := range map[string]string{
		"model":       "1000 1001 [29 44] /home/model /app model-host\n",
		"1000":        "1000 1001 [29 44] /home/model /app model-host\n",
		"model:video": "1000 44 [] /home/model /app model-host\n",
		"4711:12":     "4711 12 [] / /app model-host\n",
		"4711":        "4711 0 [] / /app model-host\n",
		"":            "0 0 [] /root /app model-host\n",
		"root":        "0 0 [] /root /app model-host\n",
	} {
		k := guest("user", root, "whoami", "write /usr/x y", "write /tmp/x y", "write /dev/stdout out")
		r.can.overlay.OK = !r.can.overlay.OK // in turns, both ways
		k.User, k.WorkDir, k.Host = user, "/app", "model-host"
		want += map[bool]string{true: "out\n", false: "write: open /usr/x: permission denied\nout\n"}[strings.HasPrefix(want, "0 ")]
		if got := output(t, r, k); got != want {
			t.Errorf("user %q prints %q, not %q", user, got, want)
		}
		finish(t, r, k.ID)
	}
	for user, why := range map[string]string{"nobody": `user "nobody" is not in`, "model:staff": `group "staff" is not in`, "-1": "is not in"} {
		k := guest("user", root, "whoami")
		k.User = user
		start(t, r, k)
		if s := await(t, r, k.ID, runtime.Exited); s.ExitCode != codeSetup || !strings.Contains(s.Reason, why) {
			t.Errorf("user %q ended as %+v", user, s)
		}
		finish(t, r, k.ID)
	}
}

func TestImageOfAnotherUserServes(t *testing.T) {
	r := isolated(t)
	k := guest("serves", image(t, nil), "http socket")
	k.Serves, k.Network = true, runtime.None
	if r.isolation == namespaces {
		k.User = "model"
	}
	start(t, r, k)
	c := client(await(t, r, k.ID, runtime.Running).Addr)
	defer c.CloseIdleConnections()
	var err error
	for range 2000 {
		var resp *http.Response
		if resp, err = c.Get("http://task/ping"); err == nil {
			resp.Body.Close()
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Errorf("%v; it printed %q", err, logText(t, r, k.ID))
}

func TestCommandOfAnImage(t *testing.T) {
	r := isolated(t)
	root := image(t, map[string]string{"/usr/bin/train": "#!/usr/bin/python9\n", "/opt/tool": "\x7fELF rubbish"})
	for _, path := range []string{"/usr/bin/train", "/opt/tool"} {
		if err := os.Chmod(filepath.Join(root, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		command, path string
		code          int
		reason        string
	}{
		{"train", "", codeNotFound, "exec train: "},
		{"/usr/bin/train", "", codeNotFound, "interpreter or dynamic loader"},
		{"/bin/sh", "", codeNotFound, "no such file"},
		{"/opt/tool", "", codeNoExec, "exec format error"},
		{"/etc", "", codeNoExec, "permission denied"},
		{"guest", "/nowhere", codeNotFound, "no such file"},
		{"guest", "/usr/local/bin", 0, ""},
	} {
		k := runtime.Task{ID: "cmd", Root: root, Command: []string{c.command}, Env: map[string]string{}}
		if c.path != "" {
			k.Env["PATH"] = c.path
		}
		start(t, r, k)
		if s := await(t, r, k.ID, runtime.Exited); s.ExitCode != c.code || !strings.Contains(s.Reason, c.reason) {
			t.Errorf("%s ended as %+v", c.command, s)
		}
		finish(t, r, k.ID)
	}
}

func TestImageThatIgnoresSIGTERM(t *testing.T) {
	r := isolated(t)
	k := guest("deaf", image(t, nil), "deaf")
	start(t, r, k)
	for range 1000 {
		if data, _ := os.ReadFile(r.task(k.ID).path("log")); strings.Contains(string(data), "deaf") {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	asked := time.Now()
	if err := r.Stop(t.Context(), k.ID, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if s := await(t, r, k.ID, runtime.Exited); s.ExitCode != 137 || s.Ended.Sub(asked) < 280*time.Millisecond {
		t.Errorf("it ended as %+v after %v", s, s.Ended.Sub(asked))
	}
}

func TestShmSize(t *testing.T) {
	r := isolated(t)
	k := guest("shm", image(t, nil), "size /dev/shm")
	k.ShmBytes = 24 << 20
	if got := output(t, r, k); got != "25165824\n" {
		t.Errorf("it is %s", got)
	}
}

// Whenever the parent is killed, no mount, process or folder is left.
func TestKilledParentLeavesNoMount(t *testing.T) {
	r := isolated(t)
	root := image(t, nil)
	for i := range 6 {
		k := guest(runtime.ID(fmt.Sprintf("m%d", i)), root, "write /x y", "pause")
		k.Network = runtime.None
		if err := r.Start(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 8 * time.Millisecond)
		for _, pid := range running("task\x00" + string(r.task(k.ID))) {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
		await(t, r, k.ID, runtime.Exited, runtime.Missing)
		finish(t, r, k.ID)
		for _, dir := range leftCgroups(r.task(k.ID)) {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("the control group %s is left", dir)
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), r.dir) {
		t.Errorf("mounts are left: %s, %v", mounts, err)
	}
	if left, _ := os.ReadDir(r.dir); len(left) != 1 {
		t.Errorf("%v is left", left)
	}
}
