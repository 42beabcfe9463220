// SPDX-License-Identifier: Apache-2.0

package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// accumulate writes y += x, in float64.
func accumulate() {
	begin("accumulate", "func(x []float32, y []float64)", "accumulate adds x to y.", "accumulateScalar")
	form := func(label string, rooms []reg.VecPhysical, width int) {
		Label(label)
		x, y, n := GP64(), GP64(), GP64()
		Load(Param("x").Base(), x)
		Load(Param("y").Base(), y)
		Load(Param("x").Len(), n)
		step := func(i int, r reg.VecPhysical) {
			VCVTPS2PD(at(x, 4*width*i), r)
			VADDPD(at(y, 8*width*i), r, r)
			VMOVUPD(r, at(y, 8*width*i))
		}
		loop("accumulateFour"+label, n, 4*width, func() {
			for i, r := range rooms {
				step(i, r)
			}
			advance(16*width, x)
			advance(32*width, y)
		})
		loop("accumulate"+label, n, width, func() {
			step(0, rooms[0])
			advance(4*width, x)
			advance(8*width, y)
		})
		loop("accumulateOne"+label, n, 1, func() {
			VXORPS(reg.X1, reg.X1, reg.X1)
			VCVTSS2SD(at(x, 0), reg.X1, reg.X1)
			VADDSD(at(y, 0), reg.X1, reg.X1)
			VMOVSD(reg.X1, at(y, 0))
			advance(4, x)
			advance(8, y)
		})
		VZEROUPPER()
		RET()
	}
	form("avx512", []reg.VecPhysical{reg.Z1, reg.Z2, reg.Z3, reg.Z4}, 8)
	form("avx2", []reg.VecPhysical{reg.Y1, reg.Y2, reg.Y3, reg.Y4}, 4)
}

// dot64 writes a product of float32 whose sum is held in float64: 16 sums, that
// of element i being i mod 16; what is left at the end is added to the first of
// them.
func dot64() {
	begin("dot64", "func(a, b []float32) float64", "dot64 is the sum of a[i]*b[i] in float64.", "dot64Scalar")
	form := func(label string, acc, x, y []reg.VecPhysical, ten reg.VecPhysical, width int, fold func()) {
		Label(label)
		a, b, n := arguments()
		for _, r := range acc {
			VXORPD(r.AsY(), r.AsY(), r.AsY()) // clears the whole of it
		}
		loop("dot64"+label, n, 16, func() {
			for i, r := range acc {
				VCVTPS2PD(at(a, 4*width*i), x[i%2])
				VCVTPS2PD(at(b, 4*width*i), y[i%2])
				VFMADD231PD(x[i%2], y[i%2], r)
			}
			advance(64, a, b)
		})
		loop("dot64One"+label, n, 1, func() {
			VXORPS(reg.X9, reg.X9, reg.X9)
			VCVTSS2SD(at(a, 0), reg.X9, reg.X10)
			VCVTSS2SD(at(b, 0), reg.X9, reg.X11)
			VMULSD(reg.X10, reg.X11, reg.X10) // exact
			VADDPD(ten, acc[0], acc[0])       // its other lanes are 0
			advance(4, a, b)
		})
		fold()
		VEXTRACTF128(Imm(1), reg.Y0, reg.X1)
		VADDPD(reg.X1, reg.X0, reg.X0)
		VUNPCKHPD(reg.X0, reg.X0, reg.X1)
		VADDSD(reg.X1, reg.X0, reg.X0)
		VZEROUPPER()
		Store(reg.X0, ReturnIndex(0))
		RET()
	}
	// Sums 0 to 3 are in Y0, 4 to 7 beside or in Y1, and so on; they come together
	// as 0 and 8, 4 and 12, then both.
	form("avx512", []reg.VecPhysical{reg.Z0, reg.Z1}, []reg.VecPhysical{reg.Z4, reg.Z5}, []reg.VecPhysical{reg.Z6, reg.Z7}, reg.Z10, 8, func() {
		VADDPD(reg.Z1, reg.Z0, reg.Z0)
		VEXTRACTF64X4(Imm(1), reg.Z0, reg.Y1)
		VADDPD(reg.Y1, reg.Y0, reg.Y0)
	})
	form("avx2", []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3}, []reg.VecPhysical{reg.Y4, reg.Y5}, []reg.VecPhysical{reg.Y6, reg.Y7}, reg.Y10, 4, func() {
		VADDPD(reg.Y2, reg.Y0, reg.Y0)
		VADDPD(reg.Y3, reg.Y1, reg.Y1)
		VADDPD(reg.Y1, reg.Y0, reg.Y0)
	})
}

