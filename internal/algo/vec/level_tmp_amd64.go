package vec

import "golang.org/x/sys/cpu"

var level = detect()

func detect() uint8 {
	x := &cpu.X86
	if !x.HasAVX2 || !x.HasFMA || !x.HasBMI2 {
		return 0
	}
	if x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL {
		return 2
	}
	return 1
}
