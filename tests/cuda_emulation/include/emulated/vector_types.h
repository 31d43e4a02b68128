// Small vectors, aligned as the device's loads need them, and where a thread is.
#pragma once

struct uint3 {
  unsigned x, y, z;
};
struct int3 {
  int x, y, z;
};
struct float3 {
  float x, y, z;
};

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned the_x = 1, unsigned the_y = 1, unsigned the_z = 1) : x(the_x), y(the_y), z(the_z) {}
  constexpr dim3(uint3 from) : x(from.x), y(from.y), z(from.z) {}
};

#define GH_VECTOR_TYPES(name, type, bytes2, bytes4)               \
  struct alignas(bytes2) name##2 {                                \
    type x, y;                                                    \
  };                                                              \
  struct alignas(bytes4) name##4 {                                \
    type x, y, z, w;                                              \
  };                                                              \
  inline name##2 make_##name##2(type x, type y) {                 \
    return {x, y};                                                \
  }                                                               \
  inline name##4 make_##name##4(type x, type y, type z, type w) { \
    return {x, y, z, w};                                          \
  }
GH_VECTOR_TYPES(char, signed char, 2, 4)
GH_VECTOR_TYPES(uchar, unsigned char, 2, 4)
GH_VECTOR_TYPES(short, short, 4, 8)
GH_VECTOR_TYPES(ushort, unsigned short, 4, 8)
GH_VECTOR_TYPES(int, int, 8, 16)
GH_VECTOR_TYPES(uint, unsigned, 8, 16)
GH_VECTOR_TYPES(float, float, 8, 16)
GH_VECTOR_TYPES(longlong, long long, 16, 16)
GH_VECTOR_TYPES(ulonglong, unsigned long long, 16, 16)
GH_VECTOR_TYPES(double, double, 16, 16)
#undef GH_VECTOR_TYPES

inline int3 make_int3(int x, int y, int z) {
  return {x, y, z};
}
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) {
  return {x, y, z};
}
inline float3 make_float3(float x, float y, float z) {
  return {x, y, z};
}

// Of the thread that runs: variables, because cudaLaunchConfig_t has members of the same names.
extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;
inline constexpr int warpSize = 32;
