// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// The rows are whole lines of 64 bytes long. While a row is worked on, that
// which follows it by some places is fetched, line by line: the rows lie far
// apart, and no processor guesses where. Both vector forms add in one order: 16
// sums over the lines of a row; then halves, quarters, pairs.

// AHEAD makes R9 the row that is CX's next by DX-many rows left: that at disp
// bytes further in the list, or R8 when the list ends before.
#define AHEAD(places, disp, label) \
	MOVQ    R8, R9        \
	CMPQ    DX, $places   \
	JLE     label         \
	MOVLQSX disp(CX), R9  \
	IMULQ   DI, R9        \
	ADDQ    BX, R9        \
label:

// func dotRows(out, m []float32, rows []int32, x []float32)
TEXT ·dotRows(SB), NOSPLIT, $0-96
	CMPB ·level(SB), $1
	JB   scalar
	MOVQ out_base+0(FP), AX
	MOVQ m_base+24(FP), BX
	MOVQ rows_base+48(FP), CX
	MOVQ rows_len+56(FP), DX
	MOVQ x_base+72(FP), SI
	MOVQ x_len+80(FP), DI
	SHLQ $2, DI
	CMPB ·level(SB), $1
	JE   avx2

row512:
	MOVLQSX (CX), R8
	IMULQ   DI, R8
	ADDQ    BX, R8
	AHEAD(4, 16, near512)
	VPXORD  Z0, Z0, Z0
	XORQ    R10, R10
line512:
	VMOVUPS     (R8)(R10*1), Z1
	VFMADD231PS (SI)(R10*1), Z1, Z0
	PREFETCHT0  (R9)(R10*1)
	ADDQ        $64, R10
	CMPQ        R10, DI
	JB          line512
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPS        Y1, Y0, Y0
	VEXTRACTF128  $1, Y0, X1
	VADDPS        X1, X0, X0
	VMOVHLPS      X0, X0, X1
	VADDPS        X1, X0, X0
	VMOVSHDUP     X0, X1
	VADDSS        X1, X0, X0
	VMOVSS        X0, (AX)
	ADDQ $4, AX
	ADDQ $4, CX
	DECQ DX
	JNZ  row512
	VZEROUPPER
	RET

avx2:
row256:
	MOVLQSX (CX), R8
	IMULQ   DI, R8
	ADDQ    BX, R8
	AHEAD(4, 16, near256)
	VXORPS  Y0, Y0, Y0
	VXORPS  Y2, Y2, Y2
	XORQ    R10, R10
line256:
	VMOVUPS     (R8)(R10*1), Y1
	VMOVUPS     32(R8)(R10*1), Y3
	VFMADD231PS (SI)(R10*1), Y1, Y0
	VFMADD231PS 32(SI)(R10*1), Y3, Y2
	PREFETCHT0  (R9)(R10*1)
	ADDQ        $64, R10
	CMPQ        R10, DI
	JB          line256
	VADDPS       Y2, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS       X1, X0, X0
	VMOVHLPS     X0, X0, X1
	VADDPS       X1, X0, X0
	VMOVSHDUP    X0, X1
	VADDSS       X1, X0, X0
	VMOVSS       X0, (AX)
	ADDQ $4, AX
	ADDQ $4, CX
	DECQ DX
	JNZ  row256
	VZEROUPPER
	RET

scalar:
	JMP ·dotRowsScalar(SB)

// func addRows(y, alpha, m []float32, rows []int32)
TEXT ·addRows(SB), NOSPLIT, $0-96
	CMPB ·level(SB), $1
	JB   scalar
	MOVQ y_base+0(FP), AX
	MOVQ y_len+8(FP), DI
	MOVQ alpha_base+24(FP), SI
	MOVQ m_base+48(FP), BX
	MOVQ rows_base+72(FP), CX
	MOVQ rows_len+80(FP), DX
	SHLQ $2, DI
	CMPB ·level(SB), $1
	JE   avx2

two512:
	CMPQ    DX, $2
	JL      last512
	MOVLQSX 4(CX), R11
	IMULQ   DI, R11
	ADDQ    BX, R11
	MOVQ    R11, R8
	AHEAD(5, 20, near512b)
	MOVQ    R9, R12
	MOVLQSX (CX), R8
	IMULQ   DI, R8
	ADDQ    BX, R8
	AHEAD(4, 16, near512a)
	VBROADCASTSS (SI), Z2
	VBROADCASTSS 4(SI), Z3
	XORQ    R10, R10
