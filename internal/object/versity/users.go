// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	vauth "github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

// users tells the S3 server who calls, by our own keys. Everyone acts as the
// owner of all buckets.
//
// It is the server's IAMService; the further interfaces let it accept session
// tokens (SigningKeyProvider), give all buckets one owner (FixedBucketOwner)
// and know the principals of a bucket policy by ARN (PrincipalResolver).
type users struct {
	keys auth.Keys
	root auth.Key
}

var (
	_ vauth.IAMService         = (*users)(nil)
	_ vauth.SigningKeyProvider = (*users)(nil)
	_ vauth.FixedBucketOwner   = (*users)(nil)
	_ vauth.PrincipalResolver  = (*users)(nil)
	_ auth.Keys                = (*users)(nil)
)

// Lookup is the key with this ID, that of the root user if nobody else has it.
// Errors are those of our own keys.
func (u *users) Lookup(ctx context.Context, id string) (auth.Key, bool, error) {
	k, ok, err := u.keys.Lookup(ctx, id)
	if err != nil {
		return auth.Key{}, false, fmt.Errorf("look up access key: %w", err)
	}
	if !ok && id == u.root.ID {
		k = u.root
	}
	return k, k.Secret != "", nil
}

// find is the key with this ID, if it may be used with this session token now.
// Errors: vauth.ErrNoSuchUser, vauth.ErrInvalidSessionToken, errExpiredToken.
func (u *users) find(ctx context.Context, id, token string) (auth.Key, error) {
	k, ok, err := u.Lookup(ctx, id)
	switch {
	case err != nil:
		return auth.Key{}, err
	case !ok:
		return auth.Key{}, vauth.ErrNoSuchUser
	case subtle.ConstantTimeCompare([]byte(k.SessionToken), []byte(token)) != 1:
		return auth.Key{}, vauth.ErrInvalidSessionToken
	case !k.Expires.IsZero() && !time.Now().Before(k.Expires):
		return auth.Key{}, errExpiredToken
	}
	return k, nil
}

// errExpiredToken is S3's answer to a session that is over.
var errExpiredToken = s3err.APIError{
	Code:           "ExpiredToken",
	Description:    "The provided token has expired.",
	HTTPStatusCode: 400,
}

// account is the server's view of the owner of a key.
func (u *users) account(k auth.Key) vauth.Account {
	a := owner(u.root.Account)
	a.Arn = k.Principal
	a.SessionToken = k.SessionToken
	a.IsSession = k.SessionToken != ""
	return a
}

// DeriveSigningKey is the key that signs requests of a day, region and service.
//
// Source: AWS, "Create a signed AWS API request", step 4.
func (u *users) DeriveSigningKey(id, token, date, region, service string) ([]byte, vauth.Account, error) {
	k, err := u.find(context.Background(), id, token)
	if err != nil {
		return nil, vauth.Account{}, err
	}
	sum := []byte("AWS4" + k.Secret)
	for _, part := range []string{date, region, service, "aws4_request"} {
		h := hmac.New(sha256.New, sum)
		h.Write([]byte(part))
		sum = h.Sum(nil)
	}
	return sum, u.account(k), nil
}

// GetUserAccount is the account of an access key, or the owner by its number.
func (u *users) GetUserAccount(id string) (vauth.Account, error) {
	if id == u.root.Account {
		return owner(id), nil
	}
	k, ok, err := u.keys.Lookup(context.Background(), id)
	if err != nil {
		return vauth.Account{}, fmt.Errorf("look up access key: %w", err)
	}
	if !ok {
		return vauth.Account{}, vauth.ErrNoSuchUser
	}
	return u.account(k), nil
}

// BucketOwner is the account that all buckets belong to.
func (u *users) BucketOwner() vauth.Account { return owner(u.root.Account) }

// ResolveAccounts is those of the accounts that do not exist.
func (u *users) ResolveAccounts(ids []string) ([]string, error) {
	missing := []string{}
	for _, id := range ids {
		_, err := u.GetUserAccount(id)
		if errors.Is(err, vauth.ErrNoSuchUser) {
			missing = append(missing, id)
		} else if err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// ResolvePrincipals is those of a bucket policy's principals that cannot be:
// a principal is our account, or an ARN that names it.
func (u *users) ResolvePrincipals(principals []string) ([]string, error) {
	missing := []string{}
	for _, p := range principals {
		part := strings.SplitN(p, ":", 6)
		named := len(part) == 6 && part[0] == "arn" && part[4] == u.root.Account && part[5] != ""
		if p != u.root.Account && !named {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// Users are made through the IAM service, not through the S3 server, so the
// methods that make and change them refuse.

func (u *users) CreateAccount(vauth.Account) error { return errNotHere }

func (u *users) UpdateUserAccount(string, vauth.MutableProps) error { return errNotHere }

func (u *users) DeleteUserAccount(string) error { return errNotHere }

func (u *users) ListUserAccounts() ([]vauth.Account, error) { return nil, errNotHere }

func (u *users) Shutdown() error { return nil }

var errNotHere = s3err.GetAPIError(s3err.ErrAdminMethodNotSupported)
