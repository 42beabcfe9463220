// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Time is a timestamp of a message: epoch seconds with up to three decimals in
// JSON, ISO 8601 in XML. The zero Time is an absent one.
type Time struct{ time.Time }

// At is t cut to milliseconds, as the wire carries it.
func At(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Truncate(time.Millisecond)}
}

// IsZero lets omitzero drop an absent time.
func (t Time) IsZero() bool { return t.Time.IsZero() }

// MarshalJSON writes epoch seconds.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return appendEpoch(nil, t.Time), nil
}

func appendEpoch(b []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		return strconv.AppendFloat(b, float64(ms)/1000, 'f', -1, 64)
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if f := ms % 1000; f != 0 {
		b = append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
		b = bytes.TrimRight(b, "0")
	}
	return b
}

// UnmarshalJSON reads epoch seconds, or null.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = Time{}
		return nil
	}
	v, err := parseTime(string(bytes.Trim(b, `"`)))
	if err != nil {
		return err
	}
	*t = v
	return nil
}

// parseTime reads epoch seconds or ISO 8601.
func parseTime(s string) (Time, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if f > 1e12 || f < -1e12 {
			return Time{}, fmt.Errorf("timestamp %s is out of range", s)
		}
		// Rounded: 1795142639.178 has no exact float64, and lies a little below.
		return Time{time.UnixMilli(int64(math.Round(f * 1000))).UTC()}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02", time.RFC1123} {
		if v, err := time.Parse(layout, s); err == nil {
			return At(v), nil
		}
	}
	return Time{}, fmt.Errorf("%q is not a timestamp", s)
}
