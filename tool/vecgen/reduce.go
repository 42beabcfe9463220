// SPDX-License-Identifier: Apache-2.0

package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// reduction writes a sum over two vectors of products, or of squares of
// differences.
//
// The order: 64 sums, that of element i being i mod 64, in four registers of 16
// (AVX2: eight of 8); then the registers by pairs, the halves, the quarters.
func reduction(name, doc string, distance bool) {
	begin(name, "func(a, b []float32) float32", doc, name+"Scalar")
	z := []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3}
	y := []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7}

	Label("avx512")
	a, b, n := arguments()
	for _, r := range z {
		VPXORD(r, r, r)
	}
	step := func(disp int, acc, room reg.VecPhysical) {
		VMOVUPS(at(a, disp), room)
		if distance {
			VSUBPS(at(b, disp), room, room)
			VFMADD231PS(room, room, acc)
		} else {
			VFMADD231PS(at(b, disp), room, acc)
		}
	}
	rooms := []reg.VecPhysical{reg.Z4, reg.Z5, reg.Z6, reg.Z7}
	loop(name+"Z64", n, 64, func() {
		for i := range z {
			step(64*i, z[i], rooms[i])
		}
		advance(256, a, b)
	})
	CMPQ(n, Imm(16))
	JB(LabelRef(name + "ZTail"))
	for i := range 3 {
		step(64*i, z[i], rooms[i])
		SUBQ(Imm(16), n)
		if i < 2 {
			CMPQ(n, Imm(16))
			JB(LabelRef(name + "ZMoved" + string(rune('1'+i))))
		}
	}
	ADDQ(Imm(64), a)
	ADDQ(Imm(64), b)
	Label(name + "ZMoved2")
	ADDQ(Imm(64), a)
	ADDQ(Imm(64), b)
	Label(name + "ZMoved1")
	ADDQ(Imm(64), a)
	ADDQ(Imm(64), b)
	Label(name + "ZTail")
	TESTQ(n, n)
	JZ(LabelRef(name + "ZEnd"))
	tailMask(n, reg.K1)
	VMOVUPS_Z(at(a, 0), reg.K1, reg.Z4)
	VMOVUPS_Z(at(b, 0), reg.K1, reg.Z5)
	if distance {
		VSUBPS(reg.Z5, reg.Z4, reg.Z4)
		VFMADD231PS(reg.Z4, reg.Z4, reg.Z3)
	} else {
		VFMADD231PS(reg.Z5, reg.Z4, reg.Z3)
	}
	Label(name + "ZEnd")
	VADDPS(reg.Z1, reg.Z0, reg.Z0)
	VADDPS(reg.Z3, reg.Z2, reg.Z2)
	VADDPS(reg.Z2, reg.Z0, reg.Z0)
	VEXTRACTF64X4(Imm(1), reg.Z0, reg.Y1)
	VADDPS(reg.Y1, reg.Y0, reg.Y0)
	fold256()

	Label("avx2")
	a, b, n = arguments()
	for _, r := range y {
		VXORPS(r, r, r)
	}
	step = func(disp int, acc, room reg.VecPhysical) {
		VMOVUPS(at(a, disp), room)
		if distance {
			VSUBPS(at(b, disp), room, room)
			VFMADD231PS(room, room, acc)
		} else {
			VFMADD231PS(at(b, disp), room, acc)
		}
	}
	rooms = []reg.VecPhysical{reg.Y8, reg.Y9, reg.Y10, reg.Y11}
	loop(name+"Y64", n, 64, func() {
		for i := range y {
			step(32*i, y[i], rooms[i%4])
		}
		advance(256, a, b)
	})
	for i := range 3 {
		CMPQ(n, Imm(16))
		JB(LabelRef(name + "YTail"))
		step(0, y[2*i], rooms[0])
		step(32, y[2*i+1], rooms[1])
		advance(64, a, b)
		SUBQ(Imm(16), n)
	}
	Label(name + "YTail")
	part := func(acc reg.VecPhysical) {
		maskOf256(n, reg.Y10)
		VMASKMOVPS(at(a, 0), reg.Y10, reg.Y8)
		VMASKMOVPS(at(b, 0), reg.Y10, reg.Y9)
		if distance {
			VSUBPS(reg.Y9, reg.Y8, reg.Y8)
			VFMADD231PS(reg.Y8, reg.Y8, acc)
		} else {
			VFMADD231PS(reg.Y9, reg.Y8, acc)
		}
	}
	CMPQ(n, Imm(8))
	JB(LabelRef(name + "YLow"))
	step(0, y[6], rooms[0])
	advance(32, a, b)
	SUBQ(Imm(8), n)
	part(y[7])
	JMP(LabelRef(name + "YEnd"))
	Label(name + "YLow")
	part(y[6])
	Label(name + "YEnd")
	for half := range 2 { // as the two halves of Z0 to Z3
		VADDPS(y[2+half], y[half], y[half])
		VADDPS(y[6+half], y[4+half], y[4+half])
		VADDPS(y[4+half], y[half], y[half])
	}
	VADDPS(reg.Y1, reg.Y0, reg.Y0)
	fold256()
}

// arguments loads the vectors a and b and their length.
func arguments() (a, b, n reg.GPVirtual) {
	a, b, n = GP64(), GP64(), GP64()
	Load(Param("a").Base(), a)
	Load(Param("b").Base(), b)
	Load(Param("a").Len(), n)
	return a, b, n
}

