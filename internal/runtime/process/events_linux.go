// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// watch gives the function that tells of changes among the live files until
// its context ends. From now on none is missed.
func (r *Runtime) watch() func(context.Context, func(runtime.ID)) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil { // the user has no instance left
		return r.poll
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, r.live, unix.IN_CLOSE_WRITE|unix.IN_DELETE); err != nil {
		f.Close()
		return r.poll
	}
	return func(ctx context.Context, emit func(runtime.ID)) {
		defer context.AfterFunc(ctx, func() { f.Close() })()
		defer f.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := f.Read(buf)
			if err != nil {
				return
			}
			r.tell(buf[:n], emit)
		}
	}
}

// tell reads the events in buf, each a header of 16 bytes and a name padded
// with zeros (inotify(7)).
func (r *Runtime) tell(buf []byte, emit func(runtime.ID)) {
	for len(buf) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(buf[4:])
		size := int(binary.NativeEndian.Uint32(buf[12:]))
		if size < 0 || size > len(buf)-unix.SizeofInotifyEvent {
			return
		}
		name, _, _ := bytes.Cut(buf[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], []byte{0})
		buf = buf[unix.SizeofInotifyEvent+size:]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			for _, id := range r.liveIDs() {
				emit(id)
			}
		case len(name) > 0:
			emit(runtime.ID(name))
		}
	}
}
