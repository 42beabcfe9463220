// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"testing"
)

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		policy, values string
		want           bool
	}{
		{`{"a":["x","y"]}`, `{"a":"y"}`, true},
		{`{"a":["x","y"]}`, `{"a":"z"}`, false},
		{`{"a":["x"]}`, `{}`, false},
		{`{"a":["x"],"b":["y"]}`, `{"a":"x"}`, false},
		{`{"a":["x"]}`, `{"a":["w","x"]}`, true},
		{`{"a":[1]}`, `{"a":1.0}`, true},
		{`{"a":[1]}`, `{"a":"1"}`, false},
		{`{"a":["1"]}`, `{"a":1}`, false},
		{`{"a":[true,null]}`, `{"a":null}`, true},
		{`{"a":[null]}`, `{"a":""}`, false},
		{`{"a":[{"prefix":"ab"}]}`, `{"a":"abc"}`, true},
		{`{"a":[{"prefix":"ab"}]}`, `{"a":"ba"}`, false},
		{`{"a":[{"suffix":"ab"}]}`, `{"a":"cab"}`, true},
		{`{"a":[{"equals-ignore-case":"AbC"}]}`, `{"a":"aBc"}`, true},
		{`{"a":[{"anything-but":["x",1]}]}`, `{"a":"y"}`, true},
		{`{"a":[{"anything-but":["x",1]}]}`, `{"a":1}`, false},
		{`{"a":[{"anything-but":"x"}]}`, `{}`, false},
		{`{"a":[{"anything-but":{"prefix":"x"}}]}`, `{"a":"xy"}`, false},
		{`{"a":[{"anything-but":{"prefix":"x"}}]}`, `{"a":"yx"}`, true},
		{`{"a":[{"numeric":["=",3.0]}]}`, `{"a":3}`, true},
		{`{"a":[{"numeric":[">",0,"<=",5]}]}`, `{"a":5}`, true},
		{`{"a":[{"numeric":[">",0,"<=",5]}]}`, `{"a":0}`, false},
		{`{"a":[{"numeric":[">",0]}]}`, `{"a":"5"}`, false},
		{`{"a":[{"exists":true}]}`, `{"a":"anything"}`, true},
		{`{"a":[{"exists":true}]}`, `{}`, false},
		{`{"a":[{"exists":false}]}`, `{}`, true},
		{`{"a":[{"exists":false}]}`, `{"a":1}`, false},
		{`{"a":[{"exists":false},"x"]}`, `{"a":"x"}`, true},
		{`{"a":[{"cidr":"10.0.0.0/24"}]}`, `{"a":"10.0.0.7"}`, true},
		{`{"a":[{"cidr":"10.0.0.0/24"}]}`, `{"a":"10.0.1.7"}`, false},
		{`{"a":{"b":["x"]}}`, `{"a":{"b":"x"}}`, true},
		{`{"a":{"b":["x"]}}`, `{"a":{"b":"y"}}`, false},
		{`{"a":{"b":["x"]}}`, `{"a":[{"b":"y"},{"b":"x"}]}`, true},
		{`{"a":{"b":[{"exists":false}]}}`, `{}`, true},
		{`{"a":{"b":["x"]}}`, `{"a":"x"}`, false},
	} {
		f, err := parseFilter(c.policy, true)
		if err != nil {
			t.Errorf("%s: %v", c.policy, err)
			continue
		}
		v, err := decodeJSON(c.values)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.match(v.(map[string]any)); got != c.want {
			t.Errorf("%s of %s: %v", c.policy, c.values, got)
		}
	}
}

func TestFilterRefuses(t *testing.T) {
	for _, policy := range []string{`[]`, `x`, `{"a":1}`, `{"a":[]}`, `{"a":[[1]]}`, `{"a":{"b":["x"]}}`, `{"a":[{"prefix":1}]}`, `{"a":[{"nope":1}]}`,
		`{"a":[{"prefix":"x","suffix":"y"}]}`, `{"a":[{"numeric":[">"]}]}`, `{"a":[{"numeric":["!",1]}]}`, `{"a":[{"exists":"x"}]}`, `{"a":[{"cidr":"10/8"}]}`,
		`{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}`, `{"a":[1]} {}`, `{"$or":[{"a":[1]},{"b":[1]}]}`,
		`{"a":[1,2,3,4,5,6],"b":[1,2,3,4,5,6],"c":[1,2,3,4,5]}`} {
		if _, err := parseFilter(policy, false); err == nil {
			t.Errorf("%s is taken", policy)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add(`{"a":[{"numeric":[">",0,"<=",5]},{"anything-but":{"prefix":"x"}}],"b":{"c":[null]}}`, `{"a":1e9,"b":[{}]}`)
	f.Fuzz(func(t *testing.T, policy, values string) {
		p, err := parseFilter(policy, true)
		if err != nil {
			return
		}
		v, err := decodeJSON(values)
		if m, ok := v.(map[string]any); err == nil && ok {
			p.match(m)
		}
	})
}
