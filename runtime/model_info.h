// What is told of a served model: for a status, a log, a metric.
#pragma once

#include <cstdint>
#include <string>

namespace guildhall {

struct ModelInfo {
  std::string name;          // of its folder
  std::string architecture;  // as config.json names it
  std::string dtype;
  std::string backend;
  std::string device_products;  // "exact"; "library": isolation to the bit is off
  int64_t vocabulary = 0;
  int64_t context_tokens = 0;
  int64_t layers = 0;
  int64_t experts = 0, experts_per_token = 0;
};

// One line of the memory arithmetic.
struct MemoryItem {
  std::string name;
  uint64_t bytes = 0;
  std::string note;
};

}  // namespace guildhall
