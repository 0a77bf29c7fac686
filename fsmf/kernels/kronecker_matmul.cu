// Products of Kronecker-sparse factors I_a (x) dense b-by-c blocks (x) I_d with many columns.
//
// kronecker_chain applies a run of factors in one launch. What all of them have in common, I_a (x) . (x) I_d, cuts
// the rows into independent groups (alpha, delta): a block of threads takes one group (or some neighbours
// delta), and a tile of columns, from the first stage to the last, and keeps what is between in shared memory.
// kronecker_factor applies one factor with large blocks, tile by tile as a matrix product.
//
// Set when compiled: STORED (x and y), COEFFICIENT, SUM (what is summed in); BY_COLUMNS, whether columns lie in
// memory as a whole, or rows do; for kronecker_chain PER_THREAD, the neighbouring columns of a thread; or for
// kronecker_factor the TILE_ROWS and TILE_COLUMNS of a block of threads, which are THREAD_ROWS and THREAD_COLUMNS
// for each thread, and DEPTH.

#include "numbers.cuh"

#ifdef PER_THREAD

struct Task {
    const STORED* x;
    STORED* y;
    const COEFFICIENT* coefficients;
    const int *taken, *placed;  // x[taken[i]] is row i of the input, and y[placed[i]] row i of the output
    int rows_in, rows_out, d;
    long long columns, x_row, x_column, y_row, y_column;
    int alpha, delta, tile_columns, tile_deltas, pitch, skew;
    long long column;  // the first of the tile
    bool aligned;      // whether PER_THREAD neighbours can be read and written at once
};

// A row of the table: what a stage does within a group.
enum { STAGE_A, STAGE_B, STAGE_C, STAGE_D, STAGE_PADDED, STAGE_ROWS, STAGE_FIRST, STAGE_FROM, STAGE_TO, STAGE_SIZE };

__device__ inline long long row_in(const Task& task, int local, int delta) {
    const long long row = ((long long)task.alpha * task.rows_in + local) * task.d + delta;
    return (task.taken ? task.taken[row] : row) * task.x_row;
}

__device__ inline long long row_out(const Task& task, int local, int delta) {
    const long long row = ((long long)task.alpha * task.rows_out + local) * task.d + delta;
    return (task.placed ? task.placed[row] : row) * task.y_row;
}

#if BY_COLUMNS
// Where a row lies in shared memory: neighbours delta side by side, column after column; after eight rows there is a
// gap, so that rows which neighbouring threads take, near or far, are in other banks. A lane of a thread is the first
// of its numbers; the next ones are `lane_step` apart.
__device__ inline int row_at(const Task& task, int local) { return local * task.pitch + (local >> 3) * task.skew; }
__device__ inline int lane_step(const Task& task) { return task.tile_columns * task.tile_deltas / PER_THREAD; }
#endif

__device__ inline void read(const Task& task, const SUM* source, int local, int lane, SUM (&found)[PER_THREAD]) {
    if (source) {
#if BY_COLUMNS
        const int step = lane_step(task);
        for (int i = 0; i < PER_THREAD; ++i) found[i] = source[row_at(task, local) + lane + i * step];
#else
        const Pack<SUM, PER_THREAD> pack = *(const Pack<SUM, PER_THREAD>*)(source + local * task.pitch + lane);
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) found[i] = pack.of[i];
#endif
        return;
    }
    const long long left = task.columns - task.column - lane;
    const STORED* x = task.x + row_in(task, local, task.delta) + (task.column + lane) * task.x_column;
    if (task.aligned && left >= PER_THREAD) {
        const Pack<STORED, PER_THREAD> pack = *(const Pack<STORED, PER_THREAD>*)x;
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) found[i] = widened(pack.of[i]);
    } else {
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) found[i] = i < left ? widened(x[i * task.x_column]) : nothing<SUM>();
    }
}

__device__ inline void write(const Task& task, SUM* target, int local, int lane, const SUM (&values)[PER_THREAD]) {
    if (target) {
#if BY_COLUMNS
        const int step = lane_step(task);
        for (int i = 0; i < PER_THREAD; ++i) target[row_at(task, local) + lane + i * step] = values[i];
#else
        Pack<SUM, PER_THREAD> pack;
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) pack.of[i] = values[i];
        *(Pack<SUM, PER_THREAD>*)(target + local * task.pitch + lane) = pack;
#endif
        return;
    }
    const long long left = task.columns - task.column - lane;
    STORED* y = task.y + row_out(task, local, task.delta) + (task.column + lane) * task.y_column;
    if (task.aligned && left >= PER_THREAD) {
        Pack<STORED, PER_THREAD> pack;
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) narrow(values[i], pack.of[i]);
        *(Pack<STORED, PER_THREAD>*)y = pack;
    } else {
        for (int i = 0; i < PER_THREAD && i < left; ++i) narrow(values[i], y[i * task.y_column]);
    }
}

