// Singular values and vectors of many blocks, by Jacobi's one-sided rotations: a block of threads for each.
//
// The rows of B, b by c, or of B^* where b > c, are rotated in pairs until all are orthogonal: they are then
// singular vectors times singular values. In a round no two pairs share a row, and each warp takes some pairs. Those
// of the `rank` largest are written, U, orthonormal, and W = U^* B, and the norm of what they leave of B.
//
// Set when compiled: NUMBER and REAL.

#include "reductions.cuh"

#define MOST_SWEEPS 30

extern "C" __global__ void __launch_bounds__(256) best_pieces(
    const NUMBER* blocks, NUMBER* U, NUMBER* W, double* tails, NUMBER* work, int b, int c, int rank,
    double rounding) {
    DYNAMIC_SHARED(double, room);
    const bool is_turned = b > c;
    const int p = is_turned ? c : b, q = is_turned ? b : c, pitch = q | 1, turns_pitch = p | 1;
    double* const squares = room + 8;
    int* const order = reinterpret_cast<int*>(squares + p);
    const long long size = (long long)p * pitch + (is_turned ? 0 : (long long)p * turns_pitch);
    NUMBER* const M = work ? work + blockIdx.x * size : reinterpret_cast<NUMBER*>(squares + 2 * p);
    NUMBER* const turns = M + (long long)p * pitch;  // its row i is column i of what M is multiplied by
    const NUMBER* const B = blocks + (long long)blockIdx.x * b * c;
    U += (long long)blockIdx.x * b * rank, W += (long long)blockIdx.x * rank * c;
    for (int item = threadIdx.x; item < b * c; item += blockDim.x) {
        const int beta = item / c, gamma = item % c;
        const NUMBER value = B[item], turned = conjugate(value);
        if (is_turned) M[gamma * pitch + beta] = turned;
        else M[beta * pitch + gamma] = value;
    }
    for (int item = threadIdx.x; item < p * p && !is_turned; item += blockDim.x) {
        Wide unit = nothing<Wide>();
        unit.re = item / p == item % p;
        NUMBER value;
        narrow(unit, value);
        turns[item / p * turns_pitch + item % p] = value;
    }
    __syncthreads();
    const int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int players = p + (p & 1);
    for (int sweep = 0; sweep < MOST_SWEEPS; ++sweep) {
        double rotated = 0;
        for (int round = 0; round < players - 1; ++round) {
            // Everybody meets everybody in players - 1 rounds: one stays, the others go around.
            for (int pair = warp; pair < players / 2; pair += warps) {
                const int i = pair ? (round + pair) % (players - 1) : players - 1;
                const int j = (round + players - 1 - pair) % (players - 1);
                if (i >= p || j >= p) continue;
                NUMBER* const x = M + (long long)i * pitch;
                NUMBER* const y = M + (long long)j * pitch;
                double first = 0, second = 0;
                Wide inner = nothing<Wide>();
                for (int k = lane; k < q; k += 32) {
                    const NUMBER u = x[k], v = y[k];
                    first += square(u), second += square(v);
                    add_inner(inner, u, v);
                }
                first = warp_total(first), second = warp_total(second);
                inner.re = warp_total(inner.re);
                inner.im = sizeof(NUMBER) > sizeof(REAL) ? warp_total(inner.im) : 0;
                if (!(square(inner) > rounding * rounding * first * second)) continue;
                rotated = 1;
                const Rotation by = rotation(first, second, inner);
                for (int k = lane; k < q; k += 32) {
                    NUMBER u = x[k], v = y[k];
                    rotate(by, true, u, v);
                    x[k] = u, y[k] = v;
                }
                for (int k = lane; k < p && !is_turned; k += 32) {
                    NUMBER u = turns[(long long)i * turns_pitch + k], v = turns[(long long)j * turns_pitch + k];
                    rotate(by, false, u, v);
                    turns[(long long)i * turns_pitch + k] = u, turns[(long long)j * turns_pitch + k] = v;
                }
            }
            __syncthreads();
        }
        if (total(room, rotated) == 0) break;
    }
    double left = 0;
    for (int i = warp; i < p; i += warps) {
        double own = 0;
        for (int k = lane; k < q; k += 32) own += square(M[(long long)i * pitch + k]);
        own = warp_total(own);
        // What is not finite has no place in an order, and spoils what is left.
        if (lane == 0) left += own - own, squares[i] = own - own == 0 ? own : 0;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < p; i += blockDim.x) {
        int place = 0;
        for (int j = 0; j < p; ++j) place += squares[j] > squares[i] || (squares[j] == squares[i] && j < i);
        order[place] = i;
        if (place >= rank) left += squares[i];
    }
    left = total(room, left);
    if (threadIdx.x == 0) tails[blockIdx.x] = sqrt(left);
    if (!is_turned) {
        for (int item = threadIdx.x; item < b * rank; item += blockDim.x) {
            const NUMBER value = turns[(long long)order[item % rank] * turns_pitch + item / rank];
            U[item] = value;
        }
        for (int item = threadIdx.x; item < rank * c; item += blockDim.x) {
            const NUMBER value = M[(long long)order[item / c] * pitch + item % c];
            W[item] = value;
        }
        return;
    }
    // The rows of M are those of U^* times singular values; where these are nothing, other unit vectors serve.
    for (int k = 0; k < rank; ++k) {
        NUMBER* const x = M + (long long)order[k] * pitch;
        double own = squares[order[k]];
        for (int unit = 0; !(own > 1e-290) || own <= rounding * rounding * squares[order[0]] * 1e-20; ++unit) {
            for (int beta = threadIdx.x; beta < q; beta += blockDim.x) {
                Wide one = nothing<Wide>();
                one.re = beta == unit % q;
                NUMBER value;
                narrow(one, value);
                x[beta] = value;
            }
            __syncthreads();
            for (int before = 0; before < 2 * k; ++before) {
                const NUMBER* const y = M + (long long)order[before % k] * pitch;
                Wide inner = nothing<Wide>();
                for (int beta = threadIdx.x; beta < q; beta += blockDim.x) add_inner(inner, y[beta], x[beta]);
                inner.re = total(room, inner.re), inner.im = total(room, inner.im);
                NUMBER overlap;
                narrow(inner, overlap);
                for (int beta = threadIdx.x; beta < q; beta += blockDim.x) {
                    NUMBER change = nothing<NUMBER>();
                    add_product(change, overlap, y[beta]);
                    const NUMBER rest = minus(x[beta], change);
                    x[beta] = rest;
                }
                __syncthreads();
            }
            own = 0;
            for (int beta = threadIdx.x; beta < q; beta += blockDim.x) own += square(x[beta]);
            own = total(room, own);
            if (2 * q * own > 1 || unit == q) break;
        }
        const double scale = own > 0 ? 1 / sqrt(own) : 0;
        for (int beta = threadIdx.x; beta < q; beta += blockDim.x) {
            const NUMBER value = times(x[beta], scale);
            x[beta] = value;
        }
        __syncthreads();
    }
    for (int item = threadIdx.x; item < b * rank; item += blockDim.x) {
        const NUMBER value = conjugate(M[(long long)order[item % rank] * pitch + item / rank]);
        U[item] = value;
    }
    for (int item = threadIdx.x; item < rank * c; item += blockDim.x) {
        const NUMBER* const x = M + (long long)order[item / c] * pitch;
        NUMBER sum = nothing<NUMBER>();
        for (int beta = 0; beta < q; ++beta) add_product(sum, x[beta], B[(long long)beta * c + item % c]);
        W[item] = sum;
    }
}
