// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// preferLargePages asks the kernel to back v by large pages: its rows are read
// here and there, and each would need an entry of its own in the processor's
// table of pages.
func preferLargePages(v []float32) {
	page := uintptr(os.Getpagesize())
	if len(v) < 1<<20 {
		return
	}
	from := uintptr(unsafe.Pointer(unsafe.SliceData(v)))
	skip := (page - from%page) % page
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))[skip:]
	_ = unix.Madvise(b[:len(b)&^int(page-1)], unix.MADV_HUGEPAGE) // it is no matter when it does not
}
