// SPDX-License-Identifier: Apache-2.0

package client

import (
	"net/http"
	"testing"
)

func FuzzFault(f *testing.F) {
	for _, s := range []string{`{"__type":"a#b","message":"m"}`, `<E><Code>c</Code><Message>m</Message></E>`, `<Code`, `{`, ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got := faultOf(&http.Response{StatusCode: 400, Status: "400 Bad Request"}, []byte(body))
		if got.Code == "" || got.Message == "" || got.Status != 400 {
			t.Errorf("%q gives %+v", body, got)
		}
	})
}
