// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// example reads one of the scripts of testdata/inference.
func example(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/inference/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// open begins an invocation, of which the head has come.
func (s *served) open(t *testing.T, path, body string) *http.Response {
	t.Helper()
	resp, err := s.client.Post("http://m"+path, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// steps is a script of transform_fn whose parts wait for files of their own:
// what comes before a file is there was not kept back.
const steps = `
import asyncio, os, time
root = os.environ["SAGEBRUSH_ML_ROOT"]
def model_fn(d):
    return "M"
def there(name):
    return os.path.exists(os.path.join(root, name))
def steps():
    try:
        yield "first"
        while not there("go"):
            time.sleep(0.01)
        yield b""
        yield bytearray(b"second")
    finally:
        open(os.path.join(root, "closed"), "a").close()
async def slowly():
    yield "first"
    while not there("go"):
        await asyncio.sleep(0.01)
    yield b"second"
class Answers:
    def __iter__(self): return self
    def __next__(self): raise StopIteration
`

func TestPartsOfAnAnswerComeAtOnce(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"transform_fn is a generator", "def transform_fn(m, d, ct, accept):\n    yield from steps()\n"},
		{"transform_fn gives an async generator", "def transform_fn(m, d, ct, accept):\n    return slowly(), 'text/event-stream'\n"},
		{"predict_fn, and no output_fn", "def input_fn(d, ct):\n    return d\ndef predict_fn(d, m):\n    return steps()\n"},
		{"an output_fn that goes through the parts", "def input_fn(d, ct):\n    return d\ndef predict_fn(d, m):\n    return steps()\ndef output_fn(p, accept):\n    return (part for part in p)\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			box := newContainer(t, map[string]string{"model/code/inference.py": steps + c.script}).set("SAGEMAKER_MODEL_SERVER_WORKERS=1")
			s := box.serve(t)
			resp := s.open(t, "/invocations", "x")
			first := make([]byte, 100)
			n, err := resp.Body.Read(first)
			if err != nil || string(first[:n]) != "first" || resp.StatusCode != 200 || resp.ContentLength != -1 {
				t.Fatalf("%v, %q, status %d, length %d", err, first[:n], resp.StatusCode, resp.ContentLength)
			}
			if strings.Contains(c.script, "event-stream") && resp.Header.Get("Content-Type") != "text/event-stream" {
				t.Error(resp.Header)
			}
			box.write(t, "go", "")
			rest, err := io.ReadAll(resp.Body)
			if err != nil || string(rest) != "second" {
				t.Errorf("%v, %q", err, rest)
			}
		})
	}
}

// A stream is part of its request: the functions run one at a time, and a
// client that leaves lets the next one in.
func TestAStreamHoldsItsWorkerUntilItIsLeft(t *testing.T) {
	box := newContainer(t, map[string]string{"model/code/inference.py": steps +
		"def transform_fn(m, d, ct, accept):\n    return steps() if d == b'stream' else Answers() if d == b'none' else d\n"}).set("SAGEMAKER_MODEL_SERVER_WORKERS=1")
	s := box.serve(t)
	resp := s.open(t, "/invocations", "stream")
	if _, err := resp.Body.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	answer := make(chan reply, 1)
	go func() {
		r, err := s.try(strings.NewReader("next"), "Content-Type", "text/plain")
		if err != nil {
			t.Error(err)
		}
		answer <- r
	}()
	select {
	case r := <-answer:
		t.Errorf("a request was answered in between: %+v", r)
	default:
	}
	resp.Body.Close()
	box.write(t, "go", "") // the generator finds out when it has a part to send
	if r := <-answer; r.body != "next" {
		t.Errorf("%+v", r)
	}
	poll(t, "the generator is closed", func() bool { _, err := os.Stat(box.path("closed")); return err == nil })
	if r := s.invoke(t, strings.NewReader("none"), "Content-Type", "text/plain"); r.status != 200 || r.body != "" {
		t.Errorf("no parts: %+v", r)
	}
}

func TestAStreamThatBreaksIsCutOff(t *testing.T) {
	box := newContainer(t, map[string]string{"model/code/inference.py": example(t, "faults.py"), "other/inference.py": example(t, "stream.py")})
	s := box.set("SAGEMAKER_MODEL_SERVER_WORKERS=1").serve(t)
	got, err := io.ReadAll(s.open(t, "/invocations", "stream").Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != "one two " {
		t.Errorf("%v, %q", err, got)
	}
	poll(t, "the trace is logged", func() bool {
		return strings.Contains(s.log.String(), "an answer broke off: RuntimeError: the third is lost") && strings.Contains(s.log.String(), "Traceback")
	})
	// A client without chunks cannot be told in the middle; it gets nothing.
	if line := s.raw(t, "POST /invocations HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nstream"); line != "" {
		t.Errorf("an old client: %q", line)
	}
	if r := s.invoke(t, strings.NewReader("on"), "Content-Type", "text/plain"); r.body != "on" {
		t.Errorf("%+v", r)
	}
	s = box.set("SAGEMAKER_SUBMIT_DIRECTORY=/opt/ml/other").serve(t)
	if r := s.invoke(t, strings.NewReader("a b"), "Content-Type", "text/plain"); r.body != "A\nB\n" {
		t.Errorf("%+v", r)
	}
	// Before there is a part it is an error like any other.
	if r := s.invoke(t, strings.NewReader("break"), "Content-Type", "text/plain"); r.status != 500 || !strings.Contains(r.body, "no word follows") {
		t.Errorf("%+v", r)
	}
	if got, err := io.ReadAll(s.open(t, "/invocations", "a break").Body); err == nil || string(got) != "A\n" {
		t.Errorf("%v, %q", err, got)
	}
}
