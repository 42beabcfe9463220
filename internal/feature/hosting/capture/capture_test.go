// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(change func(*sm.DataCaptureConfig)) *sm.DataCaptureConfig {
	c := &sm.DataCaptureConfig{InitialSamplingPercentage: new(int64(100)), DestinationS3Uri: "s3://b/data-capture/",
		CaptureOptions:           []sm.CaptureOption{{CaptureMode: "Input"}, {CaptureMode: "Output"}},
		CaptureContentTypeHeader: &sm.CaptureContentTypeHeader{CsvContentTypes: []string{"text/csv"}, JsonContentTypes: []string{"application/json"}}}
	if change != nil {
		change(c)
	}
	return c
}

func variant(t *testing.T, change func(*sm.DataCaptureConfig)) *Variant {
	t.Helper()
	v, err := NewVariant("e", "A", config(change))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLines(t *testing.T) {
	at := time.Date(2022, 2, 14, 18, 25, 49, 500, time.FixedZone("", 3600))
	rec := Record{EventID: "id", Time: at, InputType: "text/csv", Input: []byte("1,2,3\n"), OutputType: "text/csv; charset=utf-8", Output: []byte("0.25")}
	const meta = `,"eventMetadata":{"eventId":"id","inferenceTime":"2022-02-14T17:25:49Z"},"eventVersion":"0"}`
	const in = `"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"1,2,3\n","encoding":"CSV"}`
	const out = `"endpointOutput":{"observedContentType":"text/csv; charset=utf-8","mode":"OUTPUT","data":"0.25","encoding":"CSV"}`
	for _, c := range []struct {
		name   string
		config func(*sm.DataCaptureConfig)
		r      func(*Record)
		want   string
	}{
		{"both sides", nil, nil, `{"captureData":{` + in + "," + out + "}" + meta},
		{"both at once", func(c *sm.DataCaptureConfig) { c.CaptureOptions = []sm.CaptureOption{{CaptureMode: "InputAndOutput"}} }, nil, `{"captureData":{` + in + "," + out + "}" + meta},
		{"input alone", func(c *sm.DataCaptureConfig) { c.CaptureOptions = c.CaptureOptions[:1] }, nil, `{"captureData":{` + in + "}" + meta},
		{"output alone", func(c *sm.DataCaptureConfig) { c.CaptureOptions = c.CaptureOptions[1:] }, nil, `{"captureData":{` + out + "}" + meta},
		{"what the caller said", func(c *sm.DataCaptureConfig) { c.CaptureOptions = c.CaptureOptions[1:] },
			func(r *Record) { r.InferenceID, r.CustomAttributes = "mine", "a=b" },
			`{"captureData":{` + out + `},"eventMetadata":{"eventId":"id","inferenceId":"mine","customAttributes":["a=b"],"inferenceTime":"2022-02-14T17:25:49Z"},"eventVersion":"0"}`},
		{"JSON, as it was sent", func(c *sm.DataCaptureConfig) { c.CaptureOptions = c.CaptureOptions[:1] },
			func(r *Record) { r.InputType, r.Input = "Application/JSON", []byte(`{"text": "<ü>"}`) },
			`{"captureData":{"endpointInput":{"observedContentType":"Application/JSON","mode":"INPUT","data":"{\"text\": \"<ü>\"}","encoding":"JSON"}}` + meta},
		{"a type that is not listed", func(c *sm.DataCaptureConfig) { c.CaptureOptions = c.CaptureOptions[:1] },
			func(r *Record) { r.InputType, r.Input = "application/x-npy", []byte{0, 255} },
			`{"captureData":{"endpointInput":{"observedContentType":"application/x-npy","mode":"INPUT","data":"AP8=","encoding":"BASE64"}}` + meta},
		{"text that is none", func(c *sm.DataCaptureConfig) { c.CaptureOptions = c.CaptureOptions[:1] },
			func(r *Record) { r.Input = []byte{0, 255} },
			`{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"AP8=","encoding":"BASE64"}}` + meta},
		{"no list of types", func(c *sm.DataCaptureConfig) {
			c.CaptureOptions, c.CaptureContentTypeHeader = c.CaptureOptions[:1], nil
		}, nil,
			`{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"MSwyLDMK","encoding":"BASE64"}}` + meta},
		{"no body", func(c *sm.DataCaptureConfig) { c.CaptureOptions = c.CaptureOptions[:1] }, func(r *Record) { r.Input = nil },
			`{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"","encoding":"CSV"}}` + meta},
	} {
		r := rec
		if c.r != nil {
			c.r(&r)
		}
		var b bytes.Buffer
		if err := variant(t, c.config).appendLine(&b, &r); err != nil || b.String() != c.want+"\n" {
			t.Errorf("%s: %v\n%swant\n%s", c.name, err, &b, c.want)
		}
	}
}

func TestWhatIsCaptured(t *testing.T) {
	for name, change := range map[string]func(*sm.DataCaptureConfig){
		"capture is off":   func(c *sm.DataCaptureConfig) { c.EnableCapture = new(false) },
		"none is sampled":  func(c *sm.DataCaptureConfig) { c.InitialSamplingPercentage = new(int64(0)) },
		"no side is named": func(c *sm.DataCaptureConfig) { c.CaptureOptions = nil },
	} {
		if v := variant(t, change); v != nil || v.Wants() || v.Input() || v.Output() {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v, err := NewVariant("e", "A", nil); v != nil || err != nil {
		t.Errorf("no config: %+v, %v", v, err)
	}
	if _, err := NewVariant("e", "A", config(func(c *sm.DataCaptureConfig) { c.DestinationS3Uri = "https://b/k" })); err == nil || !strings.Contains(err.Error(), "DestinationS3Uri") {
		t.Errorf("%v", err)
	}
	v := variant(t, func(c *sm.DataCaptureConfig) { c.InitialSamplingPercentage = new(int64(20)) })
	n := 0
	for range 10_000 {
		if v.Wants() {
			n++
		}
	}
	if n < 1700 || n > 2300 { // seven standard deviations
		t.Errorf("%d of 10000 at 20 %%", n)
	}
	if v := variant(t, nil); !v.Wants() || !v.Input() || !v.Output() {
		t.Errorf("%+v", v)
	}
	New(Options{Objects: mem.New()}).Offer(nil, Record{}) // captures nothing
}

// broken is a store whose Put fails while err is set, and waits for gate.
type broken struct {
	*mem.Store
	mu   sync.Mutex
	err  error
	puts []string
}

func (b *broken) Put(ctx context.Context, u object.URI, r io.Reader) (object.Info, error) {
	b.mu.Lock()
	b.puts = append(b.puts, u.Key)
	err := b.err
	b.mu.Unlock()
	if err != nil {
		return object.Info{}, err
	}
	return b.Store.Put(ctx, u, r)
}

func (b *broken) set(err error) {
	b.mu.Lock()
	b.err = err
	b.mu.Unlock()
}

// start runs a writer within a bubble; stop ends it as the server does.
func start(t *testing.T, o Options) (w *Writer, stop func()) {
	t.Helper()
	o.Log = cmpLog(o.Log)
	w = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	return w, func() {
		t.Helper()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		if w.held != 0 || len(w.files)+len(w.full)+len(w.queue) > 0 {
			t.Errorf("%d bytes, %d files are still held", w.held, len(w.files)+len(w.full))
		}
	}
}

func cmpLog(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// files are the keys and the inputs in each.
func filesOf(t *testing.T, s object.Store) (keys []string, inputs [][]string) {
	t.Helper()
	err := object.All(t.Context(), s, object.URI{Bucket: "b"}, func(i object.Info) error {
		r, err := s.Open(t.Context(), i.URI, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		var in []string
		for d := json.NewDecoder(r); ; {
			var l line
			if err := d.Decode(&l); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			if l.EventMetadata.EventID == "" {
				t.Errorf("%s: a line without an ID", i.URI)
			}
			in = append(in, l.CaptureData.EndpointInput.Data)
		}
		keys, inputs = append(keys, i.URI.Key), append(inputs, in)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys, inputs
}

func csv(text string) Record { return Record{InputType: "text/csv", Input: []byte(text)} }

func TestAFileIsWrittenAfterSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.New("b")
		w, stop := start(t, Options{Objects: store})
		time.Sleep(time.Hour + 2*time.Minute + 3*time.Second + 45*time.Millisecond) // from midnight, 2000-01-01
		v := variant(t, nil)
		w.Offer(v, csv("1"))
		time.Sleep(fileAge - time.Millisecond)
		w.Offer(variant(t, nil), csv("2")) // the same variant after its route was made again
		synctest.Wait()
		if keys, _ := filesOf(t, store); len(keys) != 0 {
			t.Errorf("written already: %v", keys)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		keys, inputs := filesOf(t, store)
		if len(keys) != 1 || !regexp.MustCompile(`^data-capture/e/A/2000/01/01/01/02-03-045-[0-9a-f-]{36}\.jsonl$`).MatchString(keys[0]) || !slices.Equal(inputs[0], []string{"1", "2"}) {
			t.Errorf("%v %v", keys, inputs)
		}
		w.Offer(v, csv("3"))
		stop() // what was taken is written at once
		if keys, inputs := filesOf(t, store); len(keys) != 2 || !slices.Equal(inputs[1], []string{"3"}) {
			t.Errorf("%v %v", keys, inputs)
		}
		if w.Offer(v, csv("4")); w.Dropped() != 1 {
			t.Errorf("%d left out after the end", w.Dropped())
		}
	})
}

func TestEachHourAndVariantHasItsFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.New("b")
		w, stop := start(t, Options{Objects: store})
		other, err := NewVariant("e", "B", config(func(c *sm.DataCaptureConfig) { c.DestinationS3Uri = "s3://b" }))
		if err != nil {
			t.Fatal(err)
		}
		late := csv("late")
		late.Time = time.Date(2000, 1, 1, 0, 59, 59, 999_000_000, time.UTC)
		early := csv("early")
		early.Time = late.Time.Add(time.Millisecond)
		w.Offer(variant(t, nil), late)
		w.Offer(variant(t, nil), early)
		w.Offer(other, csv("other"))
		stop()
		keys, inputs := filesOf(t, store)
		for i, want := range []string{"data-capture/e/A/2000/01/01/00/59-59-999- late", "data-capture/e/A/2000/01/01/01/00-00-000- early", "e/B/2000/01/01/00/00-00-000- other"} {
			key, input, _ := strings.Cut(want, " ")
			if len(keys) != 3 || !strings.HasPrefix(keys[i], key) || !slices.Equal(inputs[i], []string{input}) {
				t.Errorf("%d: %v %v", i, keys, inputs)
			}
		}
	})
}

func TestALargeFileIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.New("b")
		w, stop := start(t, Options{Objects: store})
		text := strings.Repeat("1,", 500_000)
		for range 20 {
			w.Offer(variant(t, nil), csv(text))
		}
		synctest.Wait()
		keys, inputs := filesOf(t, store)
		if len(keys) != 2 || len(inputs[0]) != 9 || len(inputs[1]) != 9 { // the ninth makes it 8 MiB
			t.Errorf("%d files at once", len(keys))
		}
		stop()
	})
}

func TestTooMuchIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := &broken{Store: mem.New("b"), err: errors.New("disk is full")}
		w, stop := start(t, Options{Objects: store, HoldBytes: 100_000, Log: slog.New(slog.NewTextHandler(&log, nil))})
		v, text := variant(t, nil), strings.Repeat("1", 10_000)
		for range 20 {
			w.Offer(v, csv(text))
			synctest.Wait() // it is within a file, which counts too
		}
		if n := w.Dropped(); n < 10 || n > 12 {
			t.Errorf("%d of 20 left out", n)
		}
		dropped := w.Dropped()
		time.Sleep(time.Minute)
		store.set(nil)
		time.Sleep(retry)
		w.Offer(v, csv("again"))
		stop()
		keys, inputs := filesOf(t, store)
		if len(keys) != 2 || len(inputs[0]) != 20-int(dropped) || inputs[1][0] != "again" || w.Dropped() != dropped {
			t.Errorf("%v, %d left out", keys, w.Dropped())
		}
		slices.Sort(store.puts)
		if names := slices.Compact(store.puts); len(names) != 2 {
			t.Errorf("a file that is tried again has other names: %v", names)
		}
		if text := log.String(); !strings.Contains(text, "captured data left out") || !strings.Contains(text, "disk is full") {
			t.Errorf("the log says\n%s", text)
		}
	})
}

func TestAFileThatCannotBeWrittenIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w, stop := start(t, Options{Objects: mem.New(), Log: slog.New(slog.NewTextHandler(&log, nil))})
		w.Offer(variant(t, nil), csv("1"))
		w.Offer(variant(t, nil), csv("2"))
		time.Sleep(patience + time.Minute)
		synctest.Wait()
		if w.Dropped() != 2 || w.held != 0 {
			t.Errorf("%d lost, %d bytes held", w.Dropped(), w.held)
		}
		w.Offer(variant(t, nil), csv("3"))
		stop()
		if w.Dropped() != 3 || strings.Count(log.String(), "captured data lost") != 2 {
			t.Errorf("%d lost\n%s", w.Dropped(), &log)
		}
	})
}

// slow is a store that takes its time.
type slow struct{ *mem.Store }

func (s slow) Put(ctx context.Context, u object.URI, r io.Reader) (object.Info, error) {
	time.Sleep(time.Minute)
	return s.Store.Put(ctx, u, r)
}

func TestASlowStoreSlowsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stop := start(t, Options{Objects: slow{mem.New("b")}, HoldBytes: 50_000})
		before := time.Now()
		w.Offer(variant(t, nil), csv("1"))
		time.Sleep(fileAge + time.Second) // it is being written
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 100 {
					w.Offer(variant(t, nil), csv("2"))
				}
			})
		}
		all.Wait()
		if took := time.Since(before); took != fileAge+time.Second {
			t.Errorf("offers took %v", took-fileAge-time.Second)
		}
		if w.Dropped() == 0 {
			t.Error("nothing was left out")
		}
		time.Sleep(3 * time.Minute)
		stop()
	})
}
