// Teams of threads and their scratch memory. Implemented once, for the baseline processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace medssm {

using Task = void (*)(const void* context, int thread, int threads);

// Runs task(context, thread, threads) on a team of at most `threads` threads of torch's own OpenMP pool, with
// denormals flushed to zero meanwhile. The team may be smaller than asked for: split the work by `threads` as given
// to the task. On one thread where torch has no OpenMP.
void run_team(Task task, const void* context, int64_t threads);

// At least `bytes` bytes of this thread's own memory, aligned to 64, contents undefined. The same memory comes back at
// the thread's next call: ask once per task.
void* thread_scratch(size_t bytes);

// Calls body(thread, threads) on a team.
template <typename Body>
void parallel(int64_t threads, const Body& body) {
    run_team([](const void* context, int thread, int count) { (*static_cast<const Body*>(context))(thread, count); },
             &body, threads);
}

// The part [begin, end) of `count` items that falls to one thread of a static split.
struct Range {
    int64_t begin, end;
};
static inline Range split(int64_t count, int thread, int threads) {
    return {count * thread / threads, count * (thread + 1) / threads};
}

}  // namespace medssm
