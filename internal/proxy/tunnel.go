// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// dial reaches a host that is not AWS's, through the outer proxy if there is
// one for it.
func (p *Proxy) dial(ctx context.Context, host string) (net.Conn, error) {
	via, err := p.outer(&http.Request{URL: &url.URL{Scheme: "https", Host: host}})
	if err != nil {
		return nil, fmt.Errorf("find the proxy for %s: %w", host, err)
	}
	if via == nil {
		conn, err := p.dialer.DialContext(ctx, "tcp", host)
		if err != nil {
			return nil, fmt.Errorf("reach %s: %w", host, err)
		}
		return conn, nil
	}
	conn, err := p.dialVia(ctx, via, host)
	if err != nil {
		return nil, fmt.Errorf("reach %s through the proxy %s: %w", host, via.Redacted(), err)
	}
	return conn, nil
}

func (p *Proxy) dialVia(ctx context.Context, via *url.URL, host string) (net.Conn, error) {
	port := via.Port()
	switch {
	case via.Scheme != "http" && via.Scheme != "https":
		return nil, errors.New("only http and https proxies are known")
	case port == "" && via.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	conn, err := p.dialer.DialContext(ctx, "tcp", net.JoinHostPort(via.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if via.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: via.Hostname()})
	}
	conn.SetDeadline(time.Now().Add(headTime))
	br, err := ask(conn, via, host)
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return &peeked{conn, br}, nil
}

// ask sends CONNECT and reads the answer.
func ask(conn net.Conn, via *url.URL, host string) (*bufio.Reader, error) {
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: host}, Host: host, Header: make(http.Header)}
	if u := via.User; u != nil {
		password, _ := u.Password()
		r.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := r.Write(conn); err != nil {
		return nil, err
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	return br, nil
}

// splice carries bytes both ways until both ends have no more. near's first
// bytes may be in br.
func (p *Proxy) splice(near net.Conn, br *bufio.Reader, far net.Conn) {
	defer near.Close()
	defer far.Close()
	if !p.track(near) {
		return
	}
	defer p.untrack(near)
	if !p.track(far) {
		return
	}
	defer p.untrack(far)
	up := make(chan struct{})
	go func() {
		defer close(up)
		if n := br.Buffered(); n > 0 {
			if _, err := io.CopyN(far, br, int64(n)); err != nil {
				far.Close()
				return
			}
		}
		relay(far, near)
	}()
	relay(near, far)
	<-up
}

// relay copies one way and passes the end on: a half-closed connection is
// what many protocols end a request with. An error ends both.
func relay(dst, src net.Conn) {
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		src.Close()
		return
	}
	if p, ok := dst.(*peeked); ok {
		dst = p.Conn
	}
	if c, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
		return
	}
	dst.Close()
}

// track notes a hijacked connection, which the server no longer closes; false
// when the proxy has ended.
func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		return false
	}
	p.conns[c] = struct{}{}
	p.tunnels.Add(1)
	return true
}

func (p *Proxy) untrack(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	p.tunnels.Done()
}

// closeTunnels ends all that is tracked; nothing is after it.
func (p *Proxy) closeTunnels() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
