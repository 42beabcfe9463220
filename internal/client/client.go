// SPDX-License-Identifier: Apache-2.0

// Package client is a small AWS client for our own tools: it signs requests
// and speaks the protocols of the few services that they ask. Users have
// their SDKs; this one keeps those out of the binary.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

// Service tells how the requests of one AWS service are addressed.
type Service struct {
	Signing string // service of the credential scope
	Target  string // head of X-Amz-Target, for JSON 1.1 services
	Version string // of the API, for query services
	Global  bool   // signed for us-east-1, whatever the region
}

// The services that the tools ask.
var (
	SageMaker  = Service{Signing: "sagemaker", Target: "SageMaker"}
	Logs       = Service{Signing: "logs", Target: "Logs_20140328"}
	CloudWatch = Service{Signing: "monitoring", Target: "GraniteServiceVersion20100801"}
	Sagebrush  = Service{Signing: "sagemaker", Target: "Sagebrush"} // what AWS does not have
	STS        = Service{Signing: "sts", Version: "2011-06-15"}
	IAM        = Service{Signing: "iam", Version: "2010-05-08", Global: true}
	s3         = Service{Signing: "s3"}
)

// Options of a Client; all but HTTP are required.
type Options struct {
	URL    string   // of the endpoint, "http://127.0.0.1:8080"
	Key    auth.Key // who asks
	Region string
	HTTP   *http.Client // one that goes straight to the endpoint when nil
}

// Client asks one endpoint with one key. It is safe for concurrent use.
//
// An error that the service answers is a *fault.Fault with its code, status
// and message; every other error says what could not be done.
type Client struct {
	url    string
	key    auth.Key
	region string
	http   *http.Client
}

// New makes a Client. It asks nothing yet.
func New(o Options) *Client {
	c := &Client{url: strings.TrimSuffix(o.URL, "/"), key: o.Key, region: o.Region, http: o.HTTP}
	if c.http == nil {
		c.http = &http.Client{Transport: Direct()}
	}
	return c
}

// Direct reaches the endpoint past any proxy: a proxy of the environment knows
// nothing of this machine's loopback. It trusts the system's roots and those
// of AWS_CA_BUNDLE, as AWS's own clients do.
func Direct() *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     30 * time.Second,
	}
	if extra, err := os.ReadFile(os.Getenv("AWS_CA_BUNDLE")); err == nil {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		roots.AppendCertsFromPEM(extra)
		t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return t
}

// URL is the endpoint's.
func (c *Client) URL() string { return c.url }

// As is a client of the same endpoint and region with another key.
func (c *Client) As(key auth.Key) *Client {
	other := *c
	other.key = key
	return &other
}

// Health asks the endpoint's unsigned /healthz.
func (c *Client) Health(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/healthz", nil)
	if err != nil {
		return err
	}
	_, err = c.do(r, "ask for health")
	return err
}

// Call asks an operation of a JSON 1.1 service. in is marshalled; the answer
// goes into out unless that is nil.
func (c *Client) Call(ctx context.Context, s Service, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", s.Target+"."+operation)
	c.sign(r, s, body)
	answer, err := c.do(r, operation)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s: read answer: %w", operation, err)
	}
	return nil
}

// Query asks an operation of a query service, whose answers are XML: out's
// tags begin below the root element.
func (c *Client) Query(ctx context.Context, s Service, operation string, in url.Values, out any) error {
	form := url.Values{"Action": {operation}, "Version": {s.Version}}
	for k, v := range in {
		form[k] = v
	}
	body := []byte(form.Encode())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	c.sign(r, s, body)
	answer, err := c.do(r, operation)
	if err != nil || out == nil {
		return err
	}
	if err := xml.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s: read answer: %w", operation, err)
	}
	return nil
}

func (c *Client) sign(r *http.Request, s Service, body []byte) {
	region := c.region
	if s.Global {
		region = "us-east-1"
	}
	auth.Sign(r, c.key, region, s.Signing, auth.PayloadHash(body), time.Now())
}

// do sends r and reads the whole answer. what is being done goes into errors.
func (c *Client) do(r *http.Request, what string) ([]byte, error) {
	resp, err := c.send(r, what)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: read answer: %w", what, err)
	}
	return body, nil
}

// send sends r. The caller closes the answer's body; an answer that is an error
// has been read and closed.
func (c *Client) send(r *http.Request, what string) (*http.Response, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // its text repeats method and URL
		}
		return nil, fmt.Errorf("%s at %s: %w", what, c.url, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: read answer: %w", what, err)
	}
	return nil, fmt.Errorf("%s: %w", what, faultOf(resp, body))
}
