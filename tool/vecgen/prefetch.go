// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// prefetch writes a call for the lines of memory of a slice, on all levels.
func prefetch() {
	TEXT("prefetch", attr.NOSPLIT, "func(x []float32)")
	Doc("prefetch has the processor fetch x.")
	Pragma("noescape")
	x, n := GP64(), GP64()
	Load(Param("x").Base(), x)
	Load(Param("x").Len(), n)
	TESTQ(n, n)
	JZ(LabelRef("prefetchEnd"))
	end := GP64()
	LEAQ(Mem{Base: x, Index: n, Scale: 4, Disp: -4}, end)
	Label("prefetchLine")
	PREFETCHT0(at(x, 0))
	ADDQ(Imm(64), x)
	CMPQ(x, end)
	JBE(LabelRef("prefetchLine"))
	PREFETCHT0(at(end, 0)) // x may begin amid a line
	Label("prefetchEnd")
	RET()
}
