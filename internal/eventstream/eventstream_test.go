// SPDX-License-Identifier: Apache-2.0

package eventstream

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// writes keeps each Write apart.
type writes [][]byte

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, bytes.Clone(p))
	return len(p), nil
}

// The messages are of botocore's own tests (tests/unit/test_eventstream.py).
func TestKnownMessages(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		m         Message
		other     bool // has a header that is no string, which is left out
	}{
		{"nothing", "000000100000000005c248eb7d98c8ff", Message{}, false},
		{"a payload", "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936", Message{Payload: []byte("{'foo':'bar'}")}, false},
		{"a header", "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d8d9c08b1",
			Message{[]Header{{"content-type", "application/json"}}, []byte("{'foo':'bar'}")}, false},
		{"a number as a header", "0000002b0000000e348bec7b086576656e742d6964040000a00c7b27666f6f273a27626172277dd3890285", Message{Payload: []byte("{'foo':'bar'}")}, true},
	} {
		want, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.m.Append([]byte("x")); !c.other && (err != nil || string(got) != "x"+string(want)) {
			t.Errorf("%s is written as %x, %v", c.name, got, err)
		}
		got, err := NewReader(iotest.OneByteReader(bytes.NewReader(want))).Next()
		if err != nil || !slices.Equal(got.Headers, c.m.Headers) || !bytes.Equal(got.Payload, c.m.Payload) {
			t.Errorf("%s is read as %+v, %v", c.name, got, err)
		}
	}
}

