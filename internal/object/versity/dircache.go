// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// smallDir is how many entries make a folder worth remembering.
	smallDir = 512
	// maxCachedNames bounds the memory of a dirCache: about 30 MB at names of
	// 40 bytes.
	maxCachedNames = 1 << 19
	// settleTime is how long a folder must have been left alone. A change
	// that comes within a tick of the file system's clock after the reading
	// leaves the folder's time as it was, so a reading is only trusted when
	// it was made clearly later than the last change before it.
	settleTime = time.Second
)

// dirCache reads folders, and remembers large ones until they change.
type dirCache struct {
	mu    sync.Mutex
	dirs  map[string]*cachedDir
	names int   // in all dirs
	clock int64 // counts uses
}

type cachedDir struct {
	names    []string
	modified time.Time
	used     int64
}

func newDirCache() *dirCache { return &dirCache{dirs: map[string]*cachedDir{}} }

// read gives the names in the folder at path, sorted: those of files and, with
// "/" after them, of folders. Other things, symbolic links among them, are left
// out. The caller must not change the result.
func (c *dirCache) read(path string) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil {
		return nil, err
	}
	if names, ok := c.lookup(path, info.ModTime()); ok {
		return names, nil
	}
	began := time.Now()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("read folder: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		switch {
		case e.IsDir():
			names = append(names, e.Name()+"/")
		case e.Type().IsRegular():
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	if len(names) > smallDir && len(names) <= maxCachedNames && began.Sub(info.ModTime()) > settleTime {
		c.keep(path, &cachedDir{names: names, modified: info.ModTime()})
	}
	return names, nil
}

func (c *dirCache) lookup(path string, modified time.Time) ([]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.dirs[path]
	if !ok || !d.modified.Equal(modified) {
		return nil, false
	}
	c.clock++
	d.used = c.clock
	return d.names, true
}

// keep remembers d, and forgets what was not used for longest to make room.
func (c *dirCache) keep(path string, d *cachedDir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.dirs[path]; ok {
		c.names -= len(old.names)
	}
	c.clock++
	d.used = c.clock
	c.dirs[path] = d
	c.names += len(d.names)
	for c.names > maxCachedNames {
		oldest := path
		for p, d := range c.dirs {
			if d.used < c.dirs[oldest].used {
				oldest = p
			}
		}
		c.names -= len(c.dirs[oldest].names)
		delete(c.dirs, oldest)
	}
}
