// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
)

// models are those of one multi-model container: loaded at their first request,
// unloaded, the longest unused first, when the container says that its memory is
// full, and deleted from the disk likewise. Source: "Multi-model endpoints" and
// "Create Your Own Container for Multi-Model Endpoints".
type models struct {
	objects object.Store
	prefix  string // s3://bucket/prefix
	dir     string // of this machine; the container's /opt/ml/models
	keep    bool   // ModelCacheSetting
	backend *serving.Backend
	now     func() time.Time
	meter   *meter
	disk    int64 // bytes that models may have on disk

	mu    sync.Mutex
	all   map[string]*hosted // by TargetModel
	bytes int64              // on disk
}

// hosted is one model of a container.
type hosted struct {
	name   string        // opaque, as the container knows it
	ready  chan struct{} // closed when loading is over
	err    error         // of loading
	loaded bool
	using  int
	last   time.Time
	bytes  int64 // on disk; 0 when it is not there
}

// modelsDisk bounds the unpacked models of a container where VolumeSizeInGB does
// not say, in bytes.
const modelsDisk = 30 << 30

// loadTimeout is how long a container may take to load or unload a model.
const loadTimeout = serving.InvokeTimeout

// opaque is the name by which a container knows a model. Source: "Create Your
// Own Container for Multi-Model Endpoints": model_name.
func opaque(targetModel string) string {
	sum := sha256.Sum256([]byte(targetModel))
	return hex.EncodeToString(sum[:16])
}

// holds tells whether a model is loaded or about to be.
func (m *models) holds(targetModel string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.all[targetModel]
	return h != nil && h.err == nil
}

// use loads a model, unless it is loaded, and keeps it until release.
func (m *models) use(ctx context.Context, targetModel string) (release func(), err error) {
	begin := time.Now()
	m.mu.Lock()
	h := m.all[targetModel]
	hit := h != nil && h.loaded
	if h == nil || h.err != nil && isClosed(h.ready) {
		h = &hosted{name: opaque(targetModel), ready: make(chan struct{})}
		if m.all == nil {
			m.all = map[string]*hosted{}
		}
		if was := m.all[targetModel]; was != nil {
			h.bytes = was.bytes
		}
		m.all[targetModel] = h
		go m.load(context.WithoutCancel(ctx), targetModel, h) // a caller that goes away does not stop it: others may wait
	}
	h.using++
	h.last = m.now()
	m.mu.Unlock()
	m.meter.model("ModelCacheHit", truth(hit))
	release = func() { m.release(targetModel, h) }
	select {
	case <-h.ready:
	case <-ctx.Done():
		release()
		return nil, ctx.Err()
	}
	if !hit {
		m.meter.model("ModelLoadingWaitTime", float64(time.Since(begin).Microseconds()))
	}
	if h.err != nil {
		release()
		return nil, h.err
	}
	return release, nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (m *models) release(targetModel string, h *hosted) {
	m.mu.Lock()
	h.using--
	idle := h.using == 0 && h.loaded && !m.keep
	m.mu.Unlock()
	if idle {
		m.unload(context.Background(), targetModel, h)
	}
}

// load brings a model from the store into the container.
func (m *models) load(ctx context.Context, targetModel string, h *hosted) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	err := m.fetch(ctx, targetModel, h)
	if err == nil {
		begin := time.Now()
		if err = m.tell(ctx, h); err == nil {
			m.meter.model("ModelLoadingTime", float64(time.Since(begin).Microseconds()))
		}
	}
	m.mu.Lock()
	h.err, h.loaded = err, err == nil
	m.mu.Unlock()
	close(h.ready)
}

// errLoad is a container's refusal to load a model.
type errLoad struct {
	status int
	text   string
}

func (e *errLoad) Error() string { return e.text }

// errModelFull is a container that has no memory for one more model, though
// nothing can be unloaded.
var errModelFull = errors.New("the container has no memory for the model")

// tell asks the container to load, and makes room while it says that it has
// none.
func (m *models) tell(ctx context.Context, h *hosted) error {
	body, err := json.Marshal(map[string]string{"model_name": h.name, "url": serving.ModelsPath + "/" + h.name + "/model"})
	if err != nil {
		return err
	}
	for {
		status, text, err := m.backend.Text(ctx, http.MethodPost, "/models", "application/json", body, loadTimeout, maxModelError)
		switch {
		case err != nil:
			return err
		case status < 300, status == http.StatusConflict: // it was loaded before the server's restart
			return nil
		case status != http.StatusInsufficientStorage:
			return &errLoad{status, string(text)}
		case !m.makeRoom(ctx, h):
			return errModelFull
		}
	}
}

// makeRoom unloads the model that was not used for the longest time; false when
// all are in use.
func (m *models) makeRoom(ctx context.Context, but *hosted) bool {
	m.mu.Lock()
	var name string
	var oldest *hosted
	for n, h := range m.all {
		if h.loaded && h.using == 0 && h != but && (oldest == nil || h.last.Before(oldest.last)) {
			name, oldest = n, h
		}
	}
	m.mu.Unlock()
	if oldest == nil {
		return false
	}
	m.unload(ctx, name, oldest)
	return true
}

// unload has the container forget a model, whose files stay.
func (m *models) unload(ctx context.Context, targetModel string, h *hosted) {
	m.mu.Lock()
	if m.all[targetModel] != h || !h.loaded || h.using > 0 {
		m.mu.Unlock()
		return
	}
	delete(m.all, targetModel)
	m.mu.Unlock()
	begin := time.Now()
	_, _, err := m.backend.Text(ctx, http.MethodDelete, "/models/"+h.name, "", nil, loadTimeout, maxModelError)
	if err == nil {
		m.meter.model("ModelUnloadingTime", float64(time.Since(begin).Microseconds()))
	}
}

