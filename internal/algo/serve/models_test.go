// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/xgboost"
	"github.com/sagebrush-ml/sagebrush/internal/door"
)

// saved is a folder with a model that predicts mean.
func saved(t testing.TB, mean float32) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := (&algotest.MeanModel{Mean: mean, Cols: 2}).Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// many is a server of many models.
func many(t testing.TB, a algo.Algorithm, limit int64) *models {
	t.Helper()
	m, err := newModels(a, "/opt/ml", limit, env(nil))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ask is one request and the answer.
func ask(h http.Handler, method, path, body string) (code int, text string) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/csv")
	r.Header.Set("Accept", "text/csv")
	h.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func order(name, url string) string {
	b, _ := json.Marshal(map[string]string{"model_name": name, "url": url})
	return string(b)
}

func TestManyModels(t *testing.T) {
	m := many(t, algotest.Mean{}, 0)
	half, third, none := saved(t, 0.5), saved(t, 0.25), t.TempDir()
	for _, c := range []struct {
		name, method, path, body string
		code                     int
		want                     string
	}{
		{"there is no model at the start", "GET", "/models", "", 200, `{"models":[]}`},
		{"the server is well all the same", "GET", "/ping", "", 200, ""},
		{"what is not loaded cannot be asked", "POST", "/models/a/invoke", "1,2", 404, `Model "a" is not loaded`},
		{"nor told of", "GET", "/models/a", "", 404, `Model "a" is not loaded`},
		{"nor unloaded", "DELETE", "/models/a", "", 404, `Model "a" is not loaded`},
		{"a model is loaded", "POST", "/models", order("a", half), 200, ""},
		{"but once", "POST", "/models", order("a", half), 409, `Model "a" is loaded already`},
		{"a second", "POST", "/models", order("b/c d", third), 200, ""},
		{"they predict", "POST", "/models/a/invoke", "1,2", 200, "0.5"},
		{"each its own", "POST", "/models/b%2Fc%20d/invoke", "1,2", 200, "0.25"},
		{"as /invocations does", "POST", "/models/a/invoke", "1,x", 415, "Loading csv data failed with Exception, please ensure data is in csv format:\n line 1: column 2: \"x\" is not a number"},
		{"which is not there", "POST", "/invocations", "1,2", 404, "404 page not found"},
		{"one is told of", "GET", "/models/b%2Fc%20d", "", 200, fmt.Sprintf(`{"modelName":"b/c d","modelUrl":%q}`, third)},
		{"all are", "GET", "/models", "", 200, fmt.Sprintf(`{"models":[{"modelName":"a","modelUrl":%q},{"modelName":"b/c d","modelUrl":%q}]}`, half, third)},
		{"a folder without a model", "POST", "/models", order("c", none), 400, `Model "c" cannot be loaded: read model: open mean.json: no such file or directory`},
		{"no folder", "POST", "/models", order("c", none+"/x"), 400, `Model "c" cannot be read: lstat ` + none + `/x: no such file or directory`},
		{"a path that is none", "POST", "/models", order("c", "x"), 400, `url must be the absolute path of a folder, got "x"`},
		{"no name", "POST", "/models", order("", none), 400, "model_name must have 1 to 1024 characters"},
		{"no JSON", "POST", "/models", "x", 400, `The request is not {"model_name": ..., "url": ...}: invalid character 'x' looking for beginning of value`},
		{"a token that no page gave", "GET", "/models?next_page_token=%21", "", 400, `next_page_token is "!", which no page gave`},
		{"another verb", "PUT", "/models/a", "", 405, "method not allowed"},
		{"an invocation by GET", "GET", "/models/a/invoke", "", 405, "method not allowed"},
		{"a path below", "POST", "/models/a/invoke/x", "", 404, "404 page not found"},
		{"a path beside", "POST", "/modelsx", "", 404, "404 page not found"},
		{"one is unloaded", "DELETE", "/models/a", "", 200, ""},
		{"and gone", "POST", "/models/a/invoke", "1,2", 404, `Model "a" is not loaded`},
		{"but not for ever", "POST", "/models", order("a", third), 200, ""},
		{"and another", "POST", "/models/a/invoke", "1,2", 200, "0.25"},
	} {
		if code, text := ask(m, c.method, c.path, c.body); code != c.code || text != c.want {
			t.Errorf("%s: %d %q, want %d %q", c.name, code, text, c.code, c.want)
		}
	}
	if code, text := ask(m, "GET", "/execution-parameters", ""); code != 200 || !strings.Contains(text, `"MaxPayloadInMB": 6`) {
		t.Errorf("execution parameters: %d %q", code, text)
	}
}

func TestModelsComeInPages(t *testing.T) {
	m := many(t, algotest.Mean{}, 0)
	dir := saved(t, 1)
	var want []string
	for i := range 2*modelsOnPage + 1 {
		name := fmt.Sprintf("m%03d", i)
		if code, text := ask(m, "POST", "/models", order(name, dir)); code != 200 {
			t.Fatal(text)
		}
		want = append(want, name)
	}
	var got []string
	query := ""
	for pages := 1; ; pages++ {
		var page struct {
			Models        []map[string]string
			NextPageToken string
		}
		_, text := ask(m, "GET", "/models"+query, "")
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Models {
			got = append(got, d["modelName"])
		}
		if page.NextPageToken == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		// Those of a page that was read may go meanwhile.
		ask(m, "DELETE", "/models/"+page.Models[0]["modelName"], "")
		query = "?next_page_token=" + page.NextPageToken
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// gated is Mean whose Load waits to be let go.
type gated struct {
	algotest.Mean
	began, open chan struct{}
}

func (g gated) Load(artifacts fs.FS) (algo.Model, error) {
	g.began <- struct{}{}
	<-g.open
	return g.Mean.Load(artifacts)
}

func TestALoadKeepsNobodyWaiting(t *testing.T) {
	a := gated{began: make(chan struct{}), open: make(chan struct{}, 4)}
	m := many(t, a, 0)
	a.open <- struct{}{}
	go func() { <-a.began }()
	if code, text := ask(m, "POST", "/models", order("a", saved(t, 0.5))); code != 200 {
		t.Fatal(text)
	}
	for _, c := range []struct {
		name, dir string
		codes     []int
	}{{"good", saved(t, 1), []int{200, 409, 409}}, {"bad", t.TempDir(), []int{400, 400, 400}}} {
		var wait sync.WaitGroup
		codes := make([]int, 3)
		load := func(i int) {
			wait.Go(func() { codes[i], _ = ask(m, "POST", "/models", order(c.name, c.dir)) })
		}
		load(0)
		<-a.began
		load(1)
		load(2)
		if code, text := ask(m, "POST", "/models/a/invoke", "1,2"); code != 200 || text != "0.5" {
			t.Errorf("another model: %d %q", code, text)
		}
		for _, q := range [][2]string{{"POST", "/invoke"}, {"GET", ""}, {"DELETE", ""}} {
			if code, _ := ask(m, q[0], "/models/"+c.name+q[1], "1,2"); code != 404 {
				t.Errorf("%s %s of what is being loaded: %d", q[0], q[1], code)
			}
		}
		if _, text := ask(m, "GET", "/models", ""); strings.Contains(text, c.name) {
			t.Errorf("%s is told of before it is there: %s", c.name, text)
		}
		// One that comes late may find the failed model gone, and tries by itself.
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-a.began:
				case a.open <- struct{}{}:
				case <-stop:
					return
				}
			}
		}()
		wait.Wait()
		close(stop)
		for len(a.open) > 0 {
			<-a.open
		}
		slices.Sort(codes)
		if !slices.Equal(codes, c.codes) {
			t.Errorf("%s: %v", c.name, codes)
		}
	}
}

