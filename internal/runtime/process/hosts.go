// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// hostAddr is the address of the i-th of n hosts of a group. All hosts are on
// one machine, so each has a loopback address of its own: two of them may
// listen on the same port when each binds its own name. The address follows
// from the group's name, so that every task of it knows all of them. It lies
// between 127.1.0.1 and 127.254.255.255, each group in a block of 256 or more.
// A single host is 127.0.0.1.
func hostAddr(group string, i, n int) netip.Addr {
	if n <= 1 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	sum := sha256.Sum256([]byte(group))
	block := binary.BigEndian.Uint32(sum[:4]) % (0xFD << 8) // 253 networks of 256 blocks
	at := 127<<24 + (block+0x100)<<8 + 1 + uint32(i)
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, at)))
}

// hostNames are the lines of /etc/hosts for the task's group.
func hostNames(t runtime.Task) string {
	hosts := t.Hosts
	if len(hosts) == 0 && t.Host != "" {
		hosts = []string{t.Host}
	}
	var b strings.Builder
	for i, h := range hosts {
		fmt.Fprintf(&b, "%s\t%s\n", hostAddr(t.Group, i, len(hosts)), h)
	}
	if t.Host != "" && !slices.Contains(hosts, t.Host) {
		fmt.Fprintf(&b, "127.0.0.1\t%s\n", t.Host)
	}
	return b.String()
}

// validHost says whether name may stand in /etc/hosts.
func validHost(name string) error {
	ok := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_'
	}
	if name == "" || len(name) > 64 || !ok(name[0]) || strings.ContainsFunc(name, func(c rune) bool { return c > 127 || !ok(byte(c)) }) {
		return fmt.Errorf("host name %q is empty, longer than 64 or holds other than letters, digits, '-', '.' and '_'", name)
	}
	return nil
}
