// Loads and unloads one adapter again and again while a load run goes on.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "client/channel.h"

namespace guildhall {

// What it did; read it after Stop.
struct ChurnReport {
  std::vector<double> load_ms, unload_ms;
  int failures = 0;
  std::string first_error;
};

class LoadChurn {
 public:
  // Loads `path` as `name` through the administration listener of `admin`, and so on until Stop. The first
  // failure is kept and ends it.
  LoadChurn(Connection admin, std::string name, std::string path);
  ~LoadChurn();
  LoadChurn(const LoadChurn&) = delete;
  LoadChurn& operator=(const LoadChurn&) = delete;

  // Ends after the current load and unload; what was loaded is unloaded again.
  const ChurnReport& Stop();

 private:
  void Run();

  const Connection admin_;
  const std::string name_, path_;
  ChurnReport report_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace guildhall
