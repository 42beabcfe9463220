// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Options of a Proxy. CA and one of Target and TargetURL are required.
type Options struct {
	CA *CA
	// Target answers the requests to AWS's hosts. It gets them as they were
	// sent, Host included, as signatures cover it; see ServiceOfHost.
	Target http.Handler
	// TargetURL is a server that answers in Target's place: http://127.0.0.1:8080.
	TargetURL *url.URL
	// Outer tells through which proxy other hosts are reached;
	// http.ProxyFromEnvironment when nil.
	Outer func(*http.Request) (*url.URL, error)
	Log   *slog.Logger // none when nil
}

// Proxy is a forward proxy that answers for AWS. It asks for no credentials:
// it must listen on the loopback only.
type Proxy struct {
	ca     *CA
	target http.Handler
	outer  func(*http.Request) (*url.URL, error)
	log    *slog.Logger
	dialer net.Dialer
	pass   *httputil.ReverseProxy // plain HTTP to other hosts
	own    []*http.Transport      // to be closed

	inner *tunnelListener // of tunnels to AWS's hosts

	tunnels sync.WaitGroup
	mu      sync.Mutex
	conns   map[net.Conn]struct{} // of tunnels to other hosts; nil once closed
}

// headTime is how long a client may take to begin, and a host to be reached.
const headTime = 30 * time.Second

// New makes a Proxy. It starts nothing.
func New(o Options) *Proxy {
	p := &Proxy{
		ca: o.CA, target: o.Target, outer: o.Outer, log: o.Log,
		dialer: net.Dialer{Timeout: headTime},
		inner:  newTunnelListener(),
		conns:  make(map[net.Conn]struct{}),
	}
	if p.outer == nil {
		p.outer = http.ProxyFromEnvironment
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.target == nil {
		p.target = p.forward(o.TargetURL)
	}
	t := p.transport(p.outer)
	p.pass = &httputil.ReverseProxy{
		Transport: t,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.RawQuery = r.In.URL.RawQuery // ReverseProxy drops what it cannot parse
			r.Out.Header.Del("Proxy-Connection")
		},
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			p.log.DebugContext(r.Context(), "host not reached", "host", r.Host, "err", err)
			http.Error(w, "sagebrush proxy: reach "+r.URL.Host+": "+err.Error(), http.StatusBadGateway)
		},
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
	return p
}

// transport carries requests as they are: no compression of its own.
func (p *Proxy) transport(outer func(*http.Request) (*url.URL, error)) *http.Transport {
	t := &http.Transport{
		Proxy:               outer,
		DialContext:         p.dialer.DialContext,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     90 * time.Second,
	}
	p.own = append(p.own, t)
	return t
}

// forward hands requests to a server in another process, Host unchanged.
func (p *Proxy) forward(target *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Transport: p.transport(nil),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1, // answers may be event streams
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			p.log.WarnContext(r.Context(), "server not reached", "host", r.Host, "err", err)
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, `{"__type":"ServiceUnavailable","message":%q}`, "The Sagebrush server at "+target.String()+" does not answer.")
		},
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
}

// Serve answers on ln until ctx is done, then ends all tunnels and returns
// nil. It closes ln. Any other end is an error. A Proxy serves once.
func (p *Proxy) Serve(ctx context.Context, ln net.Listener) error {
	quiet := slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)
	outer := &http.Server{Handler: p, ReadHeaderTimeout: headTime, ErrorLog: quiet}
	inner := &http.Server{Handler: http.HandlerFunc(p.serveAWS), ReadHeaderTimeout: headTime, ErrorLog: quiet}
	ended := make(chan error, 2)
	go func() { ended <- outer.Serve(ln) }()
	go func() { ended <- inner.Serve(p.inner) }()
	var err error
	left := 2
	select {
	case <-ctx.Done():
	case err = <-ended:
		left--
	}
	p.closeTunnels()
	_ = p.inner.Close()
	// What is being answered may end; a client that hangs may not keep us.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for _, s := range []*http.Server{outer, inner} {
		if s.Shutdown(grace) != nil {
			_ = s.Close()
		}
	}
	for range left {
		<-ended //nolint:errcheck // only its end is waited for
	}
	p.tunnels.Wait()
	for _, t := range p.own {
		t.CloseIdleConnections()
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve proxy: %w", err)
	}
	return nil
}