// sized is a model that says what it takes.
type sized struct {
	held
	bytes int64
}

func (s sized) MemoryBytes() int64 { return s.bytes }

// sizes loads a model of as many bytes as its file has, and holds its answers.
type sizes struct {
	algotest.Mean
	held
}

func (s sizes) Load(artifacts fs.FS) (algo.Model, error) {
	info, err := fs.Stat(artifacts, "model")
	if err != nil {
		return nil, err
	}
	return sized{s.held, info.Size()}, nil
}

func TestMemoryOfModels(t *testing.T) {
	const size = 1 << 20
	a := sizes{held: held{make(chan struct{}), make(chan struct{})}}
	m := many(t, a, 0)
	m.memory.room = 2*size + reading*size // two of them, and room to read a third
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "model"), make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	load := func(name string, want int) {
		t.Helper()
		if code, text := ask(m, "POST", "/models", order(name, dir)); code != want {
			t.Errorf("%s: %d %q, want %d", name, code, text, want)
		}
	}
	load("a", 200)
	load("b", 200)
	load("c", 507)
	load("c", 507) // nothing of it was left
	answered := make(chan int)
	go func() {
		code, _ := ask(m, "POST", "/models/a/invoke", "1")
		answered <- code
	}()
	<-a.held.began
	if code, _ := ask(m, "DELETE", "/models/a", ""); code != 200 {
		t.Errorf("unload: %d", code)
	}
	load("c", 507) // the first is in use still
	close(a.held.open)
	if code := <-answered; code != 200 {
		t.Errorf("an invocation that was under way: %d", code)
	}
	load("c", 200)
	for _, name := range []string{"b", "c"} {
		ask(m, "DELETE", "/models/"+name, "")
	}
	if taken, _ := m.memory.state(); taken != 0 {
		t.Errorf("%d bytes are taken by no model", taken)
	}
	if err := os.Remove(filepath.Join(dir, "model")); err != nil {
		t.Fatal(err)
	}
	load("d", 400)
	if taken, _ := m.memory.state(); taken != 0 {
		t.Errorf("%d bytes are taken by a model that was not loaded", taken)
	}
}

