// SPDX-License-Identifier: Apache-2.0

package instance

// family is a group of families whose processors follow from the size and
// whose memory follows from the processors.
type family struct {
	names, sizes string // separated by blanks
	gibPerVCPU   float64
}

const (
	upTo16 = "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"
	upTo24 = upTo16 + " 24xlarge"
	upTo32 = upTo24 + " 32xlarge"
	upTo48 = upTo24 + " 48xlarge"
	upTo96 = upTo32 + " 48xlarge 96xlarge"
)

// families, from the public EC2 instance type pages, which SageMaker's types share.
var families = []family{
	{"m4", "xlarge 2xlarge 4xlarge 10xlarge 16xlarge", 4},
	{"m5 m5d", upTo24, 4},
	{"m6a", upTo32 + " 48xlarge", 4},
	{"m6i m6id", upTo32, 4},
	{"m6g m7g", "medium " + upTo16, 4},
	{"m6gd m7i-flex m8i-flex", upTo16, 4},
	{"m7i", upTo48, 4},
	{"m8a", "16xlarge", 4},
	{"m8g", "medium " + upTo48, 4},
	{"m8i", upTo96, 4},

	{"c5", "large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge", 2},
	{"c5d", "large xlarge 2xlarge 4xlarge 9xlarge 18xlarge", 2},
	{"c6a", upTo32 + " 48xlarge", 2},
	{"c6i c6id c6in", upTo32, 2},
	{"c6g c7g", "medium " + upTo16, 2},
	{"c6gd c6gn c7i-flex c8i-flex", upTo16, 2},
	{"c7i", upTo48, 2},
	{"c8a", "16xlarge", 2},
	{"c8g", "medium " + upTo48, 2},
	{"c8i", upTo96, 2},

	{"r5 r5d", upTo24, 8},
	{"r6g r6gd r8i-flex", upTo16, 8},
	{"r6i r6id", upTo32, 8},
	{"r7gd", "medium " + upTo16, 8},
	{"r7i", upTo48, 8},
	{"r8g", "medium " + upTo48, 8},
	{"r8i", upTo96, 8},
	{"i3en", "large xlarge 2xlarge 3xlarge 6xlarge 12xlarge 24xlarge", 8},
}

