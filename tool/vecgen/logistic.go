// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// logistic writes the slopes g of the logistic loss of a matrix of scores s, one
// column for each of w, and adds to sums what the loss is made of. A row has one
// label, or each element its own.
//
// With t the score, negative of label 1, and e = e^-|t| the slope is 1/(1+e), or
// e/(1+e) where t < 0, negative of label 1; the loss is max(t, 0) + ln(1+e), and
// the factors 1+e are multiplied up, those of each label for itself.
func logistic(name, doc string, each bool) {
	begin(name, "func(g, s, y, w, sums []float32)", doc, name+"Scalar")
	constant := func(what string, v float32) Mem { return ConstData(name+what, F32(v)) }
	one, least := constant("One", 1), constant("Least", -86)
	log2e, high, low := constant("Log2e", math.Log2E), constant("Ln2High", ln2High), constant("Ln2Low", ln2Low)
	sign := ConstData(name+"Sign", U32(0x80000000))
	var terms []Mem
	for i, v := range expTerms {
		terms = append(terms, constant("Term"+string(rune('0'+i)), v))
	}

	form := func(label string, file []reg.VecPhysical, width int) {
		wide := width == 16
		Label(label)
		v, whole, r, room := file[0], file[1], file[2], file[3]
		weight, sum, zeros, ones := file[4], file[5], file[6], file[7]
		next := 8
		hold := func(m Mem) reg.VecPhysical {
			held := file[next]
			next++
			VBROADCASTSS(m, held)
			return held
		}
		kOne, kSign, kLog2e, kHigh, kLow := hold(one), hold(sign), hold(log2e), hold(high), hold(low)
		var kLeast reg.VecPhysical
		var kTerms []reg.VecPhysical
		if wide { // AVX2 has too few registers for these
			kLeast = hold(least)
			for _, m := range terms {
				kTerms = append(kTerms, hold(m))
			}
		}
		mask := file[15]
		term := func(i int) reg.VecPhysical {
			if wide {
				return kTerms[i]
			}
			VBROADCASTSS(terms[i], room)
			return room
		}

		g, s, y, sums, w, columns := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
		Load(Param("g").Base(), g)
		Load(Param("s").Base(), s)
		Load(Param("sums").Base(), sums)
		Load(Param("w").Base(), w)
		Load(Param("w").Len(), columns)
		stride, left := GP64(), GP64()
		MOVQ(columns, stride)
		SHLQ(Imm(2), stride)
		at2 := func(i int) Mem { // of sums
			m := Mem{Base: sums}
			if i > 0 {
				m.Index, m.Scale = stride, uint8(i)
			}
			return m
		}
		from := GP64()
		XORQ(from, from) // the column, in bytes
		loop(name+label, columns, width, func() {
			pg, ps := GP64(), GP64()
			LEAQ(Mem{Base: g, Index: from, Scale: 1}, pg)
			LEAQ(Mem{Base: s, Index: from, Scale: 1}, ps)
			Load(Param("y").Base(), y)
			Load(Param("y").Len(), left)
			VMOVUPS(Mem{Base: w, Index: from, Scale: 1}, weight)
			VMOVUPS(at2(0), sum)
			VMOVUPS(at2(1), zeros)
			VMOVUPS(at2(2), ones)
			if each {
				ADDQ(from, y)
				SHLQ(Imm(2), left)
			}
			step := GP64()
			if each {
				MOVQ(stride, step)
			} else {
				MOVQ(U32(1), step)
			}
			// left counts rows, or bytes of labels.
			SUBQ(step, left)
			JB(LabelRef(name + "End" + label))
			Label(name + "Row" + label)
			VMOVUPS(Mem{Base: ps}, v)
			if each {
				VMOVUPS(Mem{Base: y}, room)
			} else {
				VBROADCASTSS(Mem{Base: y}, room)
			}
			if wide {
				VCMPPS(Imm(0), kOne, room, reg.K1)
				KNOTW(reg.K1, reg.K2)
				VPXORD(kSign, v, reg.K1, v)
				VPMOVD2M(v, reg.K3)
				VPORD(kSign, v, r)
				VMAXPS(r, kLeast, r) // NaN stays
				VMULPS(kLog2e, r, whole)
				VRNDSCALEPS(Imm(0), whole, whole)
			} else {
				VCMPPS(Imm(0), kOne, room, mask)
				VANDPS(kSign, mask, room)
				VXORPS(room, v, v)
				VORPS(kSign, v, r)
				VBROADCASTSS(least, room)
				VMAXPS(r, room, r)
				VMULPS(kLog2e, r, whole)
				VROUNDPS(Imm(0), whole, whole)
			}
			VFNMADD231PS(kHigh, whole, r)
			VFNMADD231PS(kLow, whole, r)
			VCVTPS2DQ(whole, whole)
			VPSLLD(Imm(23), whole, whole)
			p := file[14]
			if wide {
				p = file[20]
			}
			if wide {
				VMOVAPS(kTerms[0], p)
			} else {
				VBROADCASTSS(terms[0], p)
			}
			for i := 1; i < len(terms); i++ {
				VFMADD213PS(term(i), r, p) // p = p·r + term
			}
			VMULPS(r, r, room)
			VFMADD213PS(r, room, p) // p = p·r² + r
			VADDPS(kOne, p, p)
			VPADDD(whole, p, p)   // e, by its exponent
			VADDPS(kOne, p, room) // 1+e
			VDIVPS(room, kOne, r)
			zero := whole
			VXORPS(zero.AsX(), zero.AsX(), zero.AsX())
			if wide {
				VMULPS(room, ones, reg.K1, ones)
				VMULPS(room, zeros, reg.K2, zeros)
				VMULPS(p, r, reg.K3, r)
				VMAXPS(v, zero, v)
				VMULPS(weight, r, reg.K1, r)
				VMULPS(weight, v, reg.K1, v)
				VADDPS(v, sum, sum)
				VPXORD(kSign, r, reg.K1, r)
			} else {
				VMULPS(p, r, p)
				VBLENDVPS(v, p, r, r) // where v < 0
				VMAXPS(v, zero, v)
				VBLENDVPS(mask, room, kOne, p)
				VMULPS(p, ones, ones)
				VBLENDVPS(mask, kOne, room, p)
				VMULPS(p, zeros, zeros)
				VBLENDVPS(mask, weight, kOne, p)
				VMULPS(p, r, r)
				VMULPS(p, v, v)
				VADDPS(v, sum, sum)
				VANDPS(kSign, mask, p)
				VXORPS(p, r, r)
			}
			VMOVUPS(r, Mem{Base: pg})
			ADDQ(stride, ps)
			ADDQ(stride, pg)
			if each {
				ADDQ(stride, y)
			} else {
				ADDQ(Imm(4), y)
			}
			SUBQ(step, left)
			JAE(LabelRef(name + "Row" + label))
			Label(name + "End" + label)
			VMOVUPS(sum, at2(0))
			VMOVUPS(zeros, at2(1))
			VMOVUPS(ones, at2(2))
			ADDQ(Imm(uint64(4*width)), sums)
			ADDQ(Imm(uint64(4*width)), from)
		})
		VZEROUPPER()
		RET()
	}
	form("avx512", zmm, 16)
	form("avx2", ymm, 8)
}
