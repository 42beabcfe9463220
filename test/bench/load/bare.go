// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// bare serves until it is killed: it reads each request's body and gives
// always the same answer. It looks at no signature and at no path. What it
// costs is net/http, and is what no Go server can be cheaper than.
func bare(args []string) (any, error) {
	f := flags("bare")
	file := f.String("answer", "", "file with the body of the answer")
	var headers many
	f.Var(&headers, "header", "'Name: value' of the answer; may be repeated")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	answer, err := os.ReadFile(*file)
	if err != nil {
		return nil, err
	}
	set := http.Header{}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ": ")
		if !ok {
			return nil, fmt.Errorf("%q is not a header", h)
		}
		set.Set(name, value)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"url": "http://" + ln.Addr().String()}); err != nil {
		return nil, err
	}
	err = http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for name, values := range set {
			w.Header()[name] = values
		}
		_, _ = w.Write(answer) // a caller that has gone needs none
	}))
	return nil, errors.Join(err, ln.Close())
}
