// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo/builtin"
	"github.com/sagebrush-ml/sagebrush/internal/framework"
	"github.com/sagebrush-ml/sagebrush/internal/image"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/ecr"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/oci"
	"github.com/sagebrush-ml/sagebrush/internal/pyenv"
	"github.com/sagebrush-ml/sagebrush/internal/registry"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/toolkit"
)

// registryBucket holds the images that were pushed. Users see it as any bucket
// of theirs, and should leave it alone.
const registryBucket = "sagebrush-registry"

// buildImages makes what finds images and makes them ready, the door of the
// registry, and what runs tasks.
func (s *Server) buildImages(ctx context.Context, db resource.DB, objects object.Store, self string) (*image.Catalog, http.Handler, runtime.Runtime, error) {
	shelf, err := registry.New(registry.Options{Objects: objects, Bucket: registryBucket, Dir: s.path("work", "registry"), Log: s.opt.Log})
	if err != nil {
		return nil, nil, nil, err
	}
	s.close = append(s.close, shelf)
	s.add("registry", shelf.Run)
	o := ecr.Options{Endpoint: s.URL(), DB: db, Account: s.creds.Account, Images: shelf, Log: s.opt.Log, Key: s.registryKey()}
	for _, r := range builtin.Repositories() {
		o.Repositories = append(o.Repositories, ecr.Repository{Registry: r.Registry, Name: r.Name, Tags: r.Tags})
	}
	known := map[string]bool{}
	for _, r := range o.Repositories {
		known[r.Registry+"/"+r.Name] = true
	}
	for _, r := range framework.Repositories() {
		if !known[r.Registry+"/"+r.Name] { // XGBoost's is both
			o.Repositories = append(o.Repositories, ecr.Repository{Registry: r.Registry, Name: r.Name, Tags: r.Tags})
		}
	}
	repositories, err := ecr.New(o)
	if err != nil {
		return nil, nil, nil, err
	}
	repositories.Install(s.table)
	s.add("ecr", repositories.Run)

	environments, err := pyenv.New(pyenv.Options{Dir: s.environments(), Wheels: s.opt.Wheels, Offline: s.opt.Offline, Pythons: s.opt.Pythons, OnlyWheels: true, Log: s.opt.Log})
	if err != nil {
		return nil, nil, nil, err
	}
	tools, err := toolkit.Install(s.path("toolkit"))
	if err != nil {
		return nil, nil, nil, err
	}
	unpacked, err := oci.New(oci.Options{Dir: s.path("images"), Own: repositories.Own, Local: shelf, Log: s.opt.Log})
	if err != nil {
		return nil, nil, nil, err
	}
	mapped, err := s.imageMap()
	if err != nil {
		return nil, nil, nil, err
	}
	// A container engine takes plain HTTP and any certificate from the loopback,
	// and only there: it pulls by the inner door, wherever the front door is.
	door := s.inner.Addr().String()
	own := func(ref string) bool {
		r, err := oci.Parse(ref)
		return err == nil && (r.Host == door || repositories.Own(r.Host))
	}
	run, err := s.buildRuntimes(ctx, self, repositories.Credentials, own)
	if err != nil {
		return nil, nil, nil, err
	}
	options := image.Options{Self: self, Environments: environments, Toolkit: tools, OCI: unpacked, Map: mapped, Digest: ecr.Digest}
	if run.images {
		options.Engine = run.engine
		options.Pull = func(ref string) string {
			if !own(ref) {
				return ref
			}
			_, rest, _ := strings.Cut(ref, "/")
			return door + "/" + rest
		}
	}
	return image.New(options), shelf.Handler(repositories), run.tasks, nil
}

// registryKey signs the tokens of ECR, so that a docker login outlives a restart.
func (s *Server) registryKey() []byte {
	mac := hmac.New(sha256.New, []byte(s.creds.SecretKey))
	mac.Write([]byte("registry tokens"))
	return mac.Sum(nil)
}

// environments is the folder of Python environments.
func (s *Server) environments() string {
	if s.opt.Environments != "" {
		return s.opt.Environments
	}
	return s.path("environments")
}

// imageMap reads the operator's file.
func (s *Server) imageMap() (oci.ImageMap, error) {
	if s.opt.ImageMap == "" {
		return oci.ImageMap{}, nil
	}
	text, err := os.ReadFile(s.opt.ImageMap)
	if err != nil {
		return oci.ImageMap{}, fmt.Errorf("image map: %w", err)
	}
	m, err := oci.ParseImageMap(text)
	if err != nil {
		return m, fmt.Errorf("%s: %w", filepath.Base(s.opt.ImageMap), err)
	}
	return m, nil
}