func advance(bytes int, pointers ...reg.GPVirtual) {
	for _, p := range pointers {
		ADDQ(I32(int32(bytes)), p)
	}
}

// loop does body while n ≥ step, taking step off n each time.
func loop(name string, n reg.GPVirtual, step int, body func()) {
	SUBQ(Imm(uint64(step)), n)
	JB(LabelRef(name + "Done"))
	Label(name)
	body()
	SUBQ(Imm(uint64(step)), n)
	JAE(LabelRef(name))
	Label(name + "Done")
	ADDQ(Imm(uint64(step)), n)
}

// fold256 adds up Y0 and returns the sum.
func fold256() {
	VEXTRACTF128(Imm(1), reg.Y0, reg.X1)
	VADDPS(reg.X1, reg.X0, reg.X0)
	VMOVHLPS(reg.X0, reg.X0, reg.X1)
	VADDPS(reg.X1, reg.X0, reg.X0)
	VMOVSHDUP(reg.X0, reg.X1)
	VADDSS(reg.X1, reg.X0, reg.X0)
	VZEROUPPER()
	Store(reg.X0, ReturnIndex(0))
	RET()
}

// axpy writes y += alpha*x.
func axpy() {
	begin("axpy", "func(alpha float32, x, y []float32)", "axpy adds alpha*x to y.", "axpyScalar")
	load := func() (x, y, n reg.GPVirtual) {
		x, y, n = GP64(), GP64(), GP64()
		Load(Param("x").Base(), x)
		Load(Param("y").Base(), y)
		Load(Param("x").Len(), n)
		return x, y, n
	}
	alpha, err := Param("alpha").Resolve()
	if err != nil {
		panic(err)
	}

	Label("avx512")
	x, y, n := load()
	VBROADCASTSS(alpha.Addr, reg.Z0)
	step := func(disp int, alpha, room reg.VecPhysical) {
		VMOVUPS(at(y, disp), room)
		VFMADD231PS(at(x, disp), alpha, room)
		VMOVUPS(room, at(y, disp))
	}
	loop("axpyZ64", n, 64, func() {
		for i, r := range []reg.VecPhysical{reg.Z1, reg.Z2, reg.Z3, reg.Z4} {
			step(64*i, reg.Z0, r)
		}
		advance(256, x, y)
	})
	loop("axpyZ16", n, 16, func() {
		step(0, reg.Z0, reg.Z1)
		advance(64, x, y)
	})
	TESTQ(n, n)
	JZ(LabelRef("axpyZEnd"))
	tailMask(n, reg.K1)
	VMOVUPS_Z(at(x, 0), reg.K1, reg.Z1)
	VMOVUPS_Z(at(y, 0), reg.K1, reg.Z2)
	VFMADD231PS(reg.Z1, reg.Z0, reg.Z2)
	VMOVUPS(reg.Z2, reg.K1, at(y, 0))
	Label("axpyZEnd")
	VZEROUPPER()
	RET()

	Label("avx2")
	x, y, n = load()
	VBROADCASTSS(alpha.Addr, reg.Y0)
	step = func(disp int, alpha, room reg.VecPhysical) {
		VMOVUPS(at(y, disp), room)
		VFMADD231PS(at(x, disp), alpha, room)
		VMOVUPS(room, at(y, disp))
	}
	loop("axpyY32", n, 32, func() {
		for i, r := range []reg.VecPhysical{reg.Y1, reg.Y2, reg.Y3, reg.Y4} {
			step(32*i, reg.Y0, r)
		}
		advance(128, x, y)
	})
	loop("axpyY8", n, 8, func() {
		step(0, reg.Y0, reg.Y1)
		advance(32, x, y)
	})
	loop("axpyY1", n, 1, func() {
		VMOVSS(at(y, 0), reg.X1)
		VFMADD231SS(at(x, 0), reg.X0, reg.X1)
		VMOVSS(reg.X1, at(y, 0))
		advance(4, x, y)
	})
	VZEROUPPER()
	RET()
}

// scale writes x *= alpha.
func scale() {
	begin("scale", "func(alpha float32, x []float32)", "scale multiplies x by alpha.", "scaleScalar")
	alpha, err := Param("alpha").Resolve()
	if err != nil {
		panic(err)
	}
	form := func(label string, a reg.VecPhysical, rooms []reg.VecPhysical, width int) {
		Label(label)
		x, n := GP64(), GP64()
		Load(Param("x").Base(), x)
		Load(Param("x").Len(), n)
		VBROADCASTSS(alpha.Addr, a)
		loop("scale"+label, n, 4*width, func() {
			for i, r := range rooms {
				VMULPS(at(x, 4*width*i), a, r)
			}
			for i, r := range rooms {
				VMOVUPS(r, at(x, 4*width*i))
			}
			advance(16*width, x)
		})
		loop("scale1"+label, n, 1, func() {
			VMULSS(at(x, 0), reg.X0, reg.X1)
			VMOVSS(reg.X1, at(x, 0))
			advance(4, x)
		})
		VZEROUPPER()
		RET()
	}
	form("avx512", reg.Z0, []reg.VecPhysical{reg.Z1, reg.Z2, reg.Z3, reg.Z4}, 16)
	form("avx2", reg.Y0, []reg.VecPhysical{reg.Y1, reg.Y2, reg.Y3, reg.Y4}, 8)
}
