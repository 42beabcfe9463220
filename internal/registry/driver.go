// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// driverName is what distribution knows the driver by; driverParameter hands it
// the one that there is.
const (
	driverName      = "sagebrush"
	driverParameter = "instance"
)

// distribution finds drivers by name, in a table of the process.
func init() { factory.Register(driverName, drivers{}) }

type drivers struct{}

// Create implements factory.StorageDriverFactory.
func (drivers) Create(_ context.Context, parameters map[string]any) (storagedriver.StorageDriver, error) {
	d, ok := parameters[driverParameter].(*driver)
	if !ok {
		return nil, fmt.Errorf("registry: the storage driver is %T", parameters[driverParameter])
	}
	return d, nil
}

// driver keeps distribution's files: those of unfinished uploads in the folder
// uploads, all others as objects. An object appears whole or not at all, and an
// upload becomes one by Move only when its digest has been found right; so what
// is broken off at any point is never seen.
type driver struct {
	objects object.Store
	bucket  string
	uploads *os.Root
}

var _ storagedriver.StorageDriver = (*driver)(nil)

// Name implements storagedriver.StorageDriver.
func (d *driver) Name() string { return driverName }

// upload is the file of an unfinished upload, if path is of one.
func upload(path string) (file string, ok bool) {
	return strings.TrimPrefix(path, "/"), strings.Contains(path, "/_uploads/")
}

func (d *driver) uri(path string) object.URI {
	return object.URI{Bucket: d.bucket, Key: strings.TrimPrefix(path, "/")}
}

func missing(path string, err error) error {
	if errors.Is(err, object.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return storagedriver.PathNotFoundError{Path: path, DriverName: driverName}
	}
	return err
}

