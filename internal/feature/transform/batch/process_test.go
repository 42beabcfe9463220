// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func path(t testing.TB, text string) *Path {
	t.Helper()
	p, err := ParsePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPathOnJSON(t *testing.T) {
	const doc = ` {"id": 7, "a": [10, 20, 30, 40, 50], "o": {"x": {"y": "z\"]}"}, "odd name": null}, "l": [{"v": 1}, {"v": 2}, {}], "n": 1.50, "n": 2.50} `
	for _, c := range []struct{ path, want string }{
		{"", strings.TrimSpace(doc)},
		{"$", strings.TrimSpace(doc)},
		{"$.id", "7"},
		{"$['id']", "7"},
		{`$["id"]`, "7"},
		{"$.n", "2.50"}, // of equal names the last; numbers stay as they are written
		{"$.a[0]", "10"},
		{"$.a[-1]", "50"},
		{"$.a[1:4]", "[20,30,40]"}, // the second to the fourth
		{"$.a[:2]", "[10,20]"},
		{"$.a[-2:]", "[40,50]"},
		{"$.a[3:1]", "[]"},
		{"$.a[:]", "[10,20,30,40,50]"},
		{"$.a[ 0 , -1 ]", "[10,50]"},
		{"$.a[0,9]", "[10]"},
		{"$.a[*]", "[10,20,30,40,50]"},
		{"$.a.*", "[10,20,30,40,50]"},
		{"$.o.x.y", `"z\"]}"`},
		{"$.o['odd name']", "null"},
		{"$['id','n','none']", `{"id":7,"n":2.50}`},
		{"$.o.['x']", `{"y": "z\"]}"}`},
		{"$.l[*].v", "[1,2]"},
		{"$.o.*", `[{"y": "z\"]}"},null]`},
	} {
		got, err := path(t, c.path).apply([]byte(doc))
		if err != nil || string(got) != c.want || !json.Valid(got) {
			t.Errorf("%s: %s, %v; want %s", c.path, got, err, c.want)
		}
	}
	for _, p := range []string{"$.none", "$.a[5]", "$.a[-6]", "$.id[0]", "$.a.x", "$.id.*", "$.l.v"} {
		if got, err := path(t, p).apply([]byte(doc)); !errors.Is(err, errPath) {
			t.Errorf("%s: %s, %v", p, got, err)
		}
	}
}

func TestPathRefuses(t *testing.T) {
	for _, p := range []string{"id", "$id", "$.", "$..id", "$[", "$[]", "$[1", "$['a", "$['a'", "$[a]", "$[1:2:3]", "$[0,]", "$['a',]", "$.a b",
		"$[?(@.x)]", "$['a','b'].c", "$[99999999999]", "$.length()", "$[1]]", "$['a',1]", "$[-]"} {
		if got, err := ParsePath(p); err == nil {
			t.Errorf("%s is read as %+v", p, got.steps)
		}
	}
	for p, ok := range map[string]bool{"$": true, "$[0]": true, "$[1:]": true, "$[*]": true, "$.*": true, "$[0,-1]": true, "$.a": false, "$['a']": false, "$[0][1]": false} {
		if err := path(t, p).Columns(); (err == nil) != ok {
			t.Errorf("columns by %s: %v", p, err)
		}
	}
}

