// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// crashes is a file of /opt/ml, which outlives the container: how many more
// starts are to end at once.
const crashes = "/opt/ml/crashes"

// boot tells one run of the container from another.
var boot = rand.Text()

// sickUntil is until when /ping fails, in nanoseconds since 1970.
var sickUntil atomic.Int64

// gathered are the callers that wait until together is closed.
var (
	gathered atomic.Int64
	together = make(chan struct{})
)

// serve answers as a model does, and with the faults that the caller asks for
// by CustomAttributes: the name of one of faults and what it takes, apart by
// spaces.
func serve() {
	if b, err := os.ReadFile(crashes); err == nil {
		n, err := strconv.Atoi(string(b))
		must(err)
		if n > 0 {
			must(os.WriteFile(crashes, []byte(strconv.Itoa(n-1)), 0o644))
			fmt.Println("crash, to come again:", n-1)
			os.Exit(7)
		}
	}
	model, err := os.ReadFile("/opt/ml/model/model.json")
	if os.IsNotExist(err) && os.Getenv("MODEL") == "none" {
		model, err = []byte("null"), nil
	}
	must(err)
	http.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		if time.Now().UnixNano() < sickUntil.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if do := strings.Fields(r.Header.Get("X-Amzn-SageMaker-Custom-Attributes")); len(do) > 0 && faults[do[0]] != nil {
			faults[do[0]](call{w, r, body, append(do[1:], "", "")})
			return
		}
		switch word, rest, _ := strings.Cut(string(body), " "); word { // of callers that say CustomAttributes of their own
		case "sleep": // "sleep 2s …"
			long, _, _ := strings.Cut(rest, " ")
			d, err := time.ParseDuration(long)
			must(err)
			time.Sleep(d)
		case "status": // "status 500"
			n, err := strconv.Atoi(rest)
			must(err)
			http.Error(w, "as asked", n)
			return
		case "exit":
			os.Exit(1)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"model": %s, "asked": %q}`, model, body)
	})
	if after := os.Getenv("START_AFTER"); after != "" { // "3s"
		d, err := time.ParseDuration(after)
		must(err)
		time.Sleep(d)
	}
	fmt.Println("listening, boot", boot)
	must(http.ListenAndServe(":8080", nil))
}

// call is one invocation, with the arguments of its fault.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	body []byte
	args []string
}

func (c call) duration() time.Duration {
	d, err := time.ParseDuration(c.args[0])
	must(err)
	return d
}

func (c call) number(i int) int {
	n, err := strconv.Atoi(c.args[i])
	must(err)
	return n
}

// raw writes bytes as they are and closes the connection.
func (c call) raw(text string) {
	conn, _, err := c.w.(http.Hijacker).Hijack()
	must(err)
	_, _ = io.WriteString(conn, text)
	conn.Close()
}

// pieces sends n pieces of a chunked answer, a pause apart.
func (c call) pieces() {
	for i := range c.number(0) {
		fmt.Fprintf(c.w, "piece %d\n", i)
		must(http.NewResponseController(c.w).Flush())
		if c.args[1] != "" {
			d, err := time.ParseDuration(c.args[1])
			must(err)
			time.Sleep(d)
		}
	}
}

var faults = map[string]func(call){
	// Which container it is, and the headers that it got.
	"who": func(c call) {
		c.w.Header().Set("Content-Type", "application/json")
		must(json.NewEncoder(c.w).Encode(map[string]any{"boot": boot, "headers": c.r.Header, "bytes": len(c.body)}))
	},
	"late": func(c call) { time.Sleep(c.duration()); fmt.Fprint(c.w, boot) },
	// Waits for so many callers, and then a while.
	"gather": func(c call) {
		if gathered.Add(1) == int64(c.number(0)) {
			d, err := time.ParseDuration(c.args[1])
			must(err)
			time.Sleep(d)
			close(together)
		}
		<-together
		fmt.Fprint(c.w, boot)
	},
	"hang": func(c call) { <-c.r.Context().Done() },
	// Answers that are none.
	"garbage": func(c call) { c.raw("220 mail.example ESMTP\r\n\r\n") },
	"hangup":  func(c call) { c.raw("") },
	"status": func(c call) {
		c.w.WriteHeader(c.number(0))
		_, _ = c.w.Write(c.body)
	},
	// One head that tells of another to come.
	"early": func(c call) {
		c.raw("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlater")
	},
	// Answers that end in their middle.
	"cut":   func(c call) { c.raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf") },
	"large": func(c call) { _, _ = c.w.Write(make([]byte, c.number(0))) },
	"cut-large": func(c call) {
		c.raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000000\r\n\r\n" + strings.Repeat("x", 4_000_000))
	},
	"pieces":     func(c call) { c.pieces() },
	"cut-pieces": func(c call) { c.pieces(); panic(http.ErrAbortHandler) },
	"hang-pieces": func(c call) {
		c.pieces()
		<-c.r.Context().Done()
		fmt.Println("the caller of the stream went away")
	},
	// An answer with attributes of its own.
	"attributes": func(c call) {
		c.w.Header().Set("X-Amzn-SageMaker-Custom-Attributes", strings.Join(c.args, " "))
		c.w.Header().Set("Set-Cookie", "not=passed-on")
		c.w.Header().Set("X-Amzn-RequestId", "not-ours")
	},
	// Sessions.
	"session": func(c call) {
		id := c.r.Header.Get("X-Amzn-SageMaker-Session-Id")
		switch {
		case id == "NEW_SESSION":
			opened := rand.Text()
			if c.args[0] != "" {
				opened += "; Expires=" + time.Now().Add(c.duration()).UTC().Format(time.RFC3339)
			}
			c.w.Header().Set("X-Amzn-SageMaker-New-Session-Id", opened)
		case c.args[0] == "close":
			c.w.Header().Set("X-Amzn-SageMaker-Closed-Session-Id", id)
		}
		fmt.Fprint(c.w, boot)
	},
	// Harm to the container itself.
	"sick": func(c call) {
		sickUntil.Store(time.Now().Add(c.duration()).UnixNano())
		fmt.Fprint(c.w, boot)
	},
	"leak": func(c call) {
		var kept [][]byte
		for {
			b := make([]byte, 16<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			kept = append(kept, b)
			if len(kept)%64 == 0 {
				fmt.Println("leaked", len(kept)*16, "MiB")
			}
		}
	},
	"crash": func(c call) {
		must(os.WriteFile(crashes, []byte(c.args[0]), 0o644))
		os.Exit(7)
	},
}
