// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// maxShadows bounds the copies of requests that are under way at once in all;
// copies beyond it are left out, since nobody waits for them and they must not
// take the machine from those that somebody does.
const maxShadows = 128

// shadow is a copy of a request for the shadow variant.
type shadow struct {
	exchange
	text bytes.Buffer
}

// copyFor takes a copy of the request for the shadow variant, when this one is
// sampled: the weight of the shadow variant beside that of the production
// variant is the share of its requests. Source: "Shadow tests".
func (x *exchange) copyFor(under *atomic.Int64) *shadow {
	v := x.fleet.shadow
	if v == nil || len(v.targets) == 0 || v.weight <= 0 || x.v.weight > 0 && rand.Float64()*x.v.weight >= v.weight {
		return nil
	}
	if under.Add(1) > maxShadows {
		under.Add(-1)
		return nil
	}
	sh := &shadow{}
	q := *x.question
	sh.exchange = exchange{question: &q, timeout: x.timeout, fleet: x.fleet, v: v}
	if v.direct && x.hop < len(v.hosts) {
		sh.hop = x.hop
	}
	sh.exchange.text = &sh.text
	body := x.text.Bytes()[x.body:]
	sh.head(sh.path(), x.contentType, len(body))
	sh.text.Write(body)
	return sh
}

// askShadow sends the copy beside the request's own way. What comes of it is in
// the metrics of the shadow variant, and nobody else hears of it.
func (s *Service) askShadow(sh *shadow) {
	if sh == nil {
		return
	}
	s.background.do(func(ctx context.Context) {
		defer s.shadows.Add(-1)
		x := &sh.exchange
		x.start = time.Now()
		x.keep()
		if s.ask(ctx, x) != nil {
			return
		}
		err := x.conn.CopyBody(x.tee(io.Discard), &x.answer)
		x.backend.Done(x.conn, &x.answer, err == nil)
		s.finish(x, err)
	})
}
