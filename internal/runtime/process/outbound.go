// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"time"
)

// newOutbound is a forward proxy: the way of a task with a network of its own
// to what else the machine reaches by HTTP and HTTPS. It keeps nothing, and
// says nothing: what a task fetches is not our log's business.
func newOutbound() *http.Server {
	quiet := log.New(io.Discard, "", 0)
	plain := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.Host = r.In.Host },
		Transport:     &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 8, IdleConnTimeout: 30 * time.Second, DisableCompression: true},
		FlushInterval: -1,
		ErrorLog:      quiet,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	return &http.Server{ErrorLog: quiet, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			tunnel(w, r)
		case r.URL.IsAbs() && r.URL.Scheme == "http":
			plain.ServeHTTP(w, r)
		default:
			http.Error(w, "this is a proxy: it takes CONNECT, and whole http:// addresses", http.StatusBadRequest)
		}
	})}
}

// tunnel answers CONNECT (RFC 9110, section 9.3.6).
func tunnel(w http.ResponseWriter, r *http.Request) {
	to, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	c, ahead, err := http.NewResponseController(w).Hijack()
	if err != nil {
		to.Close()
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, err = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	if n := ahead.Reader.Buffered(); err == nil && n > 0 { // it did not wait for the answer
		var early []byte
		if early, err = ahead.Reader.Peek(n); err == nil {
			_, err = to.Write(early)
		}
	}
	if err != nil {
		c.Close()
		to.Close()
		return
	}
	join(c, to)
}
