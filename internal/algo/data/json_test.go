// SPDX-License-Identifier: Apache-2.0

package data

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

func TestReadJSON(t *testing.T) {
	for _, c := range []struct {
		name string
		text string
		want algo.Matrix
	}{
		{"features", `{"instances":[{"features":[1.5, -2, 3e2]},{"features":[4,null,6]}]}`,
			algo.Matrix{Rows: 2, Cols: 3, Values: []float32{1.5, -2, 300, 4, nan, 6}}},
		{"values within data", ` {"x":[{"y":"\"]}"}],"instances" : [ {"configuration":{"a":[true,null]},"data":{"features":{"values":[1,2]}}} ] } `,
			algo.Matrix{Rows: 1, Cols: 2, Values: []float32{1, 2}}},
		{"sparse", `{"instances":[{"data":{"features":{"keys":[9,3],"shape":[100],"values":[4.0,1.0]}}},{"data":{"features":{"values":[],"keys":[]}}}]}`,
			algo.Matrix{Rows: 2, Cols: 100, Values: []float32{1, 4}, Index: []int32{3, 9}, Start: []int64{0, 2, 2}}},
		{"sparse without shape, null not stored", `{"instances":[{"features":{"values":[1,null],"keys":[3,7]}}]}`,
			algo.Matrix{Rows: 1, Cols: 8, Values: []float32{1}, Index: []int32{3}, Start: []int64{0, 1}}},
		{"dense, then sparse and dense again", `{"instances":[{"features":[1,null,0]},{"features":[2,3,4]},{"features":{"keys":[4],"shape":[5],"values":[7]}},{"features":[5,6,8]}]}`,
			algo.Matrix{Rows: 4, Cols: 5, Values: []float32{1, 0, 2, 3, 4, 7, 5, 6, 8}, Index: []int32{0, 2, 0, 1, 2, 4, 0, 1, 2}, Start: []int64{0, 2, 5, 6, 9}}},
		{"sparse, then dense", `{"instances":[{"features":{"keys":[1],"values":[7]}},{"data":{"features":{"values":[5,6,8]}}}]}`,
			algo.Matrix{Rows: 2, Cols: 3, Values: []float32{7, 5, 6, 8}, Index: []int32{1, 0, 1, 2}, Start: []int64{0, 1, 4}}},
		{"no instances", `{"instances":[]}`, algo.Matrix{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadJSON([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if got.Rows != c.want.Rows || got.Cols != c.want.Cols || !same(got.Values, c.want.Values) ||
				!slices.Equal(got.Index, c.want.Index) || !slices.Equal(got.Start, c.want.Start) {
				t.Errorf("%+v\nwant %+v", *got, c.want)
			}
		})
	}
}

func TestReadJSONErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a bare list", `[[1,2]]`, `expected {"instances": [{"features": [...]}]}, got a bare list`},
		{"no instances", `{"rows":[1]}`, `expected {"instances": [{"features": [...]}]}, found no "instances"`},
		{"a list as an instance", `{"instances":[[1,2]]}`, `instance 1: expected {"features": [...]}, got a list`},
		{"no features", `{"instances":[{"features":[1]},{"data":{}}]}`, `instance 2: found no "features"`},
		{"text as a feature", `{"instances":[{"features":["1"]}]}`, `instance 1: expected a number, got a string`},
		{"a number for features", `{"instances":[{"features":1}]}`, `instance 1: "features" is a number, not a list of numbers`},
		{"ragged", `{"instances":[{"features":[1]},{"features":[1,2]}]}`, `instance 2: has 2 features, but the first has 1`},
		{"ragged from nothing", `{"instances":[{"features":[]},{"features":[1,2]}]}`, `instance 2: has 2 features, but the first has 0`},
		{"ragged among sparse", `{"instances":[{"features":[1]},{"features":{"keys":[0],"values":[1]}},{"features":[1,2]}]}`, `instance 3: has 2 features, but the first has 1`},
		{"more keys than values", `{"instances":[{"features":{"keys":[0,1],"values":[1]}}]}`, `instance 1: has 2 keys and 1 value`},
		{"a key outside the shape", `{"instances":[{"features":{"keys":[5],"shape":[5],"values":[1]}}]}`, `instance 1: key 5 lies outside shape 5`},
		{"a key twice", `{"instances":[{"features":{"keys":[5,5],"values":[1,2]}}]}`, `instance 1: key 5 occurs twice`},
		{"beyond 32 bits", `{"instances":[{"features":[1e99]}]}`, `instance 1: "1e99" is not a number that fits in 32 bits`},
		{"cut short", `{"instances":[{"features":[1,`, `instance 1: expected a number, got the end of the payload`},
		{"a second value", `{"instances":[]} {}`, `invalid JSON at byte 17: an object after the end of the value`},
		{"CSV", `1,2,3`, `invalid JSON at byte 0: expected '{', got a number`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadJSON([]byte(c.text))
			if err == nil || err.Error() != c.want || !algo.IsClientError(err) {
				t.Errorf("error %v\n want %s", err, c.want)
			}
		})
	}
}

