// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
)

// signingKey is the key of one credential scope.
type signingKey struct {
	secret string    // of which it was derived
	macs   sync.Pool // of hash.Hash, keyed; making one costs more than using it
}

// deriveKey is HMAC over date, region, service and "aws4_request", each with
// the result of the one before.
func deriveKey(secret string, sc Scope) *signingKey {
	key := []byte("AWS4" + secret)
	for _, part := range [...]string{sc.Date, sc.Region, sc.Service, terminator} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	k := &signingKey{secret: secret}
	k.macs.New = func() any { return hmac.New(sha256.New, key) }
	return k
}

// appendSign writes text's signature, 64 hex digits, to dst.
func (k *signingKey) appendSign(dst, text []byte) []byte {
	m := k.macs.Get().(hash.Hash)
	m.Reset()
	m.Write(text)
	var sum [sha256.Size]byte
	dst = hex.AppendEncode(dst, m.Sum(sum[:0]))
	k.macs.Put(m)
	return dst
}

// maxCachedKeys bounds the cache. A scope enters it only by a good signature,
// so only holders of secrets fill it; old days go when it is full.
const maxCachedKeys = 4096

// keyCache remembers derived keys, as deriving costs four HMACs.
type keyCache struct {
	mu   sync.RWMutex
	keys map[Scope]*signingKey
}

// get finds the key of a scope, or derives it. A secret that was replaced
// under the same ID does not match its cached key.
func (c *keyCache) get(secret string, sc Scope) (k *signingKey, cached bool) {
	c.mu.RLock()
	k = c.keys[sc]
	c.mu.RUnlock()
	if k != nil && k.secret == secret {
		return k, true
	}
	return deriveKey(secret, sc), false
}

func (c *keyCache) put(k *signingKey, sc Scope) {
	// The scope's strings point into a request's headers; keep copies.
	sc = sc.clone()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.keys) >= maxCachedKeys || c.keys == nil {
		c.keys = make(map[Scope]*signingKey)
	}
	c.keys[sc] = k
}
