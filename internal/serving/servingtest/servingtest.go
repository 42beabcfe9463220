// SPDX-License-Identifier: Apache-2.0

// Package servingtest has containers for the tests of what asks them.
package servingtest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Fine is the head of a good answer of two bytes.
const Fine = "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 2\r\n\r\n"

// Script is an instance that gives its answers in turn, one for each request,
// and hangs up where one is "". It counts connections.
func Script(t *testing.T, answers ...string) (addr string, connections func() int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dials := make(chan int, 1)
	dials <- 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		var open []net.Conn
		defer func() {
			for _, c := range open {
				c.Close()
			}
		}()
		for len(answers) > 0 {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
			dials <- <-dials + 1
			r := bufio.NewReader(c)
			for len(answers) > 0 {
				req, err := http.ReadRequest(r)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, req.Body)
				text := answers[0]
				answers = answers[1:]
				if text == "" {
					c.Close()
					break
				}
				_, _ = io.WriteString(c, text)
			}
		}
		_, _ = ln.Accept() // until the test ends
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return "tcp://" + ln.Addr().String(), func() int { n := <-dials; dials <- n; return n }
}

// Silent is an instance that tells of a request and does not answer it.
func Silent(t *testing.T) (addr string, asked chan struct{}) {
	t.Helper()
	asked = make(chan struct{}, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		<-r.Context().Done() // until the caller goes away
	}))
	t.Cleanup(s.Close)
	return "tcp://" + s.Listener.Addr().String(), asked
}
