// SPDX-License-Identifier: Apache-2.0

// Package ecr is the Elastic Container Registry as far as clients ask it about
// the images that this server can run by itself: which they are, by which tags
// and digests, and a token to sign in with.
package ecr

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
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
	Repositories []Repository
	Since        time.Time        // when the images were made; zero: the time of New
	Key          []byte           // signs tokens; nil: a new one, so that tokens end with the process
	Now          func() time.Time // nil: time.Now
}

// Service answers ECR's operations. It is safe for concurrent use.
type Service struct {
	endpoint     string
	repositories []repository // by name, then by registry
	since        time.Time
	key          []byte
	now          func() time.Time
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
	s := &Service{endpoint: o.Endpoint, since: o.Since, key: o.Key, now: o.Now}
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

// Install binds the operations to t.
func (s *Service) Install(t *op.Table) {
	op.Handle(t, wecr.GetAuthorizationToken, s.getAuthorizationToken)
	op.Handle(t, wecr.DescribeRepositories, s.describeRepositories)
	op.Handle(t, wecr.DescribeImages, s.describeImages)
	op.Handle(t, wecr.BatchGetImage, s.batchGetImage)
}

const (
	tokenLasts = 12 * time.Hour
	tokenUser  = "AWS"
)

// getAuthorizationToken is API_GetAuthorizationToken: user and password for
// the registry, good for twelve hours.
func (s *Service) getAuthorizationToken(_ context.Context, in *wecr.GetAuthorizationTokenInput) (*wecr.GetAuthorizationTokenOutput, error) {
	ends := s.now().Add(tokenLasts).Truncate(time.Second)
	one := wecr.AuthorizationData{ExpiresAt: wire.At(ends), ProxyEndpoint: s.endpoint,
		AuthorizationToken: base64.StdEncoding.EncodeToString([]byte(tokenUser + ":" + s.password(ends)))}
	out := &wecr.GetAuthorizationTokenOutput{}
	for range max(len(in.RegistryIds), 1) {
		out.AuthorizationData = append(out.AuthorizationData, one)
	}
	return out, nil
}

// password is when it ends, signed.
func (s *Service) password(ends time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(ends.Unix()))
	mac := hmac.New(sha256.New, s.key)
	mac.Write(b)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(b))
}

// Admits tells whether user and password are of a token that has not ended, for
// whoever serves the registry.
func (s *Service) Admits(user, password string) bool {
	b, err := base64.RawURLEncoding.DecodeString(password)
	if err != nil || len(b) != 8+sha256.Size || user != tokenUser {
		return false
	}
	ends := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	return hmac.Equal([]byte(s.password(ends)), []byte(password)) && s.now().Before(ends)
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
		manifestType, digest(config), len(config))
	return image{tag: tag, manifest: manifest, digest: digest(manifest)}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
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

// find finds a repository. Without a registry it is looked for in all: this
// server is one registry under the accounts' names.
func (s *Service) find(ctx context.Context, name, registry string) (*repository, error) {
	for i := range s.repositories {
		if r := &s.repositories[i]; r.Name == name && (registry == "" || r.Registry == registry) {
			return r, nil
		}
	}
	return nil, noRepository(ctx, name, registry)
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
