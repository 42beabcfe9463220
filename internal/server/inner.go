// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// innerFile remembers the port of the inner door.
const innerFile = "inner.port"

// listenInner opens the door by which containers come: a port of the loopback
// that stays the same over restarts, since running containers have it in their
// environment. It is another than the front door's, which may be on 8080, where
// serving containers listen, and may speak TLS under a certificate that no
// container knows. Requests must be signed at either.
func (s *Server) listenInner() (net.Listener, error) {
	path := s.path(innerFile)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("inner door: %w", err)
	}
	if port, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return ln, nil
		}
		s.opt.Log.Warn("containers that run cannot reach this server any more: their port is taken", "port", port, "err", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("inner door: %w", err)
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err == nil {
		err = os.WriteFile(path, []byte(port+"\n"), 0o600)
	}
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("inner door: %w", err)
	}
	return ln, nil
}
