// SPDX-License-Identifier: Apache-2.0

package collective

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A greeting makes two hosts sure that both are of one job without sending the
// key. The one who waits sends magic and a nonce; the caller answers with its
// rank, the rank that it means to reach, the number of hosts, a nonce of its
// own, and the HMAC-SHA-256 of all that came before; the first one closes with
// an HMAC of its own over the same.
const (
	magic      = "SBCL\x00\x01" // the digits are the version
	nonceBytes = 16
	callBytes  = 3*4 + nonceBytes + sha256.Size
	// manners is how long either side may take over one greeting.
	manners = 10 * time.Second
)

var errStranger = errors.New("it is not of this job")

func proof(key []byte, role string, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(role))
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// deadline bounds the use of conn to one greeting, and to ctx.
func deadline(ctx context.Context, conn net.Conn) (end func() bool) {
	_ = conn.SetDeadline(time.Now().Add(manners))
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
}

// greet is the greeting of the one who waits. It gives the caller's rank.
func (m *meeting) greet(ctx context.Context, conn net.Conn) (rank int, err error) {
	defer deadline(ctx, conn)()
	hello := append([]byte(magic), make([]byte, nonceBytes)...)
	_, _ = rand.Read(hello[len(magic):]) // never fails
	if _, err := conn.Write(hello); err != nil {
		return 0, err
	}
	call := make([]byte, callBytes)
	if _, err := io.ReadFull(conn, call); err != nil {
		return 0, err
	}
	said, mac := call[:callBytes-sha256.Size], call[callBytes-sha256.Size:]
	if !hmac.Equal(mac, proof(m.Key, "caller", hello, said)) {
		return 0, errStranger
	}
	rank = int(binary.LittleEndian.Uint32(said))
	to, hosts := int(binary.LittleEndian.Uint32(said[4:])), int(binary.LittleEndian.Uint32(said[8:]))
	if hosts != len(m.Hosts) || to != m.rank || rank <= m.rank || rank >= hosts {
		return 0, fmt.Errorf("%w: it is host %d of %d and wants to reach %d", errStranger, rank, hosts, to)
	}
	_, err = conn.Write(proof(m.Key, "waiter", hello, said))
	return rank, err
}

// introduce is the greeting of the caller, who wants to reach rank.
func (m *meeting) introduce(ctx context.Context, conn net.Conn, rank int) error {
	defer deadline(ctx, conn)()
	hello := make([]byte, len(magic)+nonceBytes)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return err
	}
	if !bytes.HasPrefix(hello, []byte(magic)) {
		return errors.New("something else listens there")
	}
	var said []byte
	for _, n := range []int{m.rank, rank, len(m.Hosts)} {
		said = binary.LittleEndian.AppendUint32(said, uint32(n))
	}
	nonce := make([]byte, nonceBytes)
	_, _ = rand.Read(nonce)
	said = append(said, nonce...)
	if _, err := conn.Write(append(said, proof(m.Key, "caller", hello, said)...)); err != nil {
		return err
	}
	mac := make([]byte, sha256.Size)
	if _, err := io.ReadFull(conn, mac); err != nil {
		return errStranger // it hung up on us
	}
	if !hmac.Equal(mac, proof(m.Key, "waiter", hello, said)) {
		return errStranger
	}
	return nil
}

// The pause between two calls of a host that does not answer yet begins with
// between and doubles up to patience.
const (
	between  = 5 * time.Millisecond
	patience = 500 * time.Millisecond
)

// call connects to rank, again and again until it is there.
func (m *meeting) call(ctx context.Context, rank int, where func(context.Context) (string, error)) error {
	var dialer net.Dialer
	var why error // the last failure that is not the end of the wait
	for pause := between; ; pause = min(2*pause, patience) {
		addr, err := where(ctx)
		var conn net.Conn
		if err == nil {
			conn, err = dialer.DialContext(ctx, "tcp", addr)
		}
		if err == nil {
			if err = m.introduce(ctx, conn, rank); err == nil {
				m.mu.Lock()
				m.conns[rank] = conn
				m.mu.Unlock()
				return nil
			}
			_ = conn.Close()
		}
		if ctx.Err() == nil {
			why = err
		}
		select {
		case <-ctx.Done():
			return m.late(ctx, rank, why)
		case <-time.After(pause):
		}
	}
}

// say sends one short text to rank while the meeting lasts.
func (m *meeting) say(ctx context.Context, rank int, text string) error {
	conn := m.conns[rank]
	defer deadline(ctx, conn)()
	if err := (&link{conn: conn}).send(header{kind: dataFrame, op: broadcastOp}, []byte(text)); err != nil {
		return m.gone(ctx, rank, err)
	}
	return nil
}

// hear gives the next text of rank, for as long as the meeting lasts: others
// may come late.
func (m *meeting) hear(ctx context.Context, rank int) (string, error) {
	conn := m.conns[rank]
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	_ = conn.SetDeadline(time.Time{})
	h, payload, err := readFrame(conn, nil)
	switch {
	case err != nil:
		return "", m.gone(ctx, rank, err)
	case h.kind == abortFrame:
		if e, ok := decodeHostError(payload); ok {
			return "", e
		}
	case h.kind == dataFrame && len(payload) < 1<<10:
		return string(payload), nil
	}
	return "", m.gone(ctx, rank, errFrame)
}

// gone is the error of a host that left the meeting.
func (m *meeting) gone(ctx context.Context, rank int, err error) error {
	if ctx.Err() != nil {
		return m.late(ctx, rank, nil)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &HostError{Host: m.Hosts[rank], Cause: Lost, Text: "ended without a word"}
	}
	return &HostError{Host: m.Hosts[rank], Cause: Lost, Text: "ended while the hosts met: " + err.Error()}
}