func TestReadJSONLines(t *testing.T) {
	m, err := ReadJSONLines([]byte("{\"features\":[1,2]}\n\n{\"data\":{\"features\":{\"values\":[3,4]}}}"))
	if err != nil || m.Rows != 2 || m.Cols != 2 || !slices.Equal(m.Values, []float32{1, 2, 3, 4}) {
		t.Errorf("%+v, error %v", m, err)
	}
	_, err = ReadJSONLines([]byte("{\"features\":[1,2]}\n{\"features\":[1]}\n"))
	if want := "line 2: has 1 feature, but the first has 2"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	// The mixture of "Common Data Formats for Inference".
	m, err = ReadJSONLines([]byte("{\"data\":{\"features\":{\"keys\":[0,1,3],\"shape\":[4],\"values\":[1,4,1]}}}\n{\"data\":{\"features\":{\"values\":[1.5,16,14,23]}}}\n{\"features\":[1.5,16,14,23]}\n"))
	if err != nil || m.Rows != 3 || m.Cols != 4 || !slices.Equal(m.Start, []int64{0, 3, 7, 11}) {
		t.Errorf("%+v, error %v", m, err)
	}
	_, err = ReadJSONLines([]byte(`{"features":[1,2]} {"features":[1,2]}`))
	if want := "line 1: invalid JSON at byte 19: an object after the end of the value"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// FuzzReadJSON: no panic, a refusal is a client error, a request that
// encoding/json reads in the plain form is read the same.
func FuzzReadJSON(f *testing.F) {
	for _, seed := range []string{
		`{"instances":[{"features":[1.5,null]}]}`, `{"instances":[{"data":{"features":{"keys":[1],"shape":[3],"values":[2]}}}]}`,
		`{"instances":[{"features":[]},{"features":[]}]}`, `[`, `{"a":[[[[]]]]}`, `{"instances":[{"features":[1e-50,-0]}],"b":"\u00e9"}`,
		`{"instances":[{"features":[1,null]},{"features":{"keys":[1],"values":[2]}},{"features":[3,4]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := ReadJSONLines(b); err != nil && !algo.IsClientError(err) {
			t.Fatalf("%v is not a client error", err)
		} else if err == nil && m.Sparse() {
			checkSparse(t, m)
		}
		m, err := ReadJSON(b)
		if err != nil {
			if !algo.IsClientError(err) {
				t.Fatalf("%v is not a client error", err)
			}
			return
		}
		if m.Sparse() {
			checkSparse(t, m)
			return
		}
		if len(m.Values) != m.Rows*m.Cols {
			t.Fatalf("a matrix that does not fit: %+v", m)
		}
		var plain map[string][]map[string][]*float64
		if json.Unmarshal(b, &plain) != nil || len(plain) != 1 || len(plain["instances"]) != m.Rows {
			return
		}
		var want []float32
		for _, instance := range plain["instances"] {
			if len(instance) != 1 {
				return
			}
			for _, x := range instance["features"] {
				if x == nil {
					want = append(want, nan)
				} else {
					want = append(want, float32(*x))
				}
			}
		}
		for i := range want {
			if d := float64(want[i]) - float64(m.Values[i]); math.Abs(d) > math.Abs(float64(want[i]))*1e-6+1e-44 {
				t.Fatalf("value %d is %v, want %v", i, m.Values[i], want[i])
			}
		}
	})
}
