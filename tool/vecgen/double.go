// SPDX-License-Identifier: Apache-2.0

package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dotDouble writes a product of float64: 32 sums, that of element i being i mod
// 32, so long as there are eight; what is left is added to the first of them.
func dotDouble() {
	begin("dotDouble", "func(a, b []float64) float64", "dotDouble is the sum of a[i]*b[i].", "dotDoubleScalar")
	form := func(label string, acc, rooms []reg.VecPhysical, width int, fold func()) {
		Label(label)
		a, b, n := arguments()
		for _, r := range acc {
			VXORPD(r.AsY(), r.AsY(), r.AsY()) // clears the whole of it
		}
		loop("dotDouble"+label, n, 32, func() {
			for i, r := range acc {
				VMOVUPD(at(a, 8*width*i), rooms[i%4])
				VFMADD231PD(at(b, 8*width*i), rooms[i%4], r)
			}
			advance(256, a, b)
		})
		loop("dotDoubleEight"+label, n, 8, func() {
			for i, r := range acc[:8/width] {
				VMOVUPD(at(a, 8*width*i), rooms[i])
				VFMADD231PD(at(b, 8*width*i), rooms[i], r)
			}
			advance(64, a, b)
		})
		loop("dotDoubleOne"+label, n, 1, func() {
			VMOVSD(at(a, 0), reg.X10)
			VMULSD(at(b, 0), reg.X10, reg.X10)
			VADDPD(rooms[0], acc[0], acc[0]) // its other lanes are 0
			advance(8, a, b)
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
	form("avx512", []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3}, []reg.VecPhysical{reg.Z10, reg.Z11, reg.Z12, reg.Z13}, 8, func() {
		VADDPD(reg.Z1, reg.Z0, reg.Z0)
		VADDPD(reg.Z3, reg.Z2, reg.Z2)
		VADDPD(reg.Z2, reg.Z0, reg.Z0)
		VEXTRACTF64X4(Imm(1), reg.Z0, reg.Y1)
		VADDPD(reg.Y1, reg.Y0, reg.Y0)
	})
	y := ymm[:8]
	form("avx2", y, []reg.VecPhysical{reg.Y10, reg.Y11, reg.Y12, reg.Y13}, 4, func() {
		for half := range 2 { // as the two halves of Z0 to Z3
			VADDPD(y[2+half], y[half], y[half])
			VADDPD(y[6+half], y[4+half], y[4+half])
			VADDPD(y[4+half], y[half], y[half])
		}
		VADDPD(reg.Y1, reg.Y0, reg.Y0)
	})
}

// axpyDouble writes y += alpha*x in float64.
func axpyDouble() {
	begin("axpyDouble", "func(alpha float64, x, y []float64)", "axpyDouble adds alpha*x to y.", "axpyDoubleScalar")
	alpha, err := Param("alpha").Resolve()
	if err != nil {
		panic(err)
	}
	form := func(label string, a reg.VecPhysical, rooms []reg.VecPhysical, width int) {
		Label(label)
		x, y, n := GP64(), GP64(), GP64()
		Load(Param("x").Base(), x)
		Load(Param("y").Base(), y)
		Load(Param("x").Len(), n)
		VBROADCASTSD(alpha.Addr, a)
		loop("axpyDouble"+label, n, 4*width, func() {
			for i, r := range rooms {
				VMOVUPD(at(y, 8*width*i), r)
				VFMADD231PD(at(x, 8*width*i), a, r)
				VMOVUPD(r, at(y, 8*width*i))
			}
			advance(32*width, x, y)
		})
		loop("axpyDoubleSome"+label, n, width, func() {
			VMOVUPD(at(y, 0), rooms[0])
			VFMADD231PD(at(x, 0), a, rooms[0])
			VMOVUPD(rooms[0], at(y, 0))
			advance(8*width, x, y)
		})
		loop("axpyDoubleOne"+label, n, 1, func() {
			VMOVSD(at(y, 0), reg.X1)
			VFMADD231SD(at(x, 0), reg.X0, reg.X1)
			VMOVSD(reg.X1, at(y, 0))
			advance(8, x, y)
		})
		VZEROUPPER()
		RET()
	}
	form("avx512", reg.Z0, []reg.VecPhysical{reg.Z1, reg.Z2, reg.Z3, reg.Z4}, 8)
	form("avx2", reg.Y0, []reg.VecPhysical{reg.Y1, reg.Y2, reg.Y3, reg.Y4}, 4)
}
