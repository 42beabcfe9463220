// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// As one of several containers of an endpoint an algorithm has a port of its
// own, but where the runtime says where to listen, that counts.
func TestWhereAnAlgorithmListens(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(free.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	socket := filepath.Join(t.TempDir(), "s")
	for _, c := range []struct{ bind, addr, network, want string }{
		{port, "", "tcp", ":" + port},
		{port, "unix://" + socket, "unix", socket},
		{port, "tcp://127.0.0.1:0", "tcp", "127.0.0.1:"},
	} {
		t.Setenv("SAGEMAKER_BIND_TO_PORT", c.bind)
		ln, err := listen(c.addr)
		if err != nil {
			t.Fatal(err)
		}
		if ln.Addr().Network() != c.network || !strings.Contains(ln.Addr().String(), c.want) {
			t.Errorf("%+v: listens on %s %s", c, ln.Addr().Network(), ln.Addr())
		}
		ln.Close()
	}
}
