// Several interfaces of rank one in one reading of the values: what a chain is split at, from left to right.
//
// The rows of a matrix are (alpha, beta_1, ..., beta_LEVELS, t), each beta below SIDE, and its columns fall into
// `pieces` equal ones, each of these again, and so on. A block of threads takes a strip: all beta, one alpha and t,
// and the columns of one of the first pieces. At a level, the SIDE rows that differ in its beta make blocks B with
// the columns of a piece: u, the leading eigenvector of B B^*, goes to the left factor, and u^* B takes the place
// of the rows. What is left in the end is one row for each of the last pieces.
//
// Set when compiled: NUMBER, SIDE, LEVELS, THREADS at most, PACK, the neighbours that are read at once, and KEPT,
// whether a strip fits in shared memory; if not, LEVELS is 1.

#include "reductions.cuh"

// The leading eigenvector of a Hermitian matrix, by Jacobi's rotations.
__device__ inline void leading(Wide (&H)[SIDE][SIDE], NUMBER (&u)[SIDE]) {
    Wide J[SIDE][SIDE];
    for (int i = 0; i < SIDE; ++i)
        for (int j = 0; j < SIDE; ++j) J[i][j].re = i == j, J[i][j].im = 0;
    for (int sweep = 0; sweep < (SIDE > 2 ? 12 : 1); ++sweep)
        for (int i = 0; i < SIDE; ++i)
            for (int j = i + 1; j < SIDE; ++j) {
                // The inner product of two rows of B is the conjugate of what stands here.
                const Wide inner = conjugate(H[i][j]);
                if (!(square(inner) > 1e-36 * fabs(H[i][i].re * H[j][j].re))) continue;
                const Rotation by = rotation(H[i][i].re, H[j][j].re, inner);
                for (int k = 0; k < SIDE; ++k) rotate(by, true, H[i][k], H[j][k]);
                for (int k = 0; k < SIDE; ++k) rotate(by, false, H[k][i], H[k][j]);
                for (int k = 0; k < SIDE; ++k) rotate(by, false, J[k][i], J[k][j]);
            }
    int best = 0;
    for (int i = 1; i < SIDE; ++i)
        if (H[i][i].re > H[best][best].re) best = i;
    for (int i = 0; i < SIDE; ++i) narrow(J[i][best], u[i]);
}

