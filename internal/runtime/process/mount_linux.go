// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// readOnly makes the mount at path and all below it read-only.
func readOnly(path string) error {
	err := unix.MountSetattr(unix.AT_FDCWD, path, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if !errors.Is(err, unix.ENOSYS) {
		return err
	}
	return readOnlyEach(path) // before Linux 5.12
}

// readOnlyEach makes each mount at and below path read-only by itself. It
// keeps their other flags, which a user namespace may not take away.
func readOnlyEach(path string) error {
	mounts, err := mountsBelow(path)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if err := unix.Mount("", m.point, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|m.flags, ""); err != nil {
			return err
		}
	}
	return nil
}

// mounted is one line of mountinfo.
type mounted struct {
	point string
	flags uintptr
}

func mountsBelow(path string) ([]mounted, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []mounted
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 6 {
			continue
		}
		if point := unescape(fields[4]); below(point, path) {
			found = append(found, mounted{point, mountFlags(fields[5])})
		}
	}
	return found, nil
}

func mountFlags(options string) uintptr {
	var flags uintptr
	for o := range strings.SplitSeq(options, ",") {
		flags |= map[string]uintptr{"nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
			"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME}[o]
	}
	return flags
}

// unescape undoes the octal escapes of mountinfo (proc(5)).
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
