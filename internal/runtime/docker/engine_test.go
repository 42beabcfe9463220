// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// guest is a task that runs the suite's guest.
func guest(id runtime.ID, args ...string) runtime.Task {
	return runtime.Task{ID: id, Image: testImage, Command: append([]string{"/guest"}, args...)}
}

// start starts k and sees to its end.
func start(t *testing.T, r *Runtime, k runtime.Task) {
	t.Helper()
	if err := r.Start(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(t, r, k.ID) })
}

func finish(t *testing.T, r *Runtime, id runtime.ID) {
	t.Helper()
	_ = r.Stop(context.Background(), id, 0)
	await(t, r, id, runtime.Exited, runtime.Missing)
	if err := r.Remove(context.Background(), id); err != nil {
		t.Error(err)
	}
}

func await(t *testing.T, r *Runtime, id runtime.ID, phases ...runtime.Phase) runtime.State {
	t.Helper()
	var s runtime.State
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var err error
		if s, err = r.Inspect(context.Background(), id); err != nil {
			t.Fatal(err)
		}
		for _, p := range phases {
			if s.Phase == p {
				return s
			}
		}
	}
	t.Fatalf("task %s is %+v, not %v", id, s, phases)
	return s
}

// output runs k to its end and gives what it printed.
func output(t *testing.T, r *Runtime, k runtime.Task) string {
	t.Helper()
	start(t, r, k)
	l, err := r.Logs(t.Context(), k.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data, err := io.ReadAll(l)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(data)) {
		_, text, _ := strings.Cut(line, "\t")
		b.WriteString(text)
	}
	return b.String()
}

func TestAContainerThatWasNotStartedIsMissingAndCanStart(t *testing.T) {
	r := fresh(t)
	k := guest("cut-off", "exit", "7")
	if err := r.create(t.Context(), k, nil); err != nil { // as far as a killed server came
		t.Fatal(err)
	}
	if s, err := r.Inspect(t.Context(), k.ID); s.Phase != runtime.Missing || err != nil {
		t.Fatalf("it is %+v, %v", s, err)
	}
	if _, err := r.Logs(t.Context(), k.ID, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its log: %v", err)
	}
	start(t, r, k)
	if s := await(t, r, k.ID, runtime.Exited); s.ExitCode != 7 {
		t.Errorf("it is %+v", s)
	}
}

