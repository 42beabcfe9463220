// SPDX-License-Identifier: Apache-2.0

package training

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// item is one object of a channel and its name in the channel's folder.
type item struct {
	uri  object.URI
	name string // slash-separated, local
}

// stageChannel puts the channel's objects where the container finds them. Where
// they are files of this machine already, nothing is copied: the answer is then
// a mount that shows them, else nil.
//
// Both ways of showing files of the store are safe for the job. The store never
// writes to a file in place but renames a new one over it, so a hard link is
// the object as it was when the job began, whatever is put there meanwhile. A
// folder that is mounted shows each object whole, old or new. And they are safe
// for the store, because the mount is read-only: the container, which may run
// as the same user, cannot write through the link into the object.
func (s *Service) stageChannel(ctx context.Context, work string, c sm.Channel) (*runtime.Mount, error) {
	source := c.DataSource.S3DataSource
	u, err := object.ParseURI(source.S3Uri)
	if err != nil {
		return nil, badData("%w", err)
	}
	items, err := s.items(ctx, u, source.S3DataType)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, badData("no S3 objects found under S3 URL %q", source.S3Uri)
	}
	target := path.Join(optml.DataPath, c.ChannelName)
	gzipped := c.CompressionType == "Gzip"
	local, isLocal := s.Objects.(object.Local)
	if isLocal && !gzipped {
		if source.S3DataType == "S3Prefix" && u.Key != "" {
			if folder := wholeFolder(ctx, local, u, items); folder != "" {
				return &runtime.Mount{Source: folder, Target: target, ReadOnly: true}, nil
			}
		}
		dir := filepath.Join(work, channelsName, c.ChannelName)
		switch err := linkItems(ctx, local, items, dir); {
		case err == nil:
			return &runtime.Mount{Source: dir, Target: target, ReadOnly: true}, nil
		case !errors.Is(err, errNoLink):
			return nil, err
		}
		if err := optml.Remove(dir); err != nil {
			return nil, err
		}
	}
	dir := optml.Dir(filepath.Join(work, mlName)).Channel(c.ChannelName)
	for _, it := range items {
		if gzipped {
			it.name = strings.TrimSuffix(it.name, ".gz")
		}
		if err := s.copyItem(ctx, it, dir, gzipped); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// items lists the objects of a channel.
func (s *Service) items(ctx context.Context, u object.URI, dataType string) ([]item, error) {
	if dataType == "ManifestFile" {
		return s.manifest(ctx, u)
	}
	var items []item
	err := object.All(ctx, s.Objects, u, func(o object.Info) error {
		if strings.HasSuffix(o.URI.Key, "/") { // marks a folder
			return nil
		}
		name := nameUnder(u.Key, o.URI.Key)
		if !filepath.IsLocal(name) {
			return badData("the key %q cannot be the name of a file", o.URI.Key)
		}
		items = append(items, item{o.URI, name})
		return nil
	})
	return items, err
}

// nameUnder is the name in the channel's folder of the object with the key,
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
func (s *Service) manifest(ctx context.Context, u object.URI) ([]item, error) {
	r, err := s.Objects.Open(ctx, u, 0, maxManifest+1)
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
		return nil, badData("manifest %s: %w", u, err)
	}
	return items, nil
}

func parseManifest(b []byte) ([]item, error) {
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
	items := make([]item, 0, len(entries)-1)
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
		items = append(items, item{object.URI{Bucket: base.Bucket, Key: base.Key + key}, name})
	}
	return items, nil
}

// wholeFolder is the host's folder that shows exactly the items, or "". It is
// so when the prefix is a folder and nothing else lies in it: no objects beside
// it whose keys begin alike, no deleted versions, no links.
func wholeFolder(ctx context.Context, local object.Local, u object.URI, items []item) string {
	prefix := strings.TrimSuffix(u.Key, "/") + "/"
	names := make(map[string]bool, len(items))
	for _, it := range items {
		if it.uri.Key != prefix+it.name {
			return ""
		}
		names[it.name] = true
	}
	file, err := local.Path(ctx, items[0].uri)
	if err != nil {
		return ""
	}
	folder, ok := strings.CutSuffix(file, string(filepath.Separator)+filepath.FromSlash(items[0].name))
	if !ok || !filepath.IsAbs(folder) {
		return ""
	}
	found := 0
	err = filepath.WalkDir(folder, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(folder, p)
		if err != nil || !e.Type().IsRegular() || !names[filepath.ToSlash(rel)] {
			return errors.Join(err, errOther)
		}
		found++
		return ctx.Err()
	})
	if err != nil || found != len(names) {
		return ""
	}
	return folder
}

var (
	errOther  = errors.New("the folder holds something else")
	errNoLink = errors.New("objects cannot be linked here")
)

// linkItems makes hard links to the objects' files, or answers errNoLink where
// the file systems do not allow that.
func linkItems(ctx context.Context, local object.Local, items []item, dir string) error {
	made := map[string]bool{}
	for _, it := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		from, err := local.Path(ctx, it.uri)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(it.name))
		if parent := filepath.Dir(to); !made[parent] {
			if err := makeParent(to); err != nil {
				return err
			}
			made[parent] = true
		}
		if err := os.Link(from, to); err != nil {
			if errors.Is(err, fs.ErrExist) {
				return sameName(it)
			}
			return fmt.Errorf("%w: %w", errNoLink, err)
		}
	}
	return nil
}

func sameName(it item) error {
	return badData("the key %q would be the file %q, which another key is already", it.uri.Key, it.name)
}

// makeParent makes the folders of a file. Where a key is a file and another
// key wants it as a folder, S3 has both and a file system cannot.
func makeParent(file string) error {
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if errors.Is(err, syscall.ENOTDIR) {
		return badData("%s is the name of a file and of a folder", filepath.Base(filepath.Dir(file)))
	}
	return err
}

// copyItem copies one object into dir.
func (s *Service) copyItem(ctx context.Context, it item, dir string, gzipped bool) (err error) {
	to := filepath.Join(dir, filepath.FromSlash(it.name))
	if err := makeParent(to); err != nil {
		return err
	}
	r, err := s.Objects.Open(ctx, it.uri, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	var in io.Reader = r
	if gzipped {
		zip, err := gzip.NewReader(bufio.NewReader(r))
		if err != nil {
			return badData("%s is not compressed with gzip: %w", it.uri, err)
		}
		defer zip.Close()
		in = zip
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return sameName(it)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	if gzipped && (errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF)) {
		err = badData("%s is damaged: %w", it.uri, err)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", it.uri, err)
	}
	return nil
}

// copyAll copies the objects below u into dir.
func (s *Service) copyAll(ctx context.Context, u object.URI, dir string) error {
	items, err := s.items(ctx, u, "S3Prefix")
	if err != nil {
		return err
	}
	for _, it := range items {
		if err := s.copyItem(ctx, it, dir, false); err != nil {
			return err
		}
	}
	return nil
}
