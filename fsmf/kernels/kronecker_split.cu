// The best pieces of low rank of the blocks that an interface cuts out of values of a product pattern.
//
// A block of threads takes one block B, b by c, reads it once into shared memory, and finds there the space of its
// RANK largest left singular vectors: steps Z = B (B^* P), made orthonormal, until what a better space could
// still gain is small beside what is left of B. Then U = P, W = U^* B and the norm of B - U W are written. A block
// for which MOST_STEPS are too few, or whose rank is smaller, is marked, for others to solve.
//
// Set when compiled: NUMBER (float, double, complex64 or complex128), REAL (float or double), RANK, MOST_STEPS, and
// TOLERANCE, how much of the square of what is left may be lost.

#include "reductions.cuh"

// The inner product of column i of P and column j of Z, both with RANK columns.
__device__ NUMBER inner(double* room, const NUMBER* P, int i, const NUMBER* Z, int j, int b) {
    Wide sum = nothing<Wide>();
    for (int beta = threadIdx.x; beta < b; beta += blockDim.x) add_inner(sum, P[beta * RANK + i], Z[beta * RANK + j]);
    sum.re = total(room, sum.re);
    sum.im = sizeof(NUMBER) > sizeof(REAL) ? total(room, sum.im) : 0;
    NUMBER found;
    narrow(sum, found);
    return found;
}

__device__ double column_square(double* room, const NUMBER* Z, int j, int b) {
    double own = 0;
    for (int beta = threadIdx.x; beta < b; beta += blockDim.x) own += square(Z[beta * RANK + j]);
    return total(room, own);
}

// Make the columns of Z orthonormal, by Gram and Schmidt, twice; false if they are dependent up to rounding.
__device__ bool orthonormalize(double* room, NUMBER* Z, int b, double rounding) {
    for (int j = 0; j < RANK; ++j) {
        const double before = column_square(room, Z, j, b);
        for (int pass = 0; pass < 2; ++pass)
            for (int i = 0; i < j; ++i) {
                const NUMBER overlap = inner(room, Z, i, Z, j, b);
                for (int beta = threadIdx.x; beta < b; beta += blockDim.x) {
                    NUMBER change = nothing<NUMBER>();
                    add_product(change, overlap, Z[beta * RANK + i]);
                    const NUMBER rest = minus(Z[beta * RANK + j], change);
                    Z[beta * RANK + j] = rest;
                }
                __syncthreads();
            }
        const double after = column_square(room, Z, j, b);
        if (!(after > 100 * rounding * rounding * before)) return false;
        const double scale = 1 / sqrt(after);
        for (int beta = threadIdx.x; beta < b; beta += blockDim.x) {
            const NUMBER value = times(Z[beta * RANK + j], scale);
            Z[beta * RANK + j] = value;
        }
        __syncthreads();
    }
    return true;
}

