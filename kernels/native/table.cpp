// The kernels of one instruction set (MEDSSM_ISA, given by the build) as a table for the dispatcher.
#include "kernels.h"

namespace medssm::MEDSSM_ISA {

#define MEDSSM_ENTRY(name) &name,
const Kernels kernels = {MEDSSM_KERNELS(MEDSSM_ENTRY)};
#undef MEDSSM_ENTRY

}  // namespace medssm::MEDSSM_ISA
