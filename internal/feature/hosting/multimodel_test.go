// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

// library is a container of many models: it has memory for some, reads each
// from the disk when it is told to load it, and answers its content and the
// request.
type library struct {
	t    *testing.T
	dir  string
	room int

	mu     sync.Mutex
	loaded map[string]string
	calls  []string // "load a", "invoke a", "unload a"
	held   chan struct{}
	refuse func(call string) int // a status instead of doing it; 0 does it
}

func (l *library) note(call string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call)
	if l.refuse != nil {
		return l.refuse(call)
	}
	return 0
}

// took are the calls since the last time.
func (l *library) took() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := strings.Join(l.calls, ", ")
	l.calls = nil
	return out
}

// names are those of models by what the container calls them.
var names = map[string]string{}

func init() {
	for _, n := range []string{"a.tar.gz", "b.tar.gz", "c.tar.gz", "big.tar.gz", "bad.tar.gz", "none.tar.gz", "/sub/d.tar.gz"} {
		names[opaque(n)] = strings.TrimSuffix(n, ".tar.gz")
	}
}

func (l *library) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/"); {
	case r.Method == http.MethodPost && len(parts) == 1:
		var in struct {
			Name string `json:"model_name"`
			URL  string `json:"url"`
		}
		if err := json.Unmarshal(body, &in); err != nil || in.URL != "/opt/ml/models/"+in.Name+"/model" {
			l.t.Errorf("load: %s", body)
		}
		if status := l.note("load " + names[in.Name]); status != 0 {
			http.Error(w, "refused", status)
			return
		}
		if l.held != nil {
			<-l.held
		}
		text, err := os.ReadFile(filepath.Join(l.dir, in.Name, "model", "m"))
		l.mu.Lock()
		defer l.mu.Unlock()
		switch _, have := l.loaded[in.Name]; {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case have:
			w.WriteHeader(http.StatusConflict)
		case len(l.loaded) >= l.room:
			w.WriteHeader(http.StatusInsufficientStorage)
		default:
			l.loaded[in.Name] = string(text)
		}
	case r.Method == http.MethodDelete && len(parts) == 2:
		l.note("unload " + names[parts[1]])
		l.mu.Lock()
		delete(l.loaded, parts[1])
		l.mu.Unlock()
	case r.Method == http.MethodPost && len(parts) == 3 && parts[2] == "invoke":
		status := l.note("invoke " + names[parts[1]])
		l.mu.Lock()
		text, have := l.loaded[parts[1]]
		l.mu.Unlock()
		switch {
		case status != 0:
			w.WriteHeader(status)
		case !have:
			w.WriteHeader(http.StatusNotFound)
		default:
			fmt.Fprintf(w, "%s %s %s", text, r.Header.Get("X-Amzn-Sagemaker-Target-Model"), body)
		}
	default:
		l.t.Errorf("%s %s", r.Method, r.URL)
	}
}

func oneFile(t *testing.T, name string, content []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	tw := tar.NewWriter(z)
	if err := errors.Join(tw.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644}), second(tw.Write(content)), tw.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// many is a service with one multi-model endpoint e.
type many struct {
	*library
	service *Service
	target  *target
	meter   *meter
	invoke  func(model string) (string, error)
}

