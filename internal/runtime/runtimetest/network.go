// SPDX-License-Identifier: Apache-2.0

package runtimetest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// listen serves connections at an address of this machine until the test ends.
func (s *suite) listen(addr string, serve func(net.Conn)) string {
	s.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

func echo(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.Copy(c, c)
}

// reach has a task with a network of its own ask the server by the address
// that its environment tells.
func reach(s *suite) {
	mux := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "welcome") })
	server := httptest.NewServer(mux)
	s.Cleanup(server.Close)
	addr := server.Listener.Addr().String()
	if s.traits.Outside != "" && s.traits.Outside != "127.0.0.1" { // the server listens where the runtime says, too
		_, port, _ := net.SplitHostPort(addr)
		l, err := net.Listen("tcp", net.JoinHostPort(s.traits.Outside, port))
		if err != nil {
			s.Fatal(err)
		}
		also := &http.Server{Handler: mux, ReadHeaderTimeout: patience}
		go func() { _ = also.Serve(l) }()
		s.Cleanup(func() { also.Close() })
	}
	for name, port := range map[string]int{"rt-reach": 0, "rt-reach-port": 8080} {
		t := s.scripted(name, "", "get ENDPOINT", "ENDPOINT", server.URL+"/")
		t.Reach = []string{addr}
		if _, lacks := s.traits.Lacks[Serving]; port != 0 && lacks {
			continue
		} else if port != 0 {
			t.Serves, t.Port = true, port
		}
		s.equal("the server's answer to "+name, s.output(t), "welcome\n")
	}
}

func isolation(s *suite) {
	at := s.listen(net.JoinHostPort(s.traits.Outside, "0"), echo)
	t := s.scripted("rt-open", "", "reach "+at+" hello")
	s.equal("what it heard", s.output(t), "hello\n")
	t = s.scripted("rt-closed", "", "try reach "+at+" hello")
	t.Network = runtime.None
	t.Host, t.Hosts = "algo-1", []string{"algo-1"}
	s.equal("what it heard without network", s.output(t), "refused\n")
	t = s.scripted("rt-self", "", "host")
	t.Network = runtime.None
	t.Host, t.Hosts = "algo-1", []string{"algo-1"}
	if name, _, _ := strings.Cut(s.output(t), "\n"); name != "algo-1" {
		s.Errorf("its name is %q", name)
	}
}

func group(s *suite, n runtime.Network) {
	hosts := []string{"algo-1", "algo-2", "algo-3"}
	join := func(host, steps string) runtime.Task {
		t := s.scripted("rt-"+strings.ToLower(s.Name()[strings.LastIndexByte(s.Name(), '_')+1:])+"-"+host, "", steps)
		t.Group, t.Host, t.Hosts, t.Network = "rt-group", host, hosts, n
		return t
	}
	for _, host := range hosts[:2] { // both on the same port, each at its own name
		s.start(join(host, "echo "+host+":4711"))
	}
	want := "hello\nworld\n"
	steps := "ask algo-1:4711 hello -- ask algo-2:4711 world"
	if n == runtime.None {
		far := s.listen("0.0.0.0:0", echo)
		_, port, _ := net.SplitHostPort(far)
		steps += fmt.Sprintf(" -- try reach %s out", net.JoinHostPort("192.0.2.1", port))
		want += "refused\n"
	}
	s.equal("what they said", s.output(join("algo-3", steps)), want)
}

func serving(s *suite, n runtime.Network) {
	for _, port := range []int{8080, 8081} { // and one more on the same port
		for i := range 2 {
			t := s.scripted("rt-serving-"+strconv.Itoa(port)+"-"+strconv.Itoa(i), "", "http :"+strconv.Itoa(port))
			t.Host, t.Hosts, t.Network = "model", []string{"model"}, n
			t.Serves, t.Port = true, port
			s.start(t)
			st := s.until(t.ID, runtime.Running)
			s.equal("answer", s.ping(st.Addr), "pong 5")
		}
	}
}

// ping asks a serving task, which may be about to listen.
func (s *suite) ping(addr string) string {
	s.Helper()
	scheme, at, ok := strings.Cut(addr, "://")
	if !ok {
		s.Fatalf("%q is no address", addr)
	}
	c := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, scheme, at)
		}}}
	var failed error
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		resp, err := c.Post("http://model/invocations", "text/csv", strings.NewReader("1,2,3"))
		if failed = err; err != nil {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if failed = err; err == nil {
			return string(body)
		}
	}
	s.Errorf("nothing answers at %s: %v", addr, failed)
	return ""
}
