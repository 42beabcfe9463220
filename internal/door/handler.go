// SPDX-License-Identifier: Apache-2.0

package door

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
)

// Handler opens lanes whose plain requests h answers: those that plain takes,
// which must not look at the body, of at most MaxPlain bytes (see head.read). To
// h a request looks as it does behind net/http, but that its answer can be
// neither flushed nor hijacked, and that its context knows no server. Request,
// header and body are used again for the next request: h must keep none of
// them, only strings.
func Handler(h http.Handler, plain func(*http.Request) bool) func(*Lane) func() Next {
	return func(l *Lane) func() Next {
		x := &exchange{lane: l, h: h, plain: plain}
		x.r = (&http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
			URL: &url.URL{}, RemoteAddr: l.RemoteAddr().String()}).WithContext(l.ctx)
		x.w.header = http.Header{}
		return x.answer
	}
}

// exchange is the memory of a lane's requests.
type exchange struct {
	lane  *Lane
	h     http.Handler
	plain func(*http.Request) bool
	head  head
	r     *http.Request
	url   url.URL
	body  body
	w     response
}

// body is a request's.
type body struct{ bytes.Reader }

// Close does nothing.
func (*body) Close() error { return nil }

func (x *exchange) answer() Next {
	l, h := x.lane, &x.head
	if !h.read(l.buf) || h.length > MaxPlain {
		return Over
	}
	x.fill(h)
	if !x.plain(x.r) {
		return Over
	}
	size := h.size + h.length
	if l.Fill(size) != nil {
		return Over // net/http tells what there is to tell of a body that does not come
	}
	x.r.Body = http.NoBody
	if h.length > 0 {
		x.body.Reset(l.buf[h.size:size])
		x.r.Body = &x.body
	}
	last := l.Last()
	x.w.begin(l, last)
	l.door.watch()
	x.h.ServeHTTP(&x.w, x.r)
	if x.w.finish() != nil || last || l.ctx.Err() != nil {
		return End
	}
	l.Answered(size)
	return Again
}

// fill makes the request. All its strings are parts of one.
func (x *exchange) fill(h *head) {
	text := h.text()
	r := x.r
	clear(r.Header)
	values := make([]string, h.n)
	for i, f := range h.fields[:h.n] {
		value := text[f.value : f.value+f.valueLen]
		if i == h.host {
			r.Host = value
			continue
		}
		values[i] = value
		r.Header[text[f.name:f.name+f.nameLen]] = values[i : i+1 : i+1]
	}
	path := text[h.path : h.path+h.pathLen]
	x.url = url.URL{Path: path}
	r.URL, r.RequestURI, r.ContentLength = &x.url, path, int64(h.length)
	r.Form, r.PostForm, r.MultipartForm, r.Pattern, r.TransferEncoding, r.Trailer, r.Close = nil, nil, nil, "", nil, nil, false
}

var _ io.ReadCloser = (*body)(nil)
