// SPDX-License-Identifier: Apache-2.0

// Package versity keeps objects in a folder of this machine and serves them as
// S3. Each bucket is a folder under Options.Root and each object a file in it
// at the path its key spells, so that a job may be given the file itself. The
// S3 protocol, versions, multipart uploads and checksums are versitygw's
// (github.com/versity/versitygw), which runs in this process.
//
// Two doors lead to the same objects: Store's own methods, for use inside the
// process, and Handler, the S3 protocol for everyone else.
//
// # What is global
//
// versitygw's posix backend names every file relative to the working directory
// of the process. New therefore changes it to Options.Root, and Close changes
// it back. While a Store is open
//
//   - there can be no other Store in the process (New says so), and
//   - nothing else may call os.Chdir, and every path that the program uses must
//     be absolute, also those given to child processes: one started with an
//     empty exec.Cmd.Dir starts in the data folder.
//
// # What a key may be
//
// A key is a path. Segments "", "." and ".." are refused, as is a segment over
// 255 bytes; "a" and "a/b" cannot both exist. A key that ends in "/" is a
// folder and holds no bytes.
package versity

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	vauth "github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// Options of New. Root, State, Keys and RootKey.Account must be given.
type Options struct {
	Root  string // absolute folder; the folders in it are the buckets
	State string // absolute folder outside Root for old versions, and for attributes where the file system has none

	Region  string    // where buckets are whose maker names no region; "" is us-east-1
	Keys    auth.Keys // who may call
	RootKey auth.Key  // its Account owns every bucket; its ID is accepted where Keys does not know it

	Domain string // base of virtual-hosted addresses, "localhost" for bucket.localhost; "" for path style only

	// SplitHost reads the bucket, "" for none, and the region out of a host of
	// AWS's own: "data" and "us-west-2" from data.s3.us-west-2.amazonaws.com. It
	// is false for all other hosts. nil knows none.
	SplitHost func(host string) (bucket, region string, ok bool)

	Public Public // buckets that everyone may read and nobody may write to; nil has none

	MaxBodyBytes int64 // longest request body; 0 is 5 GiB, S3's own limit
	MaxRequests  int   // requests in work at one time, more answer SlowDown; 0 is 1024
	Sidecar      bool  // keep attributes in files under State even where the file system could

	Log *slog.Logger // nil is slog.Default()
}

// maxPutBytes is the most that one request may carry, as in S3.
const maxPutBytes = 5 << 30

// multipartMaxParts is S3's limit on the parts of an upload.
const multipartMaxParts = 10000

// open is true while the process has a Store; see the package comment.
var open atomic.Bool

// Store holds objects as files. Its methods may be called from several
// goroutines at once.
type Store struct {
	opt      Options
	log      *slog.Logger
	attrs    attributes
	posix    *posix.Posix
	root     *os.Root // Options.Root; no symbolic link leads out of it
	dirs     *dirCache
	users    *users
	verifier *auth.Verifier // of what the server does not check
	server   *s3api.S3ApiServer
	address  string        // where server listens, for net.Dial("unix", address)
	ready    chan struct{} // closed once server listens
	cwd      string        // working directory before New
	closed   atomic.Bool
	shown    sync.Map // public buckets that have their objects: *func() error by name

	transport *http.Transport // to server
	inWork    *flights        // requests that Handler has taken
}

var (
	_ object.Store   = (*Store)(nil)
	_ object.Local   = (*Store)(nil)
	_ object.Guarded = (*Store)(nil)
)

// New opens the objects under o.Root, making the folder if there is none, and
// removes what interrupted writes have left. It changes the working directory
// of the process; see the package comment. The caller must Close the Store.
func New(o Options) (_ *Store, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if !open.CompareAndSwap(false, true) {
		return nil, errors.New("open object store: this process has one already")
	}
	s := &Store{opt: o, log: o.Log, dirs: newDirCache(), ready: make(chan struct{}), inWork: newFlights()}
	s.transport = s.newTransport()
	s.users = &users{keys: o.Keys, root: o.RootKey}
	s.verifier = auth.New(auth.Options{Keys: s.users})
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if s.cwd, err = os.Getwd(); err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	for _, dir := range []string{o.Root, s.versionsDir(), s.spoolDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("open object store: %w", err)
		}
	}
	if s.root, err = os.OpenRoot(o.Root); err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	if err := s.sweep(); err != nil {
		return nil, err
	}
	if s.attrs, err = s.openAttributes(); err != nil {
		return nil, err
	}
	if s.posix, err = newPosix(s.attrs, posix.PosixOpts{
		VersioningDir:       s.versionsDir(),
		SideCarDir:          s.attrs.sidecar,
		DefaultEtag:         unsettledETag,
		CopyObjectThreshold: maxPutBytes,
		ValidateBucketNames: true,
		// Only this process writes, so locks in memory do. Named temporary
		// files are renamed over the object in one step; unnamed ones would
		// appear beside it for a moment under a name that listings show.
		ForceNoObjLockFile: true,
		ForceNoTmpFile:     true,
		Concurrency:        o.MaxRequests,
	}, o.Root); err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	if err := s.newServer(); err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	return s, nil
}

