// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// models is the server of many models, which come and go while it runs: the
// container of a multi-model endpoint. Each is a handler of its own; what one
// request needs is shared. Answers, besides those of an invocation:
//
//	POST   /models                {"model_name", "url"}: 200; 400 it cannot be
//	                              read; 409 it is loaded; 507 there is no room
//	GET    /models                100 at a time, by name; next_page_token goes on
//	GET    /models/{name}         404 it is not loaded
//	DELETE /models/{name}         404
//	POST   /models/{name}/invoke  404
//
// Source: https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
type models struct {
	*settings
	algorithm algo.Algorithm
	root      string // stands for /opt/ml
	memory    memory
	slots     chan struct{} // one for each model that is being read

	mu    sync.RWMutex // held for no reading of models
	table map[string]*entry
}

// entry is a model that is loaded, or being loaded.
type entry struct {
	name, url string
	handler   *handler      // nil while it is being loaded
	done      chan struct{} // closed when that has ended
	no        *refusal      // how it ended, once done is closed
}

// newModels has limit bytes for the whole process, 0 for as many as it takes.
func newModels(a algo.Algorithm, root string, limit int64, opts Options) (*models, error) {
	s, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	return &models{settings: s, algorithm: a, root: root, memory: memory{room: roomOf(limit)},
		slots: make(chan struct{}, runtime.GOMAXPROCS(0)), table: map[string]*entry{}}, nil
}

const (
	maxName      = 1024     // bytes of a name, as of TargetModel
	maxOrder     = 64 << 10 // bytes of a POST /models
	modelsOnPage = 100
)

func (m *models) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.serveCommon(w, r) {
		return
	}
	// A name may hold an escaped slash.
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/models")
	if ok && (rest == "" || rest == "/") {
		if allow(w, r, http.MethodGet, http.MethodPost) {
			if r.Method == http.MethodPost {
				m.serveLoad(w, r)
			} else {
				m.serveList(w, r)
			}
		}
		return
	}
	escaped, verb, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	name, err := url.PathUnescape(escaped)
	switch {
	case !ok || rest[0] != '/' || err != nil || verb != "" && verb != "invoke":
		http.NotFound(w, r)
	case verb == "invoke":
		if allow(w, r, http.MethodPost) {
			h := m.take([]byte(name))
			if h == nil {
				m.notLoaded(w, name)
				return
			}
			defer h.leave()
			h.invoke(w, r)
		}
	case allow(w, r, http.MethodGet, http.MethodDelete):
		if r.Method == http.MethodDelete {
			m.serveUnload(w, name)
		} else {
			m.serveDescribe(w, name)
		}
	}
}

func (m *models) notLoaded(w http.ResponseWriter, name string) {
	http.Error(w, fmt.Sprintf("Model %q is not loaded", name), http.StatusNotFound)
}

// take gives the handler of a loaded model, or nil; leave must follow.
func (m *models) take(name []byte) *handler {
	m.mu.RLock()
	defer m.mu.RUnlock()
	e := m.table[string(name)]
	if e == nil || e.handler == nil {
		return nil
	}
	e.handler.users.Add(1)
	return e.handler
}

func (m *models) serveLoad(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Name string `json:"model_name"`
		URL  string `json:"url"`
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxOrder))
	if err == nil {
		err = json.Unmarshal(b, &order)
	}
	var no *refusal
	switch {
	case err != nil:
		no = refuse(http.StatusBadRequest, `The request is not {"model_name": ..., "url": ...}: %v`, err)
	case order.Name == "" || len(order.Name) > maxName:
		no = refuse(http.StatusBadRequest, "model_name must have 1 to %d characters", maxName)
	case !path.IsAbs(order.URL):
		no = refuse(http.StatusBadRequest, "url must be the absolute path of a folder, got %q", order.URL)
	default:
		no = m.load(r.Context(), order.Name, order.URL)
	}
	if no != nil {
		http.Error(w, no.text, no.code)
	}
}

// load loads a model. Of several calls with one name the first does it, even
// when its caller has gone, and the others wait for what comes of it.
func (m *models) load(ctx context.Context, name, url string) *refusal {
	m.mu.Lock()
	e, begun := m.table[name]
	if !begun {
		e = &entry{name: name, url: url, done: make(chan struct{})}
		m.table[name] = e
	}
	m.mu.Unlock()
	if begun {
		select {
		case <-e.done:
		case <-ctx.Done():
			return refuse(http.StatusServiceUnavailable, "Model %q is being loaded", name)
		}
		if e.no != nil {
			return e.no
		}
		return refuse(http.StatusConflict, "Model %q is loaded already", name)
	}
	began := time.Now()
	h, no := m.read(e)
	m.mu.Lock()
	if e.handler, e.no = h, no; no != nil {
		delete(m.table, name)
	}
	m.mu.Unlock()
	close(e.done)
	if no != nil {
		m.opts.Log.Error("Unable to load model", "model", name, "err", no.text)
		return no
	}
	m.opts.Log.Info("Model loaded successfully", "model", name, "dur", time.Since(began), "bytes", h.bytes)
	return nil
}