// GetContent implements storagedriver.StorageDriver.
func (d *driver) GetContent(ctx context.Context, path string) ([]byte, error) {
	r, err := d.Reader(ctx, path, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Reader implements storagedriver.StorageDriver.
func (d *driver) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	if file, ok := upload(path); ok {
		f, err := d.uploads.Open(file)
		if err != nil {
			return nil, missing(path, err)
		}
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
	r, err := d.objects.Open(ctx, d.uri(path), offset, -1)
	return r, missing(path, err)
}

// PutContent implements storagedriver.StorageDriver. The link to a manifest
// that is there already is left alone: its time is when the image was pushed.
func (d *driver) PutContent(ctx context.Context, path string, content []byte) error {
	if file, ok := upload(path); ok {
		if err := d.makeParent(file); err != nil {
			return err
		}
		return d.uploads.WriteFile(file, content, 0o600)
	}
	if strings.Contains(path, "/_manifests/revisions/") {
		if old, err := d.GetContent(ctx, path); err == nil && bytes.Equal(old, content) {
			return nil
		}
	}
	return d.put(ctx, path, bytes.NewReader(content))
}

// put writes an object, and the bucket with the first.
func (d *driver) put(ctx context.Context, path string, r io.ReadSeeker) error {
	_, err := d.objects.Put(ctx, d.uri(path), r)
	if !errors.Is(err, object.ErrNoBucket) {
		return err
	}
	if err := d.objects.MakeBucket(ctx, d.bucket); err != nil {
		return fmt.Errorf("make the registry's bucket: %w", err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = d.objects.Put(ctx, d.uri(path), r)
	return err
}

func (d *driver) makeParent(file string) error {
	return d.uploads.MkdirAll(file[:strings.LastIndexByte(file, '/')], 0o700)
}

// Writer implements storagedriver.StorageDriver. distribution streams into
// uploads only.
func (d *driver) Writer(_ context.Context, path string, appending bool) (storagedriver.FileWriter, error) {
	file, ok := upload(path)
	if !ok {
		return nil, storagedriver.ErrUnsupportedMethod{DriverName: driverName}
	}
	if err := d.makeParent(file); err != nil {
		return nil, err
	}
	flag := os.O_WRONLY | os.O_CREATE
	if !appending {
		flag |= os.O_TRUNC
	}
	f, err := d.uploads.OpenFile(file, flag, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &writer{file: f, size: size, remove: func() error { return d.uploads.Remove(file) }}, nil
}

// writer writes an upload. Nothing is flushed to the disk: an upload does not
// outlive the process.
type writer struct {
	file   *os.File
	size   int64
	closed bool
	remove func() error
}

// Write implements storagedriver.FileWriter.
func (w *writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.size += int64(n)
	return n, err
}

// Size implements storagedriver.FileWriter.
func (w *writer) Size() int64 { return w.size }

// Close implements storagedriver.FileWriter.
func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.file.Close()
}

// Commit implements storagedriver.FileWriter: what was written can be read
// already.
func (w *writer) Commit(context.Context) error { return nil }

// Cancel implements storagedriver.FileWriter.
func (w *writer) Cancel(context.Context) error { return errors.Join(w.Close(), w.remove()) }

// Move implements storagedriver.StorageDriver. distribution moves finished
// uploads to their blobs only.
func (d *driver) Move(ctx context.Context, from, to string) error {
	file, ok := upload(from)
	if _, back := upload(to); !ok || back {
		return storagedriver.ErrUnsupportedMethod{DriverName: driverName}
	}
	f, err := d.uploads.Open(file)
	if err != nil {
		return missing(from, err)
	}
	defer f.Close()
	if err := d.put(ctx, to, f); err != nil {
		return fmt.Errorf("store upload: %w", err)
	}
	return d.uploads.Remove(file)
}

// Stat implements storagedriver.StorageDriver.
func (d *driver) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	out := storagedriver.FileInfoInternal{FileInfoFields: storagedriver.FileInfoFields{Path: path}}
	if file, ok := upload(path); ok {
		info, err := d.uploads.Stat(file)
		if err != nil {
			return nil, missing(path, err)
		}
		out.FileInfoFields.Size, out.FileInfoFields.ModTime, out.FileInfoFields.IsDir = info.Size(), info.ModTime(), info.IsDir()
		return out, nil
	}
	info, err := d.objects.Stat(ctx, d.uri(path))
	if err == nil {
		out.FileInfoFields.Size, out.FileInfoFields.ModTime = info.Size, info.Modified
		return out, nil
	}
	if !errors.Is(err, object.ErrNotFound) {
		return nil, err
	}
	page, _, err := d.objects.List(ctx, d.uri(path+"/"), "", 1)
	if err != nil || len(page) == 0 {
		return nil, missing(path, errors.Join(err, object.ErrNotFound))
	}
	out.FileInfoFields.IsDir, out.FileInfoFields.ModTime = true, page[0].Modified
	return out, nil
}

// List implements storagedriver.StorageDriver: it steps over what lies deeper.
func (d *driver) List(ctx context.Context, path string) ([]string, error) {
	if file, ok := upload(path); ok {
		entries, err := fs.ReadDir(d.uploads.FS(), file)
		if err != nil {
			return nil, missing(path, err)
		}
		names := make([]string, len(entries))
		for i, e := range entries {
			names[i] = path + "/" + e.Name()
		}
		return names, nil
	}
	prefix := d.uri(strings.TrimSuffix(path, "/") + "/")
	var names []string
	for after, more := "", true; more; {
		var page []object.Info
		var err error
		page, more, err = d.objects.List(ctx, prefix, after, 1000)
		if err != nil {
			return nil, missing(path, err)
		}
		for _, o := range page {
			name, rest, deeper := strings.Cut(o.URI.Key[len(prefix.Key):], "/")
			if n := len(names); n == 0 || names[n-1] != name {
				names = append(names, name)
			}
			after = o.URI.Key
			if deeper && rest != "" {
				after = prefix.Key + name + "/\U0010ffff" // behind all that is below name
			}
		}
		more = more && len(page) > 0
	}
	if len(names) == 0 {
		return nil, missing(path, object.ErrNotFound)
	}
	for i, name := range names {
		names[i] = "/" + prefix.Key + name
	}
	return names, nil
}

// Delete implements storagedriver.StorageDriver.
func (d *driver) Delete(ctx context.Context, path string) error {
	if file, ok := upload(path); ok {
		if _, err := d.uploads.Stat(file); err != nil {
			return missing(path, err)
		}
		return d.uploads.RemoveAll(file)
	}
	found := false
	if _, err := d.objects.Stat(ctx, d.uri(path)); err == nil {
		found = true
		if err := d.objects.Delete(ctx, d.uri(path)); err != nil {
			return err
		}
	}
	err := object.All(ctx, d.objects, d.uri(path+"/"), func(o object.Info) error {
		found = true
		return d.objects.Delete(ctx, o.URI)
	})
	if err == nil && !found {
		err = object.ErrNotFound
	}
	return missing(path, err)
}

// RedirectURL implements storagedriver.StorageDriver: blobs are served here.
func (d *driver) RedirectURL(*http.Request, string) (string, error) { return "", nil }

// Walk implements storagedriver.StorageDriver.
func (d *driver) Walk(ctx context.Context, path string, f storagedriver.WalkFn, options ...func(*storagedriver.WalkOptions)) error {
	return storagedriver.WalkFallback(ctx, d, path, f, options...)
}

// purge removes the files of uploads that have not changed since a time.
func (d *driver) purge(before time.Time) error {
	return fs.WalkDir(d.uploads.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // gone meanwhile
		}
		info, err := e.Info()
		if err != nil || info.ModTime().After(before) {
			return nil
		}
		if err := d.uploads.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old upload: %w", err)
		}
		return nil
	})
}
