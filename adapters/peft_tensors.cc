#include "adapters/peft_tensors.h"

#include "base/str_cat.h"

namespace guildhall {

const AdapterTensor* PeftTensors::Take(const std::string& name) {
  const AdapterTensor* tensor = files_.Find(name);
  if (tensor != nullptr) used_.insert(tensor->entry->name);
  return tensor;
}

const AdapterTensor* PeftTensors::Expect(const std::string& name, const std::vector<int64_t>& shape) {
  const AdapterTensor* tensor = Take(name);
  if (tensor == nullptr) {
    problems.Add(StrCat("tensor ", name, ": expected ", ShapeText(shape), " because ", what_,
                        " targets its module, found no such tensor: is the file complete?"));
    return nullptr;
  }
  if (tensor->entry->shape == shape) return tensor;
  problems.Add(StrCat("tensor ", name, ": expected ", ShapeText(shape), ", found ",
                      ShapeText(tensor->entry->shape),
                      ": the adapter is of another base model, or r and rank_pattern are of another file"));
  return nullptr;
}

bool PeftTensors::RankAllowed(const std::string& module, int64_t rank) {
  if (max_rank_ == 0 || rank <= max_rank_) return true;
  problems.Add(StrCat(what_, ": r of ", module, ": expected at most ", max_rank_, " (max_rank), found ", rank,
                      ": raise the limit, or train with a lower rank"));
  return false;
}

}  // namespace guildhall