// special are the types that follow no rule. Their names lack "ml.".
var special = []Type{
	{Name: "t2.medium", VCPU: 2, MemoryGiB: 4},
	{Name: "t2.large", VCPU: 2, MemoryGiB: 8},
	{Name: "t2.xlarge", VCPU: 4, MemoryGiB: 16},
	{Name: "t2.2xlarge", VCPU: 8, MemoryGiB: 32},
	{Name: "t3.micro", VCPU: 2, MemoryGiB: 1},
	{Name: "t3.small", VCPU: 2, MemoryGiB: 2},
	{Name: "t3.medium", VCPU: 2, MemoryGiB: 4},
	{Name: "t3.large", VCPU: 2, MemoryGiB: 8},
	{Name: "t3.xlarge", VCPU: 4, MemoryGiB: 16},
	{Name: "t3.2xlarge", VCPU: 8, MemoryGiB: 32},

	{Name: "c4.large", VCPU: 2, MemoryGiB: 3.75},
	{Name: "c4.xlarge", VCPU: 4, MemoryGiB: 7.5},
	{Name: "c4.2xlarge", VCPU: 8, MemoryGiB: 15},
	{Name: "c4.4xlarge", VCPU: 16, MemoryGiB: 30},
	{Name: "c4.8xlarge", VCPU: 36, MemoryGiB: 60},
	{Name: "c5n.large", VCPU: 2, MemoryGiB: 5.25},
	{Name: "c5n.xlarge", VCPU: 4, MemoryGiB: 10.5},
	{Name: "c5n.2xlarge", VCPU: 8, MemoryGiB: 21},
	{Name: "c5n.4xlarge", VCPU: 16, MemoryGiB: 42},
	{Name: "c5n.9xlarge", VCPU: 36, MemoryGiB: 96},
	{Name: "c5n.18xlarge", VCPU: 72, MemoryGiB: 192},

	gpu("p2.xlarge", 4, 61, 1, "NVIDIA K80", 12),
	gpu("p2.8xlarge", 32, 488, 8, "NVIDIA K80", 12),
	gpu("p2.16xlarge", 64, 732, 16, "NVIDIA K80", 12),
	gpu("p3.2xlarge", 8, 61, 1, "NVIDIA V100", 16),
	gpu("p3.8xlarge", 32, 244, 4, "NVIDIA V100", 16),
	gpu("p3.16xlarge", 64, 488, 8, "NVIDIA V100", 16),
	gpu("p3dn.24xlarge", 96, 768, 8, "NVIDIA V100", 32),
	gpu("p4d.24xlarge", 96, 1152, 8, "NVIDIA A100", 40),
	gpu("p4de.24xlarge", 96, 1152, 8, "NVIDIA A100", 80),
	gpu("p5.4xlarge", 16, 256, 1, "NVIDIA H100", 80),
	gpu("p5.48xlarge", 192, 2048, 8, "NVIDIA H100", 80),
	gpu("p5e.48xlarge", 192, 2048, 8, "NVIDIA H200", 141),
	gpu("p5en.48xlarge", 192, 2048, 8, "NVIDIA H200", 141),
	gpu("p6-b200.48xlarge", 192, 2048, 8, "NVIDIA B200", 179),
	gpu("p6-b300.48xlarge", 192, 4096, 8, "NVIDIA B300", 268),
	gpu("p6e-gb200.36xlarge", 144, 960, 4, "NVIDIA GB200", 185),

	gpu("g4dn.xlarge", 4, 16, 1, "NVIDIA T4", 16),
	gpu("g4dn.2xlarge", 8, 32, 1, "NVIDIA T4", 16),
	gpu("g4dn.4xlarge", 16, 64, 1, "NVIDIA T4", 16),
	gpu("g4dn.8xlarge", 32, 128, 1, "NVIDIA T4", 16),
	gpu("g4dn.12xlarge", 48, 192, 4, "NVIDIA T4", 16),
	gpu("g4dn.16xlarge", 64, 256, 1, "NVIDIA T4", 16),
	gpu("g5.xlarge", 4, 16, 1, "NVIDIA A10G", 24),
	gpu("g5.2xlarge", 8, 32, 1, "NVIDIA A10G", 24),
	gpu("g5.4xlarge", 16, 64, 1, "NVIDIA A10G", 24),
	gpu("g5.8xlarge", 32, 128, 1, "NVIDIA A10G", 24),
	gpu("g5.12xlarge", 48, 192, 4, "NVIDIA A10G", 24),
	gpu("g5.16xlarge", 64, 256, 1, "NVIDIA A10G", 24),
	gpu("g5.24xlarge", 96, 384, 4, "NVIDIA A10G", 24),
	gpu("g5.48xlarge", 192, 768, 8, "NVIDIA A10G", 24),
	gpu("g6.xlarge", 4, 16, 1, "NVIDIA L4", 24),
	gpu("g6.2xlarge", 8, 32, 1, "NVIDIA L4", 24),
	gpu("g6.4xlarge", 16, 64, 1, "NVIDIA L4", 24),
	gpu("g6.8xlarge", 32, 128, 1, "NVIDIA L4", 24),
	gpu("g6.12xlarge", 48, 192, 4, "NVIDIA L4", 24),
	gpu("g6.16xlarge", 64, 256, 1, "NVIDIA L4", 24),
	gpu("g6.24xlarge", 96, 384, 4, "NVIDIA L4", 24),
	gpu("g6.48xlarge", 192, 768, 8, "NVIDIA L4", 24),
	gpu("gr6.4xlarge", 16, 128, 1, "NVIDIA L4", 24),
	gpu("gr6.8xlarge", 32, 256, 1, "NVIDIA L4", 24),
	gpu("g6e.xlarge", 4, 32, 1, "NVIDIA L40S", 48),
	gpu("g6e.2xlarge", 8, 64, 1, "NVIDIA L40S", 48),
	gpu("g6e.4xlarge", 16, 128, 1, "NVIDIA L40S", 48),
	gpu("g6e.8xlarge", 32, 256, 1, "NVIDIA L40S", 48),
	gpu("g6e.12xlarge", 48, 384, 4, "NVIDIA L40S", 48),
	gpu("g6e.16xlarge", 64, 512, 1, "NVIDIA L40S", 48),
	gpu("g6e.24xlarge", 96, 768, 4, "NVIDIA L40S", 48),
	gpu("g6e.48xlarge", 192, 1536, 8, "NVIDIA L40S", 48),
	gpu("g7e.2xlarge", 8, 64, 1, "NVIDIA RTX PRO 6000", 96),
	gpu("g7e.4xlarge", 16, 128, 1, "NVIDIA RTX PRO 6000", 96),
	gpu("g7e.8xlarge", 32, 256, 1, "NVIDIA RTX PRO 6000", 96),
	gpu("g7e.12xlarge", 48, 512, 2, "NVIDIA RTX PRO 6000", 96),
	gpu("g7e.24xlarge", 96, 1024, 4, "NVIDIA RTX PRO 6000", 96),
	gpu("g7e.48xlarge", 192, 2048, 8, "NVIDIA RTX PRO 6000", 96),

	chip("inf1.xlarge", 4, 8, 1, "AWS Inferentia"),
	chip("inf1.2xlarge", 8, 16, 1, "AWS Inferentia"),
	chip("inf1.6xlarge", 24, 48, 4, "AWS Inferentia"),
	chip("inf1.24xlarge", 96, 192, 16, "AWS Inferentia"),
	chip("inf2.xlarge", 4, 16, 1, "AWS Inferentia2"),
	chip("inf2.8xlarge", 32, 128, 1, "AWS Inferentia2"),
	chip("inf2.24xlarge", 96, 384, 6, "AWS Inferentia2"),
	chip("inf2.48xlarge", 192, 768, 12, "AWS Inferentia2"),
	chip("trn1.2xlarge", 8, 32, 1, "AWS Trainium"),
	chip("trn1.32xlarge", 128, 512, 16, "AWS Trainium"),
	chip("trn1n.32xlarge", 128, 512, 16, "AWS Trainium"),
	chip("trn2.3xlarge", 12, 128, 1, "AWS Trainium2"),
	chip("trn2.48xlarge", 192, 2048, 16, "AWS Trainium2"),
	chip("dl1.24xlarge", 96, 768, 8, "Habana Gaudi"),
}

func gpu(name string, vcpu int, gib float64, gpus int, model string, each float64) Type {
	return Type{Name: name, VCPU: vcpu, MemoryGiB: gib, GPUs: gpus, GPUModel: model, GPUMemoryGiB: each}
}

func chip(name string, vcpu int, gib float64, chips int, model string) Type {
	return Type{Name: name, VCPU: vcpu, MemoryGiB: gib, Chips: chips, ChipModel: model}
}
