// SPDX-License-Identifier: Apache-2.0

//go:build linux

package process

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// networked is a fresh runtime whose tasks can have a network of their own.
func networked(t *testing.T) *Runtime {
	t.Helper()
	r := isolated(t)
	if !r.can.network.OK {
		t.Skip("no network namespaces: " + r.can.network.Reason)
	}
	return r
}

// listener is a port of the machine on which an echo is served.
func listener(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	return l.Addr().String()
}

func TestNoNetwork(t *testing.T) {
	r := networked(t)
	outside := listener(t)
	root := image(t, nil)
	for _, k := range []runtime.Task{
		guest("none", root, "interfaces", "ask "+outside+" x", "cat /etc/resolv.conf"),
		{ID: "none", Command: []string{filepath.Join(root, "usr/local/bin/guest"), "interfaces", "--", "ask", outside, "x", "--", "cat", "/etc/resolv.conf"},
			Mounts: []runtime.Mount{{Source: root, Target: root, ReadOnly: true}}},
	} {
		open := k
		open.ID = "open"
		if got := output(t, r, open); !strings.Contains(got, "\nx\n") {
			t.Errorf("with the network it prints %q", got)
		}
		finish(t, r, open.ID)
		k.Network = runtime.None
		got := output(t, r, k)
		if !strings.HasPrefix(got, "lo \nask: dial tcp "+outside+": connect: connection refused\n# no name server") {
			t.Errorf("without the network it prints %q", got)
		}
		finish(t, r, k.ID)
	}
}

func TestWithoutNamespacesNoNetworkIsRefused(t *testing.T) {
	o := options(t.TempDir())
	o.Direct = true
	r := open(t, o)
	for what, k := range map[string]runtime.Task{
		"network": {Network: runtime.None}, "image": {Root: t.TempDir()}, "hosts": {Hosts: []string{"algo-1", "algo-2"}, Host: "algo-1", Group: "g"},
	} {
		k.ID, k.Command = "refused", []string{"/bin/true"}
		start(t, r, k)
		if s := await(t, r, k.ID, runtime.Exited); s.ExitCode != codeSetup || !strings.Contains(s.Reason, what) {
			t.Errorf("it ended as %+v", s)
		}
		finish(t, r, k.ID)
	}
}

// hosts are the tasks of a group of two that share a folder.
func hosts(t *testing.T, root, shared string, network runtime.Network, one, two []string) []runtime.Task {
	t.Helper()
	names := []string{"algo-1", "algo-2"}
	var tasks []runtime.Task
	for i, steps := range [][]string{one, two} {
		k := guest(runtime.ID("g-"+names[i]), root, steps...)
		k.Group, k.Host, k.Hosts, k.Network = "group of "+t.Name(), names[i], names, network
		k.Mounts = []runtime.Mount{{Source: shared, Target: "/shared"}}
		tasks = append(tasks, k)
	}
	return tasks
}

func TestHostsOfAGroupTalkByName(t *testing.T) {
	for _, network := range []runtime.Network{runtime.Open, runtime.None} {
		t.Run("network "+string(network), func(t *testing.T) {
			r := networked(t)
			if r.isolation != namespaces && network == runtime.None {
				t.Skip("only root can let tasks share a network of their own")
			}
			outside, root, shared := listener(t), image(t, nil), t.TempDir()
			tasks := hosts(t, root, shared, network,
				// Both listen on the same port, each at its own name.
				[]string{"echo algo-1:7777 /shared/one"},
				[]string{"await /shared/one", "write /shared/two x", "ask algo-1:7777 hello", "ask algo-2:7777 nobody", "ask " + outside + " world"})
			for _, k := range tasks {
				start(t, r, k)
			}
			got := logText(t, r, tasks[1].ID)
			if !strings.HasPrefix(got, "hello\nask: dial tcp "+hostAddr(tasks[0].Group, 1, 2).String()+":7777: connect: connection refused\n") {
				t.Errorf("it printed %q", got)
			}
			if network == runtime.Open && !strings.HasSuffix(got, "world\n") || network == runtime.None && !strings.HasSuffix(got, "connection refused\n") {
				t.Errorf("of the machine's network it printed %q", got)
			}
			// A third task, of no group, is not in theirs.
			stranger := guest("stranger", root, "ask "+hostAddr(tasks[0].Group, 0, 2).String()+":7777 hello")
			stranger.Network = runtime.None
			if got := output(t, r, stranger); !strings.Contains(got, "refused") {
				t.Errorf("a stranger hears %q", got)
			}
			for _, k := range tasks {
				finish(t, r, k.ID)
			}
			if left, _ := os.ReadDir(filepath.Join(r.dir, netDir)); len(left) > 1 || len(left) == 1 && left[0].Name() != "lock" {
				t.Errorf("%v is left", left)
			}
		})
	}
}

