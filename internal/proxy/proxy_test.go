// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// key signs the tests' requests.
var key = auth.Key{ID: "AKIDEXAMPLE234567ABC", Secret: "secret", Account: "123456789012"}

type keyring struct{}

func (keyring) Lookup(_ context.Context, id string) (auth.Key, bool, error) {
	return key, id == key.ID, nil
}

// aws is a server that answers every signed request with what it saw.
func aws(t *testing.T) http.Handler {
	v := auth.New(auth.Options{Keys: keyring{}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the proxy's credentials got through")
		}
		service, region, _ := ServiceOfHost(r.Host)
		who := "nobody"
		if r.Header.Get("Authorization") != "" || strings.Contains(r.URL.RawQuery, "X-Amz-Signature") {
			c, _, err := v.Verify(r, body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			who = c.Account
		}
		fmt.Fprintf(w, "%s %s %s %s %s %s %s", r.Method, r.Host, r.URL.Path, service, region, who, body)
	})
}

// start runs a proxy that must reach no host but the loopback.
func start(t *testing.T, o Options) (*Proxy, *url.URL) {
	t.Helper()
	if o.Outer == nil {
		o.Outer = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	p := New(o)
	p.dialer.Control = func(_, addr string, _ syscall.RawConn) error {
		if host, _, _ := net.SplitHostPort(addr); !net.ParseIP(host).IsLoopback() {
			t.Errorf("the proxy dials %s", addr)
		}
		return nil
	}
	p.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("the proxy asks for a name")
		return nil, io.EOF
	}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p, &url.URL{Scheme: "http", Host: ln.Addr().String()}
}

// client goes through the proxy and trusts what the CA signed.
func client(t *testing.T, at *url.URL, conf *tls.Config) *http.Client {
	tr := &http.Transport{Proxy: http.ProxyURL(at), TLSClientConfig: conf}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func text(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, b)
}

