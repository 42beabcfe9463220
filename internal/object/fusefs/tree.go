// SPDX-License-Identifier: Apache-2.0

package fusefs

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// Item is an object and the name of its file.
type Item struct {
	Name     string // slash-separated, local
	URI      object.URI
	Size     int64 // bytes
	Modified time.Time
}

// List are the objects below u as items. Their names are what follows u's key,
// or the last slash of it: "data/tr" gives train.csv of data/train.csv. Folder
// markers, whose keys end with a slash, are left out.
func List(ctx context.Context, s object.Store, u object.URI) ([]Item, error) {
	var items []Item
	err := object.All(ctx, s, u, func(o object.Info) error {
		if strings.HasSuffix(o.URI.Key, "/") {
			return nil
		}
		name, ok := strings.CutPrefix(o.URI.Key, strings.TrimSuffix(u.Key, "/")+"/")
		if !ok || u.Key == "" {
			name = o.URI.Key[strings.LastIndexByte(u.Key, '/')+1:]
		}
		items = append(items, Item{name, o.URI, o.Size, o.Modified})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", u, err)
	}
	return items, nil
}

// folder is a folder of the tree. Nothing of it changes once the tree is made.
type folder struct {
	names    []string // sorted
	children map[string]child
}

// child is a folder or else a file.
type child struct {
	folder *folder
	item   *Item
	ino    uint64
}

// newTree arranges items. A name that cannot be a file's is an error; an object
// whose name is also that of a folder is hidden by it, as it is with the
// service's own file system.
func newTree(items []Item, log *slog.Logger) (*folder, error) {
	t := &treeMaker{ino: 1}
	root := &folder{children: map[string]child{}}
	for i := range items {
		it := &items[i]
		if !filepath.IsLocal(it.Name) || it.Name == "." || it.Name != filepath.ToSlash(filepath.Clean(it.Name)) ||
			strings.IndexByte(it.Name, 0) >= 0 || it.Size < 0 {
			return nil, fmt.Errorf("%s: %q cannot be the name of a file", it.URI, it.Name)
		}
		dir := root
		parts := strings.Split(it.Name, "/")
		for _, p := range parts[:len(parts)-1] {
			dir = t.enter(dir, p)
		}
		last := parts[len(parts)-1]
		if len(last) > 255 { // NAME_MAX
			return nil, fmt.Errorf("%s: %.20q… is too long for the name of a file", it.URI, last)
		}
		switch was, ok := dir.children[last]; {
		case !ok:
			t.ino++
			dir.children[last] = child{item: it, ino: t.ino}
		case was.folder == nil:
			return nil, fmt.Errorf("%s and %s would both be %q", was.item.URI, it.URI, it.Name)
		default:
			t.hidden = append(t.hidden, it.URI.Key)
		}
	}
	if len(t.hidden) > 0 {
		log.Warn("objects hidden by folders of their names", "objects", len(t.hidden), "first", t.hidden[0])
	}
	root.sort()
	return root, nil
}

type treeMaker struct {
	ino    uint64
	hidden []string
}

func (t *treeMaker) enter(dir *folder, name string) *folder {
	c, ok := dir.children[name]
	if ok && c.folder != nil {
		return c.folder
	}
	if ok {
		t.hidden = append(t.hidden, c.item.URI.Key)
	}
	t.ino++
	sub := &folder{children: map[string]child{}}
	dir.children[name] = child{folder: sub, ino: t.ino}
	return sub
}

func (f *folder) sort() {
	f.names = make([]string, 0, len(f.children))
	for name, c := range f.children {
		f.names = append(f.names, name)
		if c.folder != nil {
			c.folder.sort()
		}
	}
	slices.SortFunc(f.names, cmp.Compare)
}
