// SPDX-License-Identifier: Apache-2.0

//go:build unix

package door

import (
	"net"
	"syscall"
)

// gone tells whether the other side has closed the connection, and nothing that
// it sent is left. It does not wait for a Read that is under way.
func gone(c net.Conn) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	over := false
	err = rc.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch err {
		case nil:
			over = n == 0
		case syscall.EAGAIN, syscall.EINTR:
		default:
			over = true
		}
	})
	return over || err != nil
}