// The network of a group is that of the tasks that live, also after the parent
// of one was killed, and a process ID that has become another's is no way in.
func TestGroupNetworkAfterAKilledParent(t *testing.T) {
	r := networked(t)
	if r.isolation != namespaces {
		t.Skip("only root can let tasks share a network of their own")
	}
	root, shared := image(t, nil), t.TempDir()
	tasks := hosts(t, root, shared, runtime.None, []string{"pause"}, []string{"interfaces", "echo algo-2:7777 /shared/two"})
	start(t, r, tasks[0])
	await(t, r, tasks[0].ID, runtime.Running)
	var b begun
	if ok, err := r.task(tasks[0].ID).read("begun.json", &b); !ok || err != nil {
		t.Fatal(ok, err)
	}
	// Its file now tells of a process of the machine's network.
	if err := taskDir(filepath.Join(r.dir, netDir)).write(string(tasks[0].ID), groupNet{tasks[0].Group, os.Getpid(), 1}, false); err != nil {
		t.Fatal(err)
	}
	start(t, r, tasks[1])
	waitFile(t, filepath.Join(shared, "two"))
	if p, err := os.FindProcess(b.PID); err != nil || p.Kill() != nil {
		t.Fatal(err)
	}
	await(t, r, tasks[0].ID, runtime.Exited)
	if data, _ := os.ReadFile(r.task(tasks[1].ID).path("log")); !strings.Contains(string(data), "\tlo \n") {
		t.Errorf("it is in a network with %q", data)
	}
	if err := r.Remove(t.Context(), tasks[0].ID); err != nil {
		t.Fatal(err)
	}
	again := tasks[0]
	again.Command = []string{"guest", "ask", "algo-2:7777", "back"}
	if got := output(t, r, again); got != "back\n" {
		t.Errorf("a host that was started anew hears %q", got)
	}
}

func TestServingOnAPortOfItsOwn(t *testing.T) {
	for _, network := range []runtime.Network{runtime.Open, runtime.None} {
		t.Run("network "+string(network), func(t *testing.T) {
			r := networked(t)
			root, gate := image(t, nil), t.TempDir()
			var states []runtime.State
			for i := range 2 { // on the same port
				k := guest(runtime.ID("port-"+strconv.Itoa(i)), root, "await /gate/go", "http 0.0.0.0:8080")
				k.Serves, k.Port, k.Network = true, 8080, network
				k.Mounts = []runtime.Mount{{Source: gate, Target: "/gate"}}
				start(t, r, k)
				states = append(states, await(t, r, k.ID, runtime.Running))
			}
			for _, s := range states {
				c := client(s.Addr)
				defer c.CloseIdleConnections()
				if resp, err := c.Get("http://task/ping"); err == nil { // nobody listens yet
					resp.Body.Close()
					t.Errorf("it answers %d before it listens", resp.StatusCode)
				}
			}
			if err := os.WriteFile(filepath.Join(gate, "go"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, s := range states {
				c := client(s.Addr)
				defer c.CloseIdleConnections()
				var err error
				for range 2000 {
					var resp *http.Response
					if resp, err = c.Get("http://task/ping"); err == nil {
						resp.Body.Close()
						break
					}
					time.Sleep(2 * time.Millisecond)
				}
				if err != nil {
					t.Fatal(err)
				}
				const size = 32 << 20
				resp, err := c.Post("http://task/invocations", "application/octet-stream", bytes.NewReader(make([]byte, size)))
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(body) != fmt.Sprintf("pong %d", size) {
					t.Errorf("it answers %q", body)
				}
			}
		})
	}
}

func TestReachAndProxy(t *testing.T) {
	r := networked(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { fmt.Fprint(w, "web ", q.Host, q.URL.Path) }))
	defer web.Close()
	reach := strings.TrimPrefix(web.URL, "http://")
	other := listener(t)
	k := guest("reach", image(t, nil),
		"get "+web.URL+"/a",          // by Reach
		"ask "+other+" x",            // not in Reach
		"get http://example.test/b ", // no such host, as the proxy says
		"ask 127.0.0.2:3128 GARBAGE", "env")
	k.Serves, k.Port, k.Reach = true, 8080, []string{reach, "192.0.2.7:9", "127.0.0.1:8080"}
	got := output(t, r, k)
	for _, want := range []string{"200 web " + reach + "/a\n", "ask: dial tcp " + other + ": connect: connection refused\n", "502 ", "HTTP/1.1 400 Bad Request",
		"\nhttps_proxy=http://127.0.0.2:3128\n", "\nHTTP_PROXY=http://127.0.0.2:3128\n", "\nno_proxy=localhost,127.0.0.1,::1,192.0.2.7\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	finish(t, r, k.ID)
	k.Env = map[string]string{"NO_PROXY": "*"}
	k.Command = []string{"guest", "env"}
	if got := output(t, r, k); strings.Contains(got, "3128") {
		t.Errorf("an image that has a proxy gets another: %q", got)
	}
}

func TestOutbound(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { fmt.Fprint(w, "secure") }))
	defer secure.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		fmt.Fprintf(w, "plain %s %s %s %q", q.Method, q.Host, body, q.Header.Get("X-Forwarded-For"))
	}))
	defer plain.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := newOutbound()
	go func() { _ = p.Serve(l) }()
	defer func() { _ = p.Close() }()
	c := secure.Client()
	c.Transport.(*http.Transport).Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://" + l.Addr().String()) }
	defer c.CloseIdleConnections()
	resp, err := c.Get(secure.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "secure" {
		t.Errorf("by CONNECT: %q", body)
	}
	resp, err = c.Post(plain.URL, "text/plain", strings.NewReader("hi"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ = io.ReadAll(resp.Body)
	resp.Body.Close()
	if want := fmt.Sprintf("plain POST %s hi %q", strings.TrimPrefix(plain.URL, "http://"), ""); string(body) != want {
		t.Errorf("whole address: %q, not %q", body, want)
	}
	for request, want := range map[string]string{
		"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n": "502", "GET /x HTTP/1.1\r\nHost: x\r\n\r\n": "400", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n": "400",
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, request)
		line, _ := bufio.NewReader(conn).ReadString('\n')
		conn.Close()
		if !strings.Contains(line, want) {
			t.Errorf("%q is answered %q", request, line)
		}
	}
}
