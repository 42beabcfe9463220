// SPDX-License-Identifier: Apache-2.0

// Package collective lets the hosts of one job add up numbers and share bytes
// over TCP. Each host calls the same operations in the same order; each gets
// the same bits, whatever arrived first.
//
// The first host, by name, waits at a fixed port for the others (Join). Then
// every host has a connection to every other one. A host that ends, falls
// silent or gives up ends the operations of all others with a *HostError that
// names it.
package collective

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Group is the hosts of a job, seen from one of them. A nil *Group is one host
// by itself: its operations do nothing and open no socket. The operations of a
// Group are for one goroutine at a time.
type Group struct {
	hosts []string
	rank  int
	links []*link // by rank, nil for this host
	seq   uint32  // of the next operation
	own   []byte  // what this host sends to all in a sum

	dead chan struct{} // closed when the group has failed

	mu     sync.Mutex // guards err and closed
	err    error
	closed bool

	running  sync.WaitGroup // readers and beats
	farewell sync.WaitGroup // last words being sent
	stop     chan struct{}  // ends the beats
}

// Cause is why a host ended the work of all.
type Cause uint8

// The causes.
const (
	Lost    Cause = iota + 1 // it ended or fell silent without a word
	Late                     // it did not come
	Failed                   // it gave up, for a reason that is not the user's to mend
	Client                   // it gave up, for a reason that is the user's to mend
	Stopped                  // it was told to stop
)

// HostError tells which host ended the work of all, and why.
type HostError struct {
	Host  string
	Cause Cause
	Text  string
}

func (e *HostError) Error() string { return "host " + e.Host + " " + e.Text }

// Rank is the place of this host among all, from 0.
func (g *Group) Rank() int {
	if g == nil {
		return 0
	}
	return g.rank
}

// Size is the number of hosts.
func (g *Group) Size() int {
	if g == nil {
		return 1
	}
	return len(g.hosts)
}

// Host is the name of the host of a rank, "" for a host by itself.
func (g *Group) Host(rank int) string {
	if g == nil {
		return ""
	}
	return g.hosts[rank]
}

// attach makes l one of the group's links.
func (g *Group) attach(l *link, silence time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.links[l.rank] = l
	g.running.Go(func() { g.receive(l, silence) })
	g.running.Go(func() { l.beat(silence/8, g.stop) })
}

// fail ends the group, tells the other hosts, and gives the error that ended
// it, which is the first one.
func (g *Group) fail(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return g.err
	}
	g.err = err
	close(g.dead)
	if !g.closed {
		g.tell(err)
	}
	return err
}

// tell sends the reason err to all hosts that can still be reached, without
// waiting for those that do not read.
func (g *Group) tell(err error) {
	host, ok := errors.AsType[*HostError](err)
	if !ok {
		host = &HostError{Host: g.hosts[g.rank], Cause: Failed, Text: err.Error()}
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			host.Cause, host.Text = Stopped, "was told to stop"
		}
	}
	payload := host.encode()
	for _, l := range g.links {
		if l != nil {
			_ = l.conn.SetWriteDeadline(time.Now().Add(parting))
			g.farewell.Go(func() { _ = l.send(header{kind: abortFrame}, payload) })
		}
	}
}

// failed gives the error that ended the group, nil while it works.
func (g *Group) failed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// parting is how long a host that leaves waits for the others to hear it.
const parting = 2 * time.Second

// Abort ends the work of all hosts because of err, which befell this one, and
// closes the group. cause is what the others' *HostError has. Aborting a group
// that another host has ended passes on who it was.
func (g *Group) Abort(err error, cause Cause) {
	if g == nil {
		return
	}
	host, ok := errors.AsType[*HostError](err)
	if !ok {
		text := "failed: " + err.Error()
		if cause == Stopped {
			text = "was told to stop"
		}
		host = &HostError{Host: g.hosts[g.rank], Cause: cause, Text: text}
	}
	_ = g.fail(host)
	g.leave()
}

// Close leaves the group in peace: the others may go on with what they have
// been sent, but an operation that needs this host fails.
func (g *Group) Close() {
	if g == nil {
		return
	}
	g.mu.Lock()
	if g.err == nil && !g.closed {
		for _, l := range g.links {
			if l != nil {
				_ = l.conn.SetWriteDeadline(time.Now().Add(parting))
				g.farewell.Go(func() { _ = l.send(header{kind: byeFrame}, nil) })
			}
		}
	}
	g.mu.Unlock()
	g.leave()
}

// leave ends all connections once what was sent has been taken, or after
// parting.
func (g *Group) leave() {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return
	}
	g.closed = true
	g.mu.Unlock()
	close(g.stop)
	hangUp := func() {
		for _, l := range g.links {
			if l != nil {
				_ = l.conn.Close()
			}
		}
	}
	g.farewell.Wait()
	late := time.AfterFunc(2*parting, hangUp)
	defer late.Stop()
	for _, l := range g.links {
		if l != nil {
			l.part()
		}
	}
	g.running.Wait()
	hangUp()
}

// outOfStep is the error of a host that is at another operation than this one.
func (g *Group) outOfStep(rank int, want, got header) error {
	return g.fail(&HostError{Host: g.hosts[rank], Cause: Failed, Text: fmt.Sprintf(
		"is out of step with host %s: it is at operation %d (%s, %d bytes), not %d (%s, %d bytes)",
		g.hosts[g.rank], got.seq, got.op, got.length, want.seq, want.op, want.length)})
}
