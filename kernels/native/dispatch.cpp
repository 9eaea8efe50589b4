// Chooses the variant that this processor runs and exports every kernel as medssm_<name>(const void* arguments), and the
// size of its arguments as medssm_<name>_bytes().
// Compiled once, for the baseline processor: no instruction above it may appear here.
#include <cstring>

#include "kernels.h"

#define MEDSSM_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

struct Variant {
    const char* name;
    const medssm::Kernels* kernels;
    bool runs_here;
};

// Best first. The build defines MEDSSM_HAVE_<isa> for the variants that it compiled.
int list_variants(Variant* out) {
    int n = 0;
#ifdef MEDSSM_HAVE_avx512
    out[n++] = {"avx512", &medssm::avx512::kernels,
                __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("bmi2")};
#endif
#ifdef MEDSSM_HAVE_avx2
    out[n++] = {"avx2", &medssm::avx2::kernels,
                __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")};
#endif
#ifdef MEDSSM_HAVE_neon
    out[n++] = {"neon", &medssm::neon::kernels, true};
#endif
#ifdef MEDSSM_HAVE_baseline
    out[n++] = {"baseline", &medssm::baseline::kernels, true};
#endif
    return n;
}

const Variant* find_variant(const char* wanted) {
    static Variant variants[4];
    static const int n = list_variants(variants);
    for (int i = 0; i < n; ++i) {
        const bool matches = wanted == nullptr || std::strcmp(wanted, variants[i].name) == 0;
        if (matches && variants[i].runs_here) return &variants[i];
    }
    return nullptr;
}

const Variant* current = nullptr;

}  // namespace

// Selects a variant by name, or the best one for nullptr; the name of what was selected, nullptr if it cannot run here.
// Must be called once before any kernel.
MEDSSM_EXPORT const char* medssm_select(const char* wanted) {
    const Variant* found = find_variant(wanted);
    if (found == nullptr) return nullptr;
    current = found;
    return found->name;
}

#define MEDSSM_CALL(name)                                                                         \
    MEDSSM_EXPORT void medssm_##name(const void* arguments) { current->kernels->name->run(arguments); } \
    MEDSSM_EXPORT int64_t medssm_##name##_bytes() { return current->kernels->name->bytes; }
MEDSSM_KERNELS(MEDSSM_CALL)
