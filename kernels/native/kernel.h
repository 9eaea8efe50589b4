// How a source file ends: its kernel, made from a function of a struct of arguments.
#pragma once

#include <type_traits>

#include "kernels.h"

namespace medssm::MEDSSM_ISA {

// What Python packs: 8 bytes a field, in order, without a gap.
template <typename Arguments>
constexpr int64_t packed_bytes() {
    static_assert(std::is_standard_layout<Arguments>::value && std::is_trivially_copyable<Arguments>::value,
                  "a plain struct of pointers, int64_t, double, and structs of these");
    static_assert(sizeof(Arguments) % 8 == 0 && alignof(Arguments) == 8, "every field has 8 bytes");
    return sizeof(Arguments);
}

template <typename Arguments, void (*run)(const Arguments&)>
constexpr Kernel kernel_of() {
    return {[](const void* arguments) { run(*static_cast<const Arguments*>(arguments)); }, packed_bytes<Arguments>()};
}

// One that runs on activations of either dtype, as `in.is_bf16` of its arguments says.
template <typename Arguments, void (*run_float)(const Arguments&), void (*run_bf16)(const Arguments&)>
constexpr Kernel kernel_of() {
    return {[](const void* arguments) {
                const Arguments& a = *static_cast<const Arguments*>(arguments);
                (a.in.is_bf16 ? run_bf16 : run_float)(a);
            },
            packed_bytes<Arguments>()};
}

}  // namespace medssm::MEDSSM_ISA
