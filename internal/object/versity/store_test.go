// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"context"
	"log/slog"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/objecttest"
)

const account = "123456789012"

// keyring is auth.Keys by ID.
type keyring map[string]auth.Key

func (k keyring) Lookup(_ context.Context, id string) (auth.Key, bool, error) {
	key, ok := k[id]
	return key, ok, nil
}

// newStore opens a Store in new folders, or in those that o names.
func newStore(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Root == "" {
		o.Root, o.State = t.TempDir(), t.TempDir()
	}
	if o.Keys == nil {
		o.Keys = keyring{}
	}
	o.RootKey.Account = account
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	objecttest.Run(t, func(t *testing.T) object.Store { return newStore(t, Options{}) })
}

func TestStoreWithSidecar(t *testing.T) {
	objecttest.Run(t, func(t *testing.T) object.Store { return newStore(t, Options{Sidecar: true}) })
}
