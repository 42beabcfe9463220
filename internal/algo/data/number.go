// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// maxExp10 bounds the decimal exponents of the fast path. A float32 ends at
// 1e38; beyond that strconv tells overflow from underflow.
const maxExp10 = 60

// pow10 holds the powers -maxExp10..maxExp10, each within half a unit in the
// last place of a float64.
var pow10 = func() (table [2*maxExp10 + 1]float64) {
	for e := range table {
		table[e], _ = strconv.ParseFloat("1e"+strconv.Itoa(e-maxExp10), 64)
	}
	return table
}()

// scanNumber reads the decimal number that starts at b[i] and gives the index
// behind it. ok is false when there is none there or when it needs slowNumber:
// more than 19 digits, inf and nan, results at the edge of a float32.
//
// The result is the float32 nearest to the decimal. The digits become a uint64
// m, and float64(m)·10^e is off by at most three half units in the last place
// (the conversion of m, the table, the product). Rounding that to float32 is
// right unless it lies that close to the middle between two float32, which is
// when its low 29 bits lie that close to 1<<28; then ok is false.
func scanNumber(b []byte, i int) (v float32, next int, ok bool) {
	if i+shortBytes <= len(b) {
		if v, next, ok = scanShort(b[i : i+shortBytes]); ok {
			return v, i + next, true
		}
	}
	return scanLong(b, i)
}

// shortBytes is what scanShort looks at.
const shortBytes = 32

// scanShort is scanNumber for the usual form: up to 7 digits, and behind a point
// up to 15. It takes eight digits at a time: numbers of a table differ in sign
// and length from one to the next, so that a branch of a loop over digits would
// be foretold wrongly for each.
//
// Source of the arithmetic: Lemire, "Number Parsing at a Gigabyte per Second",
// Software: Practice and Experience 51, 2021, section 4.
func scanShort(b []byte) (v float32, next int, ok bool) {
	sign := 0
	if b[0] == '-' {
		sign = 1
	}
	w := binary.LittleEndian.Uint64(b[sign:])
	whole, m := 1, w&0xff-'0'
	if m > 9 || w>>8&0xff-'0' <= 9 { // one digit alone is foretold: what is behind it need not wait for a count
		whole = digits(w)
		if whole == 0 || whole == 8 {
			return 0, 0, false
		}
		m = valueOf(w, whole)
	}
	next = sign + whole
	after, exp := b[next], maxExp10
	if after == '.' {
		next++
		w = binary.LittleEndian.Uint64(b[next:])
		n := digits(w)
		if n == 8 {
			m = m*1e8 + valueOf(w, n)
			next, exp = next+8, exp-8
			w = binary.LittleEndian.Uint64(b[next:])
			if n = digits(w); n == 8 || whole+n > 10 { // with 8 more an int64 has room for no more
				return 0, 0, false
			}
		}
		m = m*whole10[n] + valueOf(w, n)
		next, exp = next+n, exp-n
		after = b[next]
	}
	if after|0x20 == 'e' {
		return 0, 0, false
	}
	x := float64(int64(m)) * pow10[exp]
	return signed(x, sign), next, !near(x)
}

// whole10 holds the powers of ten of up to 7 digits.
var whole10 = [8]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7}

// digits is how many digits the bytes of w, the lowest first, begin with.
func digits(w uint64) int {
	t := w ^ 0x3030303030303030
	return bits.TrailingZeros64((t|(t+0x7676767676767676))&0x8080808080808080) >> 3
}

// valueOf is the number that the first n bytes of w, which are digits, write.
func valueOf(w uint64, n int) uint64 {
	w = w << (64 - 8*n) & 0x0f0f0f0f0f0f0f0f
	w = w * (1 + 10<<8) >> 8 & 0x00ff00ff00ff00ff
	w = w * (1 + 100<<16) >> 16 & 0x0000ffff0000ffff
	return w * (1 + 10000<<32) >> 32
}

// near tells whether x lies so close to the middle between two float32 that
// scanNumber cannot tell which is nearest to the decimal.
func near(x float64) bool {
	const low, middle, margin = 1<<29 - 1, 1 << 28, 4
	return math.Float64bits(x)&low-(middle-margin) <= 2*margin
}

// signed is x with a sign, 1 for a minus.
func signed(x float64, sign int) float32 {
	return math.Float32frombits(math.Float32bits(float32(x)) | uint32(sign)<<31)
}

// scanLong is scanNumber for numbers of any length.
func scanLong(b []byte, i int) (v float32, next int, ok bool) {
	negative := false
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		negative = b[i] == '-'
		i++
	}
	var m uint64
	start := i
	for i < len(b) {
		d := b[i] - '0'
		if d > 9 {
			break
		}
		m = m*10 + uint64(d)
		i++
	}
	digits, exp := i-start, 0
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) {
			d := b[i] - '0'
			if d > 9 {
				break
			}
			m = m*10 + uint64(d)
			i++
		}
		exp = point - i
		digits += i - point
	}
	if digits == 0 || digits > 19 {
		return 0, i, false
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		var e int
		if e, i = scanExponent(b, i+1); i < 0 {
			return 0, 0, false
		}
		exp += e
	}
	if m == 0 {
		if negative {
			return float32(math.Copysign(0, -1)), i, true
		}
		return 0, i, true
	}
	if exp < -maxExp10 || exp > maxExp10 {
		return 0, i, false
	}
	x := float64(m)
	if exp != 0 {
		x *= pow10[exp+maxExp10]
	}
	if near(x) || x < 0x1p-126 || x > 0x1p127 {
		return 0, i, false
	}
	if negative {
		x = -x
	}
	return float32(x), i, true
}

// scanExponent reads the digits after the 'e' of a number. next is negative
// when there are none, or more than any float needs.
func scanExponent(b []byte, i int) (e, next int) {
	negative := false
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		negative = b[i] == '-'
		i++
	}
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		e = e*10 + int(b[i]-'0')
		i++
	}
	if i == start || i-start > 4 {
		return 0, -1
	}
	if negative {
		e = -e
	}
	return e, i
}

// number is slowNumber, quick on bare numbers.
func number(field []byte) (v float32, ok bool) {
	if v, next, ok := scanNumber(field, 0); ok && next == len(field) {
		return v, true
	}
	return slowNumber(field)
}

// slowNumber reads a whole field, spaces and quotes around it included. An
// empty field and nan, in any case, are a missing value: NaN. ok is false for
// any other text, and for what a float32 cannot hold, inf as well.
func slowNumber(field []byte) (v float32, ok bool) {
	field = bytes.TrimSpace(field)
	if n := len(field); n >= 2 && field[0] == '"' && field[n-1] == '"' {
		field = bytes.TrimSpace(field[1 : n-1])
	}
	if len(field) == 0 {
		return nan, true
	}
	if bytes.ContainsAny(field, "xX_") { // Go's own number forms
		return 0, false
	}
	x, err := strconv.ParseFloat(string(field), 32)
	if err != nil || math.IsInf(x, 0) {
		return 0, false
	}
	return float32(x), true
}

// noNumber says what is wrong with a field that slowNumber refuses.
func noNumber(field []byte) string {
	text := string(bytes.Trim(bytes.TrimSpace(field), `" `))
	x, err := strconv.ParseFloat(text, 64)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && !math.IsInf(x, 0) && !strings.ContainsAny(text, "xX_"):
		return shown(field) + " is not a number that fits in 32 bits"
	case err == nil && math.IsInf(x, 0):
		return shown(field) + " is not a finite number"
	}
	return shown(field) + " is not a number"
}

// nan is a missing value.
var nan = float32(math.NaN())
