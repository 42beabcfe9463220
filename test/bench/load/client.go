// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

// client sends a request and reads the whole answer, valid until the next one.
type client interface {
	do(r *http.Request) (reply, error)
}

// reply is an answer, or with status 0 none.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// lean is one connection with nothing between it and the caller: no pool, no
// goroutines. The machine's processors are left to the servers.
type lean struct {
	net.Conn
	in     *bufio.Reader
	out    *bufio.Writer
	answer bytes.Buffer
}

func dial(u *url.URL) (*lean, error) {
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return &lean{Conn: c, in: bufio.NewReader(c), out: bufio.NewWriter(c)}, nil
}

func (c *lean) do(r *http.Request) (reply, error) {
	if err := r.Write(c.out); err != nil {
		return reply{}, err
	}
	if err := c.out.Flush(); err != nil {
		return reply{}, err
	}
	resp, err := http.ReadResponse(c.in, r)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	c.answer.Reset()
	if _, err = c.answer.ReadFrom(resp.Body); err != nil {
		return reply{}, err
	}
	return reply{resp.StatusCode, resp.Header, c.answer.Bytes()}, nil
}

// ordinary is Go's own client, as a program would use it.
type ordinary struct{ http.Client }

func (c *ordinary) do(r *http.Request) (reply, error) {
	resp, err := c.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	return reply{resp.StatusCode, resp.Header, answer}, nil
}

// server is where requests go, and the key that they are signed with.
type server struct {
	url    *url.URL
	key    auth.Key
	region string
}

// reach adds the flags of a server to f and gives it once they are parsed.
func reach(f *flag.FlagSet) func() (server, error) {
	address := f.String("url", "", "http://host:port of the server")
	home := f.String("home", "", "folder with credentials.json, whose key signs the requests")
	return func() (server, error) {
		u, err := url.Parse(*address)
		if err != nil {
			return server{}, err
		}
		text, err := os.ReadFile(filepath.Join(*home, "credentials.json"))
		if err != nil {
			return server{}, err
		}
		var c struct{ Region, AccessKeyID, SecretAccessKey string }
		if err := json.Unmarshal(text, &c); err != nil {
			return server{}, fmt.Errorf("read the credentials: %w", err)
		}
		return server{url: u, key: auth.Key{ID: c.AccessKeyID, Secret: c.SecretAccessKey}, region: c.Region}, nil
	}
}

// request makes a signed POST.
func (s server) request(path string, header http.Header, body []byte) *http.Request {
	u := *s.url
	u.Path = path
	r := &http.Request{Method: http.MethodPost, URL: &u, Host: u.Host, Header: header.Clone(), ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
	auth.Sign(r, s.key, s.region, "sagemaker", auth.PayloadHash(body), time.Now())
	return r
}

// control is the header of an operation of SageMaker's control plane.
func control(operation string) http.Header {
	return http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"SageMaker." + operation}}
}
