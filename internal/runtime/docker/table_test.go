// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

func TestTasksThatCanNeverWorkAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*runtime.Task)
		want   string
	}{
		{"nothing is wrong", func(*runtime.Task) {}, ""},
		{"no command", func(k *runtime.Task) { k.Command = nil }, "no command"},
		{"no image", func(k *runtime.Task) { k.Image = "" }, "no image"},
		{"a zero byte", func(k *runtime.Task) { k.Command = []string{"a\x00"} }, "zero byte"},
		{"a variable without a name", func(k *runtime.Task) { k.Env = map[string]string{"": "x"} }, "variable"},
		{"a variable with =", func(k *runtime.Task) { k.Env = map[string]string{"A=B": "x"} }, "variable"},
		{"a relative mount", func(k *runtime.Task) { k.Mounts = []runtime.Mount{{Source: "data", Target: "/opt/ml"}} }, "absolute"},
		{"a mount over all", func(k *runtime.Task) { k.Mounts = []runtime.Mount{{Source: "/data", Target: "/."}} }, "absolute"},
		{"a scratch mount that options cannot name", func(k *runtime.Task) {
			k.Mounts = []runtime.Mount{{Source: "/a,b", Target: "/env", Scratch: true}}
		}, "scratch"},
		{"a mount with a comma", func(k *runtime.Task) { k.Mounts = []runtime.Mount{{Source: "/a,b", Target: "/env"}} }, ""},
		{"a relative work folder", func(k *runtime.Task) { k.WorkDir = "src" }, "work folder"},
		{"an unknown network", func(k *runtime.Task) { k.Network = "host" }, "network"},
		{"a host that names nothing", func(k *runtime.Task) { k.Host, k.Hosts = "", []string{""} }, "host name"},
		{"a host with an option in it", func(k *runtime.Task) { k.Host = "a:1.2.3.4" }, "host name"},
		{"a stray host", func(k *runtime.Task) { k.Group, k.Host, k.Hosts = "g", "c", []string{"a", "b"} }, "none of its group's"},
		{"hosts without a group", func(k *runtime.Task) { k.Host, k.Hosts = "a", []string{"a", "b"} }, "no group"},
		{"serving without a port", func(k *runtime.Task) { k.Serves = true }, "port"},
		{"a port that is none", func(k *runtime.Task) { k.Serves, k.Port = true, 70000 }, "port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := runtime.Task{ID: "job", Image: "mine:1", Command: []string{"train"}}
			c.change(&k)
			err := checkTask(k)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAddressesAreReplacedWhereTheyStandAlone(t *testing.T) {
	const from, to = "127.0.0.1:80", "172.17.0.1:80"
	for text, want := range map[string]string{
		"":                                     "",
		"127.0.0.1:80":                         "172.17.0.1:80",
		"http://127.0.0.1:80/a?b=127.0.0.1:80": "http://172.17.0.1:80/a?b=172.17.0.1:80",
		"http://127.0.0.1:8080":                "http://127.0.0.1:8080",
		"http://127.0.0.1:80,127.0.0.1:801":    "http://172.17.0.1:80,127.0.0.1:801",
		"1127.0.0.1:80":                        "1127.0.0.1:80",
		`{"url":"http://127.0.0.1:80"}`:        `{"url":"http://172.17.0.1:80"}`,
	} {
		if got := replaceAddr(text, from, to); got != want {
			t.Errorf("%q became %q, not %q", text, got, want)
		}
	}
	if got := replaceAddr("mylocalhost:80 localhost:80", "localhost:80", to); got != "mylocalhost:80 172.17.0.1:80" {
		t.Errorf("got %q", got)
	}
}

func TestReasonsAreFreeOfTheEnginesOwnWords(t *testing.T) {
	for _, c := range []struct {
		code   int
		text   string
		want   int
		reason string
	}{
		{127, `OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "/x": stat /x: no such file or directory: unknown`,
			127, `exec: "/x": stat /x: no such file or directory`},
		{127, `failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/x": stat /x: no such file or directory: unknown`,
			127, `exec: "/x": stat /x: no such file or directory`},
		{128, `could not select device driver "" with capabilities: [[gpu]]`, 125, `could not select device driver "" with capabilities: [[gpu]]`},
		{128, "", 125, "the container engine could not start it"},
	} {
		if code, reason := unstarted(c.code, c.text); code != c.want || reason != c.reason {
			t.Errorf("%q became %d %q", c.text, code, reason)
		}
	}
	m := initFailed.FindStringSubmatch("[FATAL tini (7)] exec /opt/ml/train failed: No such file or directory")
	if len(m) != 3 || m[1] != "/opt/ml/train" || m[2] != "No such file or directory" {
		t.Errorf("init's words are read as %q", m)
	}
}

func TestHostsHaveAddressesInOrder(t *testing.T) {
	net := netip.MustParsePrefix("172.18.0.0/16")
	for i, want := range map[int]string{0: "172.18.0.2", 1: "172.18.0.3", maxHosts: "172.18.0.202"} {
		if got := hostAddr(net, i); got.String() != want {
			t.Errorf("host %d is at %s", i, got)
		}
	}
}

// TestAnEngineThatDoesNotAnswerSettlesNothing needs none.
func TestAnEngineThatDoesNotAnswerSettlesNothing(t *testing.T) {
	dir := t.TempDir()
	r := open(t, Options{Host: "unix://" + filepath.Join(dir, "docker.sock"), Name: dir, Dir: dir})
	if err := r.Ping(t.Context()); err == nil {
		t.Error("it answers")
	}
	if s, err := r.Inspect(t.Context(), "other"); s.Phase != runtime.Missing || err != nil {
		t.Errorf("what was never started is %+v, %v", s, err)
	}
	if _, err := r.Logs(t.Context(), "other", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its log: %v", err)
	}
	if err := errors.Join(r.Stop(t.Context(), "other", time.Second), r.Remove(t.Context(), "other")); err != nil {
		t.Errorf("it is not stopped and removed: %v", err)
	}
	if err := r.notes.write("job", note{}); err != nil {
		t.Fatal(err)
	}
	if !r.Holds() {
		t.Error("it holds nothing")
	}
	for what, err := range map[string]error{
		"inspect": func() error { _, err := r.Inspect(t.Context(), "job"); return err }(),
		"start":   r.Start(t.Context(), runtime.Task{ID: "job", Image: "mine:1", Command: []string{"train"}}),
		"stop":    r.Stop(t.Context(), "job", time.Second),
		"remove":  r.Remove(t.Context(), "job"),
	} {
		if err == nil {
			t.Errorf("%s works without an engine", what)
		}
	}
	if !r.Holds() {
		t.Error("it has forgotten a task")
	}
}

func TestNotesAreReadBack(t *testing.T) {
	n := notes(t.TempDir())
	want := note{DiskBytes: 5, Writes: map[string]int64{"/a": 1}, Deadline: time.UnixMilli(1e12).UTC(), Told: true, Reason: "why"}
	if err := n.write("job", want); err != nil {
		t.Fatal(err)
	}
	got, err := n.read("job")
	if err != nil || got.DiskBytes != 5 || got.Writes["/a"] != 1 || !got.Deadline.Equal(want.Deadline) || !got.Told || got.Reason != "why" {
		t.Errorf("got %+v, %v", got, err)
	}
	if ids, err := n.all(); len(ids) != 1 || ids[0] != "job" || err != nil {
		t.Errorf("got %v, %v", ids, err)
	}
	if err := os.WriteFile(n.path("torn"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.read("torn"); err == nil {
		t.Error("a torn note is read")
	}
	if !n.has("torn") || n.has("other") || n.has("../job") {
		t.Error("has does not tell which there are")
	}
}
