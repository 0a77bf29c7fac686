// Device code on the host: how it runs. A fiber for each thread; those of a block take turns, in an order drawn at
// random, each until it comes to a barrier. Every access to memory is looked at:
//   - it lies in shared memory, in an array that the kernel was given, or on the thread's own stack;
//   - its address is a multiple of its size, without which a device stops;
//   - what is read from shared memory was written before;
//   - another thread that touched the same place, and one of them wrote, did so on the other side of a barrier
//     that both have met: barriers of a block or of a warp order its threads, nothing those of several blocks.
// If asked for, the traffic is counted, too, as a device has it: the sectors of memory that each instruction of a
// warp touches, and how often it goes to the banks of shared memory.
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "cuda_on_host.h"

Index threadIdx, blockIdx, blockDim, gridDim;

extern "C" unsigned char __start_shared_memory[] __attribute__((weak, visibility("hidden")));
extern "C" unsigned char __stop_shared_memory[] __attribute__((weak, visibility("hidden")));
extern "C" char __ehdr_start[] __attribute__((visibility("hidden")));
extern "C" char _end[] __attribute__((visibility("hidden")));

namespace host {

enum State { READY, AT_BLOCK, AT_WARP, DONE };
struct Fiber {
    ucontext_t context;
    jmp_buf resumed;
    char* stack;
    State state;
    const void* where;
    unsigned char brought[16];
};

const size_t stack_size = 1 << 16, canary = 64;
const unsigned most_threads = 1024, lanes = 32;
unsigned char* pool;
static Fiber fibers[most_threads];
static jmp_buf scheduler;
static unsigned current, epoch, warp_epochs[most_threads / lanes];
static void (*body)(void**);
static void** body_arguments;
static char message[256];

// Who touched a place: block, thread, and the barriers that it had met.
struct Touch {
    unsigned block, epoch;
    unsigned short thread, warp_epoch;
    bool is;
    bool before(const Touch& now) const {
        if (!is || (block == now.block && (thread == now.thread || epoch != now.epoch))) return true;
        return block == now.block && thread / lanes == now.thread / lanes && warp_epoch != now.warp_epoch;
    }
};
// The last that wrote a place, and the last two that read it.
struct Cell { Touch wrote, read, read_too; };
const size_t grain = 2;

struct Memory {
    unsigned char *begin, *end;
    bool is_shared;
    std::vector<Cell> cells;
};
static std::vector<Memory> memories;
static bool is_running, is_counting;

struct Access { unsigned char* at; unsigned size; bool writes; };
typedef std::tuple<unsigned, const void*, unsigned> Instruction;  // a warp's, where, and which time
static std::map<Instruction, std::vector<Access>> accesses;
static std::map<std::pair<unsigned, const void*>, unsigned> times;
// Sectors of memory read and written, bytes asked for, and rounds to the banks beside instructions that go there.
static unsigned long long counts[6];

static void complain(const char* what, const void* at, const Memory* memory, size_t size, const Touch* other) {
    if (message[0]) return;
    int n = snprintf(message, sizeof message, "%s: block %u, thread %u", what, blockIdx.x, threadIdx.x);
    if (other) n += snprintf(message + n, sizeof message - n, " and block %u, thread %u", other->block, other->thread);
    n += snprintf(message + n, sizeof message - n, ", %zu bytes", size);
    if (memory)
        snprintf(message + n, sizeof message - n, " at %td of %s %td", (unsigned char*)at - memory->begin,
                 memory->is_shared ? "shared memory" : "array", memory - memories.data());
}

static void touch(void* pointer, size_t size, bool writes, const void* where) {
    if (!is_running) return;
    unsigned char* at = static_cast<unsigned char*>(pointer);
    const char* stack = fibers[current].stack;
    if ((char*)at >= stack && (char*)at < stack + stack_size) return;
    Memory* memory = nullptr;
    for (Memory& one : memories)
        if (at >= one.begin && at < one.end) memory = &one;
    if (!memory) {
        const bool is_constant = (char*)at >= __ehdr_start && (char*)at < _end;  // indices among them
        if (writes || !is_constant) complain("outside of all arrays", at, nullptr, size, nullptr);
        return;
    }
    if (at + size > memory->end) return complain("across the end", at, memory, size, nullptr);
    if (size <= 16 && (uintptr_t)at % size) complain("misaligned", at, memory, size, nullptr);
    const unsigned block = memory->is_shared ? 0 : blockIdx.x;
    const Touch now = {block, epoch, (unsigned short)current, (unsigned short)warp_epochs[current / lanes], true};
    for (size_t i = (at - memory->begin) / grain; i <= (at + size - 1 - memory->begin) / grain; ++i) {
        Cell& cell = memory->cells[i];
        if (!cell.wrote.before(now)) complain("race with a write", at, memory, size, &cell.wrote);
        if (writes) {
            if (!cell.read.before(now)) complain("race with a read", at, memory, size, &cell.read);
            if (!cell.read_too.before(now)) complain("race with a read", at, memory, size, &cell.read_too);
            cell.wrote = now;
        } else {
            if (memory->is_shared && !cell.wrote.is) complain("read before it is written", at, memory, size, nullptr);
            if (cell.read.thread != now.thread || cell.read.block != now.block) cell.read_too = cell.read;
            cell.read = now;
        }
    }
    if (is_counting) {
        const unsigned warp = blockIdx.x * (most_threads / lanes) + current / lanes;
        const unsigned time = times[{current, where}]++;
        accesses[Instruction(warp, where, time)].push_back({at, (unsigned)size, writes});
    }
}

// What a block's instructions cost.
static void count() {
    for (auto& one : accesses) {
        std::vector<Access>& all = one.second;
        const Memory* own = nullptr;
        for (const Memory& memory : memories)
            if (all[0].at >= memory.begin && all[0].at < memory.end) own = &memory;
        const bool is_shared = own->is_shared;
        std::vector<size_t> places;
        const size_t unit = is_shared ? 4 : 32;
        for (const Access& access : all) {
            if (!is_shared) counts[access.writes ? 3 : 2] += access.size;
            // Arrays begin where sectors do.
            const size_t at = access.at - own->begin;
            for (size_t place = at / unit; place <= (at + access.size - 1) / unit; ++place) places.push_back(place);
        }
        std::sort(places.begin(), places.end());
        places.erase(std::unique(places.begin(), places.end()), places.end());
        if (!is_shared) {
            counts[all[0].writes] += places.size();
            continue;
        }
        unsigned banks[32] = {0}, rounds = 0;
        for (size_t at : places) rounds = std::max(rounds, ++banks[at % 32]);
        counts[4] += rounds;
        counts[5] += (places.size() + 31) / 32;
    }
    accesses.clear();
    times.clear();
}

static void leave(State state, const void* where) {
    Fiber& fiber = fibers[current];
    fiber.state = state, fiber.where = where;
    if (!_setjmp(fiber.resumed)) _longjmp(scheduler, 1);
}

static void start() {
    for (;;) {
        body(body_arguments);
        leave(DONE, nullptr);
    }
}

static void resume(unsigned i) {
    current = i;
    threadIdx = {i, 0, 0};
    Fiber& fiber = fibers[i];
    if (_setjmp(scheduler)) return;
    if (fiber.stack) _longjmp(fiber.resumed, 1);
    fiber.stack = static_cast<char*>(malloc(stack_size));
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = stack_size;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, start, 0);
    setcontext(&fiber.context);
}

