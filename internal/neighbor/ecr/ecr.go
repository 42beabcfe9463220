// SPDX-License-Identifier: Apache-2.0

// Package ecr is the Elastic Container Registry: repositories that users make and
// push images to, and those of the images that this server can run by itself.
//
// A user's repositories are records of the one account, and the same in every
// Region. Their images are package registry's: what is told of them is read from
// there each time, so a push is seen at once by both. Built-in repositories stand
// in the registries of AWS's accounts, have no layers, and cannot be changed.
package ecr

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/registry"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
)

// Repository is one that this server has images of.
type Repository struct {
	Registry string   // account whose registry it is in, twelve digits
	Name     string   // "sagemaker-xgboost"
	Tags     []string // one image each
}

// Options of a Service. Endpoint is required.
type Options struct {
	Endpoint     string // URL that clients sign in to, "https://127.0.0.1:8080"
	DB           resource.DB
	Account      string             // whose registry the users' repositories are in
	Images       *registry.Registry // of those repositories; nil: there are built-in ones only
	Log          *slog.Logger       // nil is slog.Default()
	Repositories []Repository
	Since        time.Time        // when the images were made; zero: the time of New
	Key          []byte           // signs tokens; nil: a new one, so that tokens end with the process
	Now          func() time.Time // nil: time.Now
}

// Service answers ECR's operations. It is safe for concurrent use.
type Service struct {
	endpoint     string
	host         string // of endpoint
	db           resource.DB
	account      string
	store        *registry.Registry
	log          *slog.Logger
	repositories []repository // by name, then by registry
	since        time.Time
	key          []byte
	now          func() time.Time

	mu     sync.Mutex
	pushed map[string]bool // repositories whose lifecycle is to be looked at
	wake   chan struct{}   // has one when pushed has any
}

type repository struct {
	Repository
	images []image // by digest
}

// New makes a Service. It starts nothing.
func New(o Options) (*Service, error) {
	if o.Endpoint == "" {
		return nil, errors.New("ecr: options lack the endpoint")
	}
	at, err := url.Parse(o.Endpoint)
	if err != nil || at.Host == "" {
		return nil, fmt.Errorf("ecr: the endpoint %q is not a URL", o.Endpoint)
	}
	if o.Images != nil && (o.DB == nil || o.Account == "") {
		return nil, errors.New("ecr: options have images, but lack the store of records or the account")
	}
	s := &Service{endpoint: o.Endpoint, host: at.Host, db: o.DB, account: o.Account, store: o.Images, log: o.Log,
		since: o.Since, key: o.Key, now: o.Now, pushed: map[string]bool{}, wake: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.since.IsZero() {
		s.since = s.now()
	}
	if s.key == nil {
		s.key = make([]byte, 32)
		rand.Read(s.key)
	}
	for _, r := range o.Repositories {
		rep := repository{Repository: r}
		for _, tag := range r.Tags {
			rep.images = append(rep.images, newImage(r.Registry, r.Name, tag))
		}
		slices.SortFunc(rep.images, func(a, b image) int { return strings.Compare(a.digest, b.digest) })
		s.repositories = append(s.repositories, rep)
	}
	slices.SortStableFunc(s.repositories, func(a, b repository) int { return strings.Compare(a.place(), b.place()) })
	for i := range len(s.repositories) - 1 {
		if s.repositories[i].place() == s.repositories[i+1].place() {
			return nil, fmt.Errorf("ecr: repository %s of registry %s is given twice", s.repositories[i].Name, s.repositories[i].Registry)
		}
	}
	return s, nil
}

// place orders repositories and is their place in pages.
func (r *repository) place() string { return r.Name + " " + r.Registry }

// Install binds the operations to t. Without Options.Images those about
// repositories of users are left out.
func (s *Service) Install(t *op.Table) {
	op.Handle(t, wecr.GetAuthorizationToken, s.getAuthorizationToken)
	op.Handle(t, wecr.DescribeRepositories, s.describeRepositories)
	op.Handle(t, wecr.DescribeImages, s.describeImages)
	op.Handle(t, wecr.ListImages, s.listImages)
	op.Handle(t, wecr.BatchGetImage, s.batchGetImage)
	if s.store == nil {
		return
	}
	op.Handle(t, wecr.DescribeRegistry, s.describeRegistry)
	op.Handle(t, wecr.CreateRepository, s.createRepository)
	op.Handle(t, wecr.DeleteRepository, s.deleteRepository)
	op.Handle(t, wecr.PutImageTagMutability, s.putImageTagMutability)
	op.Handle(t, wecr.PutImage, s.putImage)
	op.Handle(t, wecr.BatchDeleteImage, s.batchDeleteImage)
	op.Handle(t, wecr.BatchCheckLayerAvailability, s.batchCheckLayerAvailability)
	op.Handle(t, wecr.GetDownloadUrlForLayer, s.getDownloadUrlForLayer)
	op.Handle(t, wecr.PutLifecyclePolicy, s.putLifecyclePolicy)
	op.Handle(t, wecr.GetLifecyclePolicy, s.getLifecyclePolicy)
	op.Handle(t, wecr.DeleteLifecyclePolicy, s.deleteLifecyclePolicy)
	op.Handle(t, wecr.SetRepositoryPolicy, s.setRepositoryPolicy)
	op.Handle(t, wecr.GetRepositoryPolicy, s.getRepositoryPolicy)
	op.Handle(t, wecr.DeleteRepositoryPolicy, s.deleteRepositoryPolicy)
	op.Handle(t, wecr.TagResource, s.tagResource)
	op.Handle(t, wecr.UntagResource, s.untagResource)
	op.Handle(t, wecr.ListTagsForResource, s.listTagsForResource)
}

const (
	tokenLasts = 12 * time.Hour
	tokenUser  = "AWS"
	urlLasts   = time.Hour // of GetDownloadUrlForLayer
)

// getAuthorizationToken is API_GetAuthorizationToken: user and password for
// the registry, good for twelve hours.
func (s *Service) getAuthorizationToken(_ context.Context, in *wecr.GetAuthorizationTokenInput) (*wecr.GetAuthorizationTokenOutput, error) {
	ends := s.now().Add(tokenLasts).Truncate(time.Second)
	one := wecr.AuthorizationData{ExpiresAt: wire.At(ends), ProxyEndpoint: s.endpoint,
		AuthorizationToken: base64.StdEncoding.EncodeToString([]byte(tokenUser + ":" + s.password(tokenUser, ends)))}
	out := &wecr.GetAuthorizationTokenOutput{}
	for range max(len(in.RegistryIds), 1) {
		out.AuthorizationData = append(out.AuthorizationData, one)
	}
	return out, nil
}

// password is when it ends, signed for a user.
func (s *Service) password(user string, ends time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(ends.Unix()))
	mac := hmac.New(sha256.New, s.key)
	mac.Write(b)
	mac.Write([]byte(user))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(b))
}

