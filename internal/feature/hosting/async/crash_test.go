// SPDX-License-Identifier: Apache-2.0

package async

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
)

// crashDir names the folder that a child of the test works in until it is killed.
const crashDir = "SAGEBRUSH_TEST_CRASH_DIR"

// TestNothingIsLostOrToldInTwoWaysByAKill kills a process that takes requests
// and runs them, several times over the same file, and lets the last one come to
// its end: each request that was accepted has one result, and all that was told
// of it is the same.
func TestNothingIsLostOrToldInTwoWaysByAKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		serveUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	accepted := map[string]bool{}
	for round := range 5 {
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 60 + 23*round {
			if !lines.Scan() {
				t.Fatal("the child ended by itself")
			}
			id, ok := strings.CutPrefix(lines.Text(), "accepted ")
			if !ok {
				t.Fatalf("the child says %q", lines.Text())
			}
			accepted[id] = true
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
	}
	q := openIn(t, dir)
	defer q.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx, &moody{run: os.Getpid()}) }()
	for {
		b, err := q.Backlog(t.Context(), churn)
		if err != nil {
			t.Fatal(err)
		}
		due, err := q.letters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b.Size()+len(due) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond) // real processes, real time
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run answers %v", err)
	}

	told := map[string]notification{}
	text, err := os.ReadFile(filepath.Join(dir, "told"))
	if err != nil {
		t.Fatal(err)
	}
	repeated := 0
	for line := range strings.Lines(string(text)) {
		var n notification
		if err := json.Unmarshal([]byte(line), &n); err != nil {
			continue // a kill in the middle of the line: it was told again
		}
		if was, again := told[n.InferenceID]; again {
			repeated++
			if was.InvocationStatus != n.InvocationStatus || was.EventTime != n.EventTime {
				t.Errorf("%s was told as %s and as %s", n.InferenceID, was.InvocationStatus, n.InvocationStatus)
			}
		}
		told[n.InferenceID] = n
	}
	for id := range accepted {
		n, ok := told[id]
		output, outErr := os.ReadFile(filepath.Join(dir, "data", "out", id))
		_, failErr := os.Stat(filepath.Join(dir, "data", "failed", id))
		good := n.InvocationStatus == completed
		if !ok || good != (outErr == nil) || good == (failErr == nil) || good && string(output) != "answer to "+id {
			t.Errorf("%s: told %v %q, output %q (%v), failure %v", id, ok, n.InvocationStatus, output, outErr, failErr)
		}
	}
	t.Logf("%d accepted, %d told, %d told more than once", len(accepted), len(told), repeated)
}

func openIn(t *testing.T, dir string) *Queue {
	q, err := Open(t.Context(), Options{Path: filepath.Join(dir, "async.db"), Objects: &folder{mem.New("data"), dir}, Notifier: told(filepath.Join(dir, "told")), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func serveUntilKilled(t *testing.T, dir string) {
	q := openIn(t, dir)
	go q.Run(t.Context(), &moody{run: os.Getpid()})
	for i := 0; i < 100_000; i++ {
		r := &Request{InferenceID: fmt.Sprintf("r-%d-%d", os.Getpid(), i), Received: time.Now()}
		r.Body = []byte(r.InferenceID)
		if err := r.Prepare(results, "", ""); err != nil {
			t.Fatal(err)
		}
		r.Output, r.Failure = "s3://data/out/"+r.InferenceID, "s3://data/failed/"+r.InferenceID
		if err := q.Enqueue(t.Context(), churn, r); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("accepted %s\n", r.InferenceID)
	}
}

// moody is four instances of a model that answers a request otherwise in each
// process: one that is cut off and run again may end the other way.
type moody struct {
	run  int
	busy chan struct{}
}

func (m *moody) Endpoints() []Endpoint { return []Endpoint{churn} }
func (m *moody) Count(Endpoint) int    { return 4 }
func (m *moody) Acquire(Endpoint) (Slot, bool) {
	if m.busy == nil {
		m.busy = make(chan struct{}, 4)
	}
	select {
	case m.busy <- struct{}{}:
	default:
		return Slot{}, false
	}
	return Slot{Variant: "main", Instance: "i-1", Release: func() { <-m.busy }, Invoke: func(_ context.Context, _ *Request, body io.Reader, _ int64) (*Response, error) {
		in, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		r := &Response{Status: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("answer to " + string(in)))}
		if (m.run+len(in)+int(in[len(in)-1]))%3 == 0 {
			r.Status = 500
		}
		return r, nil
	}}, true
}

// told appends notifications to a file.
type told string

func (f told) Notify(_ context.Context, _, _, _, _ string, message []byte) error {
	w, err := os.OpenFile(string(f), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(append(message, '\n'))
	return errors.Join(err, w.Close())
}

// folder keeps written objects as files, so that they outlive the process.
type folder struct {
	*mem.Store
	dir string
}

func (f *folder) path(u object.URI) string {
	return filepath.Join(f.dir, u.Bucket, filepath.FromSlash(u.Key))
}

func (f *folder) Put(_ context.Context, u object.URI, r io.Reader) (object.Info, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return object.Info{}, err
	}
	path := f.path(u)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return object.Info{}, err
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return object.Info{}, err
	}
	return object.Info{}, os.Rename(path+".new", path)
}

func (f *folder) Delete(_ context.Context, u object.URI) error {
	err := os.Remove(f.path(u))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
