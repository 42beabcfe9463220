// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// The ways in which a Source names its objects: S3DataType of the model.
const (
	S3Prefix     = "S3Prefix"
	ManifestFile = "ManifestFile"
)

// Source says which objects are wanted.
type Source struct {
	URI   string
	Type  string // S3Prefix or ManifestFile
	Gzip  bool   // each object is a gzip file, to be decompressed
	Part  int    // of Parts: every Parts-th object, from Part on
	Parts int    // how many hosts share the objects (ShardedByS3Key); 0 or 1 for all to everyone
}

// Item is one object of a Source and its name in the folder of the container.
type Item struct {
	URI  object.URI
	Name string // slash-separated, local
	Size int64  // bytes; -1 when not known, for keys of a manifest
}

// Items lists the objects of a source, in the order of their keys or of the
// manifest. Faults of the caller's are a *DataError.
func (m Mover) Items(ctx context.Context, s Source) ([]Item, error) {
	u, err := object.ParseURI(s.URI)
	if err != nil {
		return nil, BadData("%w", err)
	}
	var items []Item
	if s.Type == ManifestFile {
		items, err = m.manifest(ctx, u)
	} else {
		items, err = m.below(ctx, u)
	}
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, BadData("no S3 objects found under S3 URL %q", s.URI)
	}
	return part(items, s.Part, s.Parts), nil
}

// part gives every n-th item from i on. The service says only that each host
// gets a share of the objects; in turns the shares differ by one at most.
func part(items []Item, i, n int) []Item {
	if n <= 1 {
		return items
	}
	var out []Item
	for ; i < len(items); i += n {
		out = append(out, items[i])
	}
	return out
}

func (m Mover) below(ctx context.Context, u object.URI) ([]Item, error) {
	var items []Item
	err := object.All(ctx, m.Objects, u, func(o object.Info) error {
		if strings.HasSuffix(o.URI.Key, "/") { // marks a folder
			return nil
		}
		name := nameUnder(u.Key, o.URI.Key)
		if !filepath.IsLocal(name) {
			return BadData("the key %q cannot be the name of a file", o.URI.Key)
		}
		items = append(items, Item{o.URI, name, o.Size})
		return nil
	})
	return items, err
}

// nameUnder is the name in the container's folder of the object with the key,
// which begins with prefix. A prefix that is a folder, with or without its last
// slash, is cut off; of any other, what stands before its last slash, so that
// "data/tr" gives "train.csv" of "data/train.csv".
func nameUnder(prefix, key string) string {
	if rest, ok := strings.CutPrefix(key, strings.TrimSuffix(prefix, "/")+"/"); ok && prefix != "" {
		return rest
	}
	return key[strings.LastIndexByte(prefix, '/')+1:]
}

// maxManifest is how large a manifest may be, in bytes.
const maxManifest = 64 << 20

// manifest reads a manifest: [{"prefix": "s3://bucket/dir/"}, "key", …].
func (m Mover) manifest(ctx context.Context, u object.URI) ([]Item, error) {
	r, err := m.Objects.Open(ctx, u, 0, maxManifest+1)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", u, err)
	}
	items, err := parseManifest(b)
	if err != nil {
		return nil, BadData("manifest %s: %w", u, err)
	}
	return items, nil
}

func parseManifest(b []byte) ([]Item, error) {
	if len(b) > maxManifest {
		return nil, fmt.Errorf("it is larger than %d bytes", maxManifest)
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(b, &entries); err != nil {
		return nil, fmt.Errorf("it is no JSON array: %w", err)
	}
	if len(entries) == 0 {
		return nil, errors.New("it is empty")
	}
	var head struct{ Prefix string }
	if err := json.Unmarshal(entries[0], &head); err != nil || head.Prefix == "" {
		return nil, errors.New(`its first element is not {"prefix": "s3://…"}`)
	}
	base, err := object.ParseURI(head.Prefix)
	if err != nil {
		return nil, err
	}
	items := make([]Item, 0, len(entries)-1)
	for i, e := range entries[1:] {
		var key string
		if err := json.Unmarshal(e, &key); err != nil || key == "" {
			return nil, fmt.Errorf("element %d is not a key", i+1)
		}
		name := path.Clean(strings.TrimPrefix(key, "/"))
		if !filepath.IsLocal(name) || strings.HasSuffix(key, "/") {
			return nil, fmt.Errorf("the key %q cannot be the name of a file", key)
		}
		// Keys are appended to the prefix as they are.
		items = append(items, Item{object.URI{Bucket: base.Bucket, Key: base.Key + key}, name, -1})
	}
	return items, nil
}
