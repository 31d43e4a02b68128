// Words that a host compiler does not know. There is no __shared__, no __constant__ and no __device__
// variable: kernels have dynamic shared memory and their arguments.
#pragma once

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) alignas(bytes)
