// SPDX-License-Identifier: Apache-2.0

package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// updateTwo writes the step of Householder's reduction for two rows of a
// symmetric matrix: the last step's reflection is taken in and the products of
// the next one made while a row is at hand.
//
// Each product is eight sums, that of element i being i mod 8, and one of what is
// left at the end.
func updateTwo() {
	begin("updateTwo", "func(a, b, y, w, v, x []float64, by *[6]float64) (ax, bx float64)",
		"updateTwo adds by[0]*w + by[1]*v to a and by[2]*w + by[3]*v to b, then by[4]*a + by[5]*b to y, and gives a·x and b·x.", "updateTwoScalar")
	// by holds the six factors, sum the sums of a and those of b, room four more.
	form := func(label string, by []reg.VecPhysical, sum [2][]reg.VecPhysical, room []reg.VecPhysical, width int, fold func(of []reg.VecPhysical)) {
		Label(label)
		a, b, y, w, v, x, n, factors := GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
		for i, into := range []reg.Register{a, b, y, w, v, x} {
			Load(Param("abywvx"[i:i+1]).Base(), into)
		}
		Load(Param("a").Len(), n)
		Load(Param("by"), factors)
		for i, r := range by {
			VBROADCASTSD(at(factors, 8*i), r)
		}
		for _, of := range sum {
			for _, r := range of {
				VXORPD(r.AsY(), r.AsY(), r.AsY()) // clears the whole of it
			}
		}
		loop("updateTwo"+label, n, 8, func() {
			for i := range 8 / width {
				disp := 8 * width * i
				ra, rb, rw, rv := room[0], room[1], room[2], room[3]
				VMOVUPD(at(w, disp), rw)
				VMOVUPD(at(v, disp), rv)
				VMOVUPD(at(a, disp), ra)
				VMOVUPD(at(b, disp), rb)
				VFMADD231PD(rw, by[0], ra)
				VFMADD231PD(rw, by[2], rb)
				VMOVUPD(at(y, disp), rw)
				VFMADD231PD(rv, by[1], ra)
				VFMADD231PD(rv, by[3], rb)
				VMOVUPD(at(x, disp), rv)
				VMOVUPD(ra, at(a, disp))
				VMOVUPD(rb, at(b, disp))
				VFMADD231PD(ra, by[4], rw)
				VFMADD231PD(rv, ra, sum[0][i])
				VFMADD231PD(rb, by[5], rw)
				VFMADD231PD(rv, rb, sum[1][i])
				VMOVUPD(rw, at(y, disp))
			}
			advance(64, a, b, y, w, v, x)
		})
		fold(sum[0])
		fold(sum[1])
		loop("updateTwoOne"+label, n, 1, func() {
			ra, rb, rw, rv := room[0].AsX(), room[1].AsX(), room[2].AsX(), room[3].AsX()
			VMOVSD(at(w, 0), rw)
			VMOVSD(at(v, 0), rv)
			VMOVSD(at(a, 0), ra)
			VMOVSD(at(b, 0), rb)
			VFMADD231SD(rw, by[0].AsX(), ra)
			VFMADD231SD(rw, by[2].AsX(), rb)
			VFMADD231SD(rv, by[1].AsX(), ra)
			VFMADD231SD(rv, by[3].AsX(), rb)
			VMOVSD(at(y, 0), rw)
			VMOVSD(at(x, 0), rv)
			VMOVSD(ra, at(a, 0))
			VMOVSD(rb, at(b, 0))
			VFMADD231SD(ra, by[4].AsX(), rw)
			VFMADD231SD(rb, by[5].AsX(), rw)
			VMOVSD(rw, at(y, 0))
			VFMADD231SD(rv, ra, sum[0][0].AsX())
			VFMADD231SD(rv, rb, sum[1][0].AsX())
			advance(8, a, b, y, w, v, x)
		})
		VZEROUPPER()
		Store(sum[0][0].AsX(), ReturnIndex(0))
		Store(sum[1][0].AsX(), ReturnIndex(1))
		RET()
	}
	// narrow adds up four sums.
	narrow := func(y reg.VecPhysical) {
		VEXTRACTF128(Imm(1), y, reg.X6)
		VADDPD(reg.X6, y.AsX(), y.AsX())
		VUNPCKHPD(y.AsX(), y.AsX(), reg.X6)
		VADDSD(reg.X6, y.AsX(), y.AsX())
	}
	form("avx512", zmm[:6], [2][]reg.VecPhysical{zmm[14:15], zmm[15:16]}, zmm[7:11], 8, func(of []reg.VecPhysical) {
		VEXTRACTF64X4(Imm(1), of[0], reg.Y6)
		VADDPD(reg.Y6, of[0].AsY(), of[0].AsY())
		narrow(of[0].AsY().(reg.VecPhysical))
	})
	form("avx2", ymm[:6], [2][]reg.VecPhysical{ymm[12:14], ymm[14:16]}, ymm[7:11], 4, func(of []reg.VecPhysical) {
		VADDPD(of[1], of[0], of[0])
		narrow(of[0])
	})
}