// One stage: a thread makes ROWS rows of a block, in PER_THREAD columns, from all c rows that the block takes.
template <int ROWS>
__device__ void apply(const Task& task, const long long* stage, const SUM* source, SUM* target) {
    const int b = (int)stage[STAGE_B], c = (int)stage[STAGE_C], d = (int)stage[STAGE_D];
    const int padded = (int)stage[STAGE_PADDED], blocks = (int)stage[STAGE_A] * d;
    const int slots = task.tile_columns * task.tile_deltas / PER_THREAD, parts = padded / ROWS;
    for (int item = threadIdx.x; item < blocks * parts * slots; item += blockDim.x) {
        const int part = item / slots % parts, block = item / slots / parts;
        const int inner_alpha = block / d, inner_delta = block % d;
#if BY_COLUMNS
        // Neighbours delta, then parts and blocks, have their coefficients side by side, as neighbouring threads.
        const int lane = item % slots, delta = task.delta + lane % task.tile_deltas;
        if (delta >= task.d) continue;
        const long long step = (long long)blocks * parts * task.d;
        const COEFFICIENT* w = task.coefficients + stage[STAGE_FIRST] + task.alpha * c * ROWS * step
            + ((long long)block * parts + part) * task.d + delta;
#else
        const int lane = item % slots * PER_THREAD;
        const long long step = 1;
        const COEFFICIENT* w = task.coefficients + stage[STAGE_FIRST]
            + (((long long)task.alpha * task.d + task.delta) * blocks + block) * c * padded + part * ROWS;
#endif
        SUM sums[ROWS][PER_THREAD];
#pragma unroll
        for (int i = 0; i < ROWS; ++i)
#pragma unroll
            for (int j = 0; j < PER_THREAD; ++j) sums[i][j] = nothing<SUM>();
        for (int gamma = 0; gamma < c; ++gamma) {
            SUM values[PER_THREAD];
            read(task, source, (inner_alpha * c + gamma) * d + inner_delta, lane, values);
#pragma unroll
            for (int i = 0; i < ROWS; ++i) {
                const COEFFICIENT coefficient = w[i * step];
#pragma unroll
                for (int j = 0; j < PER_THREAD; ++j) add_product(sums[i][j], coefficient, values[j]);
            }
            w += (BY_COLUMNS ? ROWS : padded) * step;
        }
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            const int beta = part * ROWS + i;
            if (beta < b) write(task, target, (inner_alpha * b + beta) * d + inner_delta, lane, sums[i]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) kronecker_chain(
    const STORED* x, STORED* y, const COEFFICIENT* coefficients, const long long* table, int stages,
    int rows_in, int rows_out, int d, long long columns, long long x_row, long long x_column, long long y_row,
    long long y_column, int tile_columns, int tile_deltas, int pitch, int skew, int first, int last, int aligned,
    const int* taken, const int* placed) {
    DYNAMIC_SHARED(SUM, pool);
    const long long tiles = (columns + tile_columns - 1) / tile_columns;
    const int groups = (d + tile_deltas - 1) / tile_deltas;
    const long long group = blockIdx.x / tiles;
    Task task;
    task.x = x, task.y = y, task.coefficients = coefficients, task.taken = taken, task.placed = placed;
    task.rows_in = rows_in, task.rows_out = rows_out, task.d = d;
    task.columns = columns, task.x_row = x_row, task.x_column = x_column, task.y_row = y_row, task.y_column = y_column;
    task.alpha = (int)(group / groups), task.delta = (int)(group % groups) * tile_deltas;
    task.tile_columns = tile_columns, task.tile_deltas = tile_deltas, task.pitch = pitch, task.skew = skew;
    task.column = (long long)(blockIdx.x % tiles) * tile_columns, task.aligned = aligned;
#if BY_COLUMNS
    // In the order of memory: delta, then the rows of the group, then the column.
    for (int item = threadIdx.x; item < rows_in * tile_deltas * tile_columns; item += blockDim.x) {
        const int near = item % tile_deltas, local = item / tile_deltas % rows_in;
        const int column = item / tile_deltas / rows_in, delta = task.delta + near;
        const bool inside = delta < d && task.column + column < columns;
        const SUM value =
            inside ? widened(x[row_in(task, local, delta) + (task.column + column) * x_column]) : nothing<SUM>();
        pool[first + row_at(task, local) + column * tile_deltas + near] = value;
    }
    __syncthreads();
#endif
    for (int i = 0; i < stages; ++i) {
        const long long* stage = table + i * STAGE_SIZE;
        const SUM* source = stage[STAGE_FROM] < 0 ? nullptr : pool + stage[STAGE_FROM];
        SUM* target = stage[STAGE_TO] < 0 ? nullptr : pool + stage[STAGE_TO];
        switch (stage[STAGE_ROWS]) {
            case 8: apply<8>(task, stage, source, target); break;
            case 4: apply<4>(task, stage, source, target); break;
            case 2: apply<2>(task, stage, source, target); break;
            default: apply<1>(task, stage, source, target);
        }
        __syncthreads();
    }
#if BY_COLUMNS
    for (int item = threadIdx.x; item < rows_out * tile_deltas * tile_columns; item += blockDim.x) {
        const int near = item % tile_deltas, local = item / tile_deltas % rows_out;
        const int column = item / tile_deltas / rows_out, delta = task.delta + near;
        if (delta < d && task.column + column < columns)
            narrow(pool[last + row_at(task, local) + column * tile_deltas + near],
                   y[row_out(task, local, delta) + (task.column + column) * y_column]);
    }
#endif
}

#endif

#ifdef TILE_ROWS

extern "C" __global__ void __launch_bounds__((TILE_ROWS / THREAD_ROWS) * (TILE_COLUMNS / THREAD_COLUMNS))
kronecker_factor(
    const STORED* x, STORED* y, const COEFFICIENT* values, int b, int c, int d, long long columns,
    long long x_row, long long x_column, long long y_row, long long y_column, const int* taken, const int* placed) {
    __shared__ SUM inputs[DEPTH][TILE_COLUMNS + 1];
    __shared__ COEFFICIENT weights[DEPTH][TILE_ROWS + 1];
    const int threads = (TILE_ROWS / THREAD_ROWS) * (TILE_COLUMNS / THREAD_COLUMNS);
    const long long tiles = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const int bands = (b + TILE_ROWS - 1) / TILE_ROWS;
    const long long column = (long long)(blockIdx.x % tiles) * TILE_COLUMNS;
    const int band = (int)(blockIdx.x / tiles % bands) * TILE_ROWS;
    const long long block = blockIdx.x / tiles / bands, alpha = block / d, delta = block % d;
#if BY_COLUMNS
    const int own_row = threadIdx.x % (TILE_ROWS / THREAD_ROWS), own_column = threadIdx.x / (TILE_ROWS / THREAD_ROWS);
#else
    const int own_column = threadIdx.x % (TILE_COLUMNS / THREAD_COLUMNS);
    const int own_row = threadIdx.x / (TILE_COLUMNS / THREAD_COLUMNS);
#endif
    SUM sums[THREAD_ROWS][THREAD_COLUMNS];
#pragma unroll
    for (int i = 0; i < THREAD_ROWS; ++i)
#pragma unroll
        for (int j = 0; j < THREAD_COLUMNS; ++j) sums[i][j] = nothing<SUM>();
    for (int start = 0; start < c; start += DEPTH) {
        for (int item = threadIdx.x; item < DEPTH * TILE_COLUMNS; item += threads) {
#if BY_COLUMNS
            const int gamma = item % DEPTH, j = item / DEPTH;
#else
            const int j = item % TILE_COLUMNS, gamma = item / TILE_COLUMNS;
#endif
            SUM value = nothing<SUM>();
            if (start + gamma < c && column + j < columns) {
                const long long row = (alpha * c + start + gamma) * d + delta;
                value = widened(x[(taken ? taken[row] : row) * x_row + (column + j) * x_column]);
            }
            inputs[gamma][j] = value;
        }
        for (int item = threadIdx.x; item < DEPTH * TILE_ROWS; item += threads) {
            const int gamma = item % DEPTH, i = item / DEPTH;
            const COEFFICIENT weight = start + gamma < c && band + i < b
                ? values[((alpha * b + band + i) * d + delta) * c + start + gamma] : nothing<COEFFICIENT>();
            weights[gamma][i] = weight;
        }
        __syncthreads();
#pragma unroll
        for (int gamma = 0; gamma < DEPTH; ++gamma)
#pragma unroll
            for (int i = 0; i < THREAD_ROWS; ++i) {
                const COEFFICIENT weight = weights[gamma][own_row + i * (TILE_ROWS / THREAD_ROWS)];
#pragma unroll
                for (int j = 0; j < THREAD_COLUMNS; ++j)
                    add_product(sums[i][j], weight, inputs[gamma][own_column + j * (TILE_COLUMNS / THREAD_COLUMNS)]);
            }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < THREAD_ROWS; ++i)
#pragma unroll
        for (int j = 0; j < THREAD_COLUMNS; ++j) {
            const int beta = band + own_row + i * (TILE_ROWS / THREAD_ROWS);
            const long long at = column + own_column + j * (TILE_COLUMNS / THREAD_COLUMNS);
            if (beta < b && at < columns) {
                const long long row = (alpha * b + beta) * d + delta;
                narrow(sums[i][j], y[(placed ? placed[row] : row) * y_row + at * y_column]);
            }
        }
}

#endif
