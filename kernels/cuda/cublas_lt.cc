#include "kernels/cuda/cublas_lt.h"

#include <dlfcn.h>

#include <string>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall::cuda {
namespace {

template <typename Function>
absl::Status Find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  return function != nullptr ? absl::OkStatus() : NoCublasLt(StrCat("the one that was found has no ", name));
}

}  // namespace

absl::StatusOr<CublasLt> FindCublasLt(std::span<const char* const> names) {
  void* library = nullptr;
  std::string found;
  for (const char* const name : names) {
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    if (found.empty()) found = dlerror();
  }
  if (library == nullptr) return NoCublasLt(found);
  CublasLt functions;
#define GH_FIND(field, name) GH_RETURN_IF_ERROR(Find(library, #name, functions.field));
  GH_FOR_EACH_CUBLAS_FUNCTION(GH_FIND)
#undef GH_FIND
  return functions;
}

}  // namespace guildhall::cuda
