// SPDX-License-Identifier: Apache-2.0

//go:build linux

package fusefs

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// dropCache has the kernel forget what it holds of a file.
func dropCache(t testing.TB, f *os.File) {
	t.Helper()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}