func TestTheFolderOfAModel(t *testing.T) {
	for _, c := range []struct{ root, url, want string }{
		{"/opt/ml", "/opt/ml/models/a/model", "/opt/ml/models/a/model"},
		{"/work/1", "/opt/ml/models/a/model/", "/work/1/models/a/model"},
		{"/work/1", "/opt/ml/../x", "/opt/x"},
		{"/work/1", "/data/a", "/data/a"},
	} {
		if got := (&models{root: c.root}).folder(c.url); got != c.want {
			t.Errorf("%s below %s: %s, want %s", c.url, c.root, got, c.want)
		}
	}
}

func TestTheDoorOfManyModels(t *testing.T) {
	m := many(t, algotest.Mean{}, 0)
	for name, mean := range map[string]float32{"a": 0.5, "b.c-d_E": 0.25} {
		if code, text := ask(m, "POST", "/models", order(name, saved(t, mean))); code != 200 {
			t.Fatal(text)
		}
	}
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	d, dial := openDoorOn(t, ln, &behind{many: m})
	c := dial()
	r := bufio.NewReader(c)
	to := func(path string) string {
		return strings.Replace(plain("1,2", "Content-Type", "text/csv", "Accept", "text/csv", "X-Amzn-SageMaker-Target-Model", "x/a.tar.gz"), "/invocations", path, 1)
	}
	for _, q := range []struct {
		path  string
		code  int
		want  string
		lanes int // whose connections the door still serves
	}{
		{"/models/a/invoke", 200, "0.5", 1},
		{"/models/b.c-d_E/invoke", 200, "0.25", 1},
		{"/models/c/invoke", 404, "Model \"c\" is not loaded\n", 0},
		{"/models/a/invoke", 200, "0.5", 0},
		{"/models/%61/invoke", 200, "0.5", 0},
		{"/invocations", 404, "404 page not found\n", 0},
	} {
		send(t, c, to(q.path))
		if resp, body := receive(t, r); resp.StatusCode != q.code || body != q.want || d.Serving() != q.lanes {
			t.Errorf("%s: %d %q, %d lanes", q.path, resp.StatusCode, body, d.Serving())
		}
	}
	if users := m.table["a"].handler.users.Load(); users != 1 {
		t.Errorf("%d users when nobody asks", users)
	}
}

