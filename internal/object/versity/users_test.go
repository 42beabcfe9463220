// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	vauth "github.com/versity/versitygw/auth"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

// The example of AWS's "Create a signed AWS API request".
func TestSigningKey(t *testing.T) {
	u := &users{keys: keyring{"AKIDEXAMPLE": {ID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}}, root: rootKey}
	key, a, err := u.DeriveSigningKey("AKIDEXAMPLE", "", "20150830", "us-east-1", "iam")
	if want := "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"; err != nil || hex.EncodeToString(key) != want {
		t.Errorf("%x, %v; want %s", key, err, want)
	}
	if a.Access != account || a.Role != vauth.RoleAdmin || a.Secret != "" {
		t.Errorf("account %+v", a)
	}
}

// faultyKeys cannot be asked.
type faultyKeys struct{}

var errFaulty = errors.New("database is gone")

func (faultyKeys) Lookup(context.Context, string) (auth.Key, bool, error) {
	return auth.Key{}, false, errFaulty
}

func TestFindKey(t *testing.T) {
	known := keyring{userKey.ID: userKey, sessionKey.ID: sessionKey, pastKey.ID: pastKey, "AKIAEMPTY": {ID: "AKIAEMPTY"}}
	for _, c := range []struct {
		name      string
		keys      auth.Keys
		id, token string
		want      error
	}{
		{"a user", known, userKey.ID, "", nil},
		{"a user with a token", known, userKey.ID, "t", vauth.ErrInvalidSessionToken},
		{"a session", known, sessionKey.ID, sessionKey.SessionToken, nil},
		{"a session without its token", known, sessionKey.ID, "", vauth.ErrInvalidSessionToken},
		{"a session that is over", known, pastKey.ID, pastKey.SessionToken, errExpiredToken},
		{"root, whom the keys do not know", known, rootKey.ID, "", nil},
		{"nobody", known, "AKIANOBODY", "", vauth.ErrNoSuchUser},
		{"the empty key", known, "", "", vauth.ErrNoSuchUser},
		{"a key without a secret", known, "AKIAEMPTY", "", vauth.ErrNoSuchUser},
		{"keys that cannot be asked", faultyKeys{}, userKey.ID, "", errFaulty},
	} {
		u := &users{keys: c.keys, root: rootKey}
		if k, err := u.find(t.Context(), c.id, c.token); !errors.Is(err, c.want) || err == nil && k.ID != c.id {
			t.Errorf("%s: %v, %v; want %v", c.name, k.ID, err, c.want)
		}
	}
}

func TestResolve(t *testing.T) {
	u := &users{keys: keyring{userKey.ID: userKey}, root: rootKey}
	if got, err := u.ResolveAccounts([]string{userKey.ID, account, "AKIANOBODY"}); err != nil || !slices.Equal(got, []string{"AKIANOBODY"}) {
		t.Errorf("ResolveAccounts: %q, %v", got, err)
	}
	got, err := u.ResolvePrincipals([]string{account, userKey.Principal, "arn:aws:iam::999999999999:root", "someone", "arn:aws:iam::" + account + ":"})
	if want := []string{"arn:aws:iam::999999999999:root", "someone", "arn:aws:iam::" + account + ":"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("ResolvePrincipals: %q, %v; want %q", got, err, want)
	}
	if _, err := (&users{keys: faultyKeys{}, root: rootKey}).ResolveAccounts([]string{userKey.ID}); !errors.Is(err, errFaulty) {
		t.Errorf("ResolveAccounts: %v", err)
	}
}