__attribute__((noinline)) void wait_for_block() { leave(AT_BLOCK, __builtin_return_address(0)); }
__attribute__((noinline)) void wait_for_warp() { leave(AT_WARP, __builtin_return_address(0)); }

const void* swapped(const void* own, size_t size, unsigned partner) {
    Fiber& fiber = fibers[current];
    if (size > sizeof fiber.brought || blockDim.x % lanes || partner >= lanes) abort();
    memcpy(fiber.brought, own, size);
    leave(AT_WARP, __builtin_return_address(0));
    // Kept on the reader's side: its neighbour may bring the next before it is read.
    static unsigned char kept[most_threads][16];
    memcpy(kept[current], fibers[current / lanes * lanes + partner].brought, size);
    leave(AT_WARP, __builtin_return_address(0));
    return kept[current];
}

// Whether all threads of a range wait at the same barrier, which then opens.
static bool opened(unsigned first, unsigned stop, State state) {
    for (unsigned i = first; i < stop; ++i)
        if (fibers[i].state != state || fibers[i].where != fibers[first].where) return false;
    for (unsigned i = first; i < stop; ++i) fibers[i].state = READY;
    return true;
}

static bool run_block(unsigned threads, unsigned& drawn) {
    std::vector<unsigned> order(threads);
    for (unsigned i = 0; i < threads; ++i) order[i] = i, fibers[i].state = READY;
    for (;;) {
        for (unsigned i = threads - 1; i > 0; --i) {
            drawn = drawn * 1664525u + 1013904223u;
            std::swap(order[i], order[(drawn >> 8) % (i + 1)]);
        }
        for (unsigned i : order)
            if (fibers[i].state == READY) resume(i);
        bool moves = false;
        for (unsigned first = 0; first < threads; first += lanes)
            if (opened(first, std::min(first + lanes, threads), AT_WARP)) ++warp_epochs[first / lanes], moves = true;
        if (moves) continue;
        if (opened(0, threads, AT_BLOCK)) { ++epoch; continue; }
        for (unsigned i = 0; i < threads; ++i)
            if (fibers[i].state != DONE) return complain("threads wait at different barriers", 0, 0, 0, 0), false;
        return true;
    }
}

