// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"encoding/base64"
	"net/http"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// page is the stretch of a list that is asked for.
type page struct {
	size  int
	after int64 // the id that it comes after, 0 from the beginning
}

const maxResults = 50 // of every list; also the default

func pageOf(size *int64, token string) (page, error) {
	p := page{size: maxResults}
	if size != nil {
		if *size < 1 {
			return p, fault.Validation("MaxResults must be between 1 and %d", maxResults)
		}
		p.size = int(min(*size, maxResults))
	}
	if token == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		p.after, err = strconv.ParseInt(string(b), 10, 64)
	}
	if err != nil || p.after < 1 {
		return p, fault.New("InvalidNextTokenException", http.StatusBadRequest, "The next token supplied was invalid.")
	}
	return p, nil
}

func makeToken(id int64) string {
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, id, 10))
}
