// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net"
	"net/netip"
)

// listensOn tells whether a connection to this address would come to a
// listener of this server: by the port, at any address of this machine.
func (s *Server) listensOn(to netip.AddrPort) bool {
	ip := to.Addr().Unmap().WithZone("")
	for _, ln := range []net.Listener{s.ln, s.inner, s.bridge} {
		if ln == nil {
			continue
		}
		a, ok := ln.Addr().(*net.TCPAddr)
		if ok && a.AddrPort().Port() == to.Port() && ofThisMachine(ip) {
			return true
		}
	}
	return false
}

// ofThisMachine tells an address of this machine. The unspecified one leads to
// the loopback. When the addresses cannot be had, every address is one.
func ofThisMachine(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	found, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, a := range found {
		if n, ok := a.(*net.IPNet); ok {
			if own, ok := netip.AddrFromSlice(n.IP); ok && own.Unmap() == ip {
				return true
			}
		}
	}
	return false
}
