// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net"
	"net/netip"
	"testing"
)

func TestListensOn(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := &Server{inner: ln}
	port := ln.Addr().(*net.TCPAddr).AddrPort().Port()
	for ip, want := range map[string]bool{"127.0.0.1": true, "127.0.0.2": true, "::1": true, "0.0.0.0": true, "::": true, "::ffff:127.0.0.1": true, "192.0.2.1": false} {
		if got := s.listensOn(netip.AddrPortFrom(netip.MustParseAddr(ip), port)); got != want {
			t.Errorf("%s at our port: %v", ip, got)
		}
		if s.listensOn(netip.AddrPortFrom(netip.MustParseAddr(ip), port^1)) {
			t.Errorf("%s at another port is ours", ip)
		}
	}
}
