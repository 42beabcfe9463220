// SPDX-License-Identifier: Apache-2.0

//go:build linux

package fusefs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// runAs has the test's own binary serve a mount as cmd/sagebrush does, and
// start one and wait to be killed, as a server.
func runAs(args []string) (code int, ok bool) {
	if len(args) < 3 {
		return 0, false
	}
	switch args[1] {
	case "mount":
		if err := Serve(context.Background(), args[2], os.Stdout, slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1, true
		}
		return 0, true
	case "server":
		fmt.Println(Start(context.Background(), []string{args[0], "mount"}, args[2], args[3], args[4]))
		select {}
	}
	return 0, false
}

// objects are a server of S3 with one object, whose state tests change.
type objects struct {
	data   []byte
	breaks atomic.Int32 // so many answers end in the middle
	busy   atomic.Int32 // so many are 503
	asked  atomic.Int32
}

func (o *objects) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	o.asked.Add(1)
	switch {
	case !strings.HasPrefix(q.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"):
		http.Error(w, "AccessDenied", http.StatusForbidden)
	case o.busy.Add(-1) >= 0:
		http.Error(w, "SlowDown", http.StatusServiceUnavailable)
	case q.URL.EscapedPath() != "/b/data/a%20b%2Bc":
		http.Error(w, "NoSuchKey", http.StatusNotFound)
	case o.breaks.Add(-1) >= 0:
		http.ServeContent(&breaking{w, 1000}, q, "", time.Time{}, bytes.NewReader(o.data))
	default:
		http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(o.data))
	}
}

// breaking breaks the connection after some bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) > b.left {
		_, _ = b.ResponseWriter.Write(p[:b.left])
		b.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

func numbers(n int) []byte {
	b := make([]byte, n)
	fill(b, 0)
	return b
}

func TestRemote(t *testing.T) {
	o := &objects{data: numbers(100_000)}
	server := httptest.NewServer(o)
	defer server.Close()
	key := auth.Key{ID: "AKIDEXAMPLE", Secret: "secret"}
	r := Remote{URL: server.URL, Region: "us-east-1", Key: key, HTTP: server.Client(), Patience: 20 * time.Second}
	u := object.URI{Bucket: "b", Key: "data/a b+c"}
	for _, c := range []struct {
		name         string
		offset, size int64
		breaks, busy int32
		want         []byte
	}{
		{"all", 0, -1, 0, 0, o.data},
		{"a range", 5, 10, 0, 0, o.data[5:15]},
		{"from an offset on", 99_000, -1, 0, 0, o.data[99_000:]},
		{"a range beyond the end is what there is", 99_990, 100, 0, 0, o.data[99_990:]},
		{"nothing", 5, 0, 0, 0, nil},
		{"beyond the end", 100_000, 10, 0, 0, nil},
		{"answers that break off", 10, 50_000, 3, 0, o.data[10:50_010]},
		{"all, of answers that break off", 0, -1, 3, 0, o.data},
		{"a server that is busy", 0, 10, 0, 3, o.data[:10]},
	} {
		o.breaks.Store(c.breaks)
		o.busy.Store(c.busy)
		body, err := r.Open(t.Context(), u, c.offset, c.size)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := io.ReadAll(body)
		body.Close()
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %d bytes, want %d: %v", c.name, len(got), len(c.want), err)
		}
	}
	if _, err := r.Open(t.Context(), object.URI{Bucket: "b", Key: "other"}, 0, 1); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("a missing object: %v", err)
	}
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		o.asked.Add(1)
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(http.StatusPartialContent)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	silent.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	defer silent.Close()
	quiet := r
	quiet.URL = silent.URL
	if body, err := quiet.Open(t.Context(), u, 0, 10); err != nil {
		t.Error(err)
	} else if b, err := io.ReadAll(body); err == nil {
		t.Errorf("answers without a byte: %q", b)
	}
	r.Key.ID = "OTHER"
	before := o.asked.Load()
	if _, err := r.Open(t.Context(), u, 0, 1); err == nil || !strings.Contains(err.Error(), "403 Forbidden: AccessDenied") || o.asked.Load() != before+1 {
		t.Errorf("a key that is refused, asked %d times: %v", o.asked.Load()-before, err)
	}
	server.Close()
	r.Patience = 0
	if _, err := r.Open(t.Context(), u, 0, 1); err == nil {
		t.Error("a server that is gone answers")
	}
}

// TestOutlivesTheServer kills the server that has started a mount, and takes the
// endpoint away while a file is being read.
func TestOutlivesTheServer(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root mounts without a helper")
	}
	o := &objects{data: numbers(5 << 20)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := &http.Server{Handler: o}
	go func() { _ = endpoint.Serve(listener) }()
	addr := listener.Addr().String()

	dir := t.TempDir()
	at, path, log := filepath.Join(dir, "at"), filepath.Join(dir, "mount.json"), filepath.Join(dir, "log")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := Spec{Dir: at, URL: "http://" + addr, Region: "us-east-1", Key: auth.Key{ID: "AKIDEXAMPLE", Secret: "secret"},
		Items: []Item{{Name: "x/file", URI: object.URI{Bucket: "b", Key: "data/a b+c"}, Size: int64(len(o.data)), Modified: time.Now()}}}
	if err := spec.Save(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Detach(at) })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "server", path, at, log)
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := io.ReadFull(said, line); err != nil || string(line) != "<nil>\n" {
		t.Fatalf("Start: %q %v", line, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()

	f, err := os.Open(filepath.Join(at, "x", "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, len(o.data))
	if _, err := io.ReadFull(f, got[:1000]); err != nil {
		t.Fatal(err)
	}
	endpoint.Close()
	read := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(f, got[1000:])
		read <- err
	}()
	listener, err = net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	endpoint = &http.Server{Handler: o}
	go func() { _ = endpoint.Serve(listener) }()
	defer endpoint.Close()
	select {
	case err := <-read:
		if err != nil || !bytes.Equal(got, o.data) {
			text, _ := os.ReadFile(log)
			t.Fatalf("the rest of the file: %v\n%s", err, text)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the reader waits for ever")
	}
	f.Close()
	if err := Detach(at); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(at); err != nil || len(left) != 0 {
		t.Errorf("after Detach: %v %v", left, err)
	}
}

func TestStartFails(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	err = Start(t.Context(), []string{exe, "mount"}, filepath.Join(dir, "absent.json"), dir, log)
	text, _ := os.ReadFile(log)
	if err == nil || !strings.Contains(err.Error(), log) || !strings.Contains(string(text), "no such file") {
		t.Errorf("error %v, log %s", err, text)
	}
}
