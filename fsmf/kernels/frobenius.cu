// Sums of squares of runs of numbers, in double precision and in one reading: of each block of threads its part.
//
// Set when compiled: REAL, float or double, and PACK, the neighbours that are read at once where there is one run.

#include "reductions.cuh"

// Run i is x[starts[i]], ..., x[starts[i + 1] - 1], and blocks i parts, ..., i parts + parts - 1 are for it. Without
// starts there is one, of n numbers.
extern "C" __global__ void __launch_bounds__(256) sums_of_squares(
    const REAL* x, double* sums, const long long* starts, long long n, int parts) {
    __shared__ double room[8];
    const int run = blockIdx.x / parts;
    if (starts) {
        n = starts[run + 1] - starts[run];
        x += starts[run];
    }
    const long long threads = (long long)parts * blockDim.x, packs = n / PACK;
    const long long first = (long long)(blockIdx.x % parts) * blockDim.x + threadIdx.x;
    double own = 0;
#pragma unroll 4
    for (long long item = first; item < packs; item += threads) {
        const Pack<REAL, PACK> pack = *(const Pack<REAL, PACK>*)(x + item * PACK);
#pragma unroll
        for (int i = 0; i < PACK; ++i) own += square(pack.of[i]);
    }
    if (first < n - packs * PACK) own += square(x[packs * PACK + first]);
    own = total(room, own);
    if (threadIdx.x == 0) sums[blockIdx.x] = own;
}
