// Broken invariants end the process with both values on stderr. Expected failures are absl::Status instead.
#pragma once

#include <sstream>
#include <string>

namespace guildhall {

// Prints "FILE:LINE: check failed: WHAT" and aborts. Never returns.
[[noreturn]] void CheckFailed(const char* file, int line, const std::string& what);

template <typename A, typename B>
[[noreturn]] void CheckOpFailed(const char* file, int line, const char* text, const A& a, const B& b) {
  std::ostringstream out;
  out << text << " (" << a << " against " << b << ")";
  CheckFailed(file, line, out.str());
}

}  // namespace guildhall

#define GH_CHECK(cond)                                                \
  do {                                                                \
    if (!(cond)) ::guildhall::CheckFailed(__FILE__, __LINE__, #cond); \
  } while (false)

#define GH_CHECK_OP(a, op, b)                                                                           \
  do {                                                                                                  \
    const auto& gh_a = (a);                                                                             \
    const auto& gh_b = (b);                                                                             \
    if (!(gh_a op gh_b)) ::guildhall::CheckOpFailed(__FILE__, __LINE__, #a " " #op " " #b, gh_a, gh_b); \
  } while (false)

#define GH_CHECK_EQ(a, b) GH_CHECK_OP(a, ==, b)
#define GH_CHECK_NE(a, b) GH_CHECK_OP(a, !=, b)
#define GH_CHECK_LT(a, b) GH_CHECK_OP(a, <, b)
#define GH_CHECK_LE(a, b) GH_CHECK_OP(a, <=, b)
#define GH_CHECK_GT(a, b) GH_CHECK_OP(a, >, b)
#define GH_CHECK_GE(a, b) GH_CHECK_OP(a, >=, b)
