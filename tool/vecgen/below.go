// SPDX-License-Identifier: Apache-2.0

package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// notAbove is the predicate of a compare that NaN passes.
const notAbove = 0x1a

// notAboveLimit writes the first index from one on whose score is not above a
// limit.
func notAboveLimit() {
	begin("below", "func(s, c []float32, limit float32, from int) int",
		"below is the first j from from on for which c[j]-2*s[j] is not above limit, len(s) for none.", "belowScalar")
	minusTwo := ConstData("belowMinusTwo", F32(-2))
	form := func(label string, r [3]reg.VecPhysical, width int, found func(mask reg.GPVirtual)) {
		Label(label)
		limit, two, value := r[0], r[1], r[2]
		s, c, left, i := GP64(), GP64(), GP64(), GP64()
		Load(Param("s").Base(), s)
		Load(Param("c").Base(), c)
		Load(Param("s").Len(), left)
		Load(Param("from"), i)
		SUBQ(i, left)
		most, err := Param("limit").Resolve()
		if err != nil {
			panic(err)
		}
		VBROADCASTSS(most.Addr, limit)
		VBROADCASTSS(minusTwo, two)
		elem := func(base reg.GPVirtual) Mem { return Mem{Base: base, Index: i, Scale: 4} }
		mask := GP64()
		loop("below"+label, left, width, func() {
			VMOVUPS(elem(c), value)
			VFMADD231PS(elem(s), two, value)
			found(mask)
			TESTL(mask.As32(), mask.As32())
			JNZ(LabelRef("belowFound" + label))
			ADDQ(Imm(uint64(width)), i)
		})
		loop("belowOne"+label, left, 1, func() {
			VMOVSS(elem(c), value.AsX())
			VFMADD231SS(elem(s), two.AsX(), value.AsX())
			VUCOMISS(limit.AsX(), value.AsX())
			JLS(LabelRef("belowHere" + label)) // below, equal, or no number
			INCQ(i)
		})
		JMP(LabelRef("belowHere" + label))
		Label("belowFound" + label)
		TZCNTQ(mask, mask)
		ADDQ(mask, i)
		Label("belowHere" + label)
		VZEROUPPER()
		Store(i, ReturnIndex(0))
		RET()
	}
	form("avx512", [3]reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2}, 16, func(mask reg.GPVirtual) {
		VCMPPS(Imm(notAbove), reg.Z0, reg.Z2, reg.K1)
		KMOVW(reg.K1, mask.As32())
	})
	form("avx2", [3]reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2}, 8, func(mask reg.GPVirtual) {
		VCMPPS(Imm(notAbove), reg.Y0, reg.Y2, reg.Y3)
		VMOVMSKPS(reg.Y3, mask.As32())
	})
}
