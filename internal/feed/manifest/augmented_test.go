// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
)

// show is what Augmented gives, as text.
func show(in string, names ...string) string {
	var b strings.Builder
	for line, err := range Augmented(strings.NewReader(in), names) {
		if err != nil {
			b.WriteString("error: " + err.Error() + "\n")
			continue
		}
		fmt.Fprintf(&b, "%d", line.Number)
		for _, v := range line.Values {
			if v.IsRef {
				fmt.Fprintf(&b, " %s=<%s>", v.Name, v.Ref)
			} else {
				fmt.Fprintf(&b, " %s=%s", v.Name, v.Text)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestAugmented(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		names          []string
	}{
		{"the order is that of the names", `{"class": 0, "source-ref": "s3://b/1.jpg"}`, "1 source-ref=<s3://b/1.jpg> class=0\n", []string{"source-ref", "class"}},
		{"values that are no strings are sent as they are written", `{"box": {"a": [1,  2.50]}, "t": true}`, "1 box={\"a\": [1,  2.50]} t=true\n", []string{"box", "t"}},
		{"strings are sent without quotes", `{"source": "a \"b\" é\n"}`, "1 source=a \"b\" é\n\n", []string{"source"}},
		{"others are passed over", `{"x": 1, "x-metadata": {}}`, "1 x=1\n", []string{"x"}},
		{"blank lines are passed over but counted", "\n{\"x\": 1}\r\n  \n{\"x\": 2}", "2 x=1\n4 x=2\n", []string{"x"}},
		{"an empty file has no lines", "", "", []string{"x"}},
		{"an attribute is missing", "{\"x\": 1}\n{\"y\": 1}\n{\"x\": 3}", "1 x=1\nerror: augmented manifest: line 2: there is no attribute \"x\"\n", []string{"x"}},
		{"an attribute is null", `{"x": null}`, "error: augmented manifest: line 1: there is no attribute \"x\"\n", []string{"x"}},
		{"a reference is no URI", `{"x-ref": "https://b/k"}`, "error: augmented manifest: line 1: attribute \"x-ref\" is not the S3 URI of an object: \"https://b/k\"\n", []string{"x-ref"}},
		{"a reference is a bucket", `{"x-ref": "s3://b"}`, "error: augmented manifest: line 1: attribute \"x-ref\" is not the S3 URI of an object: \"s3://b\"\n", []string{"x-ref"}},
		{"a reference is a number", `{"x-ref": 3}`, "error: augmented manifest: line 1: attribute \"x-ref\" is not the S3 URI of an object: 3\n", []string{"x-ref"}},
		{"a line is no object", "[1]", "error: augmented manifest: line 1: it is no JSON object: json: cannot unmarshal array into Go value of type map[string]json.RawMessage\n", []string{"x"}},
		{"a line is cut off", `{"x": 1`, "error: augmented manifest: line 1: it is no JSON object: unexpected end of JSON input\n", []string{"x"}},
		{"a line is two", `{"x": 1} {"x": 2}`, "error: augmented manifest: line 1: it is no JSON object: invalid character '{' after top-level value\n", []string{"x"}},
		{"a line has no end", `{"x": "` + strings.Repeat("a", MaxLine) + `"}`, "error: augmented manifest: line 1 is longer than 4194304 bytes\n", []string{"x"}},
		{"no names", `{"x": 1}`, "error: augmented manifest: no AttributeNames are given\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := show(c.in, c.names...); got != c.want {
				t.Errorf("%q\nwant\n%q", got, c.want)
			}
		})
	}
}

func TestAugmentedPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	for _, err := range Augmented(iotest.ErrReader(broken), []string{"x"}) {
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("error %v", err)
		}
	}
}

func FuzzAugmented(f *testing.F) {
	f.Add("{\"x\": 1, \"y-ref\": \"s3://b/k\"}\n\n{\"x\": \"a\"}", "x", "y-ref")
	f.Fuzz(func(t *testing.T, in, a, b string) {
		last := 0
		for line, err := range Augmented(strings.NewReader(in), []string{a, b}) {
			if err != nil {
				last = 1 << 62
				continue
			}
			if line.Number <= last || len(line.Values) != 2 || line.Values[0].Name != a || line.Values[1].Name != b {
				t.Fatalf("after line %d: %+v", last, line)
			}
			last = line.Number
			for _, v := range line.Values {
				if v.IsRef != strings.HasSuffix(v.Name, "-ref") || v.IsRef && (v.Ref.Bucket == "" || v.Ref.Key == "") {
					t.Fatalf("%+v", v)
				}
			}
		}
	})
}