// reading is how many times the size of its files a model takes at most while
// it is read: files, the numbers in them as float64, trees and what is kept.
// Of a model of 100 trees in UBJSON it was measured to be 4.
const reading = 6

// read reads a model and makes room for it.
func (m *models) read(e *entry) (*handler, *refusal) {
	m.slots <- struct{}{}
	defer func() { <-m.slots }()
	dir := m.folder(e.url)
	size, err := folderBytes(dir)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "Model %q cannot be read: %v", e.name, err)
	}
	needed := reading * size
	if !m.memory.take(needed) {
		return nil, m.full(e, needed)
	}
	model, err := loadModel(m.algorithm, dir)
	var h *handler
	if err == nil {
		h, err = m.handler(model)
	}
	if err != nil {
		m.memory.give(needed)
		return nil, refuse(http.StatusBadRequest, "Model %q cannot be loaded: %v", e.name, err)
	}
	h.bytes = 2 * size // as good as any guess
	if s, ok := h.model.(algo.Sizer); ok {
		h.bytes = s.MemoryBytes()
	}
	h.bytes += handlerBytes
	if !m.memory.change(needed, h.bytes) {
		return nil, m.full(e, h.bytes)
	}
	h.users.Store(1) // the table's
	h.over = func() { m.memory.give(h.bytes) }
	return h, nil
}

// handlerBytes is about what a loaded model takes besides itself.
const handlerBytes = 2 << 10

func (m *models) full(e *entry, needed int64) *refusal {
	taken, room := m.memory.state()
	return refuse(http.StatusInsufficientStorage, "There is no memory for model %q: it needs %d bytes, and %d of %d are in use",
		e.name, needed, taken, room)
}

// folder is where the platform's url lies: below root when the process has no
// /opt/ml of its own.
func (m *models) folder(url string) string {
	const standard = "/opt/ml"
	url = path.Clean(url)
	if below, ok := strings.CutPrefix(url, standard+"/"); ok && filepath.Clean(m.root) != standard {
		return filepath.Join(m.root, filepath.FromSlash(below))
	}
	return filepath.FromSlash(url)
}

// folderBytes is the size of the files in dir.
func folderBytes(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		size += info.Size()
		return nil
	})
	return size, err
}

func (m *models) serveUnload(w http.ResponseWriter, name string) {
	m.mu.Lock()
	e := m.table[name]
	if e != nil && e.handler == nil {
		e = nil // it is not loaded yet
	}
	if e != nil {
		delete(m.table, name)
	}
	m.mu.Unlock()
	if e == nil {
		m.notLoaded(w, name)
		return
	}
	e.handler.leave()
	m.opts.Log.Info("Model unloaded", "model", name)
}

// description is a model as the platform is told of it.
type description struct {
	Name string `json:"modelName"`
	URL  string `json:"modelUrl"`
}

func (m *models) serveDescribe(w http.ResponseWriter, name string) {
	m.mu.RLock()
	e := m.table[name]
	loaded := e != nil && e.handler != nil
	m.mu.RUnlock()
	if !loaded {
		m.notLoaded(w, name)
		return
	}
	writeJSON(w, description{e.name, e.url})
}

func (m *models) serveList(w http.ResponseWriter, r *http.Request) {
	// A token is the last name of the page before, so that models that come and
	// go between two pages move no others out of sight.
	token := r.URL.Query().Get("next_page_token")
	after, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		http.Error(w, fmt.Sprintf("next_page_token is %q, which no page gave", token), http.StatusBadRequest)
		return
	}
	var page struct {
		Models []description `json:"models"`
		Next   string        `json:"nextPageToken,omitempty"`
	}
	m.mu.RLock()
	all := slices.Collect(maps.Values(m.table))
	all = slices.DeleteFunc(all, func(e *entry) bool { return e.handler == nil || token != "" && e.name <= string(after) })
	m.mu.RUnlock()
	slices.SortFunc(all, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	page.Models = make([]description, 0, min(len(all), modelsOnPage))
	for _, e := range all[:min(len(all), modelsOnPage)] {
		page.Models = append(page.Models, description{e.name, e.url})
	}
	if len(all) > modelsOnPage {
		page.Next = base64.RawURLEncoding.EncodeToString([]byte(all[modelsOnPage-1].name))
	}
	writeJSON(w, page)
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header()["Content-Type"] = jsonType
	_, _ = w.Write(b)
}