func TestProcess(t *testing.T) {
	for _, c := range []struct {
		name              string
		format            Format
		input, output     string
		join              bool
		body, sent        string
		answer, want, err string
	}{
		{"the example of the documentation", CSV, "$[1:]", "$[0,-1]", true, "7,1.5,2\n8,3,4\n", "1.5,2\n3,4\n", "0.83\n0.5\n", "7,0.83\n8,0.5\n", ""},
		{"joined as a whole", CSV, "$", "$", true, "1,2\r\n\n3,4", "1,2\r\n\n3,4", "a\nb", "1,2,a\n3,4,b\n", ""},
		{"without a join the answer is filtered", CSV, "$", "$[1]", false, "1\n2\n", "1\n2\n", "a,b\nc,d\n", "b\nd\n", ""},
		{"an answer of its own length", CSV, "$", "$[0]", false, "1\n2\n", "1\n2\n", "a,b\n", "a\n", ""},
		{"quotes", CSV, "$[1,0]", "$[1:3]", true, "\"a,\"\"b\",c\n", "c,\"a,\"\"b\"\n", "x,y\n", "c,x\n", ""},
		{"a column that is not there", CSV, "$[3]", "$", true, "1,2\n", "", "", "", "record 1"},
		{"another number of answers", CSV, "$", "$", true, "1\n2\n", "1\n2\n", "a\nb\nc\n", "", "the answer has 3 records, what was sent has 2"},
		{"fewer answers", CSV, "$", "$", true, "1\n2\n3\n", "1\n2\n3\n", "a\n", "", "the answer has 1 records, what was sent has 3"},
		{"lines of JSON", JSONLines, "$.f", "$['id','SageMakerOutput']", true, `{"id":1,"f":[1,2]}` + "\n" + `{"id":2,"f":[3]}`, "[1,2]\n[3]\n",
			`{"s":0.5}` + "\n" + `{"s":0.75}` + "\n", `{"id":1,"SageMakerOutput":{"s":0.5}}` + "\n" + `{"id":2,"SageMakerOutput":{"s":0.75}}` + "\n", ""},
		{"a document", JSON, "$.f", "$", true, "{\"id\": 1,\n\"f\": 2}\n", "2", " 0.5\n", `{"id":1,"f":2,"SageMakerOutput":0.5}`, ""},
		{"what is no object", JSON, "$", "$", true, "[1,2]", "[1,2]", "0.5", `{"SageMakerInput":[1,2],"SageMakerOutput":0.5}`, ""},
		{"the reserved name is overwritten", JSON, "$", "$", true, `{"SageMakerOutput":1,"b":2}`, `{"SageMakerOutput":1,"b":2}`, "3", `{"b":2,"SageMakerOutput":3}`, ""},
		{"no JSON", JSON, "$.a", "$", true, "{", "", "", "", "not JSON"},
		{"an answer that is no JSON", JSON, "$", "$", true, "{}", "{}", "nan", "", "the answer is not JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &Process{Format: c.format, Answer: c.format, Input: path(t, c.input), Output: path(t, c.output), Join: c.join}
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			sent, err := p.Before(nil, []byte(c.body))
			var got []byte
			if err == nil {
				if string(sent) != c.sent {
					t.Errorf("sent %q, want %q", sent, c.sent)
				}
				got, err = p.After(nil, []byte(c.body), []byte(c.answer), 0)
			}
			switch {
			case c.err != "" && (!errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), c.err)):
				t.Errorf("answers %v", err)
			case c.err == "" && (err != nil || string(got) != c.want):
				t.Errorf("writes %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestStamp(t *testing.T) {
	for format, want := range map[Format]string{
		CSV:       "1,a,id-3-0,now\n2,b,id-3-1,now\n",
		JSONLines: `{"SageMakerOutput":"a","SageMakerInferenceId":"id-3-0","SageMakerInferenceTime":"now"}` + "\n",
	} {
		p := &Process{Format: format, Answer: format, Input: path(t, ""), Output: path(t, ""), Join: format == CSV,
			Stamp: func(mini, n int) (string, string) { return fmt.Sprintf("id-%d-%d", mini, n), "now" }}
		body, answer := "1\n2\n", "a\nb\n"
		if format != CSV {
			body, answer = "1\n", "\"a\"\n"
		}
		if got, err := p.After(nil, []byte(body), []byte(answer), 3); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", format, got, err)
		}
	}
}

func TestFormatOf(t *testing.T) {
	for typ, want := range map[string]Format{"text/csv": CSV, "text/csv; charset=utf-8": CSV, "application/json": JSON, "application/jsonlines": JSONLines, "application/x-image": "", "": ""} {
		if got, ok := FormatOf(typ); got != want || ok != (want != "") {
			t.Errorf("%q is %q", typ, got)
		}
	}
}

func TestProcessOfAnotherFormatThanTheRecords(t *testing.T) {
	p := &Process{Format: CSV, Answer: JSONLines, Input: path(t, "$[1]"), Output: path(t, "$.s")}
	sent, err := p.Before(nil, []byte("1,2\n3,4\n"))
	if err != nil || string(sent) != "2\n4\n" {
		t.Errorf("sends %q, %v", sent, err)
	}
	if got, err := p.After(nil, []byte("1,2\n3,4\n"), []byte("{\"s\":1}\n{\"s\":2}\n"), 0); err != nil || string(got) != "1\n2\n" {
		t.Errorf("writes %q, %v", got, err)
	}
	p = &Process{Format: CSV, Input: path(t, "$[1]"), Output: path(t, "$")}
	if got, err := p.After(nil, []byte("1,2\n"), []byte("\x00anything"), 0); err != nil || string(got) != "\x00anything" {
		t.Errorf("writes %q, %v", got, err)
	}
}

// FuzzPath: no path and no document make it fall; what comes out of JSON is JSON.
func FuzzPath(f *testing.F) {
	f.Add("$.a[1:4]", `{"a":[1,2,3]}`)
	f.Add("$['a','b']", `{"a":"x\\","b":{}}`)
	f.Add("$[0,-1].*", `[{"a":1}, [ ]]`)
	f.Fuzz(func(t *testing.T, text, doc string) {
		p, err := ParsePath(text)
		if err != nil || len(text) > 63 || !json.Valid([]byte(doc)) { // the model allows no longer one
			return
		}
		if got, err := p.apply([]byte(doc)); err == nil && !json.Valid(got) {
			t.Errorf("%s of %s is %s", text, doc, got)
		}
		if p.Columns() == nil && !p.All() {
			_, _ = new(columns).pick(nil, p, []byte(doc))
		}
	})
}