extern "C" __global__ void __launch_bounds__(THREADS) kronecker_strips(
    const NUMBER* values, NUMBER* factors, double* tails, NUMBER* rest, int d, int pieces, int width,
    int most_items, int most_tasks) {
    // Of each item of a warp, its part of B B^*, then of what is lost; and u of each task.
    DYNAMIC_SHARED(Wide, sums);
    Wide* const vectors = sums + most_items * SIDE * SIDE;
    NUMBER* const strip = reinterpret_cast<NUMBER*>(vectors + most_tasks * SIDE);
    const int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int t = blockIdx.x % d;
    const long long place = blockIdx.x / d, row = (long long)pieces * width;  // alpha and the first piece
    int rows = 1;
    for (int level = 0; level < LEVELS; ++level) rows *= SIDE;
    const NUMBER* const first = values + (place / pieces * rows * d + t) * row + place % pieces * width;
#if KEPT
    for (int item = threadIdx.x; item < rows * (width / PACK); item += blockDim.x) {
        const int i = item / (width / PACK), j = item % (width / PACK) * PACK;
        const Pack<NUMBER, PACK> pack = *(const Pack<NUMBER, PACK>*)(first + i * d * row + j);
        *(Pack<NUMBER, PACK>*)(strip + i * width + j) = pack;
    }
    __syncthreads();
    const NUMBER* const source = strip;
    const long long source_row = width;
#else
    const NUMBER* const source = first;
    const long long source_row = d * row;
#endif
    // Of the grid, how many alpha and pieces; of a level, how many parts of the strip.
    long long n_places = gridDim.x / d;
    int parts = 1;
    for (int level = 0; level < LEVELS; ++level, parts *= pieces, n_places *= pieces) {
        rows /= SIDE;
        const long long step = (long long)rows * d;
        const int own = width / parts, tasks = parts * rows, chunks = tasks < warps ? warps / tasks : 1;
        const int length = (own + chunks - 1) / chunks;
        for (int item = warp; item < tasks * chunks; item += warps) {
            const int task = item / chunks, start = item % chunks * length;
            const NUMBER* const B = source + task % rows * source_row + task / rows * own;
            Wide H[SIDE][SIDE];
#pragma unroll
            for (int i = 0; i < SIDE; ++i)
#pragma unroll
                for (int k = 0; k < SIDE; ++k) H[i][k] = nothing<Wide>();
            for (int j = start + lane; j < own && j < start + length; j += 32) {
                NUMBER x[SIDE];
#pragma unroll
                for (int i = 0; i < SIDE; ++i) x[i] = B[i * rows * source_row + j];
#pragma unroll
                for (int i = 0; i < SIDE; ++i)
#pragma unroll
                    for (int k = i; k < SIDE; ++k) add_inner(H[i][k], x[k], x[i]);
            }
#pragma unroll
            for (int i = 0; i < SIDE; ++i)
#pragma unroll
                for (int k = i; k < SIDE; ++k) {
                    Wide sum;
                    sum.re = warp_total(H[i][k].re);
                    sum.im = sizeof(NUMBER) > sizeof(REAL) ? warp_total(H[i][k].im) : 0;
                    if (lane == 0) sums[(item * SIDE + i) * SIDE + k] = sum;
                }
        }
        __syncthreads();
        for (int task = threadIdx.x; task < tasks; task += blockDim.x) {
            Wide H[SIDE][SIDE];
            for (int i = 0; i < SIDE; ++i)
                for (int k = i; k < SIDE; ++k) {
                    Wide sum = nothing<Wide>();
                    for (int chunk = 0; chunk < chunks; ++chunk) {
                        const Wide part = sums[((task * chunks + chunk) * SIDE + i) * SIDE + k];
                        sum.re += part.re, sum.im += part.im;
                    }
                    H[i][k] = sum, H[k][i] = conjugate(sum);
                }
            NUMBER u[SIDE];
            leading(H, u);
            // Values [alpha, beta, rows and t, piece] of the factor.
            const long long at = place * parts + task / rows;
            for (int i = 0; i < SIDE; ++i) {
                const Wide element = wide(u[i]);
                vectors[task * SIDE + i] = element;
                factors[((at / pieces * SIDE + i) * step + task % rows * d + t) * pieces + at % pieces] = u[i];
            }
        }
        __syncthreads();
        for (int item = warp; item < tasks * chunks; item += warps) {
            const int task = item / chunks, start = item % chunks * length;
            const NUMBER* const B = source + task % rows * source_row + task / rows * own;
            NUMBER* const target = level + 1 < LEVELS ? strip + task % rows * width + task / rows * own
                                                      : rest + ((place * parts + task) * d + t) * own;
            NUMBER u[SIDE];
            for (int i = 0; i < SIDE; ++i) narrow(vectors[task * SIDE + i], u[i]);
            double lost = 0;
            for (int j = start + lane; j < own && j < start + length; j += 32) {
                NUMBER x[SIDE], sum = nothing<NUMBER>();
#pragma unroll
                for (int i = 0; i < SIDE; ++i) {
                    x[i] = B[i * rows * source_row + j];
                    add_product(sum, conjugate(u[i]), x[i]);
                }
#pragma unroll
                for (int i = 0; i < SIDE; ++i) {
                    NUMBER change = nothing<NUMBER>();
                    add_product(change, u[i], sum);
                    lost += square(minus(x[i], change));
                }
                target[j] = sum;
            }
            lost = warp_total(lost);
            if (lane == 0) sums[item].re = lost;
        }
        __syncthreads();
        for (int task = threadIdx.x; task < tasks; task += blockDim.x) {
            double lost = 0;
            for (int chunk = 0; chunk < chunks; ++chunk) lost += sums[task * chunks + chunk].re;
            tails[(place * parts + task / rows) * step + task % rows * d + t] = sqrt(lost);
        }
        __syncthreads();
        factors += n_places * SIDE * step, tails += n_places * step;
    }
}
