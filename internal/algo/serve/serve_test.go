// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// env is a container's environment.
func env(values map[string]string) Options {
	return Options{Getenv: func(name string) string { return values[name] }}
}

// sums predicts the sum of each row, twice when wide.
type sums struct{ wide bool }

func (sums) Save(string) error { return nil }

func (s sums) Predict(_ context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	p := algo.Prediction{Width: 1}
	if s.wide {
		p.Width = 2
	}
	for i := range rows.Rows {
		from, to := i*rows.Cols, (i+1)*rows.Cols
		if rows.Sparse() {
			from, to = int(rows.Start[i]), int(rows.Start[i+1])
		}
		sum := float32(0)
		for _, v := range rows.Values[from:to] {
			sum += v
		}
		for range p.Width {
			p.Values = append(p.Values, sum)
		}
	}
	switch {
	case len(p.Values) > 0 && p.Values[0] == 666:
		panic("the beast")
	case len(p.Values) > 0 && p.Values[0] == 500:
		return p, errors.New("no memory")
	}
	return p, nil
}

func (sums) CheckRows(format string, rows *algo.Matrix) error {
	if rows.Cols > 3 {
		return algo.ClientErrorf("%d features in %s", rows.Cols, format)
	}
	return nil
}

// post is one request to a handler for m.
func post(t *testing.T, m algo.Model, opts Options, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := Handler(m, opts)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/invocations", strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestInvocations(t *testing.T) {
	const ct, accept = "Content-Type", "Accept"
	batch := map[string]string{"SAGEMAKER_BATCH": "true"}
	for _, c := range []struct {
		name   string
		env    map[string]string
		body   string
		header []string
		code   int
		want   string
		typ    string
	}{
		{"csv in, json out", nil, "1,2\n3,4.5\n", []string{ct, "text/csv"}, 200, `{"predictions": [{"score": 3.0}, {"score": 7.5}]}`, "application/json"},
		{"csv in, csv out", nil, "1,2\n3,4", []string{ct, "text/csv; charset=utf-8", accept, "text/csv"}, 200, "3.0,7.0", "text/csv"},
		{"csv with labels", nil, "9,1,2\n9,3,4\n", []string{ct, "text/csv; label_size=1", accept, "text/csv"}, 200, "3.0,7.0", "text/csv"},
		{"csv that says it has no labels", nil, "1,2\n3,4\n", []string{ct, "text/csv;label_size=0", accept, "text/csv"}, 200, "3.0,7.0", "text/csv"},
		{"csv of labels alone", nil, "1,2", []string{ct, "text/csv;label_size=2"}, 415, "Loading csv data failed with Exception, please ensure data is in csv format:\n rows have 2 columns; features behind 2 labels were expected, for label_size=2\n", "text/plain; charset=utf-8"},
		{"csv out under batch transform", batch, "1,2\n3,4", []string{ct, "text/csv", accept, "text/csv"}, 200, "3.0\n7.0\n", "text/csv"},
		{"json lines", nil, "{\"features\":[1,2]}\n{\"features\":[3,4]}\n", []string{ct, "application/jsonlines", accept, "application/jsonlines"}, 200, "{\"score\": 3.0}\n{\"score\": 7.0}\n", "application/jsonlines"},
		{"json", nil, `{"instances":[{"features":[1,2]}]}`, []string{ct, "application/json", accept, "text/csv"}, 200, "3.0", "text/csv"},
		{"libsvm", nil, "1 0:1 2:2\n", []string{ct, "text/x-libsvm", accept, "text/csv"}, 200, "3.0", "text/csv"},
		{"libsvm without a type", nil, "0:1 2:2\n", []string{accept, "text/csv"}, 200, "3.0", "text/csv"},
		{"csv without a type", nil, "1,2\n", []string{accept, "text/csv"}, 200, "3.0", "text/csv"},
		{"a list of types, the first that can be written", nil, "1,2", []string{ct, "text/csv", accept, "image/png, text/csv, application/json"}, 200, "3.0", "text/csv"},
		{"weights in a list", nil, "1,2", []string{ct, "text/csv", accept, "application/json;q=0.1, text/csv;q=0.9"}, 200, "3.0", "text/csv"},
		{"any type", nil, "1,2", []string{ct, "text/csv", accept, "*/*"}, 200, `{"predictions": [{"score": 3.0}]}`, "application/json"},
		{"any text", nil, "1,2", []string{ct, "text/csv", accept, "text/*"}, 200, "3.0", "text/csv"},
		{"any type, with a default of the environment", map[string]string{"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}, "1,2", []string{ct, "text/csv", accept, "*/*"}, 200, "3.0", "text/csv"},
		{"capital letters", nil, "1,2", []string{ct, "Text/CSV", accept, "TEXT/CSV"}, 200, "3.0", "text/csv"},
		{"an empty body", nil, "", []string{ct, "text/csv"}, 204, "", ""},
		{"text in the csv", nil, "1,x", []string{ct, "text/csv"}, 415, "Loading csv data failed with Exception, please ensure data is in csv format:\n line 1: column 2: \"x\" is not a number\n", "text/plain; charset=utf-8"},
		{"no rows", nil, " \n", []string{ct, "text/csv"}, 415, "Loading csv data failed with Exception, please ensure data is in csv format:\n the payload holds no rows\n", "text/plain; charset=utf-8"},
		{"a bare json list", nil, "[[1,2]]", []string{ct, "application/json"}, 415, "Loading json data failed with Exception, please ensure data is in json format:\n expected {\"instances\": [{\"features\": [...]}]}, got a bare list\n", "text/plain; charset=utf-8"},
		{"a type that is not known", nil, "x", []string{ct, "image/png"}, 415, "Content-type image/png is not supported. Supported content-types are text/csv, text/libsvm, text/x-libsvm, application/json, application/jsonlines and application/x-recordio-protobuf\n", "text/plain; charset=utf-8"},
		{"recordio", nil, "x", []string{ct, "application/x-recordio"}, 415, "Content-type application/x-recordio is not supported. Supported content-types are text/csv, text/libsvm, text/x-libsvm, application/json, application/jsonlines and application/x-recordio-protobuf\n", "text/plain; charset=utf-8"},
		{"an answer that cannot be written", nil, "1,2", []string{ct, "text/csv", accept, "image/png"}, 406, "Accept type image/png is not supported. Please use supported accept types: application/json, application/jsonlines, text/csv.\n", "text/plain; charset=utf-8"},
		{"rows that do not fit", nil, "1,2,3,4", []string{ct, "text/csv"}, 400, "Unable to evaluate payload provided: 4 features in csv\n", "text/plain; charset=utf-8"},
		{"a model that fails", nil, "500", []string{ct, "text/csv"}, 500, "no memory\n", "text/plain; charset=utf-8"},
		{"a model that panics", nil, "666", []string{ct, "text/csv"}, 500, "the model failed: the beast\n", "text/plain; charset=utf-8"},
		{"a body over the limit", map[string]string{"MAX_CONTENT_LENGTH": "3"}, "1,23", []string{ct, "text/csv"}, 413, "The payload is larger than the limit of 3 bytes\n", "text/plain; charset=utf-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := post(t, sums{}, env(c.env), c.body, c.header...)
			if w.Code != c.code || w.Body.String() != c.want || w.Header().Get(ct) != c.typ {
				t.Errorf("%d %s %q\nwant %d %s %q", w.Code, w.Header().Get(ct), w.Body, c.code, c.typ, c.want)
			}
		})
	}
}

func TestWideAnswers(t *testing.T) {
	for accept, want := range map[string]string{
		"text/csv":              "[3.0, 3.0],[7.0, 7.0]",
		"application/json":      `{"predictions": [{"score": [3.0, 3.0]}, {"score": [7.0, 7.0]}]}`,
		"application/jsonlines": "{\"score\": [3.0, 3.0]}\n{\"score\": [7.0, 7.0]}\n",
	} {
		w := post(t, sums{wide: true}, env(nil), "1,2\n3,4\n", "Content-Type", "text/csv", "Accept", accept)
		if w.Body.String() != want {
			t.Errorf("%s: %q, want %q", accept, w.Body, want)
		}
	}
}

// echo answers what it was sent, in the form of the request.
type echo struct{ sums }

func (echo) Accepts() []string { return []string{"application/json", "application/jsonlines"} }
func (echo) Respond(_ context.Context, dst []byte, how algo.Answer, _ string, body []byte) ([]byte, error) {
	return append(append(dst, how.Accept+" "...), body...), nil
}
func (echo) AnswerType(contentType string) string { return contentType }

func TestAMirrorPassesAcceptOver(t *testing.T) {
	for _, c := range []struct{ sent, accept string }{
		{"application/jsonlines", ""}, {"application/jsonlines", "application/json"}, {"application/json", "text/csv"}, {"application/json", "*/*"},
	} {
		w := post(t, echo{}, env(nil), "{}", "Content-Type", c.sent, "Accept", c.accept)
		if got := w.Body.String(); w.Code != 200 || got != c.sent+" {}" || w.Header().Get("Content-Type") != c.sent {
			t.Errorf("%v: %d %q as %s", c, w.Code, got, w.Header().Get("Content-Type"))
		}
	}
}

// records answers with a record for each row.
type records struct {
	firstparty.Layout
	sums
}

func TestRecordsKeepTheirMarks(t *testing.T) {
	m := records{Layout: firstparty.Layout{Of: "predictions", Fields: []firstparty.Field{{Name: "score", Width: 1}}}}
	row := func(uid, metadata string, v float32) (b []byte) {
		r := recordio.Record{UID: uid, Metadata: metadata, Configuration: "{}"}
		r.Features = recordio.Values{{Name: recordio.Vector, Value: recordio.Value{Kind: recordio.Float32, Float32: []float32{v}}}}
		b, err := recordio.AppendWhole(nil, r.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	body := slices.Concat(row("abc123", `{"created_at": "2017-06-03"}`, 1), row("", "", 2), row("7", "", 3))
	w := post(t, m, env(nil), string(body), "Content-Type", "application/x-recordio-protobuf", "Accept", "application/x-recordio-protobuf")
	reader := recordio.NewReader(w.Body, 0)
	for i, want := range []recordio.Record{{UID: "abc123", Metadata: `{"created_at": "2017-06-03"}`}, {}, {UID: "7"}} {
		b, err := reader.Next()
		if err != nil {
			t.Fatal(i, err)
		}
		var got recordio.Record
		if err := got.Decode(b); err != nil {
			t.Fatal(err)
		}
		if got.UID != want.UID || got.Metadata != want.Metadata || got.Configuration != "" || got.Label.Get("score").Float32[0] != float32(i+1) {
			t.Errorf("record %d: %+v", i, got)
		}
	}
	if _, err := reader.Next(); !errors.Is(err, io.EOF) {
		t.Error("a record too many:", err)
	}
}

func TestOtherDoors(t *testing.T) {
	h, err := Handler(sums{}, env(map[string]string{"MAX_CONTENT_LENGTH": "20971520"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/ping", 200, ""},
		{"POST", "/ping", 405, "method not allowed"},
		{"GET", "/invocations", 405, "method not allowed"},
		{"GET", "/execution-parameters", 200, `"BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 20}`},
		{"GET", "/", 404, "404 page not found"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) || c.want == "" && w.Body.Len() > 0 {
			t.Errorf("%s %s: %d %q", c.method, c.path, w.Code, w.Body)
		}
	}
}

func TestHandlerRefusesABrokenEnvironment(t *testing.T) {
	for name, value := range map[string]string{"MAX_CONTENT_LENGTH": "6MB", "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "image/png"} {
		if _, err := Handler(sums{}, env(map[string]string{name: value})); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestATransformJobSaysHowLargeBodiesMayBe(t *testing.T) {
	const default6 = 6 << 20
	for _, c := range []struct {
		env  map[string]string
		size int
	}{
		{map[string]string{}, default6}, {map[string]string{"SAGEMAKER_MAX_PAYLOAD_IN_MB": "7"}, 7 << 20}, {map[string]string{"SAGEMAKER_MAX_PAYLOAD_IN_MB": "2"}, default6},
		{map[string]string{"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}, default6}, {map[string]string{"SAGEMAKER_MAX_PAYLOAD_IN_MB": "7", "MAX_CONTENT_LENGTH": "1000"}, 1000},
	} {
		for size, code := range map[int]int{c.size: 415, c.size + 1: 413} { // one row of text, so that it is not read for long
			if w := post(t, sums{}, env(c.env), strings.Repeat("x", size), "Content-Type", "text/csv"); w.Code != code {
				t.Errorf("%v: %d bytes are answered %d, want %d", c.env, size, w.Code, code)
			}
		}
	}
}

func TestChunkedBody(t *testing.T) {
	h, err := Handler(sums{}, env(map[string]string{"MAX_CONTENT_LENGTH": "5"}))
	if err != nil {
		t.Fatal(err)
	}
	for body, code := range map[string]int{"1,2,3": 200, "1,2,34": 413, "": 204} {
		r := httptest.NewRequest(http.MethodPost, "/invocations", io.MultiReader(strings.NewReader(body)))
		r.ContentLength = -1
		r.Header.Set("Content-Type", "text/csv")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != code {
			t.Errorf("%q: %d, want %d", body, w.Code, code)
		}
	}
}

// slow is Mean whose Load waits.
type slow struct {
	algotest.Mean
	open chan struct{}
}

func (s slow) Load(artifacts fs.FS) (algo.Model, error) {
	<-s.open
	return s.Mean.Load(artifacts)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestRun(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "model"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := (&algotest.MeanModel{Mean: 0.5, Cols: 2}).Save(filepath.Join(root, "model")); err != nil {
		t.Fatal(err)
	}
	ln := listen(t)
	url := "http://" + ln.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := slow{open: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, a, root, ln, env(nil)) }()

	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ping := func() int {
		resp, err := client.Get(url + "/ping")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	if code := ping(); code != http.StatusServiceUnavailable {
		t.Errorf("ping is %d before the model is loaded", code)
	}
	close(a.open)
	for deadline := time.Now().Add(10 * time.Second); ping() != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("ping never turned 200")
		}
	}
	resp, err := client.Post(url+"/invocations", "text/csv", strings.NewReader("1,2\n3,4\n"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != `{"predictions": [{"score": 0.5}, {"score": 0.5}]}` {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunFailsWhenTheModelCannotBeLoaded(t *testing.T) {
	var log bytes.Buffer
	opts := env(nil)
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	ln := listen(t)
	err := Run(t.Context(), algotest.Mean{}, t.TempDir(), ln, opts)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "unable to load model: ") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(log.String(), "Unable to load model") {
		t.Errorf("log %q", &log)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
}

// null is a ResponseWriter that keeps nothing.
type null struct{ header http.Header }

func (n null) Header() http.Header         { return n.header }
func (n null) Write(b []byte) (int, error) { return len(b), nil }
func (n null) WriteHeader(int)             {}

// constant is a model of no cost.
type constant struct{ p algo.Prediction }

func (constant) Save(string) error { return nil }
func (c constant) Predict(context.Context, *algo.Matrix) (algo.Prediction, error) {
	return c.p, nil
}

func BenchmarkHandler(b *testing.B) {
	h, err := Handler(constant{algo.Prediction{Values: []float32{0.99817282}, Width: 1}}, env(nil))
	if err != nil {
		b.Fatal(err)
	}
	row := strings.Repeat("17.990,", 29) + "0.1189\n"
	instance := `{"instances":[{"features":[` + strings.Repeat("17.990,", 29) + `0.1189]}]}`
	for _, c := range []struct{ name, typ, body string }{{"csv", "text/csv", row}, {"json", "application/json", instance}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			body := strings.NewReader(c.body)
			r := httptest.NewRequest(http.MethodPost, "/invocations", nil)
			r.Body, r.ContentLength = io.NopCloser(body), int64(len(c.body))
			r.Header.Set("Content-Type", c.typ)
			r.Header.Set("Accept", "text/csv")
			w := null{http.Header{}}
			for b.Loop() {
				body.Reset(c.body)
				h.ServeHTTP(w, r)
			}
		})
	}
}