func newMany(t *testing.T, room int) *many {
	l := &library{t: t, dir: t.TempDir(), room: room, loaded: map[string]string{}}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	objects := mem.New("bucket")
	for key, content := range map[string][]byte{
		"p/a.tar.gz": oneFile(t, "m", []byte("A")), "p/b.tar.gz": oneFile(t, "m", []byte("B")), "p/c.tar.gz": oneFile(t, "m", []byte("C")),
		"p/big.tar.gz": oneFile(t, "m", bytes.Repeat([]byte("x"), 5000)), "p/bad.tar.gz": []byte("no archive"), "p/sub/d.tar.gz": oneFile(t, "m", []byte("D")),
	} {
		if _, err := objects.Put(t.Context(), object.URI{Bucket: "bucket", Key: key}, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	backend := serving.Dial("tcp://" + server.Listener.Addr().String())
	m := &many{library: l, service: &Service{}, meter: &meter{}}
	m.service.Now = time.Now
	m.target = &target{containers: []*serving.Backend{backend}, models: &models{objects: objects, prefix: "s3://bucket/p/", dir: l.dir, keep: true,
		backend: backend, now: time.Now, meter: m.meter, disk: 1 << 20}}
	m.service.routes.set(resource.Key{Account: "1", Region: "r", Name: "e"}, &route{fleets: []fleetRoute{{share: 1, total: 1,
		variants: []variantRoute{{name: "A", header: []string{"A"}, weight: 1, multi: 1, targets: []*target{m.target}, meter: m.meter}}}}})
	ctx := auth.WithCaller(t.Context(), auth.Caller{Account: "1", Region: "r"})
	m.invoke = func(model string) (string, error) {
		w := httptest.NewRecorder()
		err := m.service.invoke(ctx, &smr.InvokeEndpointInput{EndpointName: "e", TargetModel: model}, strings.NewReader("x"), w)
		return w.Body.String(), err
	}
	t.Cleanup(func() {
		m.target.models.mu.Lock()
		defer m.target.models.mu.Unlock()
		for name, h := range m.target.models.all {
			if h.using != 0 {
				t.Errorf("model %s has %d requests at the end", name, h.using)
			}
		}
		if n := m.target.outstanding.Load(); n != 0 {
			t.Errorf("%d requests at the end", n)
		}
	})
	return m
}

// good asks for a model and holds answer and calls against what is wanted.
func (m *many) good(model, want, calls string) {
	m.t.Helper()
	got, err := m.invoke(model)
	if took := m.took(); err != nil || got != want || took != calls {
		m.t.Errorf("%s: %q, %v by %q; want %q by %q", model, got, err, took, want, calls)
	}
}

func (m *many) bad(model, code, has, calls string) *fault.Fault {
	m.t.Helper()
	_, err := m.invoke(model)
	f := fault.Of(err)
	if took := m.took(); f == nil || f.Code != code || !strings.Contains(f.Message, has) || took != calls {
		m.t.Errorf("%s: %v by %q; want %s %q by %q", model, err, took, code, has, calls)
	}
	return f
}

func TestModelsAreLoadedAtTheirFirstUse(t *testing.T) {
	m := newMany(t, 9)
	m.good("a.tar.gz", "A a.tar.gz x", "load a, invoke a")
	m.good("a.tar.gz", "A a.tar.gz x", "invoke a")
	m.good("/sub/d.tar.gz", "D /sub/d.tar.gz x", "load /sub/d, invoke /sub/d")
	if hits := m.meter.models["ModelCacheHit"]; !slices.Equal(hits, []float64{0, 1, 0}) {
		t.Errorf("hits %v", hits)
	}
	for name, n := range map[string]int{"ModelLoadingWaitTime": 2, "ModelDownloadingTime": 2, "ModelLoadingTime": 2, "ModelUnloadingTime": 0} {
		if len(m.meter.models[name]) != n {
			t.Errorf("%s: %v", name, m.meter.models[name])
		}
	}
	if n := m.target.models.loadedCount(); n != 2 {
		t.Errorf("%d are loaded", n)
	}
	t.Run("after a restart of the server it is still loaded", func(t *testing.T) {
		m.target.models.all = nil
		m.good("a.tar.gz", "A a.tar.gz x", "load a, invoke a") // 409
	})
	t.Run("it is loaded again where the container forgot it", func(t *testing.T) {
		m.mu.Lock()
		clear(m.loaded)
		m.mu.Unlock()
		m.good("a.tar.gz", "A a.tar.gz x", "invoke a, load a, invoke a")
	})
	t.Run("once, and no more", func(t *testing.T) {
		m.refuse = func(call string) int {
			if strings.HasPrefix(call, "invoke") {
				return http.StatusNotFound
			}
			return 0
		}
		if f := m.bad("a.tar.gz", "ModelError", "(404)", "invoke a, load a, invoke a"); f.Extra["OriginalStatusCode"] != 404 {
			t.Errorf("%v", f.Extra)
		}
	})
}

func TestAFullContainerMakesRoom(t *testing.T) {
	m := newMany(t, 2)
	m.good("a.tar.gz", "A a.tar.gz x", "load a, invoke a")
	m.good("b.tar.gz", "B b.tar.gz x", "load b, invoke b")
	m.good("a.tar.gz", "A a.tar.gz x", "invoke a")
	m.good("c.tar.gz", "C c.tar.gz x", "load c, unload b, load c, invoke c")
	m.good("b.tar.gz", "B b.tar.gz x", "load b, unload a, load b, invoke b")
	t.Run("at an invocation too", func(t *testing.T) {
		n := 0
		m.refuse = func(call string) int {
			if call == "invoke b" && n == 0 {
				n++
				return http.StatusInsufficientStorage
			}
			return 0
		}
		m.good("b.tar.gz", "B b.tar.gz x", "invoke b, unload c, invoke b")
	})
	t.Run("not of those in use", func(t *testing.T) {
		m.room = 1
		release, err := m.target.models.use(t.Context(), "b.tar.gz")
		if err != nil {
			t.Fatal(err)
		}
		if f := m.bad("a.tar.gz", "ModelError", "has no memory for the model", "load a"); f.Extra["OriginalStatusCode"] != 507 {
			t.Errorf("%v", f.Extra)
		}
		release()
		m.good("a.tar.gz", "A a.tar.gz x", "load a, unload b, load a, invoke a")
	})
}

func TestModelsThatCannotBeLoaded(t *testing.T) {
	m := newMany(t, 9)
	m.bad("none.tar.gz", "ValidationError", "Failed to download model data(bucket: bucket, key: p/none.tar.gz). Please ensure that there is an object located at the URL", "")
	m.bad("bad.tar.gz", "ValidationError", `Failed to extract model data archive for target model "bad.tar.gz"`, "")
	if entries, err := os.ReadDir(m.dir); err != nil || len(entries) != 0 {
		t.Errorf("%v is left", entries)
	}
	m.refuse = func(call string) int {
		if call == "load a" {
			return http.StatusInternalServerError
		}
		return 0
	}
	if f := m.bad("a.tar.gz", "ModelError", `Received server error (500) from primary with message "refused`, "load a"); f.Extra["OriginalStatusCode"] != 500 {
		t.Errorf("%v", f.Extra)
	}
	m.bad("a.tar.gz", "ModelError", "(500)", "load a")
	m.refuse = nil
	m.good("a.tar.gz", "A a.tar.gz x", "load a, invoke a")
	var statuses []int
	for _, s := range m.meter.samples {
		statuses = append(statuses, s.status)
	}
	if !slices.Equal(statuses, []int{400, 400, 500, 500, 200}) {
		t.Errorf("counted as %v", statuses)
	}
}

func TestManyFirstRequestsLoadAModelOnce(t *testing.T) {
	m := newMany(t, 9)
	m.held = make(chan struct{})
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if got, err := m.invoke("a.tar.gz"); err != nil || got != "A a.tar.gz x" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		m.target.models.mu.Lock()
		h := m.target.models.all["a.tar.gz"]
		ready := h != nil && h.using == 40
		m.target.models.mu.Unlock()
		if ready {
			break
		}
	}
	close(m.held)
	all.Wait()
	if calls := m.took(); strings.Count(calls, "load") != 1 || strings.Count(calls, "invoke") != 40 {
		t.Error(calls)
	}
}

func TestModelsWithoutACacheGoAfterTheirRequest(t *testing.T) {
	m := newMany(t, 9)
	m.target.models.keep = false
	for range 2 {
		m.good("a.tar.gz", "A a.tar.gz x", "load a, invoke a, unload a")
	}
}

func TestModelsThatAreNotLoadedGoFromAFullDisk(t *testing.T) {
	m := newMany(t, 1)
	m.target.models.disk = 5001
	m.good("a.tar.gz", "A a.tar.gz x", "load a, invoke a")
	m.good("b.tar.gz", "B b.tar.gz x", "load b, unload a, load b, invoke b")
	on := func() (out []string) {
		entries, err := os.ReadDir(m.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, names[e.Name()])
		}
		slices.Sort(out)
		return out
	}
	if got := on(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("on disk: %v", got)
	}
	if got, err := m.invoke("big.tar.gz"); err != nil || len(got) < 5000 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	m.took()
	// a was not loaded and had to go; b was, until big took its memory.
	if got := on(); !slices.Equal(got, []string{"b", "big"}) || m.target.models.bytes != 5001 {
		t.Errorf("on disk: %v, %d bytes", got, m.target.models.bytes)
	}
	m.good("a.tar.gz", "A a.tar.gz x", "load a, unload big, load a, invoke a")
	if got := on(); slices.Contains(got, "b") {
		t.Errorf("on disk: %v", got)
	}
}

func TestHotModelsSpread(t *testing.T) {
	with, without := &target{name: "with", models: &models{}}, &target{name: "without", models: &models{}}
	with.models.all = map[string]*hosted{"a": {loaded: true}}
	v := variantRoute{targets: []*target{without, with}}
	for _, c := range []struct {
		with, without int64
		model         string
		want          *target
	}{
		{0, 0, "a", with}, {hot - 1, 0, "a", with}, {hot, hot / 2, "a", with}, {hot, 0, "a", without}, {2 * hot, hot - 1, "a", without}, {5, 0, "b", without},
	} {
		with.outstanding.Store(c.with)
		without.outstanding.Store(c.without)
		if got := v.holding(c.model, nil, 0); got != c.want {
			t.Errorf("%+v: %v", c, got.name)
		}
	}
}