func TestRunWithManyModels(t *testing.T) {
	ln := listen(t)
	ended := make(chan error, 1)
	// No limit of memory is set in the process of the tests.
	opts := env(map[string]string{"SAGEMAKER_MULTI_MODEL": "true", "GOMEMLIMIT": "off"})
	stopped := make(chan struct{})
	go func() {
		ended <- Run(t.Context(), algotest.Mean{}, t.TempDir(), ln, opts)
		close(stopped)
	}()
	t.Cleanup(func() {
		<-stopped
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	url := "http://" + ln.Addr().String()
	do := func(method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "text/csv")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	if code, _ := do("GET", "/ping", ""); code != 200 {
		t.Errorf("the first ping: %d", code)
	}
	if code, text := do("POST", "/models", order("a", saved(t, 0.5))); code != 200 {
		t.Fatalf("load: %d %s", code, text)
	}
	if code, text := do("POST", "/models/a/invoke", "1,2"); code != 200 || text != `{"predictions": [{"score": 0.5}]}` {
		t.Errorf("invoke: %d %s", code, text)
	}
	http.DefaultClient.CloseIdleConnections()
}

// answerer is how the door answers a plain request: what is measured.
func answerer(t testing.TB, b *behind, text string) func() {
	l := &lane{Lane: &door.Lane{}}
	request := []byte(text)
	return func() {
		hd, ok := plainHead(request)
		if !ok {
			t.Fatal("not plain")
		}
		h := b.take(hd.model)
		l.reply(h, hd, request[hd.size:], false)
		h.leave()
		if !strings.HasPrefix(string(l.out[:15]), "HTTP/1.1 200 OK") {
			t.Fatalf("%s", l.out)
		}
	}
}

// trees is a folder with a real model of XGBoost, the model, and a row for it.
func trees(t testing.TB) (dir string, m algo.Model, row string) {
	t.Helper()
	b, err := os.ReadFile("../xgboost/testdata/logistic.ubj")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, xgboost.FileName), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if m, err = xgboost.New().Load(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return dir, m, strings.Repeat("0.125,", m.(*xgboost.Model).NumFeatures()-1) + "-1.5\n"
}

func TestAnInvocationMakesNoGarbage(t *testing.T) {
	if raced {
		t.Skip("under the race detector pools lose what they keep")
	}
	dir, model, row := trees(t)
	one, err := newHandler(model, env(nil))
	if err != nil {
		t.Fatal(err)
	}
	m := many(t, xgboost.New(), 0)
	if code, text := ask(m, "POST", "/models", order("a", dir)); code != 200 {
		t.Fatal(text)
	}
	text := plain(row, "Content-Type", "text/csv", "Accept", "text/csv")
	for name, answer := range map[string]func(){
		"one model":   answerer(t, &behind{one: one}, text),
		"one of many": answerer(t, &behind{many: m}, strings.Replace(text, "/invocations", "/models/a/invoke", 1)),
	} {
		if n := testing.AllocsPerRun(200, answer); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkInvocation(b *testing.B) {
	_, model, row := trees(b)
	one, err := newHandler(model, env(nil))
	if err != nil {
		b.Fatal(err)
	}
	for _, rows := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("%d rows", rows), func(b *testing.B) {
			answer := answerer(b, &behind{one: one}, plain(strings.Repeat(row, rows), "Content-Type", "text/csv", "Accept", "text/csv"))
			b.ReportAllocs()
			for b.Loop() {
				answer()
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
