// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"errors"
	"testing"
	"time"
)

// FuzzLast checks that no token crashes a list, that a token that is taken is
// the one its row makes, and that every row's token leads back to the row.
func FuzzLast(f *testing.F) {
	f.Add("AWNhAgA", "job", int64(5), byte(0))
	f.Add("", "", int64(-1), byte(7))
	f.Add("AXNhBEZhaWw", "a\x00\xff", int64(1<<60), byte(2))
	sorts := []string{SortName, SortCreated, SortStatus, SortModified}
	f.Fuzz(func(t *testing.T, token, name string, ms int64, order byte) {
		list, err := Filter{Account: "1", Family: "job", Sort: sorts[order%4], Desc: order&4 != 0}.Defaults()
		if err != nil {
			t.Fatal(err)
		}
		list.After = token
		switch last, ok, err := list.Last(); {
		case err != nil && !errors.Is(err, ErrBadToken):
			t.Fatalf("error is %v", err)
		case err == nil && ok != (token != ""):
			t.Fatalf("token %q: ok is %v", token, ok)
		case ok:
			list.After = list.Token(last)
			again, _, err := list.Last()
			if err != nil || list.Compare(last, again) != 0 {
				t.Fatalf("token %q leads to %+v, which leads to %+v, %v", token, last, again, err)
			}
		}
		row := Row{Key: Key{Name: name}, Status: name + "!", Created: time.UnixMilli(ms), Modified: time.UnixMilli(^ms)}
		list.After = list.Token(row)
		if last, ok, err := list.Last(); err != nil || !ok || list.Compare(last, row) != 0 {
			t.Fatalf("%+v came back as %+v, %v, %v", row, last, ok, err)
		}
	})
}

func TestMillis(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"digits below a millisecond go", "2026-01-02T03:04:05.123999999Z", "2026-01-02T03:04:05.123Z"},
		{"the zone becomes UTC", "2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"},
		{"before 1970 it cuts downwards too", "1969-12-31T23:59:59.0019Z", "1969-12-31T23:59:59.001Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := time.Parse(time.RFC3339Nano, c.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := Millis(in).Format(time.RFC3339Nano); got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestFoldARN(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"capitals are lowered", "arn:AWS:Job/A-Z", "arn:aws:job/a-z"},
		{"letters beyond ASCII stay", "arn:É\xff\x00İ", "arn:É\xff\x00İ"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := FoldARN(c.in); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}