int launch(void (*kernel)(void**), unsigned blocks, unsigned threads, size_t shared, void** arguments,
           const Region* arrays, size_t n_arrays, bool counts_too) {
    static unsigned drawn = 1;
    body = kernel, body_arguments = arguments, message[0] = 0, is_counting = counts_too;
    blockDim = {threads, 1, 1}, gridDim = {blocks, 1, 1};
    std::vector<unsigned char> room(shared + canary + 16);
    pool = (unsigned char*)(((uintptr_t)room.data() + 15) / 16 * 16);
    memories.clear();
    for (size_t i = 0; i < n_arrays; ++i) memories.push_back({arrays[i].begin, arrays[i].end, false, {}});
    memories.push_back({pool, pool + shared, true, {}});
    if (__start_shared_memory) memories.push_back({__start_shared_memory, __stop_shared_memory, true, {}});
    for (Memory& one : memories) one.cells.resize((one.end - one.begin) / grain + 1);
    for (unsigned block = 0; block < blocks && !message[0]; ++block) {
        blockIdx = {block, 0, 0};
        memset(pool, 0xff, shared + canary);  // NaN
        for (Memory& one : memories)
            if (one.is_shared) std::fill(one.cells.begin(), one.cells.end(), Cell());
        is_running = true;
        const bool ended = run_block(threads, drawn);
        is_running = false;
        if (is_counting) count();
        if (!ended) {  // their stacks are of no use any more
            for (unsigned i = 0; i < threads; ++i)
                if (fibers[i].state != DONE) free(fibers[i].stack), fibers[i].stack = nullptr;
        }
    }
    return message[0] != 0;
}
}  // namespace host

extern "C" {
const char* host_message() { return host::message; }

void host_counts(unsigned long long* found) {
    memcpy(found, host::counts, sizeof host::counts);
    memset(host::counts, 0, sizeof host::counts);
}

#define OBSERVED(size)                                                                                             \
    void __tsan_read##size(void* at) { host::touch(at, size, false, __builtin_return_address(0)); }                \
    void __tsan_write##size(void* at) { host::touch(at, size, true, __builtin_return_address(0)); }                \
    void __tsan_unaligned_read##size(void* at) { host::touch(at, size, false, __builtin_return_address(0)); }      \
    void __tsan_unaligned_write##size(void* at) { host::touch(at, size, true, __builtin_return_address(0)); }
OBSERVED(1) OBSERVED(2) OBSERVED(4) OBSERVED(8) OBSERVED(16)
void __tsan_read_range(void* at, size_t size) { host::touch(at, size, false, __builtin_return_address(0)); }
void __tsan_write_range(void* at, size_t size) { host::touch(at, size, true, __builtin_return_address(0)); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}