extern "C" __global__ void __launch_bounds__(256) kronecker_split(
    const NUMBER* values, NUMBER* U, NUMBER* W, double* tails, int* unsolved, int b, int c, int k, int positions,
    double rounding) {
    DYNAMIC_SHARED(double, room);
    const int pitch = c | 1;
    NUMBER* const B = reinterpret_cast<NUMBER*>(room + 8);  // a number of each warp
    NUMBER* const P = B + (long long)b * pitch;
    NUMBER* const Z = P + b * RANK;
    NUMBER* const G = Z + b * RANK;
    // Block (alpha, kappa, position): its rows are `positions` slabs of k c values apart.
    const long long position = blockIdx.x % positions, kappa = blockIdx.x / positions % k;
    const long long alpha = blockIdx.x / positions / k, row = (long long)positions * k * c;
    const NUMBER* const first = values + alpha * b * row + (position * k + kappa) * c;
    double own = 0;
    for (int item = threadIdx.x; item < b * c; item += blockDim.x) {
        const int beta = item / c, gamma = item % c;
        const NUMBER value = first[beta * row + gamma];
        B[beta * pitch + gamma] = value;
        own += square(value);
    }
    const double norm = total(room, own);
    // Columns of B mixed by signs, the same in every run, are the first space.
    for (int item = threadIdx.x; item < b * RANK; item += blockDim.x) {
        const int beta = item / RANK, j = item % RANK;
        NUMBER sum = nothing<NUMBER>();
        for (int gamma = 0; gamma < c; ++gamma) {
            unsigned hash = (gamma * RANK + j + 1) * 2654435761u;
            hash ^= hash >> 15, hash *= 2246822519u, hash ^= hash >> 13;
            const double weight = ((int)(hash & 0xffff) - 32768) / 32768.0;
            sum = minus(sum, times(B[beta * pitch + gamma], weight));
        }
        P[item] = sum;
    }
    __syncthreads();
    bool solved = norm > 0 && orthonormalize(room, P, b, rounding);
    bool ended = !solved;
    for (int step = 0; !ended; ++step) {
        for (int item = threadIdx.x; item < c * RANK; item += blockDim.x) {
            const int gamma = item / RANK, j = item % RANK;
            NUMBER sum = nothing<NUMBER>();
            for (int beta = 0; beta < b; ++beta) add_product(sum, conjugate(B[beta * pitch + gamma]), P[beta * RANK + j]);
            G[item] = sum;
        }
        __syncthreads();
        for (int item = threadIdx.x; item < b * RANK; item += blockDim.x) {
            const int beta = item / RANK, j = item % RANK;
            NUMBER sum = nothing<NUMBER>();
            for (int gamma = 0; gamma < c; ++gamma) add_product(sum, B[beta * pitch + gamma], G[gamma * RANK + j]);
            Z[item] = sum;
        }
        __syncthreads();
        // Ritz values are squares of singular values: G^* G is what B B^* does within the space. What it does
        // beyond, E = Z - P (G^* G), is a residual.
        double kept = 0, beyond = 0, least = 0;
        for (int j = 0; j < RANK; ++j) {
            double size = 0;
            for (int gamma = threadIdx.x; gamma < c; gamma += blockDim.x) size += square(G[gamma * RANK + j]);
            size = total(room, size);
            kept += size;
            least = j == 0 || size < least ? size : least;
            double outside = 0;
            NUMBER overlaps[RANK];
            for (int i = 0; i < RANK; ++i) overlaps[i] = inner(room, P, i, Z, j, b);
            for (int beta = threadIdx.x; beta < b; beta += blockDim.x) {
                NUMBER rest = Z[beta * RANK + j];
                for (int i = 0; i < RANK; ++i) {
                    NUMBER change = nothing<NUMBER>();
                    add_product(change, overlaps[i], P[beta * RANK + i]);
                    rest = minus(rest, change);
                }
                outside += square(rest);
            }
            beyond += total(room, outside);
        }
        const double left = norm > kept ? norm - kept : 0, gap = least - left;
        const double excess = gap > 0 ? beyond / gap : sqrt(beyond * RANK);
        const double floor = rounding * rounding * norm;
        ended = excess <= TOLERANCE * left + floor || beyond <= 100 * floor * norm;
        if (ended) break;
        if (step == MOST_STEPS) { solved = false; break; }
        for (int item = threadIdx.x; item < b * RANK; item += blockDim.x) P[item] = Z[item];
        __syncthreads();
        if (!orthonormalize(room, P, b, rounding)) { solved = false; break; }
    }
    if (threadIdx.x == 0) unsolved[blockIdx.x] = !solved;
    // G = B^* P, so that W is its adjoint.
    const long long rank_row = (long long)positions * k * RANK, at = alpha * k + kappa;
    for (int item = threadIdx.x; item < b * RANK; item += blockDim.x) {
        const int beta = item / RANK, j = item % RANK;
        const NUMBER value = solved ? P[item] : nothing<NUMBER>();
        U[(alpha * b + beta) * rank_row + (position * k + kappa) * RANK + j] = value;
    }
    for (int item = threadIdx.x; item < c * RANK; item += blockDim.x) {
        const int gamma = item % c, j = item / c;
        const NUMBER value = solved ? conjugate(G[gamma * RANK + j]) : nothing<NUMBER>();
        W[((at * RANK + j) * positions + position) * c + gamma] = value;
    }
    own = 0;
    for (int item = threadIdx.x; item < b * c && solved; item += blockDim.x) {
        const int beta = item / c, gamma = item % c;
        NUMBER rest = B[beta * pitch + gamma];
        for (int j = 0; j < RANK; ++j) {
            NUMBER change = nothing<NUMBER>();
            add_product(change, P[beta * RANK + j], conjugate(G[gamma * RANK + j]));
            rest = minus(rest, change);
        }
        own += square(rest);
    }
    own = total(room, own);
    if (threadIdx.x == 0) tails[at * positions + position] = sqrt(own);
}
