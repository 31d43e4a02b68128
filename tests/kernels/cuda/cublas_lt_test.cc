// How cuBLASLt is found at run time, with libraries that have its names.
#include "kernels/cuda/cublas_lt.h"

#include <catch2/catch.hpp>
#include <string>

namespace guildhall::cuda {
namespace {

using absl::StatusCode;
using Catch::Contains;

TEST_CASE("the first library that is there is taken, with all functions that are in use") {
  const char* const names[] = {"libguildhall-absent.so", GH_STUB_LIBRARY};
  const auto found = FindCublasLt(names);
  REQUIRE(found.ok());
  CHECK(found->version() == 130002);
  CHECK(found->create != nullptr);
  CHECK(found->matmul != nullptr);
}

TEST_CASE("a machine without the library is told what was looked for and what helps") {
  const char* const names[] = {"libguildhall-absent.so", "libguildhall-absent-too.so"};
  const absl::Status refused = FindCublasLt(names).status();
  CHECK(refused.code() == StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(refused.message()),
             Contains("libguildhall-absent.so") && Contains("LD_LIBRARY_PATH") && Contains("\"exact\""));
}

TEST_CASE("a library that lacks a function is refused with its name") {
  const char* const names[] = {GH_STUB_LACKING};
  const absl::Status refused = FindCublasLt(names).status();
  CHECK(refused.code() == StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(refused.message()), Contains("has no cublasLtMatmul"));
}

}  // namespace
}  // namespace guildhall::cuda