line512:
	VMOVUPS     (AX)(R10*1), Z0
	VFMADD231PS (R8)(R10*1), Z2, Z0
	VFMADD231PS (R11)(R10*1), Z3, Z0
	VMOVUPS     Z0, (AX)(R10*1)
	PREFETCHT0  (R9)(R10*1)
	PREFETCHT0  (R12)(R10*1)
	ADDQ        $64, R10
	CMPQ        R10, DI
	JB          line512
	ADDQ $8, SI
	ADDQ $8, CX
	SUBQ $2, DX
	JMP  two512
last512:
	TESTQ   DX, DX
	JZ      done512
	MOVLQSX (CX), R8
	IMULQ   DI, R8
	ADDQ    BX, R8
	VBROADCASTSS (SI), Z2
	XORQ    R10, R10
tail512:
	VMOVUPS     (AX)(R10*1), Z0
	VFMADD231PS (R8)(R10*1), Z2, Z0
	VMOVUPS     Z0, (AX)(R10*1)
	ADDQ        $64, R10
	CMPQ        R10, DI
	JB          tail512
done512:
	VZEROUPPER
	RET

avx2:
row256:
	MOVLQSX (CX), R8
	IMULQ   DI, R8
	ADDQ    BX, R8
	AHEAD(4, 16, near256)
	VBROADCASTSS (SI), Y2
	XORQ    R10, R10
line256:
	VMOVUPS     (AX)(R10*1), Y0
	VMOVUPS     32(AX)(R10*1), Y1
	VFMADD231PS (R8)(R10*1), Y2, Y0
	VFMADD231PS 32(R8)(R10*1), Y2, Y1
	VMOVUPS     Y0, (AX)(R10*1)
	VMOVUPS     Y1, 32(AX)(R10*1)
	PREFETCHT0  (R9)(R10*1)
	ADDQ        $64, R10
	CMPQ        R10, DI
	JB          line256
	ADDQ $4, SI
	ADDQ $4, CX
	DECQ DX
	JNZ  row256
	VZEROUPPER
	RET

scalar:
	JMP ·addRowsScalar(SB)

// func addToRows(m []float32, rows []int32, alpha, x []float32, from []int32, stride int)
TEXT ·addToRows(SB), NOSPLIT, $0-128
	CMPB ·level(SB), $1
	JB   scalar
	MOVQ m_base+0(FP), BX
	MOVQ rows_base+24(FP), CX
	MOVQ rows_len+32(FP), DX
	MOVQ alpha_base+48(FP), SI
	MOVQ x_base+72(FP), AX
	MOVQ from_base+96(FP), R13
	MOVQ stride+120(FP), DI
	SHLQ $2, DI
	CMPB ·level(SB), $1
	JE   avx2

row512:
	MOVLQSX (CX), R8
	IMULQ   DI, R8
	ADDQ    BX, R8
	AHEAD(6, 24, near512)
	MOVLQSX (R13), R11
	IMULQ   DI, R11
	ADDQ    AX, R11
	VBROADCASTSS (SI), Z2
	XORQ    R10, R10
line512:
	VMOVUPS     (R8)(R10*1), Z0
	VFMADD231PS (R11)(R10*1), Z2, Z0
	VMOVUPS     Z0, (R8)(R10*1)
	PREFETCHT0  (R9)(R10*1)
	ADDQ        $64, R10
	CMPQ        R10, DI
	JB          line512
	ADDQ $4, SI
	ADDQ $4, CX
	ADDQ $4, R13
	DECQ DX
	JNZ  row512
	VZEROUPPER
	RET

avx2:
row256:
	MOVLQSX (CX), R8
	IMULQ   DI, R8
	ADDQ    BX, R8
	AHEAD(6, 24, near256)
	MOVLQSX (R13), R11
	IMULQ   DI, R11
	ADDQ    AX, R11
	VBROADCASTSS (SI), Y2
	XORQ    R10, R10
line256:
	VMOVUPS     (R8)(R10*1), Y0
	VMOVUPS     32(R8)(R10*1), Y1
	VFMADD231PS (R11)(R10*1), Y2, Y0
	VFMADD231PS 32(R11)(R10*1), Y2, Y1
	VMOVUPS     Y0, (R8)(R10*1)
	VMOVUPS     Y1, 32(R8)(R10*1)
	PREFETCHT0  (R9)(R10*1)
	ADDQ        $64, R10
	CMPQ        R10, DI
	JB          line256
	ADDQ $4, SI
	ADDQ $4, CX
	ADDQ $4, R13
	DECQ DX
	JNZ  row256
	VZEROUPPER
	RET

scalar:
	JMP ·addToRowsScalar(SB)
