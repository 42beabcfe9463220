// SPDX-License-Identifier: Apache-2.0

package collective

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Options says which job this host is of.
type Options struct {
	Host  string   // this one
	Hosts []string // all, this one among them; their order does not matter
	// Key is known to the hosts of the job alone, or at least differs between
	// jobs: a host that has another one is turned away. It is never sent.
	Key []byte
	// Port is where the first host waits for the others; 0 for DefaultPort.
	Port int
	// Wait is how long the hosts wait for each other to come; 0 for five minutes.
	Wait time.Duration
	// Silence is how long a host that sends nothing is taken to be there; 0 for
	// twenty seconds. A host whose process ends is noticed at once.
	Silence time.Duration
	// Resolve gives the address of a host; nil asks the machine.
	Resolve func(ctx context.Context, host string) (string, error)
	Log     *slog.Logger // nil for none
}

// DefaultPort is where the first host waits. It is that of the tracker of
// SageMaker's XGBoost container.
const DefaultPort = 9099

func (o Options) withDefaults() Options {
	o.Hosts = slices.Sorted(slices.Values(o.Hosts))
	if o.Port == 0 {
		o.Port = DefaultPort
	}
	if o.Wait == 0 {
		o.Wait = 5 * time.Minute
	}
	if o.Silence == 0 {
		o.Silence = 20 * time.Second
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) (string, error) {
			addrs, err := net.DefaultResolver.LookupHost(ctx, host)
			if err != nil {
				return "", err
			}
			return addrs[0], nil
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Join meets the other hosts and gives the group of all, which the caller ends
// with Close or Abort. One host by itself is a nil Group, and no socket.
//
// The error is ctx's own when that is done, and a *HostError that names the
// host when one does not come in time or has given up meanwhile.
func Join(ctx context.Context, o Options) (*Group, error) {
	o = o.withDefaults()
	rank := slices.Index(o.Hosts, o.Host)
	switch {
	case rank < 0:
		return nil, fmt.Errorf("join the hosts of the job: %s is not one of %v", o.Host, o.Hosts)
	case len(slices.Compact(slices.Clone(o.Hosts))) != len(o.Hosts):
		return nil, fmt.Errorf("join the hosts of the job: a host occurs twice in %v", o.Hosts)
	case len(o.Hosts) == 1:
		return nil, nil
	case len(o.Hosts) > maxHosts:
		return nil, fmt.Errorf("join the hosts of the job: %d hosts, at most %d", len(o.Hosts), maxHosts)
	}
	m := &meeting{Options: o, rank: rank, conns: make([]net.Conn, len(o.Hosts)), came: make(chan int, len(o.Hosts))}
	m.group = &Group{
		hosts: o.Hosts, rank: rank, links: make([]*link, len(o.Hosts)),
		dead: make(chan struct{}), stop: make(chan struct{}),
	}
	var err error
	if rank == 0 {
		err = m.lead(ctx)
	} else {
		err = m.follow(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		m.disperse(err)
		return nil, err
	}
	return m.group, nil
}

// maxHosts bounds a group: each host has a connection to each other one.
const maxHosts = 1 << 10

// meeting is a group that comes together.
type meeting struct {
	Options
	rank  int
	group *Group

	mu    sync.Mutex // guards conns
	conns []net.Conn // by rank; nil again once the group has it
	came  chan int   // ranks of those who have been accepted
}

// hand gives the connection to rank over to the group.
func (m *meeting) hand(rank int) {
	m.mu.Lock()
	conn := m.conns[rank]
	m.conns[rank] = nil
	m.mu.Unlock()
	_ = conn.SetDeadline(time.Time{})
	m.group.attach(newLink(rank, conn), m.Silence)
}

// disperse tells those who came why the meeting failed.
func (m *meeting) disperse(err error) {
	host, ok := errors.AsType[*HostError](err)
	if !ok {
		host = &HostError{Host: m.Host, Cause: Failed, Text: "failed: " + err.Error()}
		if errors.Is(err, context.Canceled) {
			host.Cause, host.Text = Stopped, "was told to stop"
		}
	}
	defer m.group.Abort(host, host.Cause)
	payload := host.encode()
	h := header{kind: abortFrame, length: uint32(len(payload))}.encode()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.conns {
		if conn != nil {
			_ = conn.SetWriteDeadline(time.Now().Add(parting))
			_, _ = conn.Write(append(h[:], payload...))
			_ = conn.Close()
		}
	}
}

// listen waits at addr and lets in hosts of the ranks above this one, until ctx
// is done or all have come.
func (m *meeting) listen(ctx context.Context, addr string) (net.Listener, error) {
	var config net.ListenConfig
	ln, err := config.Listen(ctx, "tcp", addr)
	for errors.Is(err, syscall.EADDRINUSE) && ctx.Err() == nil { // an earlier attempt of the job may be ending
		select {
		case <-ctx.Done():
		case <-time.After(patience):
			ln, err = config.Listen(ctx, "tcp", addr)
		}
	}
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // closed
			}
			go m.admit(ctx, conn)
		}
	}()
	return ln, nil
}

