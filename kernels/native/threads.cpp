// Teams on the OpenMP runtime that torch has already loaded. We call its C entry points (the GOMP_* ones, which libgomp,
// LLVM's and Intel's runtimes all export) by addresses that the loader hands in, instead of linking a runtime of our
// own: whatever name torch's wheel gave its copy, a second pool of threads cannot appear.
#include "threads.h"

#include <cstdlib>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

#define MEDSSM_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using ParallelFn = void (*)(void (*)(void*), void*, unsigned threads, unsigned flags);
using QueryFn = int (*)();

ParallelFn gomp_parallel = nullptr;
QueryFn omp_thread_num = nullptr;
QueryFn omp_num_threads = nullptr;

// Flushes denormals to zero on this thread until it goes out of scope: a decaying state ends in them, and each
// operation on one costs a hundred cycles or more.
class FlushDenormals {
public:
#if defined(__x86_64__) || defined(_M_X64)
    FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(saved_); }

private:
    unsigned saved_;
#elif defined(__aarch64__)
    FlushDenormals() {
        __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
        __asm__ volatile("msr fpcr, %0" ::"r"(saved_ | (uint64_t{1} << 24)));
    }
    ~FlushDenormals() { __asm__ volatile("msr fpcr, %0" ::"r"(saved_)); }

private:
    uint64_t saved_;
#endif
};

struct Team {
    medssm::Task task;
    const void* context;
};

void enter(void* argument) {
    const Team& team = *static_cast<const Team*>(argument);
    FlushDenormals guard;
    team.task(team.context, omp_thread_num(), omp_num_threads());
}

struct Scratch {
    void* memory = nullptr;
    size_t bytes = 0;
    ~Scratch() { std::free(memory); }
};

}  // namespace

// Hands in the entry points of torch's OpenMP runtime: GOMP_parallel, omp_get_thread_num, omp_get_num_threads.
MEDSSM_EXPORT void medssm_use_openmp(void* parallel, void* thread_num, void* num_threads) {
    gomp_parallel = reinterpret_cast<ParallelFn>(parallel);
    omp_thread_num = reinterpret_cast<QueryFn>(thread_num);
    omp_num_threads = reinterpret_cast<QueryFn>(num_threads);
}

namespace medssm {

void run_team(Task task, const void* context, int64_t threads) {
    Team team{task, context};
    if (threads > 1 && gomp_parallel != nullptr) {
        gomp_parallel(enter, &team, static_cast<unsigned>(threads), 0);
        return;
    }
    FlushDenormals guard;
    task(context, 0, 1);
}

void* thread_scratch(size_t bytes) {
    static thread_local Scratch scratch;
    if (scratch.bytes < bytes) {
        std::free(scratch.memory);
        scratch.memory = std::malloc(bytes + 64);
        if (scratch.memory == nullptr) std::abort();
        scratch.bytes = bytes;
    }
    return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(scratch.memory) + 63) / 64 * 64);
}

}  // namespace medssm