// ServeHTTP takes what a client asks of a proxy: CONNECT, or a request with
// an absolute URL. Tunnels to AWS's hosts are answered while Serve runs.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	case r.URL.Host == "":
		http.Error(w, "sagebrush proxy: this is a forward proxy. Set HTTPS_PROXY and HTTP_PROXY to http://"+r.Host+".", http.StatusBadRequest)
	case IsAWS(r.URL.Host):
		// As the host itself would have got it.
		r.RequestURI = r.URL.RequestURI()
		r.URL.Scheme, r.URL.Host, r.URL.User = "", "", nil
		p.serveAWS(w, r)
	default:
		p.pass.ServeHTTP(w, r)
	}
}

// serveAWS hands a request to the target without what was meant for us.
func (p *Proxy) serveAWS(w http.ResponseWriter, r *http.Request) {
	r.Header.Del("Proxy-Connection")
	r.Header.Del("Proxy-Authorization")
	p.log.DebugContext(r.Context(), "answer for host", "host", r.Host, "method", r.Method, "path", r.URL.Path)
	p.target.ServeHTTP(w, r)
}

// connect opens a tunnel: to ourselves for AWS, whatever the port, to the
// host for the others.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	host := r.URL.Host // "sts.us-east-1.amazonaws.com:443"
	var far net.Conn
	if !IsAWS(host) {
		var err error
		if far, err = p.dial(r.Context(), host); err != nil {
			p.log.DebugContext(r.Context(), "host not reached", "host", host, "err", err)
			http.Error(w, "sagebrush proxy: "+err.Error(), http.StatusBadGateway)
			return
		}
	}
	near, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		if far != nil {
			far.Close()
		}
		http.Error(w, "sagebrush proxy: "+err.Error(), http.StatusInternalServerError)
		return
	}
	near.SetDeadline(time.Time{})
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		near.Close()
		if far != nil {
			far.Close()
		}
		return
	}
	if far != nil {
		p.splice(near, rw.Reader, far)
		return
	}
	p.intercept(near, rw.Reader, host)
}

// intercept makes a tunnel's client end a connection of the inner server:
// through TLS if it begins with a handshake, as it is otherwise.
func (p *Proxy) intercept(conn net.Conn, br *bufio.Reader, host string) {
	if !p.track(conn) {
		conn.Close()
		return
	}
	conn.SetReadDeadline(time.Now().Add(headTime))
	first, err := br.Peek(1)
	p.untrack(conn)
	if err != nil {
		conn.Close()
		return
	}
	conn.SetReadDeadline(time.Time{})
	var end net.Conn = &peeked{conn, br}
	const handshake = 22 // TLS record type
	if first[0] == handshake {
		end = tls.Server(end, &tls.Config{
			MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"},
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				if hello.ServerName != "" {
					return p.ca.Leaf(hello.ServerName)
				}
				return p.ca.Leaf(host)
			},
		})
	}
	if !p.inner.give(end) {
		conn.Close()
	}
}

// peeked is a connection some of whose bytes are in a buffer already.
type peeked struct {
	net.Conn
	br *bufio.Reader
}

func (c *peeked) Read(p []byte) (int, error) {
	if c.br.Buffered() > 0 {
		return c.br.Read(p)
	}
	return c.Conn.Read(p)
}

// tunnelListener is the inner server's: it accepts what connect gives it.
type tunnelListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newTunnelListener() *tunnelListener {
	return &tunnelListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *tunnelListener) give(c net.Conn) bool {
	select {
	case l.conns <- c:
		return true
	case <-l.done:
		return false
	}
}

// Accept waits for the next tunnel.
func (l *tunnelListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, http.ErrServerClosed
	}
}

// Close ends Accept.
func (l *tunnelListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr names no address: nothing outside can reach it.
func (l *tunnelListener) Addr() net.Addr { return tunnelAddr{} }

type tunnelAddr struct{}

func (tunnelAddr) Network() string { return "tunnel" }
func (tunnelAddr) String() string  { return strings.Join(domains, ",") }
