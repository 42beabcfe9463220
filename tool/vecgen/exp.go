// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The polynomial of e^r-1-r over r², and ln 2 in two parts, as in Cephes' expf.
var expTerms = []float32{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1}

const (
	ln2High = 0.693359375
	ln2Low  = -2.12194440e-4
	// Beyond these e^x is 0, or infinite.
	expLeast, expMost = -104, 89
)

// exponential writes dst = e^x.
//
// x = n·ln 2 + r with a whole n; e^x = 2^n·e^r.
func exponential() {
	const name = "exp"
	begin(name, "func(dst, x []float32)", "exp writes e^x[i] into dst.", "expScalar")
	constant := func(what string, v float32) Mem { return ConstData(name+what, F32(v)) }
	least, most := constant("Least", expLeast), constant("Most", expMost)
	log2e, high, low := constant("Log2e", math.Log2E), constant("Ln2High", ln2High), constant("Ln2Low", ln2Low)
	one := constant("One", 1)
	var terms []Mem
	for i, v := range expTerms {
		terms = append(terms, constant("Term"+string(rune('0'+i)), v))
	}
	bias := ConstData(name+"Bias", U32(127))

	form := func(label string, file []reg.VecPhysical, width int) {
		wide := width == 16
		Label(label)
		dst, x, n := GP64(), GP64(), GP64()
		Load(Param("dst").Base(), dst)
		Load(Param("x").Base(), x)
		Load(Param("x").Len(), n)
		next := 0
		register := func() reg.VecPhysical { next++; return file[next-1] }
		v, whole, r, room, mask := register(), register(), register(), register(), register()
		hold := func(m Mem) reg.VecPhysical {
			held := register()
			VBROADCASTSS(m, held)
			return held
		}
		kLeast, kMost, kLog2e, kHigh, kLow := hold(least), hold(most), hold(log2e), hold(high), hold(low)
		// AVX2 has too few registers for all of them.
		kOne := hold(one)
		var kTerms []reg.VecPhysical
		held := terms
		if !wide {
			held = terms[:2]
		}
		for _, m := range held {
			kTerms = append(kTerms, hold(m))
		}
		term := func(i int) reg.VecPhysical {
			if i < len(kTerms) {
				return kTerms[i]
			}
			VBROADCASTSS(terms[i], mask)
			return mask
		}
		compute := func() {
			VMINPS(v, kMost, v) // NaN stays
			VMAXPS(v, kLeast, v)
			VMULPS(kLog2e, v, whole)
			if wide {
				VRNDSCALEPS(Imm(0), whole, whole)
			} else {
				VROUNDPS(Imm(0), whole, whole)
			}
			VMOVAPS(v, r)
			VFNMADD231PS(kHigh, whole, r)
			VFNMADD231PS(kLow, whole, r)
			VMOVAPS(term(0), v)
			for i := 1; i < len(terms); i++ {
				VFMADD213PS(term(i), r, v) // v = v·r + term
			}
			VMULPS(r, r, room)
			VFMADD213PS(r, room, v) // v = v·r² + r
			VADDPS(kOne, v, v)
			if wide {
				VSCALEFPS(whole, v, v)
			} else { // in two steps, as 2^n may be no number
				VCVTPS2DQ(whole, whole)
				VPSRAD(Imm(1), whole, room)
				VPSUBD(room, whole, whole)
				VPBROADCASTD(bias, r)
				for _, part := range []reg.VecPhysical{room, whole} {
					VPADDD(r, part, part)
					VPSLLD(Imm(23), part, part)
					VMULPS(part, v, v)
				}
			}
		}
		loop(name+label, n, width, func() {
			VMOVUPS(at(x, 0), v)
			compute()
			VMOVUPS(v, at(dst, 0))
			advance(4*width, x, dst)
		})
		TESTQ(n, n)
		JZ(LabelRef(name + "End" + label))
		if wide {
			tailMask(n, reg.K1)
			VMOVUPS_Z(at(x, 0), reg.K1, v)
			compute()
			VMOVUPS(v, reg.K1, at(dst, 0))
		} else {
			left := GP64()
			MOVQ(n, left)
			maskOf256(n, room)
			VMASKMOVPS(at(x, 0), room, v)
			compute()
			maskOf256(left, room)
			VMASKMOVPS(v, room, at(dst, 0))
		}
		Label(name + "End" + label)
		VZEROUPPER()
		RET()
	}
	form("avx512", zmm, 16)
	form("avx2", ymm, 8)
}
