// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func extendedAreKept(t *testing.T, file string) {
	t.Helper()
	b := make([]byte, 100)
	n, err := unix.Getxattr(file, "user.note", b)
	if err == unix.ENOTSUP {
		t.Skip("the file system has no extended attributes")
	}
	if err != nil || string(b[:n]) != "kept" {
		t.Errorf("user.note is %q, %v", b[:max(n, 0)], err)
	}
	if os.Geteuid() == 0 {
		if n, err := unix.Getxattr(file, "security.capability", b); err != nil || n != 20 {
			t.Errorf("the capabilities are %d bytes, %v", n, err)
		}
	}
	if _, err := unix.Getxattr(file, "trusted.overlay.opaque", b); err == nil {
		t.Error("an attribute of overlayfs was taken over")
	}
}