func TestAWSHostsAreAnsweredHere(t *testing.T) {
	ca := newCA(t)
	remote := httptest.NewServer(aws(t))
	defer remote.Close()
	there, _ := url.Parse(remote.URL)
	for name, o := range map[string]Options{
		"by a handler": {CA: ca, Target: aws(t)},
		"by a URL":     {CA: ca, TargetURL: there},
	} {
		t.Run(name, func(t *testing.T) {
			_, at := start(t, o)
			c := client(t, at, clientTLS(ca))
			tests := []struct{ url, service, body, want string }{
				{"https://sts.us-east-1.amazonaws.com/", "sts", "Action=GetCallerIdentity",
					"200 POST sts.us-east-1.amazonaws.com / sts us-east-1 123456789012 Action=GetCallerIdentity"},
				{"https://my.bucket.s3.us-east-1.amazonaws.com/a%20b/c?x=%2F&acl", "s3", "data",
					"200 POST my.bucket.s3.us-east-1.amazonaws.com /a b/c s3 us-east-1 123456789012 data"},
				{"https://runtime.sagemaker.us-east-1.api.aws/endpoints/arn%3Aaws%3Ax%2Fy/invocations", "sagemaker", "1,2",
					"200 POST runtime.sagemaker.us-east-1.api.aws /endpoints/arn:aws:x/y/invocations sagemaker-runtime us-east-1 123456789012 1,2"},
				{"https://logs.eu-west-1.amazonaws.com:8443/", "logs", "{}",
					"200 POST logs.eu-west-1.amazonaws.com:8443 / logs eu-west-1 123456789012 {}"},
				{"http://sts.amazonaws.com/x//y?b=1&a", "sts", "plain",
					"200 POST sts.amazonaws.com /x//y sts us-east-1 123456789012 plain"},
				{"https://sm-pysdk-t-us-east-1.s3.us-east-1.amazonaws.com/telemetry?x-a=1;b=%zz", "", "",
					"200 GET sm-pysdk-t-us-east-1.s3.us-east-1.amazonaws.com /telemetry s3 us-east-1 nobody "},
			}
			for _, tt := range tests {
				method := "POST"
				if tt.service == "" {
					method = "GET"
				}
				r, err := http.NewRequest(method, tt.url, strings.NewReader(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				if tt.service != "" {
					auth.Sign(r, key, "us-east-1", tt.service, auth.PayloadHash([]byte(tt.body)), time.Now())
				}
				resp, err := c.Do(r)
				if got := text(t, resp, err); got != tt.want {
					t.Errorf("%s\n got %s\nwant %s", tt.url, got, tt.want)
				}
			}
		})
	}
}

func TestOneTunnelCarriesManyRequests(t *testing.T) {
	ca := newCA(t)
	_, at := start(t, Options{CA: ca, Target: aws(t)})
	var dials atomic.Int32
	c := client(t, at, clientTLS(ca))
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	for range 20 {
		resp, err := c.Get("https://s3.us-east-1.amazonaws.com/")
		if got := text(t, resp, err); !strings.HasPrefix(got, "200 GET s3.us-east-1") {
			t.Fatal(got)
		}
	}
	if dials.Load() != 1 {
		t.Errorf("%d connections", dials.Load())
	}
}

func TestPlainHTTPInsideATunnelToAWSStaysHere(t *testing.T) {
	_, at := start(t, Options{CA: newCA(t), Target: aws(t)})
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Both at once: what follows CONNECT is in the proxy's buffer already.
	io.WriteString(conn, "CONNECT sts.amazonaws.com:80 HTTP/1.1\r\nHost: x\r\n\r\n"+
		"GET /y HTTP/1.1\r\nHost: sts.amazonaws.com\r\nConnection: close\r\n\r\n")
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200 ") || !strings.HasSuffix(string(got), "GET sts.amazonaws.com /y sts us-east-1 nobody ") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestOtherHostsPassThrough(t *testing.T) {
	ca := newCA(t)
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "real %s %s", r.Host, r.URL.RequestURI())
	})
	secure, plain := httptest.NewUnstartedServer(hello), httptest.NewServer(hello)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // one client is meant to refuse it
	secure.StartTLS()
	defer secure.Close()
	defer plain.Close()
	trusting := secure.Client().Transport.(*http.Transport).TLSClientConfig.Clone()

	var asked atomic.Int32
	_, second := start(t, Options{CA: ca, Target: http.NotFoundHandler()})
	second.User = url.UserPassword("ada", "pw")
	for name, outer := range map[string]func(*http.Request) (*url.URL, error){
		"directly":               nil,
		"through an outer proxy": func(r *http.Request) (*url.URL, error) { asked.Add(1); return second, nil },
	} {
		t.Run(name, func(t *testing.T) {
			_, at := start(t, Options{CA: ca, Target: http.NotFoundHandler(), Outer: outer})
			c := client(t, at, trusting)
			for _, s := range []*httptest.Server{secure, plain} {
				resp, err := c.Get(s.URL + "/p?q=%zz;1")
				want := "200 real " + s.Listener.Addr().String() + " /p?q=%zz;1"
				if got := text(t, resp, err); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			// The certificate that the client saw is the host's own.
			c = client(t, at, clientTLS(ca))
			if resp, err := c.Get(secure.URL); err == nil {
				resp.Body.Close()
				t.Error("the tunnel's certificate is of our CA")
			}
		})
	}
	if asked.Load() != 3 {
		t.Errorf("the outer proxy was looked up %d times", asked.Load())
	}
}

