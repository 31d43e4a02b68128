// What the tests of the emulation share.
#pragma once

#include <cuda_runtime.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/launch.h"
#include "tests/cuda_emulation/emulated_device.h"

namespace guildhall::emulation {

// What a process that runs `body` writes to its standard error before it is ended; "passed" when nothing
// ends it.
inline std::string EndOf(const std::function<void()>& body) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    body();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char piece[4096];
  for (ssize_t bytes = 0; (bytes = read(ends[0], piece, sizeof piece)) > 0;) {
    text.append(piece, static_cast<size_t>(bytes));
  }
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text + "passed" : text;
}

// Device memory that frees itself.
template <typename T>
class Array {
 public:
  explicit Array(size_t count) : count_(count) { REQUIRE(cudaMalloc(&data_, Bytes()) == cudaSuccess); }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    REQUIRE(cudaMemcpy(data_, values.data(), Bytes(), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  ~Array() { (void)cudaFree(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() const { return data_; }
  std::vector<T> Read() const {
    std::vector<T> values(count_);
    REQUIRE(cudaMemcpy(values.data(), data_, Bytes(), cudaMemcpyDeviceToHost) == cudaSuccess);
    return values;
  }

 private:
  size_t Bytes() const { return count_ * sizeof(T); }
  size_t count_;
  T* data_ = nullptr;
};

// Fresh devices for a test, and no trace of it afterwards.
struct FreshDevices {
  explicit FreshDevices(Options options = {}) { EmulatedDevice::Configure(std::move(options)); }
  ~FreshDevices() { EmulatedDevice::Configure({}); }
};

}  // namespace guildhall::emulation
