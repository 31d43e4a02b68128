// The tensors of a PEFT file while they are being accounted for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "adapters/adapter_files.h"
#include "checkpoint/problems.h"

namespace guildhall {

// Hands out tensors by name and remembers them; what is not as expected becomes a problem. `what` is the
// configuration that expects. Not thread-safe.
class PeftTensors {
 public:
  PeftTensors(const AdapterFiles& files, const std::string& what, int64_t max_rank)
      : files_(files), what_(what), max_rank_(max_rank) {}

  const std::string& what() const { return what_; }
  const AdapterFiles::Tensors& all() const { return files_.tensors(); }
  bool Has(const std::string& name) const { return files_.Find(name) != nullptr; }
  bool used(std::string_view name) const { return used_.contains(name); }

  // nullptr when the file lacks it; no problem.
  const AdapterTensor* Take(const std::string& name);
  // nullptr and a problem when the file lacks it or holds another shape.
  const AdapterTensor* Expect(const std::string& name, const std::vector<int64_t>& shape);
  // Against the server's limit; 0: none.
  bool RankAllowed(const std::string& module, int64_t rank);

  // So many that more of them would help nobody.
  bool Full() const { return problems.list().size() >= 100; }
  Problems problems;

 private:
  const AdapterFiles& files_;
  const std::string& what_;
  const int64_t max_rank_;
  std::unordered_set<std::string_view> used_;
};

}  // namespace guildhall
