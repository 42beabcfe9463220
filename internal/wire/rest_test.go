// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

// TestDecodeWithoutATree holds both ways to read an invocation against each
// other.
func TestDecodeWithoutATree(t *testing.T) {
	for _, c := range []struct {
		name   string
		path   string
		body   string
		header []string
		direct bool
	}{
		{"plain", "/endpoints/e/invocations", "", []string{"Content-Type", "text/csv"}, true},
		{"with a body", "/endpoints/e/invocations", "1,2", []string{"Content-Type", "text/csv"}, true},
		{"every header", "/endpoints/e/invocations", "", []string{"Content-Type", "a", "Accept", "b", "X-Amzn-SageMaker-Custom-Attributes", "c",
			"X-Amzn-SageMaker-Target-Variant", "v", "X-Amzn-SageMaker-Inference-Id", "i", "X-Amzn-SageMaker-Session-Id", "s"}, true},
		{"an empty header", "/endpoints/e/invocations", "", []string{"Accept", ""}, true},
		{"a header twice", "/endpoints/e/invocations", "", []string{"Accept", "a", "Accept", "b"}, true},
		{"a name that is too long", "/endpoints/" + strings.Repeat("e", 70) + "/invocations", "", nil, false},
		{"a name of other letters", "/endpoints/e_e/invocations", "", nil, false},
		{"two refusals", "/endpoints/e_e/invocations", "", []string{"X-Amzn-SageMaker-Target-Variant", "_"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", c.path, nil)
			for i := 0; i < len(c.header); i += 2 {
				r.Header.Add(c.header[i], c.header[i+1])
			}
			o, labels, ok := smr.Service.MatchREST(r.Method, r.URL.EscapedPath())
			if !ok {
				t.Fatal("no operation")
			}
			want, wantErr := wire.DecodeTree(o, r, labels, []byte(c.body))
			in, direct := wire.DecodeDirect(o, r, labels, []byte(c.body))
			if direct != c.direct || direct != (wantErr == nil) || direct && !reflect.DeepEqual(in, want) {
				t.Errorf("direct %v: %+v, want %+v %v", direct, in, want, wantErr)
			}
			got, err := o.DecodeREST(r, labels, []byte(c.body))
			if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() || err == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("%+v %v, want %+v %v", got, err, want, wantErr)
			}
		})
	}
}

func TestDecodeWithoutATreeIsForPathAndHeadersAlone(t *testing.T) {
	for _, name := range smr.Service.Operations() {
		o, _ := smr.Service.Operation(name)
		if _, direct := wire.DecodeDirect(o, httptest.NewRequest("POST", "/", nil), map[string]string{"EndpointName": "e"}, nil); direct && !strings.HasPrefix(name, "InvokeEndpoint") {
			t.Errorf("%s is read without a tree", name)
		}
	}
}
