// Device code on the host: what a kernel sees. Compiled with -fsanitize=thread, so that each of its accesses to
// memory calls what cuda_on_host.cpp has under the names of that sanitizer.
#include <math.h>
#include <stddef.h>
#include <string.h>

#define __device__
#define __global__
#define __shared__ static __attribute__((section("shared_memory")))
#define __launch_bounds__(...)
#define DYNAMIC_SHARED(T, name) T* const name = reinterpret_cast<T*>(host::pool)

struct Index { unsigned x, y, z; };
extern Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {
extern unsigned char* pool;
struct Region { unsigned char *begin, *end; };
int launch(void (*kernel)(void**), unsigned blocks, unsigned threads, size_t shared, void** arguments,
           const Region* arrays, size_t n_arrays, bool counts);
void wait_for_block();
void wait_for_warp();
const void* swapped(const void* own, size_t size, unsigned partner);  // what another lane of the warp brought

template <size_t... I> struct Places {};
template <size_t N, size_t... I> struct Count : Count<N - 1, N - 1, I...> {};
template <size_t... I> struct Count<0, I...> { typedef Places<I...> places; };

template <class... P, size_t... I>
__attribute__((no_sanitize_thread)) void call(void (*kernel)(P...), void** arguments, Places<I...>) {
    kernel(*static_cast<P*>(arguments[I])...);
}
}  // namespace host

#define __syncthreads() host::wait_for_block()
#define __syncwarp() host::wait_for_warp()

template <class T> T __shfl_sync(unsigned, T value, int lane) {
    memcpy(&value, host::swapped(&value, sizeof(T), lane), sizeof(T));
    return value;
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int lanes) {
    return __shfl_sync(mask, value, threadIdx.x % 32 ^ lanes);
}

#define EXPORT(name)                                                                                          \
    static void body_of_##name(void** arguments) { unpack(name, arguments); }                                 \
    extern "C" int host_##name(unsigned blocks, unsigned threads, size_t shared, void** arguments,            \
                               const host::Region* arrays, size_t n_arrays, bool counts) {                    \
        return host::launch(body_of_##name, blocks, threads, shared, arguments, arrays, n_arrays, counts);    \
    }

template <class... P> void unpack(void (*kernel)(P...), void** arguments) {
    host::call(kernel, arguments, typename host::Count<sizeof...(P)>::places());
}
