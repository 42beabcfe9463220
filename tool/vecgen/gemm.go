// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tileSignature is that of all micro-kernels. Strides are in bytes.
const tileSignature = "func(k int, a *float32, rs, cs int, b *float32, bs int, c *float32, ldc int, add int)"

// tile is what a micro-kernel needs of the machine.
type tile struct {
	k, a, rs, cs, b, bs, c, ldc reg.GPVirtual
}

func openTile(name, doc string) (t tile) {
	TEXT(name, attr.NOSPLIT, tileSignature)
	Doc(doc)
	Pragma("noescape")
	for _, p := range []struct {
		name string
		into *reg.GPVirtual
	}{{"k", &t.k}, {"a", &t.a}, {"rs", &t.rs}, {"cs", &t.cs}, {"b", &t.b}, {"bs", &t.bs}, {"c", &t.c}, {"ldc", &t.ldc}} {
		*p.into = GP64()
		Load(Param(p.name), *p.into)
	}
	return t
}

// rowPointers gives a pointer for every third row of a.
func (t tile) rowPointers(rows int) []reg.GPVirtual {
	pointers := []reg.GPVirtual{t.a}
	three := GP64()
	LEAQ(Mem{Base: t.rs, Index: t.rs, Scale: 2}, three)
	for i := 3; i < rows; i += 3 {
		p := GP64()
		LEAQ(Mem{Base: pointers[len(pointers)-1], Index: three, Scale: 1}, p)
		pointers = append(pointers, p)
	}
	return pointers
}

// element is that of row i in the column that the pointers are at.
func (t tile) element(pointers []reg.GPVirtual, i int) Mem {
	m := Mem{Base: pointers[i/3]}
	if i%3 > 0 {
		m.Index, m.Scale = t.rs, uint8(i%3)
	}
	return m
}

// store writes the sums, row after row, to c, or adds them to it.
func (t tile) store(name string, rows [][]reg.VecPhysical, width int) {
	add := GP64()
	Load(Param("add"), add)
	TESTQ(add, add)
	JZ(LabelRef(name + "Store"))
	p := GP64()
	MOVQ(t.c, p)
	for _, row := range rows {
		for j, acc := range row {
			VADDPS(at(p, width*j), acc, acc)
		}
		ADDQ(t.ldc, p)
	}
	Label(name + "Store")
	for _, row := range rows {
		for j, acc := range row {
			VMOVUPS(acc, at(t.c, width*j))
		}
		ADDQ(t.ldc, t.c)
	}
	VZEROUPPER()
	RET()
}

var zmm = []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

var ymm = []reg.VecPhysical{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
}

// micro512 writes the kernel of 12 rows and 16*wide columns.
func micro512(name, doc string, wide int) {
	t := openTile(name, doc)
	const height = 12
	var rows [][]reg.VecPhysical
	for i := range height {
		rows = append(rows, zmm[8+wide*i:8+wide*i+wide])
		for _, r := range rows[i] {
			VPXORD(r, r, r)
		}
	}
	pointers := t.rowPointers(height)
	TESTQ(t.k, t.k)
	JZ(LabelRef(name + "Sum"))
	Label(name + "K")
	for j := range wide {
		VMOVUPS(at(t.b, 64*j), zmm[j])
	}
	ADDQ(t.bs, t.b)
	for i, row := range rows {
		if wide == 1 {
			VFMADD231PS_BCST(t.element(pointers, i), zmm[0], row[0])
			continue
		}
		one := zmm[2+i%6]
		VBROADCASTSS(t.element(pointers, i), one)
		for j, acc := range row {
			VFMADD231PS(zmm[j], one, acc)
		}
	}
	for _, p := range pointers {
		ADDQ(t.cs, p)
	}
	DECQ(t.k)
	JNZ(LabelRef(name + "K"))
	Label(name + "Sum")
	t.store(name, rows, 64)
}

// micro256 writes the kernel of 6 rows and 16 columns.
func micro256() {
	t := openTile("gemm6x16", "gemm6x16 is tile for 6 rows and 16 columns, by AVX2 and FMA.")
	const height = 6
	var rows [][]reg.VecPhysical
	for i := range height {
		rows = append(rows, ymm[4+2*i:6+2*i])
		for _, r := range rows[i] {
			VXORPS(r, r, r)
		}
	}
	pointers := t.rowPointers(height)
	TESTQ(t.k, t.k)
	JZ(LabelRef("gemm6x16Sum"))
	Label("gemm6x16K")
	VMOVUPS(at(t.b, 0), ymm[0])
	VMOVUPS(at(t.b, 32), ymm[1])
	ADDQ(t.bs, t.b)
	for i, row := range rows {
		one := ymm[2+i%2]
		VBROADCASTSS(t.element(pointers, i), one)
		for j, acc := range row {
			VFMADD231PS(ymm[j], one, acc)
		}
	}
	for _, p := range pointers {
		ADDQ(t.cs, p)
	}
	DECQ(t.k)
	JNZ(LabelRef("gemm6x16K"))
	Label("gemm6x16Sum")
	t.store("gemm6x16", rows, 32)
}
