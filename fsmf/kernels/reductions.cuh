// What several kernels do with numbers and their squares, and sums over the threads of a warp or a block. Blocks
// consist of whole warps. (Values go to memory from variables: the stand-in for a device sees no other way.)

#include "numbers.cuh"

__device__ inline float conjugate(float x) { return x; }
__device__ inline double conjugate(double x) { return x; }
template <class R> __device__ inline Complex<R> conjugate(Complex<R> x) { x.im = -x.im; return x; }

__device__ inline double square(float x) { return (double)x * x; }
__device__ inline double square(double x) { return x * x; }
template <class R> __device__ inline double square(Complex<R> x) { return square(x.re) + square(x.im); }

__device__ inline float times(float x, double s) { return x * (float)s; }
__device__ inline double times(double x, double s) { return x * s; }
template <class R> __device__ inline Complex<R> times(Complex<R> x, double s) {
    x.re *= (R)s; x.im *= (R)s; return x;
}

__device__ inline float minus(float x, float y) { return x - y; }
__device__ inline double minus(double x, double y) { return x - y; }
template <class R> __device__ inline Complex<R> minus(Complex<R> x, Complex<R> y) {
    x.re -= y.re; x.im -= y.im; return x;
}

// A number in double precision, and back.
typedef complex128 Wide;
__device__ inline Wide wide(float x) { Wide z = {x, 0}; return z; }
__device__ inline Wide wide(double x) { Wide z = {x, 0}; return z; }
template <class R> __device__ inline Wide wide(Complex<R> x) { Wide z = {x.re, x.im}; return z; }

__device__ inline void narrow(Wide z, float& x) { x = (float)z.re; }
__device__ inline void narrow(Wide z, double& x) { x = z.re; }
__device__ inline void narrow(Wide z, complex64& x) { x.re = (float)z.re; x.im = (float)z.im; }

// sum += conj(x) y
__device__ inline void add_inner(Wide& sum, float x, float y) { sum.re += (double)x * y; }
__device__ inline void add_inner(Wide& sum, double x, double y) { sum.re += x * y; }
template <class R> __device__ inline void add_inner(Wide& sum, Complex<R> x, Complex<R> y) {
    sum.re += (double)x.re * y.re + (double)x.im * y.im;
    sum.im += (double)x.re * y.im - (double)x.im * y.re;
}

__device__ inline double warp_total(double own) {
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes >>= 1) own += __shfl_xor_sync(0xffffffffu, own, lanes);
    return own;
}

// Sums over all threads of a block, each of which gets them; room for a number of each warp.
__device__ inline double total(double* room, double own) {
    own = warp_total(own);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = own;
    __syncthreads();
    double sum = 0;
    for (int warp = 0; warp < blockDim.x / 32; ++warp) sum += room[warp];
    __syncthreads();
    return sum;
}

// The rotation that makes two rows x and y orthogonal, from their squares and conj(x) y, not 0: then x becomes
// cosine x - sine conj(phase) y, and y becomes sine x + cosine conj(phase) y.
struct Rotation { double cosine, sine; Wide phase; };
__device__ inline Rotation rotation(double x, double y, Wide inner) {
    const double size = sqrt(inner.re * inner.re + inner.im * inner.im), zeta = (y - x) / (2 * size);
    const double tangent = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
    Rotation found;
    found.cosine = 1 / sqrt(1 + tangent * tangent);
    found.sine = found.cosine * tangent;
    found.phase.re = inner.re / size, found.phase.im = inner.im / size;
    return found;
}

// x and y times a rotation, whose phase may be conjugated.
template <class R> __device__ inline void rotate(const Rotation& by, bool, R& x, R& y) {
    const R cosine = (R)by.cosine, sine = (R)by.sine, turned = (R)by.phase.re * y, before = x;
    x = cosine * before - sine * turned;
    y = sine * before + cosine * turned;
}

template <class R> __device__ inline void rotate(const Rotation& by, bool conjugated, Complex<R>& x, Complex<R>& y) {
    const R cosine = (R)by.cosine, sine = (R)by.sine, re = (R)by.phase.re;
    const R im = conjugated ? -(R)by.phase.im : (R)by.phase.im;
    const Complex<R> turned = {y.re * re - y.im * im, y.re * im + y.im * re}, before = x;
    x.re = cosine * before.re - sine * turned.re, x.im = cosine * before.im - sine * turned.im;
    y.re = sine * before.re + cosine * turned.re, y.im = sine * before.im + cosine * turned.im;
}
