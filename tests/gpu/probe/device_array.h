// Memory of the device and times on it, for the probe.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <vector>

#include "tests/gpu/probe/fact.h"

namespace guildhall::probe {

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : size_(size) {
    Check(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)), "cudaMalloc");
  }
  explicit DeviceArray(const std::vector<T>& from) : DeviceArray(from.size()) {
    Check(cudaMemcpy(data_, from.data(), size_ * sizeof(T), cudaMemcpyHostToDevice), "upload");
  }
  ~DeviceArray() { (void)cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* get() const { return data_; }
  size_t size() const { return size_; }
  std::vector<T> Read() const {
    std::vector<T> host(size_);
    Check(cudaMemcpy(host.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost), "download");
    return host;
  }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

// Milliseconds on the device that `work` takes, the least of `rounds` after one that does
// not count.
inline double Milliseconds(int rounds, const std::function<void()>& work) {
  cudaEvent_t begin = nullptr, end = nullptr;
  Check(cudaEventCreate(&begin), "event");
  Check(cudaEventCreate(&end), "event");
  double least = 1e30;
  for (int round = 0; round <= rounds; ++round) {
    Check(cudaEventRecord(begin, nullptr), "event");
    work();
    Check(cudaGetLastError(), "launch");
    Check(cudaEventRecord(end, nullptr), "event");
    Check(cudaEventSynchronize(end), "kernel");
    float milliseconds = 0;
    Check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
    if (round > 0 && milliseconds < least) least = milliseconds;
  }
  (void)cudaEventDestroy(begin);
  (void)cudaEventDestroy(end);
  return least;
}

}  // namespace guildhall::probe
