// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// disk watches what a task writes. To ask the file system for its free space
// costs nothing and is done often; to walk through the task's files may take
// long, and is done when the free space shows that there is reason to, and now
// and then, so that it never costs more than a twentieth of a processor, or a
// tenth while the disk is nearly full.
type disk struct {
	limit  int64    // bytes; 0 for none
	roots  []string // folders that the task writes to
	log    string   // its log, which takes room but is not the task's
	pids   func() []int
	record func(bytes int64)

	base   []int64 // what was in roots before the task began
	places []string

	size  int64 // of the last measurement
	mark  int64 // size with the log, when the disk was last seen not to be full
	used  int64 // of the file systems, at the last measurement
	at    time.Time
	cost  time.Duration // of the last measurement
	idle  time.Duration // how long nothing need be measured while there is no reason to
	blind bool          // some of it could not be measured

	quit atomic.Bool // give a measurement up
}

const (
	// fastest is what fast disks write in a second: how soon to look again.
	fastest = 2 << 30
	// lowGrowth is what a task may still write while the disk is nearly full.
	lowGrowth = 4 << 20
	// A task that writes is measured this often, one that does not this seldom.
	minIdle, maxIdle = 2 * time.Second, 30 * time.Second
)

// reserve is how much room of a file system of so many bytes is left alone.
func reserve(total int64) int64 { return min(1<<30, total/50) }

// newDisk takes the measure of roots before the task begins.
func newDisk(limit int64, roots []string, log string) *disk {
	d := &disk{limit: limit, log: log, idle: minIdle, pids: func() []int { return nil }, record: func(int64) {}}
	for _, r := range roots { // one that lies in another is counted there
		if !containsAbove(roots, r) && !slices.Contains(d.roots, r) {
			d.roots = append(d.roots, r)
		}
	}
	known := map[uint64]bool{}
	for _, r := range append([]string{filepath.Dir(log)}, d.roots...) {
		if info, err := os.Stat(r); err == nil && !known[identityOf(info).dev] {
			known[identityOf(info).dev] = true
			d.places = append(d.places, r)
		}
	}
	began := time.Now()
	for _, r := range d.roots {
		var m measure
		m.folder(r, 0)
		d.base = append(d.base, m.bytes)
	}
	d.cost, d.at = time.Since(began), time.Now()
	_, _, d.used = d.space()
	return d
}

// newDisk takes the measure of what p's task may write to.
func (p *parent) newDisk() *disk {
	roots := []string{p.dir.path(ownName)}
	for _, m := range p.spec.Task.Mounts {
		if m.ReadOnly || m.Scratch {
			continue
		}
		if info, err := os.Stat(m.Source); err == nil && info.IsDir() {
			roots = append(roots, filepath.Clean(m.Source))
		}
	}
	d := newDisk(p.spec.Task.DiskBytes, roots, p.dir.path("log"))
	d.pids = func() []int { return tree(p.init.Process.Pid) }
	var told int64 = -1
	d.record = func(bytes int64) {
		if told < 0 || bytes-told > 1<<16 || told-bytes > 1<<16 {
			told = bytes
			_ = p.dir.write("disk.json", written{bytes, time.Now()}, false) // the next will tell
		}
	}
	return d
}

// watch looks again and again, and tells when the task must be ended, until
// stop is called, for the first time or again. Nobody else may use d meanwhile.
func (d *disk) watch() (full <-chan struct{}, stop func()) {
	over, done, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		again := 10 * time.Millisecond
		for {
			select {
			case <-done:
				return
			case <-time.After(again):
			}
			var yes bool
			if yes, again = d.look(time.Now()); yes {
				close(over)
				return
			}
		}
	}()
	return over, sync.OnceFunc(func() {
		d.quit.Store(true)
		close(done)
		<-ended
		d.quit.Store(false)
	})
}

func containsAbove(dirs []string, dir string) bool {
	for _, d := range dirs {
		if d != dir && below(dir, d) {
			return true
		}
	}
	return false
}

// space tells whether a file system is nearly full, how much may be written
// until one is, and how much is used.
func (d *disk) space() (low bool, room, used int64) {
	room = math.MaxInt64
	for _, p := range d.places {
		total, free, avail, ok := fileSystem(p)
		if !ok {
			continue
		}
		used += total - free
		left := avail - reserve(total)
		low = low || left < 0
		room = min(room, max(left, 0))
	}
	return low, room, used
}