func TestEveryMessageIsOneWrite(t *testing.T) {
	var out writes
	w := NewWriter(&out)
	for _, e := range []struct{ typ, payload string }{{"PayloadPart", "one"}, {"PayloadPart", ""}, {"Other", "two"}, {"PayloadPart", "three"}} {
		if err := w.Event(e.typ, []byte(e.payload)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Exception("ModelStreamError", []byte(`{"ErrorCode":"StreamBroken"}`)); err != nil {
		t.Fatal(err)
	}
	if err := w.Event("ModelStreamError", []byte("an event of that name")); err != nil {
		t.Fatal(err)
	}
	if len(out) != 6 {
		t.Fatalf("%d writes", len(out))
	}
	for i, want := range []string{"event PayloadPart one", "event PayloadPart ", "event Other two", "event PayloadPart three",
		`exception ModelStreamError {"ErrorCode":"StreamBroken"}`, "event ModelStreamError an event of that name"} {
		m, err := NewReader(bytes.NewReader(out[i])).Next()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join([]string{m.Get(":message-type"), cmp.Or(m.Get(":event-type"), m.Get(":exception-type")), string(m.Payload)}, " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestEventsMakeNoGarbage(t *testing.T) {
	w := NewWriter(io.Discard)
	part := make([]byte, 4<<10)
	if n := testing.AllocsPerRun(100, func() {
		if err := w.Event("PayloadPart", part); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for an event", n)
	}
}

func TestWhatCannotBeFramed(t *testing.T) {
	var out writes
	w := NewWriter(&out)
	many := Message{Headers: slices.Repeat([]Header{{"a", strings.Repeat("a", 60_000)}}, 3)}
	_, headers := many.Append(nil)
	_, unnamed := (&Message{Headers: []Header{{"", "a"}}}).Append(nil)
	for name, err := range map[string]error{
		"a payload above the bound": w.Event("PayloadPart", make([]byte, MaxPayload+1)),
		"a type above the bound":    w.Event(strings.Repeat("a", 65536), nil),
		"headers above the bound":   headers,
		"a header without a name":   unnamed,
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if err := w.Event("PayloadPart", []byte("later")); err != nil || len(out) != 1 {
		t.Errorf("%v: %d writes", err, len(out))
	}
}

func TestStreamsThatAreBroken(t *testing.T) {
	whole, err := (&Message{[]Header{{":event-type", "PayloadPart"}}, []byte("text")}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		_, err := NewReader(bytes.NewReader(whole[:i])).Next()
		if want := [...]error{io.EOF, io.ErrUnexpectedEOF}[min(i, 1)]; err != want {
			t.Errorf("cut at %d: %v", i, err)
		}
		flipped := bytes.Clone(whole)
		flipped[i] ^= 4
		if _, err := NewReader(bytes.NewReader(flipped)).Next(); !errors.Is(err, ErrMalformed) {
			t.Errorf("flipped at %d: %v", i, err)
		}
	}
	// Good checksums do not make good headers or lengths.
	for name, headers := range map[string]string{
		"a name that is cut": "\x05a", "no type": "\x01a", "a type that is not known": "\x01a\x0a", "no name": "\x00\x00",
		"a value that is cut": "\x01a\x07\x00\x02b", "a length that is cut": "\x01a\x06\x00", "a number that is cut": "\x01a\x04\x00",
	} {
		b, err := seal(append(make([]byte, preludeSize), headers...), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewReader(bytes.NewReader(b)).Next(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(":event-type", "PayloadPart", "", "", []byte("text"))
	f.Fuzz(func(t *testing.T, name, value, name2, value2 string, payload []byte) {
		in := Message{Payload: payload}
		for _, h := range []Header{{name, value}, {name2, value2}} {
			if h.Name != "" {
				in.Headers = append(in.Headers, h)
			}
		}
		b, err := in.Append(nil)
		if err != nil {
			return // it is above the bounds
		}
		r := NewReader(bytes.NewReader(slices.Concat(b, b)))
		for range 2 {
			if out, err := r.Next(); err != nil || !slices.Equal(out.Headers, in.Headers) || !bytes.Equal(out.Payload, in.Payload) {
				t.Errorf("%+v came back as %+v, %v", in, out, err)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, m := range []Message{{}, {[]Header{{"a", "b"}, {"c", ""}}, []byte("text")}} {
		b, err := m.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
		// As it is no checksum keeps anything from the parser of headers.
		_, _ = parseHeaders(nil, b)
	})
}

// python is an interpreter that has botocore: that of SAGEBRUSH_TEST_PYTHON, or
// python3. A test that needs one is skipped where there is none.
func python(t *testing.T) string {
	t.Helper()
	name := cmp.Or(os.Getenv("SAGEBRUSH_TEST_PYTHON"), "python3")
	if out, err := exec.Command(name, "-c", "import botocore").CombinedOutput(); err != nil {
		if os.Getenv("SAGEBRUSH_TEST_PYTHON") != "" {
			t.Fatalf("SAGEBRUSH_TEST_PYTHON=%s has no botocore: %v\n%s", name, err, out)
		}
		t.Skipf("%s has no botocore (%v); set SAGEBRUSH_TEST_PYTHON to one that has", name, err)
	}
	return name
}

// clientScript reads a stream as the client of sagemaker-runtime does.
const clientScript = `
import base64, json, sys
import botocore.session
from botocore.eventstream import EventStream
from botocore.exceptions import EventStreamError
from botocore.parsers import EventStreamJSONParser

class Raw:
    def stream(self):
        while chunk := sys.stdin.buffer.read(7):
            yield chunk

model = botocore.session.get_session().get_service_model("sagemaker-runtime")
shape = model.operation_model("InvokeEndpointWithResponseStream").output_shape.members["Body"]
seen = []
try:
    for event in EventStream(Raw(), shape, EventStreamJSONParser(), "InvokeEndpointWithResponseStream"):
        seen.append(base64.b64encode(event["PayloadPart"]["Bytes"]).decode())
except EventStreamError as e:
    seen.append(e.response["Error"]["Code"] + ": " + e.response["Error"]["Message"])
json.dump(seen, sys.stdout)
`

func TestBotocoreReadsWhatIsWritten(t *testing.T) {
	var stream bytes.Buffer
	w := NewWriter(&stream)
	big := make([]byte, 300_000)
	for i := range big {
		big[i] = byte(i * i)
	}
	var want []string
	for _, part := range [][]byte{[]byte("one\n"), {}, big, {0, 255}} {
		if err := w.Event("PayloadPart", part); err != nil {
			t.Fatal(err)
		}
		want = append(want, base64.StdEncoding.EncodeToString(part))
	}
	if err := w.Exception("ModelStreamError", []byte(`{"Message":"the model went away","ErrorCode":"StreamBroken"}`)); err != nil {
		t.Fatal(err)
	}
	want = append(want, "ModelStreamError: the model went away")
	cmd := exec.Command(python(t), "-c", clientScript)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = &stream, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var got []string
	if err := json.Unmarshal(out, &got); err != nil || !slices.Equal(got, want) {
		t.Errorf("botocore read %.200q, %v", got, err)
	}
}
