// Loads and stores of the first n lanes, for instruction sets without masks.
#pragma once

namespace medssm::MEDSSM_ISA {

inline Vec load(const float* p, int n) {
    float lanes[Vec::width] = {};
    std::memcpy(lanes, p, sizeof(float) * n);
    return load(lanes);
}

inline void store(float* p, Vec x, int n) {
    float lanes[Vec::width];
    store(lanes, x);
    std::memcpy(p, lanes, sizeof(float) * n);
}

}  // namespace medssm::MEDSSM_ISA
