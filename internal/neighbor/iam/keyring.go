// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

var _ auth.Keys = (*Service)(nil)

// keyring holds every key that may sign, in memory: a request costs no look
// into the store. The store tells it of each change before the change is
// answered.
type keyring struct {
	root auth.Key

	mu   sync.RWMutex
	keys map[string]auth.Key
}

func newKeyring(root auth.Key) *keyring { return &keyring{root: root, keys: map[string]auth.Key{}} }

// Lookup implements auth.Keys: the root key, the active keys of users and the
// keys of sessions, also of those that have ended not long ago, so that their
// owners are told so.
func (s *Service) Lookup(_ context.Context, id string) (auth.Key, bool, error) {
	if id == s.ring.root.ID {
		return s.ring.root, true, nil
	}
	s.ring.mu.RLock()
	k, ok := s.ring.keys[id]
	s.ring.mu.RUnlock()
	return k, ok, nil
}

func (r *keyring) load(ctx context.Context, db resource.DB, account string) error {
	for _, family := range []string{accessKeys, sessions} {
		rows, err := everything(ctx, db, account, family, nil)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := r.take(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// changed is the store's watcher. A row of ours that cannot be read takes its
// key away: a broken key is no key.
func (r *keyring) changed(row resource.Row) {
	if row.Family != accessKeys && row.Family != sessions {
		return
	}
	if row.Version != 0 && r.take(row) == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, row.Name)
}

// secret is the private part of an access key and of a session.
type secret struct {
	Secret    string
	Token     string    `json:",omitempty"`
	Expires   time.Time `json:",omitzero"`
	Principal string
	UserID    string
}

func (r *keyring) take(row resource.Row) error {
	var p secret
	if err := json.Unmarshal(row.Private, &p); err != nil {
		return fmt.Errorf("read key %s: %w", row.Name, err)
	}
	if p.Secret == "" {
		return fmt.Errorf("read key %s: it has no secret", row.Name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if row.Status == inactive {
		delete(r.keys, row.Name)
		return nil
	}
	r.keys[row.Name] = auth.Key{ID: row.Name, Secret: p.Secret, SessionToken: p.Token, Expires: p.Expires,
		Account: row.Account, Principal: p.Principal, UserID: p.UserID}
	return nil
}

// keepEnded is how long the key of an ended session is still known.
const keepEnded = 24 * time.Hour

// Open stores the key of a new session, so that it also holds after a restart,
// and forgets sessions that ended a day ago. owner is the ARN of the role or
// user whose session it is; the session ends when that is deleted.
func (s *Service) Open(ctx context.Context, k auth.Key, owner string) error {
	now := s.now()
	return s.db.Write(ctx, func(tx resource.Tx) error {
		old, err := tx.List(ctx, resource.Filter{Account: k.Account, Family: sessions, Sort: resource.SortModified, Limit: 20, ModifiedBefore: now.Add(-keepEnded)})
		if err != nil {
			return fmt.Errorf("list ended sessions: %w", err)
		}
		for _, row := range old.Rows {
			if err := tx.Delete(ctx, row.Key); err != nil {
				return err
			}
		}
		private, err := json.Marshal(secret{Secret: k.Secret, Token: k.SessionToken, Expires: k.Expires, Principal: k.Principal, UserID: k.UserID})
		if err != nil {
			return fmt.Errorf("write session: %w", err)
		}
		// Modified is the end, so that ended sessions are found by it.
		return tx.Insert(ctx, resource.Row{Key: key(k.Account, sessions, k.ID), Owner: owner, Status: "Open", Settled: true,
			Created: now, Modified: k.Expires, Doc: []byte("{}"), Private: private})
	})
}

// end deletes the sessions of a role or user.
func end(ctx context.Context, tx resource.Tx, account, owner string) error {
	for {
		p, err := tx.List(ctx, resource.Filter{Account: account, Family: sessions, Owner: owner, Limit: 500})
		if err != nil || len(p.Rows) == 0 {
			return err
		}
		for _, row := range p.Rows {
			if err := tx.Delete(ctx, row.Key); err != nil && !errors.Is(err, resource.ErrNotFound) {
				return err
			}
		}
	}
}