// admit greets one who came. Strangers are sent away without a word to them.
func (m *meeting) admit(ctx context.Context, conn net.Conn) {
	rank, err := m.greet(ctx, conn)
	if err == nil {
		m.mu.Lock()
		if m.conns[rank] != nil || ctx.Err() != nil {
			err = fmt.Errorf("host %s came twice", m.Hosts[rank])
		} else {
			m.conns[rank] = conn
		}
		m.mu.Unlock()
	}
	if err != nil {
		_ = conn.Close()
		m.Log.Warn("A connection was refused", "from", conn.RemoteAddr(), "err", err)
		return
	}
	m.came <- rank
}

// gather waits until n hosts have come. The error names one who has not.
func (m *meeting) gather(ctx context.Context, n int) error {
	for range n {
		select {
		case <-m.came:
		case <-ctx.Done():
			m.mu.Lock()
			defer m.mu.Unlock()
			for rank := m.rank + 1; rank < len(m.Hosts); rank++ {
				if m.conns[rank] == nil {
					return m.late(ctx, rank, nil)
				}
			}
		}
	}
	return nil
}

// late is the error of a host that did not come; why may be nil.
func (m *meeting) late(ctx context.Context, rank int, why error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	text := fmt.Sprintf("did not come within %v", m.Wait)
	if why != nil {
		text += ": " + why.Error()
	}
	return &HostError{Host: m.Hosts[rank], Cause: Late, Text: text}
}

// lead is the meeting for the first host: it waits at the known port and tells
// everyone where the others wait.
func (m *meeting) lead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.Wait)
	defer cancel()
	addr, err := m.Resolve(ctx, m.Host)
	if err != nil {
		return fmt.Errorf("find the address of this host: %w", err)
	}
	ln, err := m.listen(ctx, net.JoinHostPort(addr, strconv.Itoa(m.Port)))
	if err != nil {
		return fmt.Errorf("wait for the other hosts: %w", err)
	}
	defer ln.Close()
	if err := m.gather(ctx, len(m.Hosts)-1); err != nil {
		return err
	}
	// Each tells where it waits; all are told of all.
	where := make([]string, len(m.Hosts))
	for rank := 1; rank < len(m.Hosts); rank++ {
		if where[rank], err = m.hear(ctx, rank); err != nil {
			return err
		}
	}
	for rank := 1; rank < len(m.Hosts); rank++ {
		for _, addr := range where[1:] {
			if err := m.say(ctx, rank, addr); err != nil {
				return err
			}
		}
		m.hand(rank)
	}
	return nil
}

// follow is the meeting for the others.
func (m *meeting) follow(ctx context.Context) error {
	// Who is late is for the first host to say, once that one is there.
	ctx, cancel := context.WithTimeout(ctx, 2*m.Wait)
	defer cancel()
	first, enough := context.WithTimeout(ctx, m.Wait)
	defer enough()
	if err := m.call(first, 0, func(ctx context.Context) (string, error) {
		addr, err := m.Resolve(ctx, m.Hosts[0])
		return net.JoinHostPort(addr, strconv.Itoa(m.Port)), err
	}); err != nil {
		return err
	}
	// The way to the first host is also the way by which others reach this one.
	own, _, err := net.SplitHostPort(m.conns[0].LocalAddr().String())
	if err != nil {
		return fmt.Errorf("find the address of this host: %w", err)
	}
	ln, err := m.listen(ctx, net.JoinHostPort(own, "0"))
	if err != nil {
		return fmt.Errorf("wait for the other hosts: %w", err)
	}
	defer ln.Close()
	if err := m.say(ctx, 0, ln.Addr().String()); err != nil {
		return err
	}
	where := make([]string, len(m.Hosts))
	for rank := 1; rank < len(m.Hosts); rank++ {
		if where[rank], err = m.hear(ctx, 0); err != nil {
			return err
		}
	}
	// From here on the first host may tell that another one is gone.
	m.hand(0)
	go func() {
		select {
		case <-m.group.dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	for rank := 1; rank < m.rank && err == nil; rank++ {
		err = m.call(ctx, rank, func(context.Context) (string, error) { return where[rank], nil })
	}
	if err == nil {
		err = m.gather(ctx, len(m.Hosts)-1-m.rank)
	}
	if told := m.group.failed(); told != nil {
		return told
	}
	if err != nil {
		return err
	}
	for rank := 1; rank < len(m.Hosts); rank++ {
		if rank != m.rank {
			m.hand(rank)
		}
	}
	return nil
}