// check fills in defaults and tells what is missing.
func (o *Options) check() error {
	if !filepath.IsAbs(o.Root) || !filepath.IsAbs(o.State) {
		return fmt.Errorf("object store folders must be absolute: %q, %q", o.Root, o.State)
	}
	o.Root, o.State = filepath.Clean(o.Root), filepath.Clean(o.State)
	if rel, err := filepath.Rel(o.Root, o.State); err != nil || filepath.IsLocal(rel) {
		return fmt.Errorf("the object store's state %q must lie outside its root %q", o.State, o.Root)
	}
	if o.Keys == nil {
		return errors.New("object store: no Keys")
	}
	if !regexp.MustCompile(`^[0-9]{12}$`).MatchString(o.RootKey.Account) {
		return fmt.Errorf("object store: owner %q is not an account of 12 digits", o.RootKey.Account)
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.MaxBodyBytes <= 0 {
		o.MaxBodyBytes = maxPutBytes
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = 1024
	}
	if o.Public == nil {
		o.Public = noPublic{}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return nil
}

// newPosix is posix.New without what it prints: the backend announces its
// folders on os.Stdout and offers no way to say no.
func newPosix(attrs meta.MetadataStorer, o posix.PosixOpts, root string) (*posix.Posix, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	stdout := os.Stdout
	os.Stdout = null
	defer func() { os.Stdout = stdout }()
	return posix.New(root, attrs, o)
}

// newServer builds the S3 server. Its own root user is the account that owns
// the buckets, with a secret that nobody knows, so that a folder without an
// owner of record belongs to that account too.
func (s *Store) newServer() error {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	s.address = socketAddress(rand.Text())
	options := []s3api.Option{
		s3api.WithConcurrencyLimiter(4*s.opt.MaxRequests, s.opt.MaxRequests),
		s3api.WithMpMaxParts(multipartMaxParts),
		s3api.WithKeepAlive(),
		s3api.WithQuiet(),
		s3api.WithSocketPerm(0o600),
		s3api.WithOnListen(func() { close(s.ready) }),
	}
	if s.opt.Domain != "" {
		options = append(options, s3api.WithHostStyle(s.opt.Domain))
	}
	var err error
	s.server, err = s3api.New(
		&backend{Posix: s.posix, store: s},
		middlewares.RootUserConfig{Access: s.opt.RootKey.Account, Secret: hex.EncodeToString(secret)},
		s.opt.Region,
		s.users,
		&accessLog{log: s.log}, nil, nil, nil,
		options...,
	)
	return err
}

// drainTime is how long requests in work may take to finish when Run ends.
const drainTime = 10 * time.Second

// Run serves what comes through Handler until ctx ends, then lets the requests
// in work finish for up to 10 seconds; those that come meanwhile are answered
// with ServiceUnavailable. It is called once. The Store's own methods work
// without it, before and after.
func (s *Store) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.server.ServeMultiPort([]string{s.address}) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve objects: %w", err)
	case <-s.ready:
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve objects: %w", err)
	case <-ctx.Done():
	}
	// The server cancels what it works on when it is told to stop, so it is
	// not told before that is done.
	s.inWork.drain(drainTime)
	s.transport.CloseIdleConnections()
	if err := s.server.ShutDown(); err != nil {
		return fmt.Errorf("stop serving objects: %w", err)
	}
	<-served //nolint:errcheck // says that its listener was closed, as it was
	return nil
}

// Close ends the use of the folder and restores the working directory of the
// process. Run must have returned. A second Close does nothing.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	var errs []error
	if s.posix != nil {
		s.posix.Shutdown()
	}
	if s.root != nil {
		errs = append(errs, s.root.Close())
	}
	if s.cwd != "" {
		errs = append(errs, os.Chdir(s.cwd))
	}
	open.Store(false)
	return errors.Join(errs...)
}

func (s *Store) versionsDir() string { return filepath.Join(s.opt.State, "versions") }
func (s *Store) sidecarDir() string  { return filepath.Join(s.opt.State, "attributes") }
func (s *Store) spoolDir() string    { return filepath.Join(s.opt.State, "spool") }

// stagedName is how the backend names a file that is not an object yet.
var stagedName = regexp.MustCompile(`^[0-9a-f]{64}\.[0-9]+$`)

// sweep removes the files of writes that were cut short when the process last
// ended. Parts of unfinished multipart uploads stay, as in S3: their clients
// may come back.
func (s *Store) sweep() error {
	if err := emptyDir(s.spoolDir()); err != nil {
		return fmt.Errorf("sweep unfinished writes: %w", err)
	}
	buckets, err := os.ReadDir(s.opt.Root)
	if err != nil {
		return fmt.Errorf("sweep unfinished writes: %w", err)
	}
	for _, b := range buckets {
		staging := filepath.Join(s.opt.Root, b.Name(), posix.MetaTmpDir)
		err := filepath.WalkDir(staging, func(path string, d os.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() || !stagedName.MatchString(d.Name()) {
				return err
			}
			return os.Remove(path)
		})
		if err != nil {
			return fmt.Errorf("sweep unfinished writes of bucket %s: %w", b.Name(), err)
		}
	}
	return nil
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// owner is the account of the S3 server that every caller acts as and that
// owns every bucket.
func owner(account string) vauth.Account {
	return vauth.Account{Access: account, Role: vauth.RoleAdmin}
}
