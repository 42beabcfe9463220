// SPDX-License-Identifier: Apache-2.0

package fusefs

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Mounted is a mount that is being served.
type Mounted struct {
	dir    string
	server *fuse.Server
	cache  *cache
	ended  chan struct{}
}

// Mount shows the items in Options.Dir, an empty folder, until Unmount. It
// needs /dev/fuse, and the right to mount or the program fusermount3.
func Mount(o Options) (*Mounted, error) {
	o = o.withDefaults()
	tree, err := newTree(o.Items, o.Log)
	if err != nil {
		return nil, fmt.Errorf("mount objects at %s: %w", o.Dir, err)
	}
	forever := 24 * time.Hour // nothing ever changes
	c := newCache(o.Store, o.Log, o.MemoryBytes)
	root := &dirNode{folder: tree, cache: c, mounted: time.Now()}
	quiet := stdlog.New(io.Discard, "", 0)
	server, err := fs.Mount(o.Dir, root, &fs.Options{
		EntryTimeout: &forever, AttrTimeout: &forever, NegativeTimeout: &forever,
		RootStableAttr: &fs.StableAttr{Ino: 1}, Logger: quiet,
		MountOptions: fuse.MountOptions{
			AllowOther: true, // tasks run as users of their own
			Options:    []string{"ro"}, DirectMount: true,
			DirectMountFlags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_RDONLY,
			FsName:           "sagebrush", Name: "objects",
			MaxWrite: 1 << 20, MaxReadAhead: 1 << 20, MaxBackground: 64,
			DisableXAttrs: true, Logger: quiet,
		},
	})
	if err != nil {
		c.close()
		return nil, fmt.Errorf("mount objects at %s: %w", o.Dir, err)
	}
	readAhead(o.Dir, maxWindow/4<<10)
	m := &Mounted{dir: o.Dir, server: server, cache: c, ended: make(chan struct{})}
	go func() {
		server.Wait()
		close(m.ended)
	}()
	return m, nil
}

// readAhead has the kernel ask for so many KiB ahead of a reader, as it does not
// for FUSE by itself. It may be refused, and is slower then.
func readAhead(dir string, kib int) {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return
	}
	file := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
	_ = os.WriteFile(file, fmt.Append(nil, kib), 0)
}

// Done is closed when the files are gone: by Unmount or by someone else's
// umount.
func (m *Mounted) Done() <-chan struct{} { return m.ended }

// Unmount takes the files away from where they were shown, and waits until no
// one has one open any more or ctx is done.
func (m *Mounted) Unmount(ctx context.Context) error {
	err := Detach(m.dir)
	if err == nil {
		select {
		case <-m.ended:
		case <-ctx.Done():
			err = fmt.Errorf("unmount %s: files are still open: %w", m.dir, ctx.Err())
		}
	}
	m.cache.close()
	return err
}

// Detach takes a mount away from its folder, also one whose server is gone.
// What is no mount is left as it is.
func Detach(dir string) error {
	err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EPERM) {
		return unmountByHelper(dir)
	}
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", filepath.Clean(dir), err)
	}
	return nil
}

// unmountByHelper is for who may not unmount themselves.
func unmountByHelper(dir string) error {
	out, err := exec.Command("fusermount3", "-u", "-z", "-q", "--", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("unmount %s: %w %s", dir, err, out)
	}
	return nil
}

// dirNode is a folder.
type dirNode struct {
	fs.Inode
	folder  *folder
	cache   *cache
	mounted time.Time
}

var (
	_ fs.NodeLookuper  = (*dirNode)(nil)
	_ fs.NodeReaddirer = (*dirNode)(nil)
	_ fs.NodeGetattrer = (*dirNode)(nil)
	_ fs.NodeOpener    = (*fileNode)(nil)
	_ fs.NodeGetattrer = (*fileNode)(nil)
)

// Lookup finds a file or folder.
func (d *dirNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	c, ok := d.folder.children[name]
	if !ok {
		return nil, syscall.ENOENT
	}
	if c.folder != nil {
		sub := &dirNode{folder: c.folder, cache: d.cache, mounted: d.mounted}
		sub.attr(&out.Attr)
		return d.NewInode(ctx, sub, fs.StableAttr{Mode: syscall.S_IFDIR, Ino: c.ino}), 0
	}
	f := &fileNode{item: c.item, cache: d.cache}
	f.attr(&out.Attr)
	return d.NewInode(ctx, f, fs.StableAttr{Mode: syscall.S_IFREG, Ino: c.ino}), 0
}

// Readdir lists the folder.
func (d *dirNode) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	entries := make([]fuse.DirEntry, len(d.folder.names))
	for i, name := range d.folder.names {
		c := d.folder.children[name]
		entries[i] = fuse.DirEntry{Name: name, Ino: c.ino, Mode: syscall.S_IFREG}
		if c.folder != nil {
			entries[i].Mode = syscall.S_IFDIR
		}
	}
	return fs.NewListDirStream(entries), 0
}

// Getattr tells size and mode.
func (d *dirNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.attr(&out.Attr)
	return 0
}

func (d *dirNode) attr(a *fuse.Attr) {
	a.Mode, a.Nlink = syscall.S_IFDIR|0o555, 2
	a.SetTimes(&d.mounted, &d.mounted, &d.mounted)
}

// fileNode is an object.
type fileNode struct {
	fs.Inode
	item  *Item
	cache *cache
}

// Getattr tells size, mode and time.
func (f *fileNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.attr(&out.Attr)
	return 0
}

func (f *fileNode) attr(a *fuse.Attr) {
	a.Mode, a.Nlink = syscall.S_IFREG|0o444, 1
	a.Size, a.Blksize = uint64(f.item.Size), 1<<17
	a.Blocks = (a.Size + 511) / 512
	a.SetTimes(&f.item.Modified, &f.item.Modified, &f.item.Modified)
}

// Open opens the object; it is asked of the store only when it is read.
func (f *fileNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f.cache.open()
	return &handle{file{cache: f.cache, item: f.item}}, fuse.FOPEN_KEEP_CACHE, 0
}

// handle is a file for go-fuse.
type handle struct{ file }

var (
	_ fs.FileReader   = (*handle)(nil)
	_ fs.FileReleaser = (*handle)(nil)
)

// Read reads. A reader that is killed does not wait for the store.
func (h *handle) Read(ctx context.Context, p []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	n, err := h.readAt(ctx, p, offset)
	switch {
	case err == nil:
		return fuse.ReadResultData(p[:n]), 0
	case ctx.Err() != nil:
		return nil, syscall.EINTR
	}
	return nil, syscall.EIO
}

// Release forgets an open file.
func (h *handle) Release(context.Context) syscall.Errno {
	h.cache.release(&h.file)
	return 0
}
