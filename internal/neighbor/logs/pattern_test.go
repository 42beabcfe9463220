// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"slices"
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		name, pattern string
		yes, no       []string
	}{
		{"an empty pattern matches all", " ", []string{"", "x"}, nil},
		{"terms must all be there", "ERROR timeout", []string{"timeout: ERROR"}, []string{"ERROR", "error timeout"}},
		{"a phrase keeps its spaces", `"disk full"`, []string{"the disk full!"}, []string{"disk  full", "full disk"}},
		{"a phrase may hold a quote", `"a \"b\""`, []string{`a "b"`}, []string{"a b"}},
		{"one of several", "?WARN ?ERROR", []string{"WARN 1", "ERROR 2"}, []string{"INFO"}},
		{"one of several does not count beside others", "?ERROR ?ARGUMENTS REQUEST", []string{"REQUEST FAILED", "ERROR REQUEST"}, []string{"ERROR ARGUMENTS"}},
		{"nor beside an exclusion", "?ERROR -REQUEST", []string{"nothing"}, []string{"ERROR REQUEST"}},
		{"only an exclusion", "-REQUEST", []string{"nothing"}, []string{"REQUEST"}},
		{"letters of any language", "zażółć_1", []string{"a zażółć_1!"}, []string{"zazolc_1"}},
		{"an exclusion", "ERROR -expected", []string{"ERROR"}, []string{"ERROR expected", "x"}},
		{"an excluded phrase", `-"not this"`, []string{"that"}, []string{"not this"}},
		{"a regular expression", "%loss=[0-9]+%", []string{"loss=12"}, []string{"loss=x"}},
		{"the ends of a line", "%^[a-c]{2}x?$%", []string{"abx", "cc"}, []string{"abxx", " cc"}},
		{"an expression with a point that is meant", `%10\.10\.0\.1%`, []string{"10.10.0.1"}, []string{"10a10.0.1"}},
		{"an expression beside terms", "%A|B% -C", []string{"xBx"}, []string{"BC", "x"}},
		{"a text member", `{ $.level = "error" }`, []string{`{"level":"error"}`, ` {"level":"error","x":1}`}, []string{`{"level":"errors"}`, `{}`, "level error", `"error"`}},
		{"an unquoted text", `{ $.level = error }`, []string{`{"level":"error"}`}, []string{`{"level":"x"}`}},
		{"a wildcard", `{ $.host = "algo-*" }`, []string{`{"host":"algo-12"}`}, []string{`{"host":"xalgo-1"}`}},
		{"numbers", `{ $.code >= 500 }`, []string{`{"code":500}`, `{"code":5e2}`}, []string{`{"code":499}`, `{"code":"500"}`}},
		{"not equal", `{ $.a != "x" }`, []string{`{"a":"y"}`, `{"a":[]}`}, []string{`{"a":"x"}`, `{}`}},
		{"a deep member and an index", `{ $.a.b[1] = 7 }`, []string{`{"a":{"b":[1,7]}}`}, []string{`{"a":{"b":[7]}}`, `{"a":[1,7]}`}},
		{"a quoted member", `{ $.a["b c"] = 1 }`, []string{`{"a":{"b c":1}}`}, []string{`{"a":1}`}},
		{"a member whose name has a point", `{ $.['a.b'].c = 1 }`, []string{`{"a.b":{"c":1}}`}, []string{`{"a":{"b":{"c":1}}}`}},
		{"an element of the root", `{ $[1] = "x" }`, []string{`["y","x"]`}, []string{`["x"]`, `{"1":"x"}`}},
		{"any element", `{ $.tags[*].k = "x" }`, []string{`{"tags":[{"k":1},{"k":"x"}]}`}, []string{`{"tags":[{"k":"y"}]}`, `{"tags":[]}`, `{}`}},
		{"any member", `{ $.*.k = "x" }`, []string{`{"a":1,"b":{"k":"x"}}`}, []string{`{"k":"x"}`}},
		{"a regular expression on a member", `{ $.a = %^tr.in$% && $.b != %x% }`, []string{`{"a":"train","b":"y"}`}, []string{`{"a":"training","b":"y"}`, `{"a":"train","b":"xy"}`}},
		{"whatever value", `{ $.a = * }`, []string{`{"a":1}`, `{"a":{}}`, `{"a":"b"}`}, []string{`{"b":1}`}},
		{"an address without quotes", `{ $.ip != 123.123.* }`, []string{`{"ip":"1.2.3.4"}`}, []string{`{"ip":"123.123.1.1"}`, `{}`}},
		{"numbers with exponents", `{ $.a = 1e-3 || $.a[0] != 1e+3 }`, []string{`{"a":0.001}`, `{"a":[5]}`}, []string{`{"a":2}`, `{"a":[1000]}`}},
		{"a word that only Go takes for a number", `{ $.a = inf }`, []string{`{"a":"inf"}`}, []string{`{"a":1}`}},
		{"words in any case", `{ $.a is null && $.b not  exists }`, []string{`{"a":null}`}, []string{`{"a":null,"b":1}`}},
		{"and binds closer than or", `{ $.a = 1 || $.b = 1 && $.c = 1 }`, []string{`{"a":1}`, `{"b":1,"c":1}`}, []string{`{"b":1}`, `{"c":1}`}},
		{"parentheses", `{ ($.a = 1 || $.b = 1) && $.c = 1 }`, []string{`{"a":1,"c":1}`}, []string{`{"a":1}`}},
		{"null, true, exists", `{ $.a IS NULL && $.b IS TRUE && $.c NOT EXISTS && $.d EXISTS && $.e IS FALSE }`,
			[]string{`{"a":null,"b":true,"d":0,"e":false}`}, []string{`{"a":1,"b":true,"d":0,"e":false}`, `{"a":null,"b":true,"c":1,"d":0,"e":false}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := parsePattern(tt.pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, y := range tt.yes {
				if !m(y) {
					t.Errorf("%q does not match", y)
				}
			}
			for _, n := range tt.no {
				if m(n) {
					t.Errorf("%q matches", n)
				}
			}
		})
	}
	for _, bad := range []string{`"open`, "%open", "%(a)%", "%a!%", "%é%", "%%", "%[%", "?", "- x", `a"b"`, "a:b", "{", "{}", "{ $.a }", "{ $. = 1 }",
		"{ $.a = }", "{ $.a > x }", "{ ($.a = 1 }", "{ $.a = 1 ) }", "{ $.a[x] = 1 }", "{ $.a[1 = 1 }", "{ $.['a = 1 }", "{ a = 1 }", "{ $.a = %a }",
		"{ $.a = %a% || $.b = %b% || $.c = %c% }", "{ $.*.b.* = 1 }", "{ $.* = 1 && $.* = 2 && $.* = 3 && $.a[*] = 4 }",
		"{" + strings.Repeat("(", 60) + "$.a=1" + strings.Repeat(")", 60) + "}",
		"[", "[]", "[a", "[a, a]", "[..., b, ...]", "[=1]", "[a=]", "[a>x]", "[a=1 || x=2]", `[a="b]`, "[a=%b]", "[a=%(b)%]", "[a b]",
		"[a=%a%, b=%b%, c=%c%]", "[(a=1]"} {
		if _, err := parsePattern(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add(`?a -"b c" %d+% e`, `{"a":1}`)
	f.Add(`{ ($.a[0].b = "x*" || $.c >= 1e3) && $.d NOT EXISTS }`, `{"a":[{"b":"xy"}]}`)
	f.Add(`{ $.a[*]['b.c'] != %x+% && $.* IS NOT NULL }`, `{"a":[{"b.c":"xy"}]}`)
	f.Add(`[..., request = *.html* && code = 4*, bytes > 1e3 || bytes=%0$%]`, `a "b c" [d`)
	f.Add(`[a, (b="x, y" || a!=1), ..., $c<=2,]`, `"" [] x`)
	f.Fuzz(func(t *testing.T, pattern, message string) {
		if m, err := parsePattern(pattern); err == nil {
			m(message)
			m(`{"a":[{"b":"xy"}],"c":null}`)
			m(`127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html" 404 1534`)
		}
	})
}

const apache = `127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534`

func TestFieldPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		want    bool
	}{
		{"[ip, user, username, timestamp, request =*.html*, status_code = 4*, bytes]", true},
		{"[ip, user, username, timestamp, request =*.css*, status_code = 4*, bytes]", false},
		{"[ip, user, username, timestamp, request, status_code, bytes]", true},
		{"[ip, user, username, timestamp, request, status_code]", false}, // fewer fields than the line
		{"[ip, user, username, timestamp, request, status_code, bytes, agent]", false},
		{"[..., status_code, bytes]", true},
		{"[..., bytes > 1000]", true},
		{"[..., bytes > 2000]", false},
		{"[ip=127.*, ...]", true},
		{"[ip, ..., status_code=404, bytes]", true},
		{"[..., request=*.html*, status_code=4*,]", true}, // a field without a name
		{"[ip, user, username, timestamp, request, status_code = 404 || status_code = 410, bytes]", true},
		{"[ip, user, username, timestamp, request, status_code = 4* && bytes > 1000, bytes]", true},
		{"[ip, user, username, timestamp, request, (status_code = 1 || bytes = 1534) && ip != 10.*, bytes]", true},
		{"[a, b, c, d, e, f, g, ...]", true}, // the ellipsis may stand for none
		{"[a, b, c, d, e, f, g, h, ...]", false},
		{`[..., request = "GET /index.html*", code, bytes]`, true},
		{`[..., time = 10/Oct*, r, c, b]`, true},
		{"[w1=%^127%, w2=%[Pp]rod%, ...]", true},
		{"[w1!=ERROR&&w1!=WARN, w2, ...]", true},
		{"[w1=ERROR, ...]", false},
		{"[$w1=127.0.0.1, …]", true},
		{"[..., bytes = 1534.0]", true}, // as numbers
		{"[user < 5, ...]", false},
	} {
		m, err := parsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		} else if got := m(apache); got != c.want {
			t.Errorf("%s: %v", c.pattern, got)
		}
	}
}

func TestWildcards(t *testing.T) {
	for _, c := range []struct {
		word, text string
		want       bool
	}{
		{"a*a", "a", false}, {"a*a", "aa", true}, {"*b*b*", "abab", true}, {"*b*b*", "ab", false}, {"*", "", true}, {"**", "x", true},
		{"a*b*c", "a.b.bc", true}, {"a*b*c", "abc", true}, {"a*b*c", "acb", false}, {"a*", "ba", false}, {"\xb5*", "\xb5x", true}, {"a.*", "abc", false},
	} {
		if got := equals(c.word)(c.text); got != c.want {
			t.Errorf("%q is like %q: %v", c.text, c.word, got)
		}
	}
}

func TestSplitFields(t *testing.T) {
	for line, want := range map[string][]string{
		"":                      nil,
		"  ":                    nil,
		"a  b ":                 {"a", "b"},
		`a "b c" [d e] f`:       {"a", "b c", "d e", "f"},
		`[ERROR]: "x"y "open z`: {"[ERROR]:", `"x"y`, `"open`, "z"},
		`"" [] -`:               {"", "", "-"},
	} {
		if got := splitFields(line); !slices.Equal(got, want) {
			t.Errorf("%q has the fields %q, want %q", line, got, want)
		}
	}
}
