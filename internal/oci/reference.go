// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Reference names an image in a registry.
type Reference struct {
	Host   string // "index.docker.io", "127.0.0.1:8080"
	Name   string // of the repository, "library/python"
	Tag    string // "" when a digest is given
	Digest string // "sha256:…" or ""
}

// repositoryName is the distribution specification's form of a name, which the
// library checks by its letters only.
var repositoryName = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)

// Parse reads host/name[:tag][@digest] as docker does: without a host it is
// Docker Hub's, without tag and digest the tag is "latest".
func Parse(s string) (Reference, error) {
	r, err := name.ParseReference(s)
	if err != nil {
		return Reference{}, fmt.Errorf("%q is not an image reference: %w", s, err)
	}
	out := Reference{Host: r.Context().RegistryStr(), Name: r.Context().RepositoryStr()}
	if !repositoryName.MatchString(out.Name) {
		return Reference{}, fmt.Errorf("%q is not an image reference: %q is not the name of a repository", s, out.Name)
	}
	switch r := r.(type) {
	case name.Digest:
		out.Digest = r.DigestStr()
	case name.Tag:
		out.Tag = r.TagStr()
	}
	return out, nil
}

// Wanted is the digest or else the tag.
func (r Reference) Wanted() string {
	if r.Digest != "" {
		return r.Digest
	}
	return r.Tag
}

// String is the reference in full.
func (r Reference) String() string {
	if r.Digest != "" {
		return r.Host + "/" + r.Name + "@" + r.Digest
	}
	return r.Host + "/" + r.Name + ":" + r.Tag
}

// ecrHost is a private registry of AWS.
var ecrHost = regexp.MustCompile(`^([0-9]{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$`)

// Account is the account whose registry of AWS's a host is; false for other
// hosts.
func Account(host string) (account string, ok bool) {
	m := ecrHost.FindStringSubmatch(strings.ToLower(host))
	if m == nil {
		return "", false
	}
	return m[1], true
}
