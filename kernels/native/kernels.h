// The kernels of the library: one line each. A kernel takes one pointer to a struct of its own, made of 8-byte fields
// (pointers, int64_t, double), so that Python packs it with struct.pack and no header is shared between the two; that
// both mean the same struct Python sees by its size.
#pragma once

#include <cstdint>

#define MEDSSM_KERNELS(KERNEL)       \
    KERNEL(roof_exp2)                \
    KERNEL(roof_fma)                 \
    KERNEL(roof_read)                \
    KERNEL(merge_sums)               \
    KERNEL(selective_scan_forward)   \
    KERNEL(selective_scan_backward)  \
    KERNEL(state_scan_forward)       \
    KERNEL(state_scan_backward)      \
    KERNEL(state_fusion_forward)     \
    KERNEL(state_fusion_backward)    \
    KERNEL(wavefront_scan_forward)   \
    KERNEL(wavefront_scan_backward)  \
    KERNEL(causal_conv1d_forward)    \
    KERNEL(causal_conv1d_backward)   \
    KERNEL(pack_matrix)              \
    KERNEL(fingerprint)              \
    KERNEL(conv3d_winograd_pack)     \
    KERNEL(conv3d_winograd)          \
    KERNEL(conv3d_direct)            \
    KERNEL(conv_transpose3d)         \
    KERNEL(instance_norm)

namespace medssm {

struct Kernel {
    void (*run)(const void* arguments);
    int64_t bytes;  // of the arguments
};

struct Kernels {
#define MEDSSM_MEMBER(name) const Kernel* name;
    MEDSSM_KERNELS(MEDSSM_MEMBER)
#undef MEDSSM_MEMBER
};

// Every variant lives in its own namespace, so that the linker can never mix code of two instruction sets.
#define MEDSSM_DECLARE(name) extern const Kernel name;
namespace avx512 { MEDSSM_KERNELS(MEDSSM_DECLARE) extern const Kernels kernels; }
namespace avx2 { MEDSSM_KERNELS(MEDSSM_DECLARE) extern const Kernels kernels; }
namespace neon { MEDSSM_KERNELS(MEDSSM_DECLARE) extern const Kernels kernels; }
namespace baseline { MEDSSM_KERNELS(MEDSSM_DECLARE) extern const Kernels kernels; }
#undef MEDSSM_DECLARE

}  // namespace medssm
