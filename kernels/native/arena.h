// Arrays carved from one piece of memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "threads.h"

namespace medssm::MEDSSM_ISA {

// Hands out arrays of floats aligned to 64 bytes. A cache line between them keeps arrays whose size is a multiple of
// 4 KiB from falling on the same lines of L1.
class Arena {
public:
    explicit Arena(float* memory) : memory_(memory) {}

    float* floats(int64_t count) {
        float* array = memory_ + used_;
        used_ += (count + 15) / 16 * 16 + 16;
        return array;
    }
    int32_t* integers(int64_t count) { return reinterpret_cast<int32_t*>(floats(count)); }
    const float** pointers(int64_t count) {
        return reinterpret_cast<const float**>(floats(count * sizeof(float*) / sizeof(float)));
    }

    size_t bytes() const { return used_ * sizeof(float); }

private:
    float* memory_;
    size_t used_ = 0;
};

// A struct of arrays, carved by its constructor Arrays(Arena&, sizes), in this thread's own scratch memory.
template <typename Arrays, typename... Sizes>
Arrays carve(const Sizes&... sizes) {
    Arena measure(nullptr);
    Arrays(measure, sizes...);
    Arena arena(static_cast<float*>(thread_scratch(measure.bytes())));
    return Arrays(arena, sizes...);
}

}  // namespace medssm::MEDSSM_ISA