// drop forgets that a model is loaded, since the container says that it is not.
func (m *models) drop(targetModel string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, targetModel)
}

func (m *models) loadedCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, h := range m.all {
		if h.loaded {
			n++
		}
	}
	return n
}

// fetch unpacks the model's archive beside and renames, so a folder that is
// there is whole.
func (m *models) fetch(ctx context.Context, targetModel string, h *hosted) error {
	dir := filepath.Join(m.dir, h.name)
	if _, err := os.Stat(filepath.Join(dir, "model")); err == nil {
		now := m.now()
		return os.Chtimes(dir, now, now)
	}
	begin := time.Now()
	u, err := object.ParseURI(m.prefix + strings.TrimPrefix(targetModel, "/"))
	if err != nil {
		return noModel(m.prefix, targetModel)
	}
	body, err := m.objects.Open(ctx, u, 0, -1)
	if errors.Is(err, object.ErrNotFound) {
		return refuse("Failed to download model data(bucket: %s, key: %s). Please ensure that there is an object located at the URL and that the role passed to CreateModel has permissions to download the model.", u.Bucket, u.Key)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	tmp := filepath.Join(dir, "tmp")
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o755)); err != nil {
		return err
	}
	if err := optml.Unpack(body, tmp, optml.Limit{Bytes: m.disk, Entries: 1 << 20}); err != nil {
		_ = os.RemoveAll(dir)
		return refuse("Failed to extract model data archive for target model %q: %v", targetModel, err)
	}
	size, err := sizeOf(tmp)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, "model")); err != nil {
		return err
	}
	m.meter.model("ModelDownloadingTime", float64(time.Since(begin).Microseconds()))
	m.noteDisk(h, size)
	return nil
}

func noModel(prefix, targetModel string) error {
	return refuse("Target model %q is not a key below %s.", targetModel, prefix)
}

// noteDisk counts a model's files, and deletes those of models that are not
// loaded when there are too many.
func (m *models) noteDisk(h *hosted, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h.bytes = size
	if m.bytes == 0 { // the server was started anew
		m.bytes, _ = sizeOf(m.dir)
	} else {
		m.bytes += size
	}
	if m.bytes <= m.disk {
		return
	}
	held := map[string]bool{}
	for _, h := range m.all {
		held[h.name] = true
	}
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return
	}
	when := func(e fs.DirEntry) time.Time {
		info, err := e.Info()
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return when(a).Compare(when(b)) })
	for _, e := range entries { // those that were loaded the longest time ago first
		if m.bytes <= m.disk {
			return
		}
		if dir := filepath.Join(m.dir, e.Name()); !held[e.Name()] {
			if size, err := sizeOf(dir); err == nil && os.RemoveAll(dir) == nil {
				m.bytes -= size
			}
		}
	}
}

func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// hot is from how many requests under way on an instance that has the model
// another one loads it as well.
const hot = 8

// holding is the least busy instance that has the model, or, where there is none
// or it is too busy, the least busy of all.
func (v *variantRoute) holding(targetModel string, tried []*target, offset int) *target {
	some := variantRoute{}
	for _, t := range v.targets {
		if t.models != nil && t.models.holds(targetModel) {
			some.targets = append(some.targets, t)
		}
	}
	any := v.least(tried, offset)
	with := some.least(tried, offset)
	if with == nil || any == nil || with.outstanding.Load() >= hot && any.outstanding.Load() < with.outstanding.Load()/2 {
		return any
	}
	return with
}

// askMultiModel sends the request to an instance that has the model, or loads it
// there.
func (s *Service) askMultiModel(ctx context.Context, x *exchange) error {
	var tried []*target
	again := 0
	for {
		t := x.v.holding(x.model, tried, int(x.start.UnixNano()>>10)&0xffff)
		if t == nil {
			return serving.ErrNotSent
		}
		wait, cancel := context.WithDeadline(ctx, x.deadline())
		begin := time.Now()
		release, err := t.models.use(wait, x.model)
		x.loading += time.Since(begin)
		cancel()
		if err != nil {
			return s.loadFault(x, err)
		}
		err = x.sendTo(ctx, t)
		if errors.Is(err, serving.ErrNotSent) {
			release()
			tried = append(tried, t)
			continue
		}
		x.release = release
		if err != nil || again > 0 || x.hop != x.v.multi-1 {
			return err
		}
		switch x.answer.Status {
		case http.StatusNotFound: // the container unloaded it by itself
			t.models.drop(x.model)
		case http.StatusInsufficientStorage:
			if !t.models.makeRoom(ctx, nil) {
				return nil
			}
		default:
			return nil
		}
		again++
		_ = x.errorText()
		t.outstanding.Add(-1)
		x.t, x.release = nil, nil
		release()
	}
}

// loadFault words a model that could not be loaded.
func (s *Service) loadFault(x *exchange, err error) error {
	if refused, ok := errors.AsType[*errLoad](err); ok {
		return s.modelFault(x, refused.status, refused.text)
	}
	switch {
	case errors.Is(err, errModelFull):
		return s.modelFault(x, http.StatusInsufficientStorage, fmt.Sprintf("Failed to load model %s: %s, and every other is in use.", x.model, err))
	case errors.Is(err, context.DeadlineExceeded), serving.TimedOut(err):
		return notReady("The model %s of endpoint %s is still being loaded. Try again later.", x.model, x.endpoint)
	}
	return err
}
