// SPDX-License-Identifier: Apache-2.0

// Command vecgen writes the amd64 assembly of internal/algo/vec: for each kernel
// one function that looks at vec's level and goes on with AVX-512, AVX2 or the
// scalar twin in Go. Both vector forms add in one order, so that they give the
// same bits.
//
// It is run by `go generate ./internal/algo/vec`.
package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lowMask is eight words of ones, then eight of zeros: read from word 8-n on it
// is the mask of n lanes.
var lowMask Mem

func main() {
	ConstraintExpr("amd64")
	lowMask = GLOBL("lowMask", attr.RODATA|attr.NOPTR)
	for i := range 16 {
		word := U32(0)
		if i < 8 {
			word = 0xffffffff
		}
		DATA(4*i, word)
	}

	reduction("dot", "dot is the sum of a[i]*b[i].", false)
	reduction("squaredDistance", "squaredDistance is the sum of (a[i]-b[i])².", true)
	axpy()
	scale()
	accumulate()
	dot64()
	dotDouble()
	axpyDouble()
	updateTwo()
	leastScore()
	notAboveLimit()
	exponential()
	logistic("logistic", "logistic writes slopes and sums of the logistic loss of a matrix with a label for each row.", false)
	logistic("logisticEach", "logisticEach is logistic with a label for each score.", true)
	prefetch()
	micro512("gemm12x32", "gemm12x32 is tile for 12 rows and 32 columns, by AVX-512.", 2)
	micro512("gemm12x16", "gemm12x16 is tile for 12 rows and 16 columns, by AVX-512.", 1)
	micro256()
	Generate()
}

// begin opens a function with its branches: to the scalar twin, and to the
// label avx2.
func begin(name, signature, doc, twin string) {
	TEXT(name, attr.NOSPLIT, signature)
	Doc(doc)
	Pragma("noescape")
	level := Mem{Symbol: Symbol{Name: "·level"}, Base: reg.StaticBase}
	CMPB(level, Imm(1))
	JA(LabelRef("avx512"))
	JE(LabelRef("avx2"))
	// The arguments are where the twin looks for them.
	Instruction(&ir.Instruction{Opcode: "JMP", Operands: []Op{LabelRef("·" + twin + "(SB)")}, IsTerminal: true})
}

func at(base reg.Register, disp int) Mem { return Mem{Base: base, Disp: disp} }

// tailMask makes k the mask of the n lowest lanes, n < 32.
func tailMask(n reg.GPVirtual, k reg.Register) {
	ones := GP32()
	MOVL(U32(0xffffffff), ones)
	BZHIL(n.As32(), ones, ones)
	KMOVW(ones, k)
}

// maskOf256 makes y the mask of the n lowest of eight lanes. n is lost.
func maskOf256(n reg.GPVirtual, y reg.Register) {
	table := GP64()
	LEAQ(lowMask.Offset(32), table)
	NEGQ(n)
	VMOVUPS(Mem{Base: table, Index: n, Scale: 4}, y)
}
