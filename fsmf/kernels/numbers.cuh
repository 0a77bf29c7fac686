// Numbers as they are stored and as they are computed with: half precision is summed in single, and complex
// numbers are pairs. No header of CUDA is needed, so that every compiler of device code takes this.

struct half16 { unsigned short bits; };
struct brain16 { unsigned short bits; };

template <class R> struct alignas(2 * sizeof(R)) Complex { R re, im; };
typedef Complex<float> complex64;
typedef Complex<double> complex128;

#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(T, name)                                      \
    extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
    T* const name = reinterpret_cast<T*>(dynamic_shared)
#endif

__device__ inline unsigned bits_of(float x) { union { float f; unsigned u; } v; v.f = x; return v.u; }
__device__ inline float from_bits(unsigned x) { union { float f; unsigned u; } v; v.u = x; return v.f; }

__device__ inline float widened(half16 x) {
#ifdef __CUDA_ARCH__
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
#else
    const unsigned sign = (x.bits & 0x8000u) << 16, magnitude = x.bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return from_bits(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    if (magnitude >= 0x400u) return from_bits(sign | ((magnitude << 13) + 0x38000000u));
    const float small = magnitude * 5.9604644775390625e-8f;  // 2^-24
    return sign ? -small : small;
#endif
}

__device__ inline float widened(brain16 x) { return from_bits((unsigned)x.bits << 16); }
template <class T> __device__ inline T widened(T x) { return x; }

__device__ inline void narrow(float x, half16& y) {
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    const unsigned u = bits_of(x), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    unsigned rounded;
    if (magnitude > 0x7f800000u) rounded = 0x7e00u;
    else if (magnitude >= 0x477ff000u) rounded = 0x7c00u;
    else if (magnitude >= 0x38800000u) rounded = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    else {  // the sum with 0.5 rounds to multiples of 2^-24
        rounded = bits_of(from_bits(magnitude) + 0.5f) - 0x3f000000u;
    }
    y.bits = (unsigned short)(sign | rounded);
#endif
}

__device__ inline void narrow(float x, brain16& y) {
    const unsigned u = bits_of(x);
    const bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
    y.bits = (unsigned short)(is_nan ? (u >> 16) | 0x40u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

template <class T> __device__ inline void narrow(T x, T& y) { y = x; }

template <class T> __device__ inline T nothing() { return T(0); }
template <> __device__ inline complex64 nothing<complex64>() { complex64 z = {0.0f, 0.0f}; return z; }
template <> __device__ inline complex128 nothing<complex128>() { complex128 z = {0.0, 0.0}; return z; }

__device__ inline void add_product(float& sum, float w, float x) { sum += w * x; }
__device__ inline void add_product(double& sum, double w, double x) { sum += w * x; }

template <class R> __device__ inline void add_product(Complex<R>& sum, R w, Complex<R> x) {
    sum.re += w * x.re;
    sum.im += w * x.im;
}

template <class R> __device__ inline void add_product(Complex<R>& sum, Complex<R> w, Complex<R> x) {
    sum.re += w.re * x.re - w.im * x.im;
    sum.im += w.re * x.im + w.im * x.re;
}

// Neighbours in memory, read and written at once.
template <class T, int N> struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Pack { T of[N]; };
