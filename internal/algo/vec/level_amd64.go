// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// level is which form of the kernels runs; the assembly reads it.
var level = detect()

// The levels.
const (
	scalarLevel uint8 = iota
	avx2Level
	avx512Level
)

// detect finds what the processor has. x/sys/cpu looks at what the operating
// system saves of the registers, too.
func detect() uint8 {
	x := &cpu.X86
	if !x.HasAVX2 || !x.HasFMA || !x.HasBMI2 {
		return scalarLevel
	}
	if x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL {
		return avx512Level
	}
	return avx2Level
}

// shape is the rows and columns of a tile of the micro-kernel.
func shape() (rows, cols int) {
	switch level {
	case avx512Level:
		return 12, 32
	case avx2Level:
		return 6, 16
	}
	return 4, 16
}

// tile writes A·B into c, or adds it: A is rows×k, B k×wide, where rows are those
// of shape and wide its columns or, with AVX-512, 16.
func tile(wide, k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc int, add bool) {
	if level == scalarLevel || k == 0 {
		tileScalar(wide, k, a, rs, cs, b, bs, c, ldc, add)
		return
	}
	adding := 0
	if add {
		adding = 1
	}
	pa, pb, pc := unsafe.SliceData(a), unsafe.SliceData(b), unsafe.SliceData(c)
	switch {
	case level == avx2Level:
		gemm6x16(k, pa, 4*rs, 4*cs, pb, 4*bs, pc, 4*ldc, adding)
	case wide == 32:
		gemm12x32(k, pa, 4*rs, 4*cs, pb, 4*bs, pc, 4*ldc, adding)
	default:
		gemm12x16(k, pa, 4*rs, 4*cs, pb, 4*bs, pc, 4*ldc, adding)
	}
}

// What the assembly goes on with on the scalar level.
var _ = [...]any{
	dotScalar, squaredDistanceScalar, axpyScalar, scaleScalar, accumulateScalar, dot64Scalar, dotDoubleScalar, axpyDoubleScalar,
	updateTwoScalar, leastScoreScalar, belowScalar, expScalar, logisticScalar, logisticEachScalar,
}
