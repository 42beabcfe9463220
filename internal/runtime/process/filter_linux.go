// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A task has few capabilities, and most calls that reach beyond it fail for
// want of one. The filter refuses those that need none and are a way past it: a
// user namespace, in which it would have all of them; keys, which are not kept
// apart; and doors into the kernel that were left open too often. They are what
// container engines refuse too.

// refused are calls that fail with EPERM.
var refused = []uint32{unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN,
	unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP}

// Offsets in struct seccomp_data (seccomp(2)); of an argument, its lower half on
// the little-endian machines that have a filter.
const (
	atNumber   = 0
	atArch     = 4
	atArgument = 16
)

// filter is the program for the architecture arch, as the kernel names it.
func filter(arch uint32) []unix.SockFilter {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		anyBit = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		answer = unix.BPF_RET | unix.BPF_K
	)
	fail := func(errno uint32) unix.SockFilter {
		return unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ERRNO | errno}
	}
	p := []unix.SockFilter{
		{Code: load, K: atArch},
		{Code: equal, K: arch, Jt: 1},
		fail(uint32(unix.ENOSYS)), // programs of another architecture would have other numbers
		{Code: load, K: atNumber},
	}
	if arch == unix.AUDIT_ARCH_X86_64 { // x32 has the same name and other numbers
		p = append(p, unix.SockFilter{Code: anyBit, K: 0x40000000, Jf: 1}, fail(uint32(unix.ENOSYS)))
	}
	for _, call := range refused {
		p = append(p, unix.SockFilter{Code: equal, K: call, Jf: 1}, fail(uint32(unix.EPERM)))
	}
	// Its flags are in memory, where a filter cannot look; C libraries then fall
	// back on clone.
	p = append(p, unix.SockFilter{Code: equal, K: unix.SYS_CLONE3, Jf: 1}, fail(uint32(unix.ENOSYS)))
	for _, call := range []uint32{unix.SYS_CLONE, unix.SYS_UNSHARE} {
		p = append(p,
			unix.SockFilter{Code: equal, K: call, Jf: 4},
			unix.SockFilter{Code: load, K: atArgument},
			unix.SockFilter{Code: anyBit, K: unix.CLONE_NEWUSER, Jf: 1},
			fail(uint32(unix.EPERM)),
			unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW})
	}
	// To the host of a virtual machine, and to the kernel's own cryptography.
	return append(p,
		unix.SockFilter{Code: equal, K: unix.SYS_SOCKET, Jf: 4},
		unix.SockFilter{Code: load, K: atArgument},
		unix.SockFilter{Code: equal, K: unix.AF_VSOCK, Jt: 1},
		unix.SockFilter{Code: equal, K: unix.AF_ALG, Jf: 1},
		fail(uint32(unix.EAFNOSUPPORT)),
		unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW})
}

// filterCalls puts the filter on this thread and what it starts, which must
// have no_new_privs. A kernel without filters has none.
func filterCalls() error {
	arch, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[goruntime.GOARCH]
	if !ok {
		return nil
	}
	p := filter(arch)
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
	if err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("filter system calls: %w", err)
	}
	return nil
}