// Credentials are what a container engine of this machine signs in with, good
// for twelve hours.
func (s *Service) Credentials() (user, password string) {
	return tokenUser, s.password(tokenUser, s.now().Add(tokenLasts).Truncate(time.Second))
}

// Admits tells whether user and password are of a token that has not ended, for
// whoever serves the registry: that of GetAuthorizationToken for everything, and
// that of GetDownloadUrlForLayer for its one method and path.
func (s *Service) Admits(user, password string) bool {
	b, err := base64.RawURLEncoding.DecodeString(password)
	if err != nil || len(b) != 8+sha256.Size || user != tokenUser && !strings.HasPrefix(user, "GET /v2/") {
		return false
	}
	ends := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	return hmac.Equal([]byte(s.password(user, ends)), []byte(password)) && s.now().Before(ends)
}

// image is one image. Built-in images are our own binary, so the manifest has
// no layers: it says what is run, and its digest is the image's.
type image struct {
	tag, manifest, digest string
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func newImage(registry, name, tag string) image {
	config := fmt.Sprintf(`{"architecture":"amd64","config":{"Labels":{"sagebrush.image":%q}},"os":"linux","rootfs":{"diff_ids":[],"type":"layers"}}`,
		registry+"/"+name+":"+tag)
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[]}`,
		manifestType, digest.FromString(config), len(config))
	return image{tag: tag, manifest: manifest, digest: digest.FromString(manifest).String()}
}

// Digest is the digest of a built-in image, "sha256:…": the same on every
// server.
func Digest(registry, name, tag string) string { return newImage(registry, name, tag).digest }

// registryOf is the account a request is about, for messages and for answers
// about what is not there.
func registryOf(ctx context.Context, id string) string {
	if id != "" {
		return id
	}
	return auth.CallerFrom(ctx).Account
}

func noRepository(ctx context.Context, name, registry string) error {
	return fault.New("RepositoryNotFoundException", http.StatusBadRequest,
		"The repository with name '%s' does not exist in the registry with id '%s'", name, registryOf(ctx, registry))
}

func invalid(format string, args ...any) error {
	return fault.New("InvalidParameterException", http.StatusBadRequest, format, args...)
}

// page cuts one page out of places in order, and answers where it ends and the
// token of what follows.
func page(places []string, token string, asked *int64, most int) (from, to int, next string, err error) {
	if token != "" {
		b, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(b) == 0 {
			return 0, 0, "", invalid("Invalid parameter at 'nextToken' failed to satisfy constraint: 'must be a token of this operation'")
		}
		var found bool
		if from, found = slices.BinarySearch(places, string(b)); found {
			from++
		}
	}
	if asked != nil {
		most = int(*asked)
	}
	if to = min(from+most, len(places)); to < len(places) {
		next = base64.RawURLEncoding.EncodeToString([]byte(places[to-1]))
	}
	return from, to, next, nil
}
