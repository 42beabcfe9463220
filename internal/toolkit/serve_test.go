// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// served is a running model server.
type served struct {
	client *http.Client
	dial   func() (net.Conn, error)
	cmd    *exec.Cmd
	log    *syncBuffer
	ended  chan struct{} // closed when the process has ended
	err    error         // of Wait, after ended
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs the model server on a socket of its own, and does not wait for it.
func (c *container) start(t *testing.T) *served {
	t.Helper()
	dir, err := os.MkdirTemp("", "sb") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	s := &served{log: &syncBuffer{}, ended: make(chan struct{})}
	s.dial = func() (net.Conn, error) { return net.Dial("unix", socket) }
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return s.dial() }}}
	c.set("SAGEBRUSH_LISTEN=unix://" + socket)
	s.cmd = c.command(t, "sagebrush_toolkit.serve")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(20 * time.Second):
			t.Errorf("the server did not stop\n%s", s.log)
			_ = s.cmd.Process.Kill()
		}
		_ = os.RemoveAll(dir)
		if t.Failed() {
			t.Logf("%s", s.log)
		}
	})
	return s
}

// serve waits until the model is loaded.
func (c *container) serve(t *testing.T) *served {
	t.Helper()
	s := c.start(t)
	poll(t, "the model is loaded", func() bool {
		select {
		case <-s.ended:
			t.Fatalf("the server ended: %v\n%s", s.err, s.log)
		default:
		}
		resp, err := s.client.Get("http://m/ping")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return s
}

type reply struct {
	status int
	typ    string
	body   string
	header http.Header
}

// invoke posts a body; header holds pairs of names and values.
func (s *served) invoke(t *testing.T, body io.Reader, header ...string) reply {
	t.Helper()
	r, err := s.try(body, header...)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	return r
}

func (s *served) try(body io.Reader, header ...string) (reply, error) {
	req, err := http.NewRequest(http.MethodPost, "http://m/invocations", body)
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header.Get("Content-Type"), string(b), resp.Header}, err
}

// echo is a script whose functions show what they are given.
const echo = `
import os, time
def model_fn(model_dir):
    return "model of %d" % os.getpid()
def input_fn(data, content_type):
    return data
def predict_fn(data, model):
    if data == b"die":
        os._exit(9)
    if data == b"wait":
        open(os.path.join(os.environ["SAGEBRUSH_ML_ROOT"], "waiting"), "w").close()
        while not os.path.exists(os.path.join(os.environ["SAGEBRUSH_ML_ROOT"], "go")):
            time.sleep(0.01)
    if data == b"pid":
        time.sleep(0.005)
        return str(os.getpid())
    return data
def output_fn(prediction, accept):
    return prediction
`

func TestFourWorkersAndManyClients(t *testing.T) {
	c := newContainer(t, map[string]string{"model/code/inference.py": echo}).set("SAGEMAKER_MODEL_SERVER_WORKERS=4")
	s := c.serve(t)
	poll(t, "four workers are there", func() bool { return strings.Count(s.log.String(), "has loaded the model") == 4 })
	var mu sync.Mutex
	pids := map[string]int{}
	var wg sync.WaitGroup
	for client := range 32 {
		wg.Go(func() {
			for i := range 20 {
				body, typ := fmt.Sprintf("%d %d", client, i), "text/plain"
				if i%2 == 0 {
					body = "pid"
				}
				r, err := s.try(strings.NewReader(body), "Content-Type", typ)
				if err != nil || r.status != 200 || i%2 == 1 && r.body != body {
					t.Errorf("client %d: %v, %+v", client, err, r)
					return
				}
				if i%2 == 0 {
					mu.Lock()
					pids[r.body]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if len(pids) != 4 {
		t.Errorf("requests by worker: %v", pids)
	}
	for pid, n := range pids {
		if n < 16 { // of 320
			t.Errorf("worker %s had %d requests only: %v", pid, n, pids)
		}
	}
}

func TestWorkerThatDiesIsReplaced(t *testing.T) {
	c := newContainer(t, map[string]string{"model/code/inference.py": echo}).set("SAGEMAKER_MODEL_SERVER_WORKERS=2")
	s := c.serve(t)
	if _, err := s.try(strings.NewReader("die"), "Content-Type", "text/plain"); err == nil {
		t.Error("a dead worker answered")
	}
	poll(t, "another has its place", func() bool { return strings.Count(s.log.String(), "has loaded the model") == 3 })
	if !strings.Contains(s.log.String(), "ended with code 9; another takes its place") {
		t.Error("nothing was said of it")
	}
	if r := s.invoke(t, strings.NewReader("on"), "Content-Type", "text/plain"); r.body != "on" {
		t.Errorf("%+v", r)
	}
	// Again and again: the server gives up.
	poll(t, "the server gives up", func() bool {
		_, _ = s.try(strings.NewReader("die"), "Content-Type", "text/plain")
		select {
		case <-s.ended:
			return true
		default:
			return false
		}
	})
	if s.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(s.log.String(), "the server gives up") {
		t.Errorf("%v", s.err)
	}
}

func TestStopLetsRequestsComeToTheirEnd(t *testing.T) {
	c := newContainer(t, map[string]string{"model/code/inference.py": echo}).set("SAGEMAKER_MODEL_SERVER_WORKERS=2")
	s := c.serve(t)
	s.invoke(t, strings.NewReader("x"), "Content-Type", "text/plain") // an idle connection
	answer := make(chan reply, 1)
	go func() {
		r, err := s.try(strings.NewReader("wait"), "Content-Type", "text/plain")
		if err != nil {
			t.Error(err)
		}
		answer <- r
	}()
	poll(t, "the request is being answered", func() bool { _, err := os.Stat(c.path("waiting")); return err == nil })
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	poll(t, "no more connections", func() bool { conn, err := s.dial(); closeIf(conn); return err != nil })
	c.write(t, "go", "")
	if r := <-answer; r.status != 200 || r.body != "wait" {
		t.Errorf("%+v", r)
	}
	<-s.ended
	if s.err != nil {
		t.Errorf("the server ended with %v", s.err)
	}
}

func TestStopWhileTheModelLoads(t *testing.T) {
	c := newContainer(t, map[string]string{"model/code/inference.py": "import os, time\ndef model_fn(d):\n    open(os.path.join(d, 'loading'), 'w').close()\n    time.sleep(600)\n"})
	s := c.start(t)
	poll(t, "the model is being loaded", func() bool { _, err := os.Stat(c.path("model/loading")); return err == nil })
	if _, err := s.dial(); err == nil {
		t.Error("connections are taken before the model is there")
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	poll(t, "the server ends", func() bool {
		select {
		case <-s.ended:
			return true
		default:
			return false
		}
	})
	if s.err != nil {
		t.Errorf("the server ended with %v", s.err)
	}
}

func closeIf(c net.Conn) {
	if c != nil {
		c.Close()
	}
}

func TestWhatKeepsAModelFromBeingServedIsSaid(t *testing.T) {
	for _, c := range []struct {
		name, script string
		env          []string
		want         []string
	}{
		{"a model_fn that fails", "def model_fn(model_dir):\n    raise ValueError('no weights')\n", nil, []string{"ValueError: no weights", "the model could not be loaded", "inference.py"}},
		{"a script that cannot be imported", "import no_such_module_here\n", nil, []string{"No module named 'no_such_module_here'"}},
		{"no model_fn", "x = 1\n", []string{"SAGEBRUSH_FRAMEWORK=sklearn"}, []string{"Please provide a model_fn implementation."}},
		{"a script that is not there", "", []string{"SAGEMAKER_PROGRAM=other.py"}, []string{"The inference script 'other.py' (SAGEMAKER_PROGRAM) is in none of"}},
		{"transform_fn beside others", "def model_fn(d): pass\ndef transform_fn(a, b, c, d): pass\ndef input_fn(a, b): pass\n", nil, []string{"Cannot use transform_fn implementation in conjunction"}},
		{"a function of three arguments too many", "def model_fn(a, b, c, d): pass\n", nil, []string{"model_fn takes 4 arguments but 1 were given."}},
		{"no range of ports", "", []string{"SAGEMAKER_SAFE_PORT_RANGE=9000"}, []string{"SAGEMAKER_SAFE_PORT_RANGE is '9000', which is no range of ports"}},
		{"no number of workers", "", []string{"SAGEMAKER_MODEL_SERVER_WORKERS=many"}, []string{"is 'many', which is no number of workers"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newContainer(t, map[string]string{"model/code/inference.py": c.script}).set(c.env...).start(t)
			<-s.ended
			if code := s.cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			for _, w := range c.want {
				if n := strings.Count(s.log.String(), w); n == 0 {
					t.Errorf("no %q", w)
				}
			}
		})
	}
}

func TestServerListensAtATCPPort(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	for _, env := range []string{"SAGEBRUSH_LISTEN=tcp://127.0.0.1:" + strconv.Itoa(port), "SAGEMAKER_BIND_TO_PORT=" + strconv.Itoa(port)} {
		c := newContainer(t, map[string]string{"code/mine.py": echo})
		s := c.start(t) // that of the socket is passed over by what comes after
		_ = s.cmd.Process.Kill()
		<-s.ended
		cmd := c.set("SAGEBRUSH_LISTEN=", env, "SAGEMAKER_PROGRAM=mine.py").command(t, "sagebrush_toolkit.serve")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		poll(t, "it answers", func() bool {
			resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/ping", port))
			if err != nil {
				return false
			}
			resp.Body.Close()
			return resp.StatusCode == 200
		})
		http.DefaultClient.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", env, err)
		}
	}
}

// raw sends bytes and gives the first line of the answer.
func (s *served) raw(t *testing.T, text string) string {
	t.Helper()
	conn, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	// The server may have refused and closed before all is written.
	_, _ = io.WriteString(conn, text)
	if u, ok := conn.(*net.UnixConn); ok {
		_ = u.CloseWrite()
	}
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line)
}
