// SPDX-License-Identifier: Apache-2.0

//go:build linux

package process

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCallsAreFiltered(t *testing.T) {
	r := isolated(t)
	steps := []string{fmt.Sprintf("unshare %d", unix.CLONE_NEWUSER), "unshare 0", fmt.Sprintf("call %d", unix.SYS_CLONE3),
		fmt.Sprintf("socket %d", unix.AF_VSOCK), fmt.Sprintf("socket %d", unix.AF_ALG), fmt.Sprintf("socket %d", unix.AF_UNIX), fmt.Sprintf("socket %d", unix.AF_INET)}
	want := "unshare: operation not permitted\ncall: function not implemented\nsocket: address family not supported by protocol\n" +
		"socket: address family not supported by protocol\n"
	for _, call := range refused {
		steps = append(steps, fmt.Sprintf("call %d", call))
		want += "call: operation not permitted\n"
	}
	// What is no way out works: processes, threads and files.
	steps = append(steps, "write /x y", "cat /x", "say done")
	want += "y\ndone\n"
	if got := output(t, r, guest("filter", image(t, nil), steps...)); got != want {
		t.Errorf("it printed\n%s\nnot\n%s", got, want)
	}
}
