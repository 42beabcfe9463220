// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestDriveKeepsARateAndCountsAnswersByHeader(t *testing.T) {
	var n atomic.Int64
	flags := to(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Kind", fmt.Sprint(n.Add(1)%4 == 0))
	})
	got, err := drive(append(flags, "-conns", "4", "-rate", "400", "-warm", "0s", "-for", "1s", "-tally", "X-Kind", "-body", file(t, "b", "row")))
	if err != nil {
		t.Fatal(err)
	}
	d := got.(driven)
	// A machine that is busy may keep it back, but nothing lets it go faster.
	if d.Sent > 408 || d.Sent < 100 || d.Errors != 0 {
		t.Errorf("sent %d, %d errors; the rate was 400 for a second", d.Sent, d.Errors)
	}
	of := map[string]int{}
	for i, s := range d.Slots {
		if i > 0 && s.At <= d.Slots[i-1].At {
			t.Errorf("slot %d begins at %g after %g", i, s.At, d.Slots[i-1].At)
		}
		for kind, n := range s.Of {
			of[kind] += n
		}
	}
	if of["true"] != d.Sent/4 || of["true"]+of["false"] != d.Sent {
		t.Errorf("counted %v of %d", of, d.Sent)
	}
}

func TestDriveEndsAtSIGTERMAndTellsWhatItSent(t *testing.T) {
	flags := to(t, func(http.ResponseWriter, *http.Request) {})
	time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Kill(syscall.Getpid(), syscall.SIGTERM) })
	got, err := drive(append(flags, "-conns", "2", "-warm", "0s", "-for", "1h", "-body", file(t, "b", "row")))
	if err != nil {
		t.Fatal(err)
	}
	if d := got.(driven); d.Sent == 0 || d.Seconds > 60 {
		t.Errorf("sent %d in %g s", d.Sent, d.Seconds)
	}
}

func TestDriveOpensAConnectionThatIsGoneAnew(t *testing.T) {
	var n atomic.Int64
	flags := to(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 3 {
			panic(http.ErrAbortHandler)
		}
	})
	got, err := drive(append(flags, "-serial", "0", "-count", "10", "-body", file(t, "b", "row")))
	if err != nil {
		t.Fatal(err)
	}
	if d := got.(driven); d.Sent != 10 || d.Errors != 1 {
		t.Errorf("sent %d, %d errors", d.Sent, d.Errors)
	}
}

func TestDriveSendsARequestAgainThatWasNotTaken(t *testing.T) {
	var n atomic.Int64
	flags := to(t, func(w http.ResponseWriter, r *http.Request) {
		if i := n.Add(1); i == 1 || i > 3 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
	})
	got, err := drive(append(flags, "-retries", "1", "-serial", "0", "-count", "3", "-body", file(t, "b", "row")))
	if err != nil {
		t.Fatal(err)
	}
	if d := got.(driven); d.Sent != 3 || d.Errors != 1 || d.Again != 2 {
		t.Errorf("sent %d, %d errors, %d again", d.Sent, d.Errors, d.Again)
	}
}

func TestDriveNumbersHeadersAndDrawsSomeMoreOften(t *testing.T) {
	hot := func(of int, d draw) float64 {
		n := 0
		for range of {
			if i := d.number(); i < 0 || i >= int64(d.below) {
				t.Fatalf("number %d of %d", i, d.below)
			} else if i < 100 {
				n++
			}
		}
		return float64(n) / float64(of)
	}
	if share := hot(20000, draw{below: 1000, hot: 100, share: 0.9}); math.Abs(share-0.9) > 0.02 {
		t.Errorf("%g of the numbers are hot, want 0.9", share)
	}
	if share := hot(20000, draw{below: 1000}); math.Abs(share-0.1) > 0.02 {
		t.Errorf("%g of the numbers are the first tenth, want 0.1", share)
	}
	p := plan{header: http.Header{"X-Target": {"m-%d.tar.gz"}}, vary: "X-Target", body: "100%"}
	h, body := p.numbered(7)
	if h.Get("X-Target") != "m-7.tar.gz" || string(body) != "100%" || p.header.Get("X-Target") != "m-%d.tar.gz" {
		t.Errorf("header %v, body %q, the plan's header %v", h, body, p.header)
	}
}