// leastScore writes the least of c[j]-2*s[j], and where it is first.
func leastScore() {
	begin("leastScore", "func(s, c []float32) (index int, score float32)",
		"leastScore is the least of c[j]-2*s[j], and its first index.", "leastScoreScalar")
	minusTwo := ConstData("minusTwo", F32(-2))
	infinity := ConstData("infinity", U32(0x7f800000))
	form := func(label string, r [3]reg.VecPhysical, width int, least func(), found func(mask reg.GPVirtual)) {
		Label(label)
		least0, two, value := r[0], r[1], r[2]
		s, c, n := GP64(), GP64(), GP64()
		Load(Param("s").Base(), s)
		Load(Param("c").Base(), c)
		Load(Param("s").Len(), n)
		VBROADCASTSS(minusTwo, two)
		VBROADCASTSS(infinity, least0)
		i, left := GP64(), GP64()
		XORQ(i, i)
		MOVQ(n, left)
		elem := func(base reg.GPVirtual) Mem { return Mem{Base: base, Index: i, Scale: 4} }
		loop("leastScore"+label, left, width, func() {
			VMOVUPS(elem(c), value)
			VFMADD231PS(elem(s), two, value)
			VMINPS(least0, value, least0)
			ADDQ(Imm(uint64(width)), i)
		})
		loop("leastScoreOne"+label, left, 1, func() {
			VMOVSS(elem(c), value.AsX())
			VFMADD231SS(elem(s), two.AsX(), value.AsX())
			VBROADCASTSS(value.AsX(), value)
			VMINPS(least0, value, least0)
			INCQ(i)
		})
		least()
		VBROADCASTSS(least0.AsX(), least0)
		score, err := ReturnIndex(1).Resolve()
		if err != nil {
			panic(err)
		}
		VMOVSS(least0.AsX(), score.Addr)
		// Once more, for the first that is as small.
		XORQ(i, i)
		MOVQ(n, left)
		mask := GP64()
		loop("leastScoreWhere"+label, left, width, func() {
			VMOVUPS(elem(c), value)
			VFMADD231PS(elem(s), two, value)
			found(mask)
			TESTL(mask.As32(), mask.As32())
			JNZ(LabelRef("leastScoreFound" + label))
			ADDQ(Imm(uint64(width)), i)
		})
		loop("leastScoreWhereOne"+label, left, 1, func() {
			VMOVSS(elem(c), value.AsX())
			VFMADD231SS(elem(s), two.AsX(), value.AsX())
			VUCOMISS(value.AsX(), least0.AsX())
			JNE(LabelRef("leastScoreNext" + label))
			JPC(LabelRef("leastScoreHere" + label))
			Label("leastScoreNext" + label)
			INCQ(i)
		})
		XORQ(i, i) // nothing but NaN
		JMP(LabelRef("leastScoreHere" + label))
		Label("leastScoreFound" + label)
		TZCNTQ(mask, mask)
		ADDQ(mask, i)
		Label("leastScoreHere" + label)
		VZEROUPPER()
		Store(i, ReturnIndex(0))
		RET()
	}
	least := func() {
		VEXTRACTF128(Imm(1), reg.Y0, reg.X3)
		VMINPS(reg.X3, reg.X0, reg.X0)
		VMOVHLPS(reg.X0, reg.X0, reg.X3)
		VMINPS(reg.X3, reg.X0, reg.X0)
		VMOVSHDUP(reg.X0, reg.X3)
		VMINPS(reg.X3, reg.X0, reg.X0)
	}
	form("avx512", [3]reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2}, 16, func() {
		VEXTRACTF64X4(Imm(1), reg.Z0, reg.Y3)
		VMINPS(reg.Y3, reg.Y0, reg.Y0)
		least()
	}, func(mask reg.GPVirtual) {
		VCMPPS(Imm(0), reg.Z0, reg.Z2, reg.K1)
		KMOVW(reg.K1, mask.As32())
	})
	form("avx2", [3]reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2}, 8, least, func(mask reg.GPVirtual) {
		VCMPPS(Imm(0), reg.Y0, reg.Y2, reg.Y3)
		VMOVMSKPS(reg.Y3, mask.As32())
	})
}