// look tells whether the task has written too much, and how soon to look again.
func (d *disk) look(now time.Time) (over bool, again time.Duration) {
	low, room, used := d.space()
	since, left := now.Sub(d.at), int64(math.MaxInt64)
	if d.limit > 0 {
		left = max(d.limit-d.size, 0)
	}
	due := since >= max(20*d.cost, d.idle)
	switch grown := used - d.used; {
	case d.limit > 0 && grown > left/2:
		due = due || since >= max(10*d.cost, 10*time.Millisecond)
	case low:
		due = due || since >= max(10*d.cost, 100*time.Millisecond)
	case grown > 64<<20: // by whomever
		due = due || since >= max(50*d.cost, time.Second)
	}
	if due {
		before := d.size
		total := d.measure(used)
		over = d.limit > 0 && d.size > d.limit
		if d.size == before {
			d.idle = min(2*d.idle, maxIdle)
		} else {
			d.idle = minIdle
		}
		if !low {
			d.mark = total
		} else if total-d.mark > lowGrowth || d.blind {
			over = true // it is one of those that fill the disk
		}
		if d.limit > 0 {
			left = max(d.limit-d.size, 0)
		}
	}
	again = time.Duration(float64(min(room, left)) / fastest * float64(time.Second))
	again = min(max(again, 10*time.Millisecond), time.Second)
	if low {
		again = max(again, 100*time.Millisecond)
	}
	return over, again
}

// measure walks through all that the task has written, and gives its size with
// the log.
func (d *disk) measure(used int64) int64 {
	began := time.Now()
	m := measure{seen: map[inode]bool{}, quit: &d.quit}
	d.size, d.blind = 0, false
	for i, r := range d.roots {
		before := m.bytes
		m.folder(r, 0)
		d.size += max(m.bytes-before-d.base[i], 0)
	}
	d.size += unlinked(d.pids(), m.seen)
	d.blind = m.failed
	d.used, d.at, d.cost = used, time.Now(), time.Since(began)
	if !d.quit.Load() {
		d.record(d.size)
	}
	var log int64
	if info, err := os.Stat(d.log); err == nil {
		log = info.Size()
	}
	return d.size + log
}

// full tells of a task that has failed whether want of room is the likely
// reason: it has used up what it may, or what there is.
func (d *disk) full() bool {
	low, _, used := d.space()
	if d.limit == 0 && !low || d.cost > time.Second {
		return false
	}
	total := d.measure(used)
	return d.limit > 0 && d.size > d.limit-d.limit/32 || low && total-d.mark > lowGrowth
}

type inode struct{ dev, ino uint64 }

// measure is the room that files take, each counted once.
type measure struct {
	bytes  int64
	seen   map[inode]bool
	failed bool // a folder could not be read
	quit   *atomic.Bool
}

// folder adds the folder at path, as far as it is on one file system.
func (m *measure) folder(path string, dev uint64) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // the task is at work meanwhile
			m.failed = true
		}
		return
	}
	if dev == 0 {
		if info, err := f.Stat(); err == nil {
			dev = identityOf(info).dev
		}
	}
	var folders []string
	for {
		if m.quit != nil && m.quit.Load() {
			f.Close()
			return
		}
		entries, err := f.ReadDir(256)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				continue
			}
			st, ok := info.Sys().(*syscall.Stat_t)
			if !ok || identityOf(info).dev != dev {
				continue
			}
			if !e.IsDir() && st.Nlink > 1 {
				if m.seen == nil {
					m.seen = map[inode]bool{}
				}
				id := identityOf(info)
				if m.seen[id] {
					continue
				}
				m.seen[id] = true
			}
			m.bytes += st.Blocks * 512
			if e.IsDir() {
				folders = append(folders, e.Name())
			}
		}
		if err != nil {
			m.failed = m.failed || !errors.Is(err, io.EOF) && !errors.Is(err, fs.ErrNotExist)
			break
		}
	}
	f.Close() // before going deeper: the depth is not to cost descriptors
	for _, name := range folders {
		m.folder(filepath.Join(path, name), dev)
	}
}

func identityOf(info fs.FileInfo) inode {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}
	}
	return inode{uint64(st.Dev), st.Ino} //nolint:unconvert // other systems have other types
}
