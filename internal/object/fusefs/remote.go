// SPDX-License-Identifier: Apache-2.0

package fusefs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// Remote reads objects of an S3 endpoint by path-style requests.
type Remote struct {
	URL    string // "http://127.0.0.1:8080"
	Region string
	Key    auth.Key
	HTTP   *http.Client
	// Patience is how long an endpoint that cannot be reached, or that is busy
	// (429, 5xx), is asked again; 0 asks once.
	Patience time.Duration
}

// Pauses between two attempts, and how many answers without a byte are enough.
const (
	maxStalls  = 5
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
)

// Open reads size bytes from an offset; size < 0 reads to the end. A missing
// object is object.ErrNotFound. When the connection breaks while it is read, the
// rest is asked for again.
func (r Remote) Open(ctx context.Context, u object.URI, offset, size int64) (io.ReadCloser, error) {
	if size == 0 {
		return http.NoBody, nil
	}
	body, err := r.open(ctx, u, offset, size)
	if err != nil {
		return nil, err
	}
	return &resumed{remote: r, ctx: ctx, uri: u, offset: offset, left: size, body: body}, nil
}

// resumed reads one answer after another, as long as they break off.
type resumed struct {
	remote       Remote
	ctx          context.Context // of Open
	uri          object.URI
	offset, left int64 // bytes; left < 0 to the end
	body         io.ReadCloser
	stalls       int // answers in a row without a byte
}

func (r *resumed) Read(p []byte) (int, error) {
	for {
		n, err := r.body.Read(p)
		r.offset += int64(n)
		if r.left > 0 {
			r.left = max(0, r.left-int64(n))
		}
		if n > 0 {
			r.stalls = 0
		}
		if n > 0 || err == nil || errors.Is(err, io.EOF) || r.ctx.Err() != nil {
			if n > 0 && !errors.Is(err, io.EOF) {
				err = nil // it comes again with the next Read
			}
			return n, err
		}
		if r.left == 0 {
			return 0, io.EOF
		}
		if r.stalls++; r.stalls > maxStalls {
			return 0, err
		}
		r.body.Close()
		if r.body, err = r.remote.open(r.ctx, r.uri, r.offset, r.left); err != nil {
			r.body = http.NoBody
			return 0, err
		}
	}
}

func (r *resumed) Close() error { return r.body.Close() }

// open asks until there is an answer, or patience is at its end.
func (r Remote) open(ctx context.Context, u object.URI, offset, size int64) (io.ReadCloser, error) {
	patience := time.Now().Add(r.Patience)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		body, again, err := r.get(ctx, u, offset, size)
		if err == nil {
			return body, nil
		}
		if !again || time.Now().Add(pause).After(patience) {
			return nil, fmt.Errorf("get %s from %s: %w", u, r.URL, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// get asks once. again says that it may be of use to ask once more.
func (r Remote) get(ctx context.Context, u object.URI, offset, size int64) (body io.ReadCloser, again bool, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(r.URL, "/")+"/"+u.Bucket+"/"+escape(u.Key), nil)
	if err != nil {
		return nil, false, err
	}
	switch {
	case size > 0:
		q.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+size-1))
	case offset > 0:
		q.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	auth.Sign(q, r.Key, r.Region, "s3", "", time.Now())
	resp, err := r.HTTP.Do(q)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // its text repeats the URL
		}
		return nil, ctx.Err() == nil, err
	}
	if resp.StatusCode == http.StatusPartialContent || resp.StatusCode == http.StatusOK && q.Header.Get("Range") == "" {
		return resp.Body, false, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, false, object.ErrNotFound
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return http.NoBody, false, nil // beyond the end there are no bytes
	}
	again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
	return nil, again, fmt.Errorf("%s: %s", resp.Status, text)
}

// escape encodes a key as S3's signature wants it: every byte but the
// unreserved ones and the slash.
func escape(key string) string {
	var b strings.Builder
	for i := range len(key) {
		switch c := key[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.~/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
