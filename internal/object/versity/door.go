// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

// copyBytes is the size of the buffers that bodies pass through.
const copyBytes = 256 << 10

// Handler is S3 for net/http. It hands each request to the S3 server as it
// came: same Host, same bytes in path and query, so that the signature still
// holds; bodies stream both ways. The server checks signature version 4 itself,
// in headers and in presigned URLs. What it does not know is checked here and
// signed again: presigned URLs of version 2, which boto3 makes for endpoints of
// its user's own, signatures for other regions than Options.Region, and the
// hosts of AWS that Options.SplitHost knows. Buckets of all regions are in the
// one place that there is.
//
// Requests wait until Run has begun to listen.
func (s *Store) Handler() http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      s.transport,
		BufferPool:     &buffers{},
		ErrorHandler:   s.unreachable,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ModifyResponse: s.answered,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.inWork.begin() {
			refuse(w, r, errUnavailable)
			return
		}
		defer s.inWork.end()
		if r.ContentLength > s.opt.MaxBodyBytes {
			refuse(w, r, s3err.GetEntityTooLargeErr(r.ContentLength, s.opt.MaxBodyBytes))
			return
		}
		if reserved(r.URL.Path) {
			refuse(w, r, s3err.APIError{
				Code:           "InvalidArgument",
				Description:    "The key is reserved.",
				HTTPStatusCode: http.StatusBadRequest,
			})
			return
		}
		if err := s.admitPublic(r); err != nil {
			refuse(w, r, err)
			return
		}
		admitted, err := s.admit(r)
		if err != nil {
			refuse(w, r, err)
			return
		}
		proxy.ServeHTTP(&lowerMetadata{ResponseWriter: w}, admitted)
	})
}

// metadataPrefix begins the headers that carry an object's metadata. Clients
// take the rest of the name as the metadata's own, and S3 keeps that in lower
// case, so these headers do not get the usual capitals, neither on their way in
// nor out.
const metadataPrefix = "X-Amz-Meta-"

// lowerMetadataIn puts the names of metadata headers into lower case.
func lowerMetadataIn(h http.Header) {
	for name, values := range h {
		if strings.HasPrefix(name, metadataPrefix) {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
}

// lowerMetadata is a ResponseWriter that spells metadata headers as S3 does.
type lowerMetadata struct{ http.ResponseWriter }

// WriteHeader sends the headers.
func (w *lowerMetadata) WriteHeader(status int) {
	lowerMetadataIn(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController through.
func (w *lowerMetadata) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// reserved tells whether the path, with the bucket in it or in the host, leads
// into the folder where the backend keeps what is not an object yet.
func reserved(p string) bool {
	segments := strings.SplitN(strings.TrimPrefix(path.Clean("/"+p), "/"), "/", 3)
	return slices.Contains(segments[:min(2, len(segments))], posix.MetaTmpDir)
}

// rewrite addresses the request to the S3 server and nothing else.
func rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme, p.Out.URL.Host = "http", "s3" // where dial goes
	p.Out.Host = p.In.Host
	raw, _, _ := strings.Cut(p.In.RequestURI, "?")
	if strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//") {
		p.Out.URL.Opaque = raw // as it came, not parsed and put together again
	}
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	lowerMetadataIn(p.Out.Header)
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := p.In.Header[h]; ok {
			p.Out.Header[h] = v // may be signed
		}
	}
}

// newTransport carries requests to the S3 server.
func (s *Store) newTransport() *http.Transport {
	return &http.Transport{
		DialContext:           s.dial,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       time.Minute,
		ExpectContinueTimeout: time.Second,
		ReadBufferSize:        copyBytes,
		WriteBufferSize:       copyBytes,
	}
}

// dial reaches the S3 server once it listens.
func (s *Store) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", s.address)
}

// unreachable answers when the S3 server has not. It says nothing to a client
// that has gone. A body that was not the one that was signed ended the
// connection to the server, which has kept nothing of it.
func (s *Store) unreachable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		s.log.DebugContext(r.Context(), "S3 client left", "method", r.Method, "path", r.URL.Path)
		panic(http.ErrAbortHandler)
	}
	if refusal, ok := errors.AsType[*auth.Refusal](err); ok {
		refuse(w, r, inXML(refusal))
		return
	}
	s.log.ErrorContext(r.Context(), "S3 request did not get through", "method", r.Method, "path", r.URL.Path, "error", err)
	refuse(w, r, errUnavailable)
}

// errUnavailable tells clients to come again.
var errUnavailable = s3err.APIError{
	Code:           "ServiceUnavailable",
	Description:    "Service is unable to handle request.",
	HTTPStatusCode: http.StatusServiceUnavailable,
}

// refuse answers with err in S3's own form, or with InternalError if it has
// none. HEAD has no body.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[s3err.S3Error](err)
	if !ok {
		e = s3err.GetAPIError(s3err.ErrInternalError)
	}
	id := w.Header().Get("X-Amz-Request-Id") // the front may have given one
	if id == "" {
		id = rand.Text()[:16]
		w.Header().Set("X-Amz-Request-Id", id)
	}
	body := e.XMLBody(id, "")
	w.Header().Set("Content-Type", "application/xml")
	if r.Method != http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(e.StatusCode())
	if r.Method != http.MethodHead {
		w.Write(body) // a client that has gone needs no answer
	}
}

// buffers lends buffers of copyBytes.
type buffers struct{ pool sync.Pool }

// Get is a buffer that nobody else has.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, copyBytes)
}

// Put takes a buffer back.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