func TestHostThatCannotBeReached(t *testing.T) {
	ca := newCA(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := ln.Addr().String()
	ln.Close()
	_, at := start(t, Options{CA: ca, TargetURL: &url.URL{Scheme: "http", Host: gone}})
	c := client(t, at, clientTLS(ca))
	if _, err := c.Get("https://" + gone); err == nil || !strings.Contains(err.Error(), "Bad Gateway") {
		t.Errorf("a tunnel: %v", err)
	}
	resp, err := c.Get("http://" + gone)
	if got := text(t, resp, err); !strings.HasPrefix(got, "502 sagebrush proxy: reach "+gone) {
		t.Errorf("a request: %s", got)
	}
	resp, err = c.Get("https://sts.amazonaws.com")
	if got := text(t, resp, err); !strings.HasPrefix(got, `503 {"__type":"ServiceUnavailable"`) {
		t.Errorf("our own server: %s", got)
	}
	resp, err = http.Get(at.String())
	if got := text(t, resp, err); !strings.Contains(got, "this is a forward proxy") {
		t.Errorf("no proxy's request: %s", got)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestTunnelPassesHalfCloseAndEndsWithTheProxy(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				all, _ := io.ReadAll(c) // answers once the client has ended
				c.Write(bytes.ToUpper(all))
			}()
		}
	}()
	_, at := start(t, Options{CA: newCA(t), Target: http.NotFoundHandler()})
	open := func() (*net.TCPConn, *bufio.Reader) {
		conn, err := net.Dial("tcp", at.Host)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\nearly ", echo.Addr())
		br := bufio.NewReader(conn)
		if resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		}
		return conn.(*net.TCPConn), br
	}
	conn, br := open()
	io.WriteString(conn, "late")
	conn.CloseWrite()
	if got, err := io.ReadAll(br); err != nil || string(got) != "EARLY LATE" {
		t.Errorf("%q, %v", got, err)
	}
	conn.Close()
	// One stays open: the test's end, with goleak, says whether it was ended.
	left, _ := open()
	t.Cleanup(func() { left.Close() })
}

// script is what a user's code does: it knows nothing of us.
const script = `
import sys, urllib.request
print(urllib.request.urlopen("https://sts.us-east-1.amazonaws.com/urllib").read().decode())
try:
    import requests
    print(requests.get("https://sm-pysdk-t-us-east-1.s3.us-east-1.amazonaws.com/telemetry?x=1").text)
except ImportError:
    print("no requests")
try:
    import botocore.session
    s = botocore.session.get_session()
    c = s.create_client("s3", region_name="eu-west-1", aws_access_key_id="AKIDEXAMPLE234567ABC", aws_secret_access_key="secret")
    print(c.get_object(Bucket="bucket", Key="a b/c")["Body"].read().decode())
    # Over TLS an upload is aws-chunked with a trailing checksum.
    c.put_object(Bucket="bucket", Key="k", Body=b"hello")
except ImportError:
    print("no botocore")
`

func TestUnmodifiedPython(t *testing.T) {
	python := os.Getenv("PYTHON")
	if python == "" {
		python = "python3"
	}
	python, err := exec.LookPath(python)
	if err != nil {
		t.Skip("there is no python3 on the path, and PYTHON names none")
	}
	ca := newCA(t)
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := ca.CABundle(bundle); err != nil {
		t.Fatal(err)
	}
	seen := aws(t)
	var uploads atomic.Int32
	v := auth.New(auth.Options{Keys: keyring{}})
	_, at := start(t, Options{CA: ca, Target: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "PUT" {
			seen.ServeHTTP(w, r)
			return
		}
		_, _, body, err := v.VerifyStream(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		if got, err := io.ReadAll(body); err != nil || string(got) != "hello" {
			t.Errorf("uploaded %q, %v", got, err)
		}
		uploads.Add(1)
	})})
	cmd := exec.CommandContext(t.Context(), python, "-c", script)
	cmd.Env = Env(os.Environ(), at.Host, bundle)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	want := []string{
		"GET sts.us-east-1.amazonaws.com /urllib sts us-east-1 nobody",
		"GET sm-pysdk-t-us-east-1.s3.us-east-1.amazonaws.com /telemetry s3 us-east-1 nobody",
		"GET bucket.s3.eu-west-1.amazonaws.com /a b/c s3 eu-west-1 123456789012",
	}
	for i, line := range lines {
		if strings.HasPrefix(line, "no ") {
			t.Logf("not tried: %s", line)
		} else if i >= len(want) || strings.TrimSpace(line) != want[i] {
			t.Errorf("line %d: %s", i, line)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("printed %d lines: %s", len(lines), out)
	}
	if !strings.Contains(string(out), "no botocore") && uploads.Load() != 1 {
		t.Errorf("%d uploads", uploads.Load())
	}
}