func TestRemoveTakesWhatWasNotStarted(t *testing.T) {
	r := fresh(t)
	k := guest("cut-off", "exit", "7")
	k.Group, k.Host, k.Hosts = "group", "a", []string{"a", "b"}
	k.Mounts = []runtime.Mount{{Source: "/etc", Target: "/env", Scratch: true}}
	if err := r.create(t.Context(), k, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(t.Context(), k.ID); err != nil { // fresh sees to it that nothing is left
		t.Fatal(err)
	}
}

func TestWhatTheEngineCannotStartHasEnded(t *testing.T) {
	r := fresh(t)
	for _, c := range []struct {
		id     runtime.ID
		change func(*runtime.Task)
		code   int
		reason string
	}{
		{"no-user", func(k *runtime.Task) { k.User = "nobody-here" }, codeSetup, "nobody-here"},
		{"no-program", func(k *runtime.Task) { k.Command = []string{"/etc/passwd"} }, codeNoExec, "permission denied"},
		{"no-command", func(k *runtime.Task) { k.Command = []string{"train"} }, codeNotFound, "no such file"},
	} {
		k := guest(c.id)
		c.change(&k)
		start(t, r, k)
		s := await(t, r, k.ID, runtime.Exited)
		if s.ExitCode != c.code && !(c.code == codeSetup && s.ExitCode == codeNoExec) || !strings.Contains(s.Reason, c.reason) || !s.Started.IsZero() || s.Ended.IsZero() {
			t.Errorf("%s is %+v", c.id, s)
		}
		if err := r.Start(t.Context(), guest(c.id, "exit", "0")); err != nil {
			t.Error(err)
		}
		if again := await(t, r, k.ID, runtime.Exited); again != s {
			t.Errorf("%s was %+v and is %+v", c.id, s, again)
		}
	}
}

func TestWhatCannotBeMadeIsAnErrorAndLeavesNothing(t *testing.T) {
	r := fresh(t)
	for what, change := range map[string]func(*runtime.Task){
		"a mount of nothing": func(k *runtime.Task) { k.Mounts = []runtime.Mount{{Source: "/no/such/folder", Target: "/opt/ml"}} },
		"a scratch of nothing": func(k *runtime.Task) {
			k.Mounts = []runtime.Mount{{Source: "/no/such/folder", Target: "/env", Scratch: true}}
		},
		"too little memory": func(k *runtime.Task) { k.MemoryBytes = 1000 },
	} {
		k := guest("unmade", "exit", "0")
		k.Group, k.Host, k.Hosts = "group", "a", []string{"a", "b"}
		change(&k)
		if err := r.Start(t.Context(), k); err == nil {
			t.Errorf("%s is accepted", what)
		}
		if s, err := r.Inspect(t.Context(), k.ID); s.Phase != runtime.Missing || err != nil {
			t.Errorf("after %s it is %+v, %v", what, s, err)
		}
	}
}

func TestAContainerHasFewRights(t *testing.T) {
	r := fresh(t)
	k := guest("rights", "cat", "/proc/self/status")
	k.MilliCPU = 1 << 20 // more than any machine has
	out := output(t, r, k)
	for _, want := range []string{"CapEff:\t00000000a00405fb\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
}

func TestHomesDoNotTouchEachOther(t *testing.T) {
	one, two := fresh(t), fresh(t)
	start(t, one, guest("job", "pause"))
	if s, err := two.Inspect(t.Context(), "job"); s.Phase != runtime.Missing || err != nil {
		t.Errorf("the other sees %+v, %v", s, err)
	}
	start(t, two, guest("job", "exit", "3"))
	await(t, two, "job", runtime.Exited)
	if err := two.Remove(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	if s := await(t, one, "job", runtime.Running); s.ExitCode != 0 {
		t.Errorf("it is %+v", s)
	}
}

func TestALostNoteIsMadeAnew(t *testing.T) {
	r := fresh(t)
	k := guest("job", "pause")
	start(t, r, k)
	if err := r.notes.remove(k.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	await(t, r, k.ID, runtime.Running)
}

func TestImagesArePulledWithCredentials(t *testing.T) {
	r := fresh(t)
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if user, password, _ := q.BasicAuth(); user != "AWS" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, q)
	}))
	defer server.Close()
	repository := strings.TrimPrefix(server.URL, "http://") + "/mine"
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref := repository + "@" + digest.String()
	to, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	push := http.DefaultTransport.(*http.Transport).Clone()
	defer push.CloseIdleConnections()
	err = remote.Write(to, img, remote.WithTransport(roundTrip(func(q *http.Request) (*http.Response, error) {
		q.SetBasicAuth("AWS", "secret")
		return push.RoundTrip(q)
	})))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Pull(t.Context(), ref, nil); !errors.Is(err, runtime.ErrNoImage) {
		t.Errorf("without credentials: %v", err)
	}
	r.credentials = func(_ context.Context, asked string) (string, string, error) {
		if !strings.HasPrefix(asked, repository) {
			return "", "", fmt.Errorf("asked for %s", asked)
		}
		return "AWS", "secret", nil
	}
	if err := r.Pull(t.Context(), repository+":none", nil); !errors.Is(err, runtime.ErrNoImage) {
		t.Errorf("an image that is not there: %v", err)
	}
	if err := r.Start(t.Context(), runtime.Task{ID: "job", Image: repository + ":none", Command: []string{"train"}}); !errors.Is(err, runtime.ErrNoImage) {
		t.Errorf("a task with an image that is not there: %v", err)
	}
	var progress strings.Builder
	if err := r.Pull(t.Context(), ref, &progress); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.api.ImageRemove(context.Background(), ref, client.ImageRemoveOptions{}) })
	if !strings.Contains(progress.String(), "Pull complete") {
		t.Errorf("it said %q", progress.String())
	}
	server.Close() // what is there is not asked for again
	if err := r.Pull(t.Context(), ref, nil); err != nil {
		t.Error(err)
	}
	if err := r.Pull(t.Context(), repository+":other", nil); err == nil || errors.Is(err, runtime.ErrNoImage) {
		t.Errorf("a registry that does not answer: %v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }
