// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"github.com/opencontainers/go-digest"
)

// maxManifestBytes is the longest manifest, ECR's and distribution's limit.
const maxManifestBytes = 4 << 20

// repositoryPath is a path that names a repository: the name, what of it, and
// which. The first group takes as much as it can, since a name may hold
// "manifests" or "blobs" itself.
var repositoryPath = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs|blobs/uploads|tags)/([^/]*)$`)

// Handler is the distribution protocol, to be mounted at /v2/. It checks basic
// authentication, then that ECR has the repository, which a push does not
// create, then that no immutable tag moves; the rest is distribution's.
//
// Every refusal is in the protocol's form ({"errors": [{code, message}]}) with
// ECR's words, which clients print.
func (r *Registry) Handler(rules Rules) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, req *http.Request) {
		w := &statusWriter{ResponseWriter: plain}
		if !admits(rules, req) {
			w.Header().Set("WWW-Authenticate", `Basic realm="Sagebrush",service="ecr.amazonaws.com"`)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required: sign in with the user and password of GetAuthorizationToken")
			return
		}
		m := repositoryPath.FindStringSubmatch(req.URL.Path)
		if m == nil {
			r.app.ServeHTTP(w, req) // /v2/, /v2/_catalog, and what distribution does not know
			return
		}
		name, kind, reference := m[1], m[2], m[3]
		account, ok, err := rules.Repository(req.Context(), name)
		switch {
		case err != nil:
			r.broken(w, req, err)
		case !ok:
			refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "The repository with name '%s' does not exist in the registry with id '%s'", name, account)
		case kind == "manifests" && (req.Method == http.MethodPut || req.Method == http.MethodDelete):
			r.changeManifest(w, req, rules, name, reference)
		default:
			r.app.ServeHTTP(w, req)
		}
	})
}

func admits(rules Rules, req *http.Request) bool {
	if user, password, ok := req.BasicAuth(); ok {
		return rules.Admits(user, password)
	}
	token := req.URL.Query().Get("token")
	return token != "" && req.Method == http.MethodGet && rules.Admits(req.Method+" "+req.URL.Path, token)
}

// changeManifest lets one request at a time put or delete a manifest, so that
// no tag moves between the look at it and the change.
func (r *Registry) changeManifest(w *statusWriter, req *http.Request, rules Rules, name, reference string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxManifestBytes))
	if err != nil {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "The manifest could not be read: %v", err)
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	err = r.alone(req.Context(), func() error {
		if req.Method == http.MethodPut {
			moves, err := r.moves(req.Context(), name, reference, digest.FromBytes(body).String())
			if err != nil {
				return err
			}
			if moves {
				fixed, err := rules.Immutable(req.Context(), name, reference)
				if err != nil {
					return err
				}
				if fixed {
					refuse(w, http.StatusBadRequest, "TAG_INVALID",
						"The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the tag is immutable.", reference, name)
					return nil
				}
			}
		}
		r.app.ServeHTTP(w, req)
		return nil
	})
	if err != nil {
		r.broken(w, req, err)
		return
	}
	if req.Method == http.MethodPut && w.status == http.StatusCreated {
		rules.Pushed(name)
	}
}

// statusWriter remembers how it was answered, and answers once: distribution
// writes a second status when a connection breaks.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader sends the headers.
func (w *statusWriter) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write answers with what is written, and with 200 if there was no status.
func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController through.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (r *Registry) broken(w http.ResponseWriter, req *http.Request, err error) {
	if req.Context().Err() == nil {
		r.log.Error("registry request failed", "method", req.Method, "path", req.URL.Path, "err", err)
	}
	refuse(w, http.StatusInternalServerError, "UNKNOWN", "The registry could not answer; its log says why.")
}

func refuse(w http.ResponseWriter, status int, code, format string, args ...any) {
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string][]one{"errors": {{Code: code, Message: fmt.Sprintf(format, args...)}}})
	if err != nil {
		panic(err) // strings always have JSON
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}
