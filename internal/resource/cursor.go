// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"
)

// This file is what every store needs to keep the order, the bounds and the
// tokens of a list the same. A page continues behind the last row of the page
// before, not at a count of rows, so it stays in place when rows come and go.

// tokenVersion is the first byte of a token; another layout gets another one.
const tokenVersion = 1

// sortCodes are the second byte of a token.
var sortCodes = map[string]byte{SortName: 'n', SortCreated: 'c', SortStatus: 's', SortModified: 'm'}

// Millis is t as stores keep it: in UTC and cut to the millisecond.
func Millis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// FoldARN is the form in which ARNs are compared: ASCII letters in lower case.
func FoldARN(arn string) string { return lower(arn) }

// lower lowers ASCII letters and leaves every other byte alone, as SQL's lower
// does, so that all stores agree about text that is not ASCII.
func lower(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Defaults is f with Sort and Limit filled in and the lower-case form of
// NameContains. It answers an error for a Sort that is none of the constants.
func (f Filter) Defaults() (Filter, error) {
	if f.Sort == "" {
		f.Sort = SortCreated
	}
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	if sortCodes[f.Sort] == 0 {
		return f, fmt.Errorf("resource: no list is ordered by %q", f.Sort)
	}
	f.NameContains = lower(f.NameContains)
	return f, nil
}

// Accepts reports whether the row is one that f chooses, on whatever page. f
// comes from Defaults.
func (f Filter) Accepts(r Row) bool {
	return r.Account == f.Account && r.Region == f.Region && r.Family == f.Family &&
		(f.Owner == "" || r.Owner == f.Owner) &&
		(len(f.Status) == 0 || slices.Contains(f.Status, r.Status)) &&
		within(r.Created, f.CreatedAfter, f.CreatedBefore) &&
		within(r.Modified, f.ModifiedAfter, f.ModifiedBefore) &&
		(f.NameContains == "" || strings.Contains(lower(r.Name), f.NameContains)) &&
		(f.Match == nil || f.Match(r))
}

func within(t, after, before time.Time) bool {
	return (after.IsZero() || t.After(after)) && (before.IsZero() || t.Before(before))
}

// Compare orders two rows of one list as f does: by the sort column, then by
// name, the whole turned around when Desc is set. f comes from Defaults.
func (f Filter) Compare(a, b Row) int {
	n := 0
	switch f.Sort {
	case SortCreated:
		n = a.Created.Compare(b.Created)
	case SortModified:
		n = a.Modified.Compare(b.Modified)
	case SortStatus:
		n = strings.Compare(a.Status, b.Status)
	}
	n = cmp.Or(n, strings.Compare(a.Name, b.Name))
	if f.Desc {
		return -n
	}
	return n
}

// Token is the Next of a page that ends with the row last. f comes from
// Defaults.
func (f Filter) Token(last Row) string {
	b := []byte{tokenVersion, sortCodes[f.Sort], f.direction()}
	switch f.Sort {
	case SortCreated:
		b = binary.AppendVarint(b, last.Created.UnixMilli())
	case SortModified:
		b = binary.AppendVarint(b, last.Modified.UnixMilli())
	case SortStatus:
		b = binary.AppendUvarint(b, uint64(len(last.Status)))
		b = append(b, last.Status...)
	}
	b = append(b, last.Name...)
	b = binary.BigEndian.AppendUint32(b, f.sum(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Last is the row behind which the page begins that f.After asks for. Only its
// name and the column of f.Sort are set. ok is false for the first page. It
// answers ErrBadToken for a token that Token did not make for this list in
// this order. f comes from Defaults.
func (f Filter) Last() (last Row, ok bool, err error) {
	if f.After == "" {
		return Row{}, false, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(f.After)
	if err != nil || len(b) < 7 {
		return Row{}, false, ErrBadToken
	}
	b, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if b[0] != tokenVersion || b[1] != sortCodes[f.Sort] || b[2] != f.direction() || sum != f.sum(b) {
		return Row{}, false, ErrBadToken
	}
	b = b[3:]
	switch f.Sort {
	case SortCreated, SortModified:
		ms, n := binary.Varint(b)
		if n <= 0 {
			return Row{}, false, ErrBadToken
		}
		last.Created, b = time.UnixMilli(ms).UTC(), b[n:]
		if f.Sort == SortModified {
			last.Created, last.Modified = time.Time{}, last.Created
		}
	case SortStatus:
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return Row{}, false, ErrBadToken
		}
		last.Status, b = string(b[n:n+int(size)]), b[n+int(size):]
	}
	last.Name = string(b)
	return last, true, nil
}

func (f Filter) direction() byte {
	if f.Desc {
		return 'd'
	}
	return 'a'
}

// sum ties a token to its list: a token of another account, Region or family
// has another sum. It guards against mistakes, not against forgery: a forged
// token reaches nothing that the list itself does not show.
func (f Filter) sum(body []byte) uint32 {
	h := crc32.NewIEEE()
	for _, part := range []string{f.Account, f.Region, f.Family} {
		h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	h.Write(body)
	return h.Sum32()
}
