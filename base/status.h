// absl::Status with two macros for the one road of expected failures: return early, message in hand.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Evaluates `expr` (absl::Status); returns it from the enclosing function when it is not ok.
#define GH_RETURN_IF_ERROR(expr)                                            \
  do {                                                                      \
    if (absl::Status gh_status = (expr); !gh_status.ok()) return gh_status; \
  } while (false)

#define GH_CONCAT_INNER(a, b) a##b
#define GH_CONCAT(a, b) GH_CONCAT_INNER(a, b)

// GH_ASSIGN_OR_RETURN(auto x, MaybeX()): declares or assigns the value, or returns the error.
#define GH_ASSIGN_OR_RETURN(lhs, expr) GH_ASSIGN_OR_RETURN_IMPL(GH_CONCAT(gh_or_, __LINE__), lhs, expr)
#define GH_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = *std::move(tmp)
