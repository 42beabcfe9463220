// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"math"
	"strconv"
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
	const low, middle, margin = 1<<29 - 1, 1 << 28, 4
	if near := math.Float64bits(x)&low - (middle - margin); near <= 2*margin || x < 0x1p-126 || x > 0x1p127 {
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

// nan is a missing value.
var nan = float32(math.NaN())
