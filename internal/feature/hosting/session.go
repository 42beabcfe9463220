// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// newSession is the SessionId that asks the container for a session of its own.
const newSession = "NEW_SESSION"

// sessions tell which instance has a caller's session: the container opens it,
// later requests of it go to the same instance. Source: "Stateful inference
// with Amazon SageMaker AI models". They end with the instance, and with the
// server, whose memory they are in.
type sessions struct {
	mu  sync.Mutex
	all map[sessionKey]session
}

type sessionKey struct {
	routeKey
	id string
}

type session struct {
	target  *target
	expires time.Time
}

// maxSessions bounds what is remembered; beyond, sessions that have expired are
// forgotten, and then any.
const maxSessions = 100_000

// sessionLife is for how long a session is kept whose container does not tell.
const sessionLife = time.Hour

// find gives the instance of a session, nil where there is none any more.
func (s *sessions) find(k sessionKey, now time.Time) *target {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.all[k]
	if !ok || now.After(v.expires) {
		delete(s.all, k)
		return nil
	}
	return v.target
}

// note reads what an answer's headers say of sessions: one that was opened, "id;
// Expires=yyyy-mm-ddThh:mm:ssZ", and one that was closed.
func (s *sessions) note(k routeKey, opened, closed string, t *target, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if closed != "" {
		delete(s.all, sessionKey{k, strings.TrimSpace(closed)})
	}
	if opened == "" {
		return
	}
	id, rest, _ := strings.Cut(opened, ";")
	expires := now.Add(sessionLife)
	if _, text, ok := strings.Cut(rest, "="); ok {
		if at, err := time.Parse(time.RFC3339, strings.TrimSpace(text)); err == nil {
			expires = at
		}
	}
	if s.all == nil {
		s.all = map[sessionKey]session{}
	}
	if len(s.all) >= maxSessions {
		for k, v := range s.all {
			if now.After(v.expires) {
				delete(s.all, k)
			}
		}
		for k := range s.all {
			if len(s.all) < maxSessions {
				break
			}
			delete(s.all, k)
		}
	}
	s.all[sessionKey{k, strings.TrimSpace(id)}] = session{t, expires}
}

// chooseSession takes the variant whose instance has the request's session.
func (s *Service) chooseSession(x *exchange, r *route) error {
	if t := s.sessions.find(sessionKey{x.route(), x.session}, s.Now()); t != nil {
		for i := range r.fleets {
			f := &r.fleets[i]
			for j := range f.variants {
				if v := &f.variants[j]; slices.Contains(v.targets, t) && (x.variant == "" || x.variant == v.name) {
					x.fleet, x.v, x.held = f, v, t
					return nil
				}
			}
		}
	}
	return refuse("Session %s of endpoint %s was not found: it was closed, has expired, or its instance is gone.", x.session, x.endpoint)
}

// inSession tells whether the request belongs to a session that is open.
func (x *exchange) inSession() bool { return x.session != "" && x.session != newSession }

// noteSession remembers the session that an answer opened.
func (s *Service) noteSession(x *exchange) {
	opened, closed := x.answer.Header[2], x.answer.Header[3]
	if len(opened) == 0 && len(closed) == 0 || x.v == x.fleet.shadow { // a shadow's are nobody's
		return
	}
	first := func(v []string) string {
		if len(v) == 0 {
			return ""
		}
		return v[0]
	}
	s.sessions.note(x.route(), first(opened), first(closed), x.t, s.Now())
}
